//===- Compile.cpp - nncc compile -----------------------------------------===//
//
// What is written follows from the suffix of -o, from --emit, and from clang's
// -c and -S; they may not say different things.
//
//===----------------------------------------------------------------------===//
#include "Arrays.h"
#include "Device.h"
#include "Library.h"
#include "Session.h"
#include "support/FileIO.h"
#include "support/Identifier.h"
#include "llvm/ADT/STLExtras.h"
#include <chrono>

namespace nncc {

namespace {

struct CompileVerb {
  CommonFlags flags;
  std::string model, output, emit, weights, text;
  bool asJson = false, embeds = false, asObject = false, asAssembly = false;

  int run(Verb &verb);

private:
  bool isObject() const { return emit == "object"; }
  std::string headerPath() const {
    return output.substr(0, output.rfind('.')) + ".h";
  }
  int chooseStage();
  int checkFlags(Verb &verb);
  int checkHeader();
  int embedWeights(CompileResult &result);
  int writeObject(const CompileResult &result);
  int writeResult(CompileResult &result);
  int summarize(const CompileResult &result, double seconds);
};

struct StageName {
  const char *name;
  Stage stage;
  const char *suffix;            // of -o that means it
  std::vector<std::string> idle; // flags that do nothing there
};

const std::vector<StageName> &stages() {
  static const std::vector<StageName> list = {
      {"graph",
       Stage::graph,
       "",
       {"-mcpu", "-O", "-g", "-j", "--max-arena", "--schedules", "--weights",
        "--embed-weights", "--json", "--target", "--device-only", "--images"}},
      {"nncc",
       Stage::nncc,
       "",
       {"-mcpu", "-O", "-g", "-j", "--max-arena", "--schedules", "--weights",
        "--embed-weights", "--json", "--target", "--device-only", "--images"}},
      {"kernels",
       Stage::kernels,
       "",
       {"-O", "-g", "-j", "--weights", "--embed-weights", "--json",
        "--images"}},
      {"linalg",
       Stage::linalg,
       "",
       {"-O", "-g", "-j", "--weights", "--embed-weights", "--json",
        "--images"}},
      {"llvm",
       Stage::llvm,
       "ll",
       {"--weights", "--embed-weights", "--json", "--images"}},
      {"asm",
       Stage::assembly,
       "s",
       {"--weights", "--embed-weights", "--json", "--images"}},
      {"ptx",
       Stage::ptx,
       "ptx",
       {"--weights", "--embed-weights", "--json", "-g", "--images"}},
      {"object", Stage::object, "", {}}};
  return list;
}

const StageName &stageOf(const std::string &name) {
  return *llvm::find_if(stages(),
                        [&](const StageName &s) { return s.name == name; });
}

int CompileVerb::chooseStage() {
  std::string by, suffix = suffixOf(output);
  auto choose = [&](const std::string &stage, const std::string &flag) {
    if (!by.empty() && emit != stage)
      return fail(exitUsage, by + " and " + flag +
                                 " ask for different things: " + emit +
                                 " and " + stage);
    emit = stage;
    by = flag;
    return int(exitDone);
  };
  if (!emit.empty())
    by = "--emit=" + emit;
  int code = exitDone;
  if (asObject)
    code = choose("object", "-c");
  if (!code && asAssembly)
    code = choose("asm", "-S");
  for (const StageName &stage : stages())
    if (!code && *stage.suffix && suffix == stage.suffix)
      code = choose(stage.name, "-o " + output);
  if (!code && namesCompiled(output))
    code = choose("object", "-o " + output);
  if (code)
    return code;
  if (emit.empty())
    emit = "object";
  if (asObject && !output.empty() && !hasSuffix(output, ".o"))
    return fail(exitUsage,
                "-c writes an object, -o " + output + " does not end in .o");
  if (!isObject() || output.empty() || namesCompiled(output))
    return exitDone;
  return fail(exitUsage,
              "-o " + output +
                  ": a compiled model ends in .o, .a or .so, assembly in .s, "
                  "LLVM's in .ll, PTX in .ptx; --emit=STAGE writes others");
}

int CompileVerb::checkFlags(Verb &verb) {
  if (int code = chooseStage())
    return code;
  if (int code = verb.refuse(stageOf(emit).idle, "--emit=" + emit +
                                                     " is text of a stage "
                                                     "before they matter"))
    return code;
  if (embeds && weights.empty())
    return fail(exitUsage, "--embed-weights needs --weights FILE.safetensors");
  if (!weights.empty() && !embeds)
    return fail(exitUsage, "--weights does nothing here without "
                           "--embed-weights: weights are loaded at run time");
  Paths paths;
  int code = paths.reads("the model", model);
  if (!code)
    code = paths.reads("--schedules", flags.scheduleFile);
  if (!code)
    code = flags.finish();
  if (!code)
    code = readsWeights(paths, "--weights", weights);
  if (!code && output != "-") // text, on stdout
    code = paths.writes("-o", output, "");
  if (!code && isObject() && !output.empty())
    code = paths.writes("the header", headerPath(), "");
  if (!code && isObject() && output.empty())
    code = checkWritable("model.o"); // the folder; the name comes later
  return code ? code : checkHeader();
}

/// A header beside the object that somebody wrote is not overwritten.
int CompileVerb::checkHeader() {
  std::string start, ignored;
  if (!isObject() || output.empty() ||
      !readWhole(headerPath(), start, ignored, size_t(16) << 20) ||
      start.empty() || start.find("generated by nncc") < 200)
    return exitDone;
  return fail(exitUsage,
              "-o " + output + " writes " + headerPath() +
                  " beside it, which is there and not by nncc: choose another "
                  "name",
              headerPath());
}

int CompileVerb::run(Verb &verb) {
  if (int code = checkFlags(verb))
    return code;
  auto start = std::chrono::steady_clock::now();
  if (int code = readJsonText(model, "a model", text))
    return code;
  if (int code = resolveTarget(flags.options.target))
    return code;
  CompileResult result;
  if (int code =
          compileText(model, text, flags.options, stageOf(emit).stage, result))
    return code;
  if (asAssembly && output.empty())
    output = result.modelName + ".s";
  if (!isObject())
    return output.empty() || output == "-" ? writeOut(result.output)
                                           : writeFile(output, result.output);
  if (int code = writeResult(result))
    return code;
  std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  return summarize(result, time.count());
}

int CompileVerb::writeResult(CompileResult &result) {
  if (output.empty()) {
    output = result.modelName + ".o";
    if (int code = checkHeader())
      return code;
  }
  if (embeds)
    if (int code = embedWeights(result))
      return code;
  return writeObject(result);
}

/// "znver4, sm_80 (ptx), sm_90a (cubin, ptx)".
static std::string targetsOf(const CompileResult &result) {
  std::string text = result.cpu;
  for (const std::string &gpu : result.gpus)
    text += (text.empty() ? "" : ", ") + gpu;
  return text;
}

int CompileVerb::summarize(const CompileResult &result, double seconds) {
  if (double(result.arenaBytes) > machineMemory())
    note("warning: an arena of " + std::to_string(result.arenaBytes) +
         " bytes is more than this machine's memory; --max-arena bounds it");
  if (asJson)
    return printJson(
        llvm::json::Object{{"model", jsonText(result.modelName)},
                           {"cpu", jsonText(result.cpu)},
                           {"gpus", llvm::json::Array(result.gpus)},
                           {"output", jsonText(output)},
                           {"header", jsonText(headerPath())},
                           {"object_bytes", int64_t(result.output.size())},
                           {"arena_bytes", result.arenaBytes},
                           {"seconds", seconds}});
  char numbers[80];
  snprintf(numbers, sizeof numbers, ", arena %lld bytes, %.2f s",
           (long long)result.arenaBytes, seconds);
  note(result.modelName + " for " + targetsOf(result) + ": " + output +
       numbers);
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
        bytes(nncc_weights_data(loaded, i), model.weights[i].bytes));
  embedded.prepared =
      bytes(nncc_weights_prepared(loaded), model.prepared_bytes);
  CompileOptions options = flags.options;
  options.embedded = &embedded;
  int code = compileText(this->model, text, options, Stage::object, result);
  nncc_weights_free(loaded);
  return code;
}

int CompileVerb::writeObject(const CompileResult &result) {
  int code = hasSuffix(output, ".o") ? writeFile(output, result.output)
             : hasSuffix(output, ".a")
                 ? archiveObject(result.output, result.modelName + ".o", output)
                 : linkShared(result.output, output);
  return code ? code : writeFile(headerPath(), result.header);
}

} // namespace

