//===- Inspect.cpp - nncc inspect -----------------------------------------===//
//
// What a file holds: a model (compiled here for the report), a compiled model
// (its descriptor), or weights.
//
//===----------------------------------------------------------------------===//
#include "Library.h"
#include "Session.h"
#include "Verbs.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"
#include <iostream>

namespace nncc {

namespace {

namespace json = llvm::json;

struct InspectVerb {
  CommonFlags flags;
  std::string file;
  bool asJson = false;

  int run();

private:
  int inspectModel();
  int inspectLibrary();
  int inspectWeights();
  void print(json::Object report, const std::string &text);
};

json::Object describe(const char *name, uint64_t dtype, const int64_t *dims,
                      uint64_t rank, uint64_t bytes) {
  return json::Object{
      {"name", std::string(name)}, // a copy
      {"dtype", nncc_dtype_name(nncc_dtype(dtype))},
      {"shape", json::Array(llvm::ArrayRef<int64_t>(dims, rank))},
      {"bytes", int64_t(bytes)}};
}

json::Array describe(const nncc_tensor *tensors, uint64_t count) {
  json::Array list;
  for (uint64_t i = 0; i < count; ++i)
    list.push_back(describe(tensors[i].name, tensors[i].dtype, tensors[i].dims,
                            tensors[i].rank, tensors[i].bytes));
  return list;
}

void writeTensors(llvm::raw_ostream &os, const char *what,
                  const json::Array &list) {
  for (const json::Value &value : list) {
    const json::Object &tensor = *value.getAsObject();
    os << "  " << what << *tensor.getString("name") << ' '
       << *tensor.getString("dtype") << " [";
    llvm::interleaveComma(
        *tensor.getArray("shape"), os,
        [&](const json::Value &v) { os << *v.getAsInteger(); });
    os << "]\n";
  }
}

void InspectVerb::print(json::Object report, const std::string &text) {
  if (asJson)
    llvm::outs() << llvm::formatv("{0:2}", json::Value(std::move(report)))
                 << '\n';
  else
    llvm::outs() << text;
}

int InspectVerb::inspectModel() {
  CompileResult result = compileFile(
      file, flags.options, asJson ? Stage::reportJson : Stage::report);
  std::cout << result.output;
  return int(result.status);
}

int InspectVerb::inspectLibrary() {
  Library library;
  if (int code = library.open(file))
    return code;
  const nncc_model &model = *library.model;
  std::string text;
  llvm::raw_string_ostream os(text);
  os << model.name << " for " << model.cpu << ", by " << model.compiler
     << ", ABI " << model.abi_version << "\nweights: " << model.weight_count
     << " tensors, " << model.prepared_bytes << " bytes prepared"
     << (model.embedded ? ", embedded" : "") << '\n';
  json::Array weights = describe(model.weights, model.weight_count), entries;
  writeTensors(os, "", weights);
  for (uint64_t i = 0; i < model.entry_count; ++i) {
    const nncc_entry &entry = model.entries[i];
    json::Array bodies;
    for (uint64_t b = 0; b < entry.body_count; ++b) {
      const nncc_body &body = entry.bodies[b];
      json::Array inputs = describe(body.inputs, entry.input_count);
      json::Array outputs = describe(body.outputs, entry.output_count);
      int64_t flops = 0;
      std::vector<KernelRun> runs = kernelRuns(body);
      for (const KernelRun &run : runs)
        flops += int64_t(run.step->flops);
      os << "\nentry " << entry.name << ": " << flops << " FLOPs in products, "
         << runs.size() << " kernel calls, arena " << body.arena_bytes
         << " bytes\n";
      writeTensors(os, "in  ", inputs);
      writeTensors(os, "out ", outputs);
      bodies.push_back(
          json::Object{{"inputs", std::move(inputs)},
                       {"outputs", std::move(outputs)},
                       {"flops", flops},
                       {"calls", int64_t(runs.size())},
                       {"arena_bytes", int64_t(body.arena_bytes)}});
    }
    entries.push_back(
        json::Object{{"name", entry.name}, {"bodies", std::move(bodies)}});
  }
  json::Object report{{"model", model.name},
                      {"cpu", model.cpu},
                      {"compiler", model.compiler},
                      {"abi_version", int64_t(model.abi_version)},
                      {"prepared_bytes", int64_t(model.prepared_bytes)},
                      {"weights", std::move(weights)},
                      {"entries", std::move(entries)}};
  print(std::move(report), text);
  return exitDone;
}

int InspectVerb::inspectWeights() {
  nncc_file *weights;
  if (nncc_status status = nncc_file_map(file.c_str(), &weights)) {
    std::cerr << "nncc: " << nncc_last_error() << '\n';
    return status == NNCC_ERROR_IO ? exitIo : exitRejected;
  }
  json::Array tensors;
  int64_t bytes = 0;
  for (uint32_t i = 0; i < nncc_file_count(weights); ++i) {
    const nncc_file_tensor *t = nncc_file_get(weights, i);
    tensors.push_back(describe(t->name, t->dtype, t->dims, t->rank, t->bytes));
    bytes += int64_t(t->bytes);
  }
  nncc_file_free(weights);
  std::string text;
  llvm::raw_string_ostream os(text);
  os << tensors.size() << " tensors, " << bytes << " bytes\n";
  writeTensors(os, "", tensors);
  print(json::Object{{"bytes", bytes}, {"tensors", std::move(tensors)}}, text);
  return exitDone;
}

int InspectVerb::run() {
  if (!flags.finish())
    return exitUsage;
  if (isCompiled(file))
    return inspectLibrary();
  return hasSuffix(file, ".json") ? inspectModel() : inspectWeights();
}

} // namespace

Verb addInspect(CLI::App &app) {
  CLI::App *sub = app.add_subcommand(
      "inspect", "what a model, a compiled model or a weights file holds");
  auto verb = std::make_shared<InspectVerb>();
  sub->add_option("file", verb->file,
                  "model.json, compiled .so, .o or .a, or weights")
      ->required();
  sub->add_flag("--json", verb->asJson, "as JSON on stdout");
  verb->flags.addEntries(*sub);
  verb->flags.add(*sub);
  sub->footer("Examples:\n  nncc inspect lenet.json\n"
              "  nncc inspect lenet.json --json -mcpu=x86-64-v3\n"
              "  nncc inspect lenet.safetensors");
  return {sub, [verb] { return verb->run(); }};
}

} // namespace nncc
