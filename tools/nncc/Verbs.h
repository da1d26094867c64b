//===- Verbs.h - the verbs of the command line ------------------*- C++ -*-===//
//
// Each verb adds its subcommand to the app and gives the function that runs
// it. Exit codes are those of docs/command-line.md.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_VERBS_H
#define NNCC_TOOLS_VERBS_H

#include "compiler/Compiler.h"
#include <CLI/CLI.hpp>
#include <functional>

namespace nncc {

enum ExitCode {
  exitDone = 0,
  exitRejected = 1,
  exitUsage = 2,
  exitDiffers = 3,
  exitUnsupported = 4,
  exitIo = 5,
  exitLimit = 6,
  exitInternal = 70,
  exitInterrupted = 130
};

/// A subcommand with what to run when it was chosen.
struct Verb {
  CLI::App *app;
  std::function<int()> run;
};

Verb addCompile(CLI::App &app);
Verb addRun(CLI::App &app);
Verb addBench(CLI::App &app);
Verb addCheck(CLI::App &app);
Verb addInspect(CLI::App &app);
Verb addSchema(CLI::App &app);
Verb addTrain(CLI::App &app);

/// Flags that every compiling verb has.
struct CommonFlags {
  CompileOptions options;
  std::vector<std::string> dims; // "N=1,8"
  bool verbose = false;
  void add(CLI::App &app);
  /// Only what a verb needs that knows its entries.
  void addTarget(CLI::App &app);
  void addEntries(CLI::App &app);
  /// Takes over --dim and -v; a sentence on stderr and false if one is
  /// malformed.
  bool finish();
};

/// A sentence if models have no such entry point.
std::string unknownEntry(const std::string &name);
bool hasSuffix(const std::string &path, const std::string &suffix);
/// Reads a whole file; a sentence on stderr and false if that fails.
bool readFile(const std::string &path, std::string &text);
/// Writes atomically: temporary file, fsync, rename.
bool writeFile(const std::string &path, const std::string &data);
/// Compiles the model file and prints diagnostics to stderr.
CompileResult compileFile(const std::string &path,
                          const CompileOptions &options, Stage stage);
/// Writes an archive of the object and the runtime.
bool archiveObject(const std::string &object, const std::string &name,
                   const std::string &path);
/// Links an object with the runtime, or an archive that has it, into a shared
/// library at `path`.
bool linkShared(const std::string &object, const std::string &path);

} // namespace nncc
#endif // NNCC_TOOLS_VERBS_H
