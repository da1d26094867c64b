//===- Compile.cpp - nncc compile -----------------------------------------===//
#include "Session.h"
extern "C" {
#include "runtime/internal.h"
}
#include "llvm/Support/JSON.h"
#include <chrono>
#include <iostream>
#include <map>

namespace nncc {

namespace {

struct CompileVerb {
  CommonFlags flags;
  std::string model, output, emit, weights;
  bool asJson = false, embeds = false;

  int run();

private:
  std::string headerPath() const {
    return output.substr(0, output.rfind('.')) + ".h";
  }
  int embedWeights(CompileResult &result);
  int writeObject(const CompileResult &result);
};

const std::map<std::string, Stage> stages = {
    {"graph", Stage::graph},     {"nncc", Stage::nncc},
    {"kernels", Stage::kernels}, {"linalg", Stage::linalg},
    {"llvm", Stage::llvm},       {"asm", Stage::assembly},
    {"object", Stage::object}};

int CompileVerb::run() {
  if (!flags.finish())
    return exitUsage;
  if (emit.empty())
    emit = "object";
  bool isObject = emit == "object";
  if (isObject && !isCompiled(output)) {
    std::cerr << "nncc: -o needs a file that ends in .o, .a or .so, or give "
                 "--emit=\n";
    return exitUsage;
  }
  if (embeds && (weights.empty() || !isObject)) {
    std::cerr << "nncc: --embed-weights needs --weights FILE.safetensors and "
                 "an object to write\n";
    return exitUsage;
  }
  auto start = std::chrono::steady_clock::now();
  CompileResult result = compileFile(model, flags.options, stages.at(emit));
  if (result.status != Status::done)
    return static_cast<int>(result.status);
  if (!isObject) {
    if (!output.empty() && output != "-")
      return writeFile(output, result.output) ? exitDone : exitIo;
    std::cout << result.output;
    return std::cout.flush() ? exitDone : exitIo;
  }
  if (embeds)
    if (int code = embedWeights(result))
      return code;
  if (int code = writeObject(result))
    return code;
  std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  if (asJson) {
    std::string text;
    llvm::raw_string_ostream(text) << llvm::json::Value(
        llvm::json::Object{{"model", result.modelName},
                           {"cpu", result.cpu},
                           {"output", output},
                           {"header", headerPath()},
                           {"object_bytes", int64_t(result.output.size())},
                           {"seconds", time.count()}});
    puts(text.c_str());
    return exitDone;
  }
  fprintf(stderr, "nncc: %s for %s: %s, %.2f s\n", result.modelName.c_str(),
          result.cpu.c_str(), output.c_str(), time.count());
  return exitDone;
}

/// Prepares the weights with the object that has none, and compiles again.
int CompileVerb::embedWeights(CompileResult &result) {
  Library library;
  if (int code = library.openObject(result.output))
    return code;
  nncc_weights *loaded = nullptr;
  if (int code = reportRuntime(
          nncc_weights_load(library.model, weights.c_str(), &loaded)))
    return code;
  EmbeddedWeights embedded;
  const nncc_model &model = *library.model;
  auto bytes = [](const void *data, size_t size) {
    return std::string_view(static_cast<const char *>(data), data ? size : 0);
  };
  for (uint64_t i = 0; i < model.weight_count; ++i)
    embedded.tensors.push_back(
        bytes(loaded->tensors[i], model.weights[i].bytes));
  embedded.prepared = bytes(loaded->prepared, model.prepared_bytes);
  CompileOptions options = flags.options;
  options.embedded = &embedded;
  result = compileFile(this->model, options, Stage::object);
  nncc_weights_free(loaded);
  return static_cast<int>(result.status);
}

int CompileVerb::writeObject(const CompileResult &result) {
  bool written =
      hasSuffix(output, ".o") ? writeFile(output, result.output)
      : hasSuffix(output, ".a")
          ? archiveObject(result.output, result.modelName + ".o", output)
          : linkShared(result.output, output);
  return written && writeFile(headerPath(), result.header) ? exitDone : exitIo;
}

} // namespace

Verb addCompile(CLI::App &app) {
  CLI::App *sub = app.add_subcommand(
      "compile", "model -> .o, .a, .so with a header, or a stage as text");
  auto verb = std::make_shared<CompileVerb>();
  sub->add_option("model", verb->model, "model file (nncc-model/1)")
      ->required();
  sub->add_option("-o", verb->output, "output file; .o, .a or .so");
  std::vector<std::string> names;
  for (const auto &stage : stages)
    names.push_back(stage.first);
  sub->add_option("--emit", verb->emit,
                  "print a stage: graph, nncc, kernels, "
                  "linalg, llvm, asm")
      ->check(CLI::IsMember(names));
  sub->add_option("--weights", verb->weights, "safetensors file of the state");
  sub->add_flag("--embed-weights", verb->embeds,
                "put the prepared weights into the object");
  sub->add_flag("--json", verb->asJson, "a summary as JSON on stdout");
  verb->flags.addEntries(*sub);
  verb->flags.add(*sub);
  sub->footer("Examples:\n"
              "  nncc compile lenet.json -o lenet.so\n"
              "  nncc compile lenet.json -o lenet.o -mcpu=x86-64-v3\n"
              "  nncc compile lenet.json -o one.so "
              "--weights lenet.safetensors --embed-weights\n"
              "  nncc compile lenet.json --emit=kernels");
  return {sub, [verb] { return verb->run(); }};
}

} // namespace nncc
