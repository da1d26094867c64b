//===- Checkpoint.cpp - the state of a training in a file -----------------===//
#include "Checkpoint.h"
#include "Session.h"
#include <cstring>

namespace nncc {

/// Facts stand in the file's metadata under this and their name.
static const std::string prefix = "nncc.";

/// Why a tensor has no data: 0 if nothing reads what was embedded.
static int whyMissing(const nncc_weights *weights, const nncc_tensor &tensor) {
  std::vector<char> data(tensor.bytes);
  nncc_status status =
      nncc_weights_get(weights, tensor.name, data.data(), data.size());
  return status == NNCC_ERROR_WEIGHTS ? exitDone : reportRuntime(status);
}

int saveCheckpoint(const std::string &path, const nncc_model &model,
                   nncc_context *context, const RunFacts &facts) {
  const nncc_weights *weights = nncc_context_weights(context);
  std::vector<nncc_file_tensor> list;
  for (uint64_t i = 0; i < model.weight_count; ++i) {
    const nncc_tensor &tensor = model.weights[i];
    if (const void *data = nncc_weights_data(weights, i))
      list.push_back({tensor.name, nncc_dtype(tensor.dtype),
                      uint32_t(tensor.rank), tensor.dims, data, tensor.bytes});
    else if (int code = whyMissing(weights, tensor))
      return code;
  }
  std::vector<std::string> keys;
  for (const RunFact &fact : facts)
    keys.push_back(prefix + fact.name);
  std::vector<nncc_metadata> metadata;
  for (size_t i = 0; i < facts.size(); ++i)
    metadata.push_back({keys[i].c_str(), facts[i].value.c_str()});
  return reportRuntime(
      nncc_file_write_with(path.c_str(), list.data(), uint32_t(list.size()),
                           metadata.data(), uint32_t(metadata.size())));
}

static const nncc_file_tensor *find(const nncc_file *file, const char *name) {
  for (uint32_t i = 0; i < nncc_file_count(file); ++i)
    if (!strcmp(nncc_file_get(file, i)->name, name))
      return nncc_file_get(file, i);
  return nullptr;
}

/// "optim.Adam" of a training section; all of it if it names none.
static std::string optimizerOf(const std::string &training) {
  auto json = llvm::json::parse(training);
  if (!json) {
    llvm::consumeError(json.takeError());
    return training;
  }
  auto *root = json->getAsObject();
  auto *optimizer = root ? root->getObject("optimizer") : nullptr;
  auto type = optimizer ? optimizer->getString("type") : std::nullopt;
  return type ? type->str() : training;
}

/// A section is the same in whatever order it is written.
static bool isSame(const RunFact &now, const std::string &then) {
  if (now.value == then || now.name != "training")
    return now.value == then;
  auto was = llvm::json::parse(then), is = llvm::json::parse(now.value);
  bool areEqual = was && is && *was == *is;
  llvm::consumeError(was.takeError());
  llvm::consumeError(is.takeError());
  return areEqual;
}

static std::string difference(const RunFact &now, const std::string &then) {
  if (now.name == "graph")
    return "\n  the model's graph (modules, nodes, inputs) is another one";
  if (now.name != "training")
    return "\n  " + now.name + ": " + then + " then, " + now.value + " now";
  std::string was = optimizerOf(then), is = optimizerOf(now.value);
  if (was != is)
    return "\n  optimizer: " + was + " then, " + is + " now";
  return "\n  the model's \"training\" section is another one";
}

/// `unknown`: the facts that the file does not hold.
static int checkFacts(const std::string &path, const nncc_file *file,
                      const RunFacts &facts,
                      std::vector<std::string> &unknown) {
  std::string differences;
  for (const RunFact &fact : facts) {
    const char *then = nncc_file_metadata(file, (prefix + fact.name).c_str());
    if (!then)
      unknown.push_back(fact.name);
    else if (!isSame(fact, then))
      differences += difference(fact, then);
  }
  if (differences.empty())
    return exitDone;
  return fail(exitRejected,
              path +
                  " is the checkpoint of another training, --resume would "
                  "not go on with it:" +
                  differences + "\n  to train its weights anew: --weights " +
                  path,
              path);
}

/// The first of the model's optimizer state that the file lacks, or of the
/// file's that the model lacks.
static int checkState(const std::string &path, const nncc_file *file,
                      const nncc_model &model) {
  auto refuse = [&](const std::string &what) {
    return fail(exitRejected,
                path + " has the state of another optimizer: it " + what, path);
  };
  const nncc_file_tensor *steps = find(file, "optimizer.step");
  int64_t done = 0;
  if (steps && steps->bytes == sizeof done)
    memcpy(&done, steps->data, sizeof done);
  if (done < 0)
    return fail(exitRejected,
                path + " is damaged: its optimizer.step is " +
                    std::to_string(done) + ", no number of steps",
                path);
  for (uint64_t i = 0; i < model.weight_count; ++i)
    if (model.weights[i].fresh && !find(file, model.weights[i].name))
      return refuse("lacks " + std::string(model.weights[i].name));
  for (uint32_t i = 0; i < nncc_file_count(file); ++i) {
    std::string name = nncc_file_get(file, i)->name;
    bool isKnown = name.rfind("optimizer.", 0) != 0;
    for (uint64_t k = 0; k < model.weight_count && !isKnown; ++k)
      isKnown = name == model.weights[k].name;
    if (!isKnown)
      return refuse("holds " + name);
  }
  return exitDone;
}

int checkOptimizer(const std::string &path, const nncc_model &model) {
  nncc_file *file;
  if (int code = reportRuntime(nncc_file_map(path.c_str(), &file)))
    return code;
  int code = find(file, "optimizer.step") ? checkState(path, file, model)
                                          : int(exitDone);
  nncc_file_free(file);
  return code;
}

bool isCheckpoint(const std::string &path) {
  nncc_file *file;
  if (nncc_file_map(path.c_str(), &file))
    return false;
  bool found = find(file, "optimizer.step");
  nncc_file_free(file);
  return found;
}

int checkCheckpoint(const std::string &path, const nncc_model &model,
                    const RunFacts &facts) {
  nncc_file *file;
  if (int code = reportRuntime(nncc_file_map(path.c_str(), &file)))
    return code;
  int code = exitDone;
  std::vector<std::string> unknown;
  if (!find(file, "optimizer.step"))
    code = fail(exitRejected,
                path + " is no checkpoint of nncc train, it has no "
                       "optimizer.step: --weights starts from a file of "
                       "weights",
                path);
  else
    code = checkFacts(path, file, facts, unknown);
  if (!code)
    code = checkState(path, file, model);
  nncc_file_free(file);
  if (!code && unknown.size() == facts.size())
    note(path + " does not say how its training went: nothing but names and "
                "shapes of its tensors was compared with this one");
  else if (!code && !unknown.empty())
    note(path + " does not say all of how its training went, not compared: " +
         listOf(unknown));
  return code;
}

} // namespace nncc
