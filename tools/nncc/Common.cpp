//===- Common.cpp - flags that verbs share, and compiling -----------------===//
#include "Progress.h"
#include "Spec.h"
#include "Verbs.h"
#include "llvm/ADT/STLExtras.h"
#include <chrono>

namespace nncc {

const std::vector<std::string> &entryNames() {
  static const std::vector<std::string> names = {"forward",    "backward",
                                                 "loss",       "loss_and_grad",
                                                 "train_step", "train_forward"};
  return names;
}

const std::vector<std::string> &compilingFlags() {
  static const std::vector<std::string> names = {
      "-mcpu",  "-O",       "--max-arena", "-j",        "-v",
      "--name", "--target", "-g",          "--entries", "--schedules"};
  return names;
}

static std::string takeLevel(const std::string &text, unsigned &level) {
  if (text.empty()) { // -O is -O2 and -O4 is -O3, as in clang
    level = 2;
    return "";
  }
  auto number = wholeNumber(text);
  if (number) {
    level = unsigned(std::min<uint64_t>(*number, 3));
    return "";
  }
  return "nncc has -O0 to -O3 and nothing for size; -O2 is the default";
}

void CommonFlags::addTo(Verb &verb, bool makesCode) {
  verb.add({{"-mcpu", "-march"},
            "CPU",
            "CPU to compile for (native; x86-64-v3, znver4, ...)",
            [this](const std::string &text) {
              options.cpu = text;
              return "";
            }});
  verb.texts("--dim", "NAME=SIZE,...", dims, "sizes of a symbolic dim: N=1,8");
  Flag level{{"-O"},
             "0..3",
             "LLVM's optimisation level (2)",
             [this](const std::string &text) {
               return takeLevel(text, options.level);
             }};
  level.isOptional = true;
  if (makesCode)
    verb.add(std::move(level));
  verb.add({{"--max-arena"},
            "SIZE",
            "most bytes of an entry's arena, 256MiB: recomputes to fit",
            [this](const std::string &text) {
              auto bytes = sizeInBytes(text);
              options.maxArena = bytes.value_or(0);
              return bytes && *bytes > 0
                         ? ""
                         : "expected a size that is more than 0, as in "
                           "1048576, 1024KiB or 256MiB";
            }});
  verb.text("--schedules", "FILE", scheduleFile,
            "JSON: kernel key -> schedule (see inspect --json)");
  if (makesCode)
    verb.add({{"-j"},
              "N",
              "threads that compile (all)",
              [this](const std::string &text) {
                auto number = wholeNumber(text);
                options.threads = unsigned(number.value_or(0));
                return number && *number >= 1 && *number <= 1024
                           ? ""
                           : "expected a whole number from 1 to 1024";
              }});
  verb.choice("--matmul-precision", "WORD", {"highest", "high", "medium"},
              precision, "of f32 products, as torch has it (highest)");
  verb.flag("-v", verbose, "print each stage with its time");
}

void addEntries(Verb &verb, CompileOptions &options) {
  verb.add({{"--entries"},
            "LIST",
            "of forward,backward,loss,loss_and_grad,train_step,train_forward",
            [&options](const std::string &text) -> std::string {
              options.entries.clear();
              for (size_t at = 0; at <= text.size();) {
                size_t comma = std::min(text.find(',', at), text.size());
                std::string name = text.substr(at, comma - at);
                if (!llvm::is_contained(entryNames(), name))
                  return "\"" + name + "\" is no entry: they are " +
                         listOf(entryNames());
                if (llvm::is_contained(options.entries, name))
                  return name + " stands there twice";
                options.entries.push_back(name);
                at = comma + 1;
              }
              return "";
            }});
}

int CommonFlags::finish() {
  if (precision != "highest")
    note(
        "--matmul-precision=" + precision +
        " allows faster products of f32; there are none yet, they are computed "
        "as with highest");
  if (verbose)
    options.progress = [start = std::chrono::steady_clock::now()](
                           const char *what, unsigned, unsigned all) {
      if (all)
        return;
      std::chrono::duration<double> time =
          std::chrono::steady_clock::now() - start;
      fprintf(stderr, "nncc: %6.2f s %s\n", time.count(), what);
    };
  for (const std::string &text : dims) {
    DimSpec spec;
    std::string error;
    if (!parseDimSpec(text, spec, error))
      return fail(exitUsage, error);
    if (!options.dims.try_emplace(spec.name, spec.sizes).second)
      return fail(exitUsage, "--dim " + spec.name + " is given twice");
  }
  if (scheduleFile.empty())
    return exitDone;
  options.scheduleFile = scheduleFile;
  return readJsonText(scheduleFile, "a file of schedules",
                      options.scheduleText);
}

int compileText(const std::string &path, const std::string &text,
                const CompileOptions &options, Stage stage,
                CompileResult &result) {
  Progress progress;
  CompileOptions shown = options;
  std::string name = path == "-" ? "<stdin>" : path;
  if (!shown.progress)
    shown.progress = [&](const char *what, unsigned done, unsigned all) {
      std::string kernels = all ? ", " + std::to_string(done) + " of " +
                                      std::to_string(all) + " kernels"
                                : "";
      progress.show(name + ": " + what + kernels);
    };
  result = compileModel(name, text, shown, stage);
  progress.clear();
  return report(result);
}

} // namespace nncc
