//===- Spec.cpp - small texts of the command line -------------------------===//
#include "Spec.h"
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace nncc {

namespace {

/// The whole of `text` as a non-negative number.
template <typename Number> bool parseNumber(std::string_view text, Number &to) {
  const char *end = text.data() + text.size();
  auto [stop, problem] = std::from_chars(text.data(), end, to);
  return problem == std::errc() && stop == end && to >= 0;
}

/// The text before the next comma, which is taken off `rest`.
std::string_view nextItem(std::string_view &rest) {
  size_t comma = rest.find(',');
  std::string_view item = rest.substr(0, comma);
  rest.remove_prefix(comma == rest.npos ? rest.size() : comma + 1);
  return item;
}

/// "3", "-1.5e3", "nan", "inf", "true".
bool isNumber(const std::string &text) {
  if (text == "true" || text == "false")
    return true;
  char *stop;
  (void)strtod(text.c_str(), &stop);
  return !text.empty() && !isspace(static_cast<unsigned char>(text[0])) &&
         *stop == 0;
}

/// [1, 2] or [[1, 2], [3, 4]]: numbers in order and a shape in which all rows
/// are equally long.
class ListParser {
public:
  ListParser(std::string_view text, InputSpec &spec) : rest(text), spec(spec) {}
  bool parse() {
    if (!parseList(0))
      return false;
    skip();
    if (spec.shape.size() > known)
      spec.shape.resize(known);
    return rest.empty();
  }

private:
  void skip() {
    while (!rest.empty() && rest.front() == ' ')
      rest.remove_prefix(1);
  }
  bool take(char c) {
    skip();
    if (rest.empty() || rest.front() != c)
      return false;
    rest.remove_prefix(1);
    return true;
  }
  bool parseNumber() {
    skip();
    std::string text(rest.substr(0, rest.find_first_of(",] ")));
    rest.remove_prefix(text.size());
    spec.numbers.push_back(text);
    return isNumber(text);
  }
  bool parseList(size_t depth) {
    if (depth == 8 || !take('['))
      return false;
    int64_t count = 0;
    if (!take(']')) {
      do {
        skip();
        bool isList = !rest.empty() && rest.front() == '[';
        // Numbers stand at one depth, lists above it.
        if (!isList && known == 0)
          known = depth + 1;
        if ((isList ? depth + 1 >= known && known != 0 : depth + 1 != known) ||
            !(isList ? parseList(depth + 1) : parseNumber()))
          return false;
        ++count;
      } while (take(','));
      if (!take(']'))
        return false;
    } else if (known == 0) {
      known = depth + 1;
    }
    if (spec.shape.size() <= depth)
      spec.shape.resize(depth + 1, -1);
    int64_t &size = spec.shape[depth];
    bool isEqual = size < 0 || size == count;
    size = count;
    return isEqual;
  }

  std::string_view rest;
  InputSpec &spec;
  size_t known = 0; // the number of dimensions, once a number was seen
};

bool parseRandom(std::string_view rest, InputSpec &spec, std::string &error) {
  bool isSeeded = false;
  while (!rest.empty()) {
    std::string_view option = nextItem(rest);
    if (option.substr(0, 5) != "seed=" || isSeeded ||
        !parseNumber(option.substr(5), spec.seed)) {
      error = "--input " + spec.name + ": unknown option \"" +
              std::string(option) + "\", expected seed=NUMBER";
      return false;
    }
    isSeeded = true;
  }
  return true;
}

/// A path: it has a folder, or a suffix that begins with a letter.
bool looksLikeFile(const std::string &text) {
  size_t dot = text.rfind('.');
  return text.find('/') != text.npos ||
         (dot != text.npos && dot > 0 && dot + 1 < text.size() &&
          isalpha(static_cast<unsigned char>(text[dot + 1])));
}

} // namespace

bool parseInputSpec(const std::string &text, InputSpec &spec,
                    std::string &error) {
  size_t equals = text.find('=');
  if (equals == text.npos || equals == 0 || equals + 1 == text.size()) {
    error =
        "--input " + text + ": expected NAME=SPEC with the name of an input";
    return false;
  }
  spec.text = text;
  spec.name = text.substr(0, equals);
  std::string value = text.substr(equals + 1);
  std::string_view rest = value;
  if (rest.front() == '@') {
    spec.kind = InputSpec::file;
    spec.path = rest.substr(1);
    if (spec.path.empty())
      error = "--input " + text + ": the path behind @ is missing";
    return !spec.path.empty();
  }
  if (rest.front() == '[') {
    spec.kind = InputSpec::list;
    if (ListParser(rest, spec).parse())
      return true;
    error = "--input " + spec.name + ": " + value +
            " is no list of numbers whose rows are equally long";
    return false;
  }
  if (value == "zeros" || value == "ones" || isNumber(value)) {
    spec.kind = InputSpec::constant;
    spec.numbers = {value == "zeros" ? "0" : value == "ones" ? "1" : value};
    return true;
  }
  std::string kind(nextItem(rest));
  if (kind == "random" || kind == "random:normal" || kind == "random:uniform") {
    spec.kind =
        kind == "random:uniform" ? InputSpec::uniform : InputSpec::normal;
    return parseRandom(rest, spec, error);
  }
  bool takesNothing = kind == "zeros" || kind == "ones" || isNumber(kind);
  error = "--input " + spec.name + ": ";
  if (looksLikeFile(value))
    error += "a file is @" + value + ", with an @ in front";
  else if (takesNothing)
    error +=
        "\"" + kind + "\" takes no options, got \"" + std::string(rest) + "\"";
  else
    error += "unknown kind \"" + kind +
             "\", expected @FILE, zeros, ones, a number, a list [1, 2], "
             "random:normal or random:uniform";
  return false;
}

bool parseDimSpec(const std::string &text, DimSpec &spec, std::string &error) {
  size_t equals = text.find('=');
  bool good = equals != text.npos && equals > 0 && equals + 1 < text.size() &&
              text.back() != ',';
  if (good)
    spec.name = text.substr(0, equals);
  std::string_view rest = std::string_view(text).substr(good ? equals + 1 : 0);
  while (good && !rest.empty()) {
    spec.sizes.push_back(0);
    good = parseNumber(nextItem(rest), spec.sizes.back());
  }
  if (!good) {
    error = "--dim " + text + ": expected NAME=SIZE,...";
    return false;
  }
  std::vector<int64_t> sorted = spec.sizes;
  std::sort(sorted.begin(), sorted.end());
  auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  good = twice == sorted.end();
  if (!good)
    error = "--dim " + text + ": the size " + std::to_string(*twice) +
            " stands there twice";
  return good;
}

} // namespace nncc