Verb makeCompile() {
  Verb verb("compile",
            "model -> .o, .a, .so with a header, or a stage as text");
  auto self = std::make_shared<CompileVerb>();
  verb.operand("model", self->model, "model file (nncc-model/1), - is stdin");
  verb.text("-o", "FILE", self->output,
            ".o, .a, .so (NAME.o); .s and .ll are text");
  std::vector<std::string> names;
  for (const StageName &stage : stages())
    names.push_back(stage.name);
  verb.choice("--emit", "STAGE", names, self->emit,
              "print a stage: graph, nncc, kernels, linalg, llvm, asm, ptx");
  verb.flag("-c", self->asObject, "an object, as --emit=object");
  verb.flag("-S", self->asAssembly, "assembly in NAME.s, as --emit=asm");
  verb.text("--weights", "FILE", self->weights,
            "safetensors file of the state to embed");
  verb.flag("--embed-weights", self->embeds,
            "put the prepared weights into the object");
  addEntries(verb, self->flags.options);
  verb.add({{"--name"},
            "NAME",
            "name in symbols (the model's)",
            [self](const std::string &text) {
              self->flags.options.name = text;
              bool isTaken = text == "nncc" || text.rfind("nncc_", 0) == 0;
              return identifierOf(text) == text && !isTaken
                         ? ""
                         : "a name for symbols has letters, digits and _, no "
                           "digit in front, and does not begin with nncc_";
            }});
  self->flags.addTo(verb);
  verb.text("--target", "TARGET", self->flags.options.target,
            "cuda, cuda:sm_80,sm_90a, cuda:native (the GPUs here): GPUs too");
  verb.flag("--device-only", self->flags.options.deviceOnly,
            "no code for the CPU beside that for GPUs");
  verb.choice("--images", "KIND", {"any", "ptx", "cubin"},
              self->flags.options.images,
              "of kernels for GPUs: ptx, cubin (by ptxas), any");
  verb.flag("-g", self->flags.options.debugLines,
            "debug lines: kernels point at their lines of the model");
  verb.flag("--json", self->asJson, "a summary as JSON on stdout");
  verb.examples = {"nncc compile lenet.json -o lenet.so",
                   "nncc compile lenet.json -o lenet.o -mcpu=x86-64-v3",
                   "nncc compile lenet.json -o one.so --weights "
                   "lenet.safetensors --embed-weights",
                   "nncc compile lenet.json --emit=kernels"};
  verb.run = [self](Verb &verb) { return self->run(verb); };
  return verb;
}

} // namespace nncc
