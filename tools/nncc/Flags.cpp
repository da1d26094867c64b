//===- Flags.cpp - what a verb takes on the command line ------------------===//
#include "Flags.h"
#include "Talk.h"
#include "support/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include <charconv>
#include <cmath>

namespace nncc {

std::string listOf(const std::vector<std::string> &words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i)
    text += (i == 0 ? "" : i + 1 < words.size() ? ", " : " and ") + words[i];
  return text;
}

std::optional<uint64_t> wholeNumber(const std::string &text) {
  uint64_t value;
  const char *end = text.data() + text.size();
  auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc() || stop != end)
    return std::nullopt;
  return value;
}

std::optional<double> realNumber(const std::string &text) {
  if (text.empty() || isspace(static_cast<unsigned char>(text[0])))
    return std::nullopt;
  char *stop;
  double value = strtod(text.c_str(), &stop);
  if (stop != text.c_str() + text.size())
    return std::nullopt;
  return value;
}

std::optional<int64_t> sizeInBytes(const std::string &text) {
  size_t digits = text.find_first_not_of("0123456789");
  auto count = wholeNumber(text.substr(0, digits));
  std::string unit = digits == text.npos ? "" : text.substr(digits);
  for (char &c : unit)
    c = char(tolower(static_cast<unsigned char>(c)));
  static const char *const units[][4] = {{"", "b", "", ""},
                                         {"k", "kb", "kib", ""},
                                         {"m", "mb", "mib", ""},
                                         {"g", "gb", "gib", ""},
                                         {"t", "tb", "tib", ""}};
  for (unsigned power = 0; count && power < 5; ++power)
    for (const char *known : units[power])
      if (unit == known && (known[0] || unit.empty()) &&
          (power == 0 || known[0])) {
        if (*count > uint64_t(INT64_MAX) >> (10 * power))
          return std::nullopt;
        return int64_t(*count << (10 * power));
      }
  return std::nullopt;
}

void Verb::operand(const char *what, std::string &to, const char *help) {
  operandName = what;
  operandTo = &to;
  operandHelp = help;
}

void Verb::flag(const char *name, bool &to, const char *help) {
  Flag flag{{name}, "", help, [&to](const std::string &) {
              to = true;
              return "";
            }};
  flag.isSeveral = true; // the same once more
  add(std::move(flag));
}

void Verb::text(const char *name, const char *value, std::string &to,
                const char *help) {
  add({{name}, value, help, [&to](const std::string &text) {
         to = text;
         return "";
       }});
}

void Verb::texts(const char *name, const char *value,
                 std::vector<std::string> &to, const char *help) {
  Flag flag{{name}, value, help, [&to](const std::string &text) {
              to.push_back(text);
              return "";
            }};
  flag.isSeveral = true;
  add(std::move(flag));
}

void Verb::number(const char *name, const char *value, uint64_t &to,
                  uint64_t least, uint64_t most, const char *help) {
  add({{name}, value, help, [&to, least, most](const std::string &text) {
         auto number = wholeNumber(text);
         if (number && *number >= least && *number <= most) {
           to = *number;
           return std::string();
         }
         return "expected a whole number from " + std::to_string(least) +
                (most == UINT64_MAX ? "" : " to " + std::to_string(most));
       }});
}

void Verb::real(const char *name, const char *value, double &to, double least,
                bool isOpen, const char *help) {
  add({{name}, value, help, [&to, least, isOpen](const std::string &text) {
         auto number = realNumber(text);
         if (number && std::isfinite(*number) &&
             (isOpen ? *number > least : *number >= least)) {
           to = *number;
           return std::string();
         }
         char expected[60];
         snprintf(expected, sizeof expected, "expected a number, %s %g",
                  isOpen ? "more than" : "at least", least);
         return std::string(expected);
       }});
}

void Verb::choice(const char *name, const char *value,
                  std::vector<std::string> choices, std::string &to,
                  const char *help) {
  add({{name},
       value,
       help,
       [&to, choices = std::move(choices)](const std::string &text) {
         if (llvm::is_contained(choices, text)) {
           to = text;
           return std::string();
         }
         std::vector<llvm::StringRef> known(choices.begin(), choices.end());
         return "expected one of " + listOf(choices) + didYouMean(text, known);
       }});
}

const Flag *Verb::find(const std::string &name) const {
  for (const Flag &flag : flags)
    if (llvm::is_contained(flag.names, name))
      return &flag;
  return nullptr;
}

Flag *Verb::find(const std::string &name) {
  return const_cast<Flag *>(std::as_const(*this).find(name));
}

bool Verb::given(const char *name) const {
  const Flag *flag = find(name);
  return flag && !flag->typed.empty();
}

std::string Verb::typed(const char *name) const {
  const Flag *flag = find(name);
  return flag && !flag->typed.empty() ? flag->typed : name;
}

