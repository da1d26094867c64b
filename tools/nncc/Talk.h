//===- Talk.h - what the tool says ------------------------------*- C++ -*-===//
//
// Data go to stdout, talk to stderr. With --json, stdout holds one JSON value,
// also when the verb fails. What comes from files may hold anything, so control
// characters reach no terminal.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_TALK_H
#define NNCC_TOOLS_TALK_H

#include "compiler/Compiler.h"
#include "llvm/Support/JSON.h"
#include <string>

namespace nncc {

/// docs/command-line.md explains them.
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

/// Opens /dev/null in the place of standard streams that are closed, so that
/// no file gets their numbers; writing to such a stdout is still an error.
void prepareStreams();
/// From now on a failure is told on stdout as JSON, too.
void tellAsJson();

/// "nncc: TEXT" on stderr; gives `code`. `file` is what it is about.
int fail(int code, const std::string &text, const std::string &file = "");
/// The same, and nothing has failed.
void note(const std::string &text);
/// What a compilation said; gives its status as an exit code.
int report(const CompileResult &result);
int report(Status status, const std::string &messages,
           const std::vector<Problem> &problems);

/// Writes data to stdout; an exit code and a sentence if that fails.
int writeOut(const std::string &data);
/// The same for text that is for people: control characters become escapes.
int printOut(const std::string &text);
int printJson(llvm::json::Value value, bool isPretty = false);

/// Ends a verb: with --json and a failure of which stdout has nothing yet, the
/// error as JSON. Gives the exit code of the process.
int endTalk(int code);

/// As people read it, "nan" without a sign.
std::string numberText(double value, const char *format = "%g");
/// With as many digits as tell it from other doubles.
std::string exactText(double value);
/// `text` without control characters and broken UTF-8.
std::string printable(const std::string &text);
/// A name as JSON has it: valid UTF-8.
std::string jsonText(const std::string &text);

} // namespace nncc
#endif // NNCC_TOOLS_TALK_H
