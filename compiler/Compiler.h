//===- Compiler.h - the compiler as a library -------------------*- C++ -*-===//
//
// The facade: all that the tools include. One Compilation takes one model from
// its text to any stage.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_COMPILER_H
#define NNCC_COMPILER_H

#include "codegen/EmbeddedWeights.h"
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nncc {

struct KernelTarget; // codegen/kernels/KernelKind.h

/// What --emit= names, in the order of the pipeline.
/// `report` and `reportJson` are what `inspect` prints.
enum class Stage {
  graph,
  nncc,
  kernels,
  linalg,
  report,
  reportJson,
  llvm,
  assembly,
  ptx,
  object
};

struct CompileOptions {
  std::string cpu = "native";
  /// The triple of the CPU, as clang spells it ("" is x86-64 Linux, all there
  /// is so far); or "cuda", "cuda:sm_80,sm_90a": GPUs beside that CPU.
  std::string target;
  /// No program for the CPU.
  bool deviceOnly = false;
  /// Images of kernels for GPUs: "any", "ptx", "cubin".
  std::string images = "any";
  /// LLVM's level. 3 gave no faster code for 1.5 x the compile time (LeNet-5,
  /// ResNet-18, MobileNetV2, LSTM tagger, BERT).
  unsigned level = 2;
  /// Line tables: a kernel's code stands at the line of its module or node.
  bool debugLines = false;
  /// Threads that compile, 0: as many as the machine has; the output does not
  /// depend on them.
  unsigned threads = 0;
  /// Replaces the model's own sizes of symbolic dims.
  std::map<std::string, std::vector<int64_t>> dims;
  /// Replaces the model's name, for symbols.
  std::string name;
  /// Entry points to compile: "forward", "backward", "loss", "loss_and_grad",
  /// "train_step", "train_forward".
  std::vector<std::string> entries = {"forward"};
  /// Schedules by hand or from a tuner: JSON, kernel key -> numbers.
  std::string scheduleFile, scheduleText;
  /// Bytes that the arena of each entry may take, 0: any.
  int64_t maxArena = 0;
  /// Must outlive the compilation; null: weights come at run time.
  const EmbeddedWeights *embedded = nullptr;
  /// What generates code for kernels; null: the CPU's. For tests.
  const KernelTarget *kernels = nullptr;
  /// Told what begins, if set: "reading the model", "kernel passes", ...; and
  /// then, by several threads in turn, how many of `all` kernels are done.
  std::function<void(const char *what, unsigned done, unsigned all)> progress;
  /// For tests of `check --bisect`: after this pass the result is doubled, this
  /// kernel overwrites an element.
  std::string wrongPass, wrongKernel;
};

/// How a compilation ended; the values are exit codes of the tool.
enum class Status {
  done = 0,
  rejected = 1,
  usage = 2,
  unsupported = 4,
  limit = 6,
  internal = 70
};

/// A diagnostic as data; `line` is 0 where there is no place.
struct Problem {
  std::string text, file;
  unsigned line = 0, column = 0;
  bool isWarning = false;
  std::vector<Problem> notes;
};

struct CompileResult {
  Status status = Status::done;
  /// Diagnostics, as they go to stderr.
  std::string messages;
  /// Those of files, as data.
  std::vector<Problem> problems;
  /// The stage's text, or the object file.
  std::string output;
  /// The C header of an object.
  std::string header;
  std::string modelName;
  /// Of the entry that needs most.
  int64_t arenaBytes = 0;
  std::string cpu; // compiled for; "": no program for a CPU
  /// The architectures of GPUs that it has a program for, with the images of
  /// its kernels: "sm_90a (cubin, ptx)".
  std::vector<std::string> gpus;
};

/// Compiles the model in `text`, which was read from `file`.
CompileResult compileModel(const std::string &file, const std::string &text,
                           const CompileOptions &options, Stage stage);

/// The best architecture that there is code for on a GPU of compute capability
/// `sm` / 10: "sm_90a"; "emulator" for 0; "" if there is none.
std::string architectureFor(unsigned sm);

/// The JSON Schema of the model format.
std::string schemaText();

} // namespace nncc
#endif // NNCC_COMPILER_H
