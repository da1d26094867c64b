//===- Flags.h - what a verb takes on the command line ----------*- C++ -*-===//
//
// A verb is a table of flags; each says how it is typed, what it takes and
// where that goes. Parsing, help and "did you mean" read the table. Spelling is
// clang's: --name VALUE, --name=VALUE, -oFILE, -o FILE, -mcpu=CPU. A flag that
// is not known, that is given twice, or whose value cannot be meant is an error
// before anything is read.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_FLAGS_H
#define NNCC_TOOLS_FLAGS_H

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace nncc {

/// What is wrong with the value, "" if nothing is.
using TakeValue = std::function<std::string(const std::string &value)>;

struct Flag {
  std::vector<std::string> names; // the first one stands in the help
  std::string value;              // what it takes: "FILE"; "": nothing
  std::string help;               // "": not shown
  TakeValue take;
  bool isSeveral = false;  // may be given more than once
  bool isOptional = false; // "-O": its value is joined to it or missing
  std::string typed = {};  // as it was given, "" if not
};

class Verb {
public:
  Verb(std::string name, std::string about)
      : name(std::move(name)), about(std::move(about)) {}

  /// The one argument that is no flag.
  void operand(const char *what, std::string &to, const char *help);
  void flag(const char *name, bool &to, const char *help);
  void text(const char *name, const char *value, std::string &to,
            const char *help);
  /// May be given several times.
  void texts(const char *name, const char *value, std::vector<std::string> &to,
             const char *help);
  /// A whole number of [least, most].
  void number(const char *name, const char *value, uint64_t &to, uint64_t least,
              uint64_t most, const char *help);
  /// A finite number that is at least `least`, or more than it.
  void real(const char *name, const char *value, double &to, double least,
            bool isOpen, const char *help);
  /// One of `choices`.
  void choice(const char *name, const char *value,
              std::vector<std::string> choices, std::string &to,
              const char *help);
  void add(Flag flag) { flags.push_back(std::move(flag)); }

  bool given(const char *name) const;
  /// As typed: "-march" of "-mcpu"; the name itself if it was not given.
  std::string typed(const char *name) const;
  /// A usage error if some of these flags are given: they would do nothing,
  /// for `why`.
  int refuse(const std::vector<std::string> &names, const std::string &why);

  /// Takes the arguments behind the verb; an exit code and a sentence if they
  /// cannot be meant. `others` are asked whose flag an unknown one is.
  int parse(const std::vector<std::string> &arguments,
            const std::vector<Verb> &others);
  std::string help() const;

  std::string name, about;
  std::vector<std::string> examples;
  std::function<int(Verb &)> run; // the verb with its flags parsed

private:
  const Flag *find(const std::string &name) const;
  Flag *find(const std::string &name);
  int takeFlag(const std::vector<std::string> &arguments, size_t &i,
               const std::vector<Verb> &others);
  int unknown(const std::string &argument, const std::vector<Verb> &others);

  std::string operandName, operandHelp;
  std::string *operandTo = nullptr;
  std::vector<Flag> flags;
};

/// The whole of `text` as a number; nothing if it is none, or out of range.
std::optional<uint64_t> wholeNumber(const std::string &text);
std::optional<double> realNumber(const std::string &text);
/// "256MiB", "1k", "1024" in bytes.
std::optional<int64_t> sizeInBytes(const std::string &text);
/// "a, b and c".
std::string listOf(const std::vector<std::string> &words);

} // namespace nncc
#endif // NNCC_TOOLS_FLAGS_H
