//===- Common.cpp - files and flags that verbs share ----------------------===//
#include "Progress.h"
#include "Spec.h"
#include "Verbs.h"
#include "support/FileIO.h"
#include <algorithm>
#include <chrono>
#include <iostream>

namespace nncc {

static const std::vector<std::string> &entryNames() {
  static const std::vector<std::string> names = {"forward",    "backward",
                                                 "loss",       "loss_and_grad",
                                                 "train_step", "train_forward"};
  return names;
}

std::string unknownEntry(const std::string &name) {
  const auto &names = entryNames();
  if (std::find(names.begin(), names.end(), name) != names.end())
    return "";
  std::string text = "no entry \"" + name + "\": the entries are ";
  for (size_t i = 0; i < names.size(); ++i)
    text += (i == 0 ? "" : i + 1 < names.size() ? ", " : " and ") + names[i];
  return text;
}

void CommonFlags::addTarget(CLI::App &app) {
  // Spelled -mcpu= and -O3 as in clang; main() rewrites them.
  app.add_option("--mcpu", options.cpu, "CPU to compile for")
      ->default_str("native");
  app.add_option("--dim", dims, "sizes of a symbolic dim: N=1,8");
  app.add_option("--O", options.level,
                 "LLVM optimisation, -O0 to -O3 (default 2)")
      ->check(CLI::Range(0, 3));
  app.add_option("--max-arena", options.maxArena,
                 "most bytes of an entry's arena: 256MiB; recomputes to fit")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("-j", options.threads, "threads that compile (default: all)")
      ->check(CLI::Range(1, 1024));
  app.add_flag("-v", verbose, "print each stage with its time");
}

void CommonFlags::add(CLI::App &app) {
  addTarget(app);
  app.add_option("--name", options.name,
                 "name in symbols (default: the "
                 "model's)");
  app.add_option("--schedules", options.scheduleFile,
                 "JSON file: kernel key -> schedule (see inspect --json)");
  app.add_option("--target", options.target,
                 "triple: x86_64-linux-gnu is the only one so far");
  app.add_flag("-g", options.debugLines,
               "debug lines: kernels point at their lines of the model");
}

void CommonFlags::addEntries(CLI::App &app) {
  app.add_option("--entries", options.entries,
                 "entry points: forward,backward,loss,loss_and_grad,\n"
                 "train_step,train_forward")
      ->delimiter(',')
      ->check(CLI::IsMember(entryNames()))
      ->default_str("forward");
}

bool CommonFlags::finish() {
  if (verbose)
    options.progress =
        [start = std::chrono::steady_clock::now()](const char *what) {
          std::chrono::duration<double> time =
              std::chrono::steady_clock::now() - start;
          fprintf(stderr, "nncc: %6.2f s %s\n", time.count(), what);
        };
  for (const std::string &text : dims) {
    DimSpec spec;
    std::string error;
    if (!parseDimSpec(text, spec, error)) {
      std::cerr << "nncc: " << error << '\n';
      return false;
    }
    options.dims[spec.name] = spec.sizes;
  }
  return options.scheduleFile.empty() ||
         readFile(options.scheduleFile, options.scheduleText);
}

bool hasSuffix(const std::string &path, const std::string &suffix) {
  return path.size() > suffix.size() &&
         path.compare(path.size() - suffix.size(), suffix.size(), suffix) == 0;
}

bool readFile(const std::string &path, std::string &text) {
  std::string error;
  if (readWhole(path, text, error))
    return true;
  std::cerr << "nncc: " << error << '\n';
  return false;
}

bool writeFile(const std::string &path, const std::string &data) {
  std::string error;
  if (writeAtomically(path, data, error))
    return true;
  std::cerr << "nncc: " << error << '\n';
  return false;
}

CompileResult compileFile(const std::string &path,
                          const CompileOptions &options, Stage stage) {
  std::string text;
  CompileResult result;
  if (!readFile(path, text)) {
    result.status = static_cast<Status>(exitIo);
    return result;
  }
  Progress progress;
  CompileOptions shown = options;
  if (!shown.progress)
    shown.progress = [&](const char *what) {
      progress.show(path + ": " + what);
    };
  result = compileModel(path, text, shown, stage);
  progress.clear();
  std::cerr << result.messages;
  return result;
}

} // namespace nncc
