//===- Spec.cpp - small texts of the command line -------------------------===//
#include "Spec.h"
#include <charconv>
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

} // namespace

bool parseTensorSpec(const std::string &text, TensorSpec &spec,
                     std::string &error) {
  size_t equals = text.find('=');
  if (equals == text.npos || equals == 0 || equals + 1 == text.size()) {
    error =
        "--input " + text + ": expected NAME=SPEC with the name of an input";
    return false;
  }
  spec.name = text.substr(0, equals);
  std::string_view rest = std::string_view(text).substr(equals + 1);
  if (rest.front() == '@') {
    spec.kind = TensorSpec::file;
    spec.path = rest.substr(1);
    return true;
  }
  std::string_view kind = nextItem(rest);
  if (kind == "zeros") {
    spec.kind = TensorSpec::zeros;
  } else if (kind == "random" || kind == "random:normal") {
    spec.kind = TensorSpec::normal;
  } else if (kind == "random:uniform") {
    spec.kind = TensorSpec::uniform;
  } else {
    error = "--input " + spec.name + ": unknown kind \"" + std::string(kind) +
            "\", expected @FILE.npy, zeros, random:normal or random:uniform";
    return false;
  }
  while (!rest.empty()) {
    std::string_view option = nextItem(rest);
    if (option.substr(0, 5) != "seed=" ||
        !parseNumber(option.substr(5), spec.seed)) {
      error = "--input " + spec.name + ": unknown option \"" +
              std::string(option) + "\", expected seed=NUMBER";
      return false;
    }
  }
  return true;
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
  if (!good)
    error = "--dim " + text + ": expected NAME=SIZE,...";
  return good;
}

} // namespace nncc