int Verb::refuse(const std::vector<std::string> &names,
                 const std::string &why) {
  std::vector<std::string> list;
  for (const std::string &name : names)
    if (given(name.c_str()))
      list.push_back(typed(name.c_str()));
  if (list.empty())
    return exitDone;
  return fail(exitUsage, listOf(list) + (list.size() > 1 ? " do" : " does") +
                             " nothing here: " + why);
}

int Verb::unknown(const std::string &argument,
                  const std::vector<Verb> &others) {
  std::string word = argument.substr(0, argument.find('='));
  for (const Verb &other : others)
    for (const std::string &text : {word, word.substr(0, 2)}) { // -O3, -j4
      const Flag *flag = other.find(text);
      if (flag && (text == word || !flag->value.empty()))
        return fail(exitUsage, text + " is a flag of nncc " + other.name +
                                   ", not of nncc " + name);
    }
  std::vector<llvm::StringRef> known;
  for (const Flag &flag : flags)
    if (!flag.help.empty())
      known.insert(known.end(), flag.names.begin(), flag.names.end());
  // Of a single letter nothing would be left.
  std::string nearest = word.size() > 2 ? didYouMean(word, known) : "";
  if (nearest.empty())
    nearest = "; nncc " + name + " --help lists them";
  return fail(exitUsage,
              "nncc " + name + " has no flag \"" + word + "\"" + nearest);
}

int Verb::takeFlag(const std::vector<std::string> &arguments, size_t &i,
                   const std::vector<Verb> &others) {
  const std::string &argument = arguments[i];
  size_t equals = argument.find('=');
  std::string word = argument.substr(0, equals);
  std::optional<std::string> value;
  if (equals != argument.npos)
    value = argument.substr(equals + 1);
  Flag *flag = find(word);
  if (!flag && argument[1] != '-' && argument.size() > 2) { // -oFILE
    word = argument.substr(0, 2);
    flag = find(word);
    if (flag && flag->value.empty())
      flag = nullptr;
    value = argument.substr(2);
  }
  if (!flag)
    return unknown(argument, others);
  if (flag->value.empty() && value)
    return fail(exitUsage, word + " takes no value, got \"" + *value + "\"");
  if (!flag->typed.empty() && !flag->isSeveral)
    return fail(exitUsage, word + " is given twice");
  if (!flag->value.empty() && !flag->isOptional && !value) {
    const std::string *next =
        i + 1 < arguments.size() ? &arguments[i + 1] : nullptr;
    if (!next || find(next->substr(0, next->find('='))))
      return fail(exitUsage,
                  word + " needs a value: " + word + " " + flag->value);
    value = *next;
    ++i;
  }
  if (!flag->value.empty() && !flag->isOptional && value->empty())
    return fail(exitUsage, word + " needs a value, got an empty text");
  flag->typed = word;
  std::string problem = flag->take(value.value_or(""));
  if (problem.empty())
    return exitDone;
  bool isJoined = word.size() == 2 && flag->isOptional;
  return fail(exitUsage, word + (isJoined ? "" : " ") + value.value_or("") +
                             ": " + problem);
}

int Verb::parse(const std::vector<std::string> &arguments,
                const std::vector<Verb> &others) {
  bool onlyOperands = false, isSet = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string &argument = arguments[i];
    if (argument == "--" && !onlyOperands) {
      onlyOperands = true;
    } else if (!onlyOperands && argument.size() > 1 && argument[0] == '-') {
      if (int code = takeFlag(arguments, i, others))
        return code;
    } else if (!operandTo || isSet) {
      return fail(exitUsage, "nncc " + name + " takes " +
                                 (operandTo ? "one " + operandName
                                            : std::string("no file")) +
                                 ", got also \"" + argument + "\"");
    } else if (argument.empty()) {
      return fail(exitUsage, "the path of the " + operandName + " is empty");
    } else {
      *operandTo = argument;
      isSet = true;
    }
  }
  if (operandTo && !isSet)
    return fail(exitUsage, "the " + operandName + " is missing: nncc " + name +
                               " FILE; nncc " + name + " --help says more");
  return exitDone;
}

std::string Verb::help() const {
  std::string text = "nncc " + name + ": " + about + "\n\nusage: nncc " + name;
  auto row = [&](const std::string &left, const std::string &right) {
    text += "  " + left;
    text.append(left.size() < 23 ? 24 - left.size() : 1, ' ');
    text += right + "\n";
  };
  text += operandTo ? " FILE [flags]\n" : "\n";
  if (operandTo)
    row("FILE", operandHelp);
  for (const Flag &flag : flags) {
    if (flag.help.empty())
      continue;
    const std::string &shown = flag.names.front();
    bool isLong = shown.size() > 2;
    std::string between = flag.value.empty() || flag.isOptional ? ""
                          : isLong && shown[1] != '-'           ? "="
                                                                : " ";
    row(shown + between + flag.value, flag.help);
  }
  text += "\nExamples:\n";
  for (const std::string &example : examples)
    text += "  " + example + "\n";
  return text;
}

} // namespace nncc
