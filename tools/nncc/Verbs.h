//===- Verbs.h - the verbs of the command line ------------------*- C++ -*-===//
//
// Each verb makes its table of flags and gives the function that runs it. Exit
// codes are those of docs/command-line.md.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_VERBS_H
#define NNCC_TOOLS_VERBS_H

#include "Files.h"
#include "Flags.h"
#include "Talk.h"
#include "compiler/Compiler.h"

namespace nncc {

Verb makeCompile();
Verb makeRun();
Verb makeCheck();
Verb makeBench();
Verb makeInspect();
Verb makeTrain();
Verb makeSchema();

/// Flags of every verb that compiles.
struct CommonFlags {
  CompileOptions options;
  std::string scheduleFile;
  std::vector<std::string> dims; // "N=1,8"
  bool verbose = false;
  std::string precision = "highest";
  /// `makesCode`: the verb goes beyond kernels.
  void addTo(Verb &verb, bool makesCode = true);
  /// Takes over --dim, --schedules and -v; an exit code and a sentence if one
  /// cannot be meant.
  int finish();
};
/// Names of those that a compiled model leaves nothing to do for.
const std::vector<std::string> &compilingFlags();

/// A choice of entries, for compile and inspect.
void addEntries(Verb &verb, CompileOptions &options);
const std::vector<std::string> &entryNames();

/// Compiles the model that was read from `path`; its exit code.
int compileText(const std::string &path, const std::string &text,
                const CompileOptions &options, Stage stage,
                CompileResult &result);
/// Writes an archive of the object and the runtime.
int archiveObject(const std::string &object, const std::string &name,
                  const std::string &path);
/// Links an object with the runtime, or an archive that has it, into a shared
/// library at `path`.
int linkShared(const std::string &object, const std::string &path);

} // namespace nncc
#endif // NNCC_TOOLS_VERBS_H
