//===- Run.cpp - nncc run -------------------------------------------------===//
#include "Arrays.h"
#include "Session.h"
#include <algorithm>
#include <cmath>

namespace nncc {

namespace {

struct RunVerb {
  SessionFlags flags;
  std::string outputs, saved;
  uint64_t threads = 1;
  bool asJson = false;

  int run(Verb &verb);

private:
  int checkFlags(Verb &verb);
  int print(const Session &session);
};

/// "logits f32 [1, 10]: 0.1 -0.2 ...": a glance when no file is asked for.
std::string glanceText(const HostTensor &tensor) {
  std::string text = tensor.name + " " + nncc_dtype_name(tensor.dtype) + " [";
  for (size_t d = 0; d < tensor.dims.size(); ++d)
    text += (d ? ", " : "") + std::to_string(tensor.dims[d]);
  text += "]:";
  const char *data = tensor.data.data();
  for (size_t i = 0; i < std::min<size_t>(tensor.count(), 10); ++i)
    text += " " + (isFloat(tensor.dtype)
                       ? numberText(elementAt(data, tensor.dtype, i))
                       : std::to_string(integerAt(data, tensor.dtype, i)));
  return text + (tensor.count() > 10 ? " ...\n" : "\n");
}

/// All elements; what JSON has no number for becomes the model format's word.
llvm::json::Object toJson(const HostTensor &tensor) {
  llvm::json::Array values;
  const char *data = tensor.data.data();
  for (size_t i = 0; i < tensor.count(); ++i) {
    double value = elementAt(data, tensor.dtype, i);
    if (!isFloat(tensor.dtype))
      values.push_back(integerAt(data, tensor.dtype, i));
    else if (std::isfinite(value))
      values.push_back(value);
    else
      values.push_back(std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
  }
  return llvm::json::Object{{"name", jsonText(tensor.name)},
                            {"dtype", nncc_dtype_name(tensor.dtype)},
                            {"shape", llvm::json::Array(tensor.dims)},
                            {"values", std::move(values)}};
}

int RunVerb::checkFlags(Verb &verb) {
  Paths paths;
  int code = flags.check(verb, paths);
  if (!code)
    code = writesArrays(paths, "--outputs", outputs);
  if (!code)
    code = paths.writes("--save-weights", saved, "safetensors");
  if (!code && !saved.empty() && flags.entry != "train_step")
    code =
        fail(exitUsage, "--save-weights does nothing new here: " + flags.entry +
                            " changes no weights, train_step does");
  return code;
}

int RunVerb::print(const Session &session) {
  if (asJson) {
    llvm::json::Array list;
    for (const HostTensor &tensor : session.outputs)
      list.push_back(toJson(tensor));
    return printJson(llvm::json::Object{{"outputs", std::move(list)}});
  }
  std::string text;
  if (outputs.empty())
    for (const HostTensor &tensor : session.outputs)
      text += glanceText(tensor);
  return text.empty() ? int(exitDone) : printOut(text);
}

int RunVerb::run(Verb &verb) {
  if (int code = checkFlags(verb))
    return code;
  Session session;
  int code = session.open(flags);
  if (!code && !saved.empty() && !session.weights)
    code = fail(exitUsage, "--save-weights: there are no weights");
  if (!code)
    code = session.createContext(uint32_t(threads));
  if (!code)
    code = session.run();
  if (!code && !saved.empty())
    code = reportRuntime(nncc_weights_save(
        nncc_context_weights(session.context), saved.c_str()));
  if (!code && !outputs.empty())
    code = writeArrays(outputs, session.outputs);
  return code ? code : print(session);
}

} // namespace

Verb makeRun() {
  Verb verb("run", "compile in memory, or load a compiled model, and run");
  auto self = std::make_shared<RunVerb>();
  self->flags.addTo(verb, "model file, or a compiled .so, .o or .a");
  verb.text("--outputs", "FILE", self->outputs,
            "safetensors, .npz or .npy for outputs (print a glance)");
  verb.text("--save-weights", "FILE", self->saved,
            "safetensors file for the state after the run");
  verb.number("--threads", "N", self->threads, 1, 1024, "threads (1)");
  verb.flag("--json", self->asJson, "outputs as JSON on stdout");
  verb.examples = {"nncc run lenet.json --weights lenet.safetensors --input "
                   "x=random:normal,seed=1",
                   "nncc run lenet.so --weights lenet.safetensors --inputs "
                   "in.safetensors --outputs out.npz"};
  verb.run = [self](Verb &verb) { return self->run(verb); };
  return verb;
}

} // namespace nncc
