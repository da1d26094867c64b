//===- Json.cpp - JSON trees with positions -------------------------------===//
//
// SAX events come in token order, and between tokens stand only blanks, commas
// and colons: so a cursor that skips these finds where each token starts.
//
//===----------------------------------------------------------------------===//
#include "frontend/Json.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"
#include <map>
#include <nlohmann/json.hpp>

namespace nncc {

const Json *Json::find(llvm::StringRef key) const {
  for (const JsonMember &member : members)
    if (member.key == key)
      return &member.value;
  return nullptr;
}

std::string Json::describe() const {
  switch (kind) {
  case Kind::null:
    return "null";
  case Kind::boolean:
    return boolean ? "true" : "false";
  case Kind::integer:
    return std::to_string(integer);
  case Kind::number: {
    char buffer[32];
    snprintf(buffer, sizeof buffer, "%g", number);
    return buffer;
  }
  case Kind::string:
    return "the string \"" + string + "\"";
  case Kind::array:
    return "a list";
  case Kind::object:
    return "an object";
  }
  return "";
}

namespace {

constexpr size_t maxBytes = size_t(64) << 20;
constexpr size_t maxDepth = 64;

class TreeBuilder : public nlohmann::json_sax<nlohmann::json> {
public:
  TreeBuilder(llvm::StringRef text, Diagnostics &diagnostics)
      : text(text), diagnostics(diagnostics) {}

  Json root;

  bool null() override { return scalar(4, {}); }
  bool boolean(bool value) override {
    Json json;
    json.kind = Json::Kind::boolean;
    json.boolean = value;
    return scalar(value ? 4 : 5, std::move(json));
  }
  bool number_integer(number_integer_t value) override {
    Json json;
    json.kind = Json::Kind::integer;
    json.integer = value;
    json.number = double(value);
    return scalar(numberLength(), std::move(json));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return value <= uint64_t(INT64_MAX) ? number_integer(int64_t(value))
                                        : tooLarge();
  }
  bool number_float(number_float_t value, const string_t &token) override {
    // An integer that fits into no type of the parser's comes as a float.
    if (token.find_first_of(".eE") == string_t::npos)
      return tooLarge();
    Json json;
    json.kind = Json::Kind::number;
    json.number = value;
    return scalar(numberLength(), std::move(json));
  }
  bool string(string_t &value) override {
    Json json;
    json.kind = Json::Kind::string;
    json.string = value;
    return scalar(stringLength(), std::move(json));
  }
  bool binary(binary_t &) override { return false; }
  bool start_object(std::size_t) override { return open(Json::Kind::object); }
  bool start_array(std::size_t) override { return open(Json::Kind::array); }
  bool end_object() override {
    keys.pop_back();
    return close();
  }
  bool end_array() override {
    keys.pop_back();
    return close();
  }
  bool key(string_t &value) override {
    Span span = place(stringLength());
    Json &object = *stack.back();
    if (!keys.back().insert(value).second) {
      diagnostics.error(span, "duplicate key \"" + value + "\"");
      for (const JsonMember &member : object.members)
        if (member.key == value)
          diagnostics.note(member.keySpan, "first defined here");
    }
    object.members.push_back({value, span, {}});
    return true;
  }
  bool parse_error(std::size_t position, const std::string &,
                   const nlohmann::json::exception &exception) override {
    size_t at = std::min(position ? position - 1 : 0, text.size());
    Span word = wordAt(at);
    if (exception.id == 406) { // json.exception.out_of_range.406
      diagnostics.error(word, "the number does not fit into an f64");
      return false;
    }
    if (const char *right = rightWord(text.slice(word.begin, word.end))) {
      diagnostics.error(word,
                        "not JSON: " + text.slice(word.begin, word.end).str() +
                            " is written " + right);
      return false;
    }
    std::string what = exception.what();
    size_t reason = what.find("; last read");
    size_t start = what.rfind(" - ", reason);
    std::string message = "syntax error";
    if (start != std::string::npos)
      message = what.substr(start + 3, reason - start - 3);
    else if (size_t colon = what.find(": syntax error");
             colon != std::string::npos)
      message = what.substr(colon + 2);
    diagnostics.error({at, at + 1}, "not JSON: " + message);
    return false;
  }

private:
  /// What stands there without a blank, comma or bracket in it.
  Span wordAt(size_t at) {
    auto isInside = [&](size_t i) {
      return i < text.size() && (llvm::isAlnum(text[i]) ||
                                 llvm::StringRef("+-.").contains(text[i]));
    };
    size_t begin = at, end = at;
    while (begin > 0 && isInside(begin - 1))
      --begin;
    while (isInside(end))
      ++end;
    return {begin, std::max(end, begin + 1)};
  }
  /// Of what Python and its json module write, which is no JSON.
  static const char *rightWord(llvm::StringRef word) {
    return llvm::StringSwitch<const char *>(word)
        .Cases({"NaN", "nan"}, "\"nan\"")
        .Cases({"Infinity", "inf"}, "\"inf\"")
        .Cases({"-Infinity", "-inf"}, "\"-inf\"")
        .Case("True", "true")
        .Case("False", "false")
        .Case("None", "null")
        .Default(nullptr);
  }
  /// Skips separators, takes the next `length` bytes as a token.
  Span place(size_t length) {
    skip();
    Span span{cursor, cursor + length};
    cursor = span.end;
    return span;
  }
  void skip() {
    while (cursor < text.size() &&
           llvm::StringRef(" \t\r\n,:").contains(text[cursor]))
      ++cursor;
  }
  size_t numberLength() {
    skip();
    return text.substr(cursor)
        .take_while([](char c) {
          return (c >= '0' && c <= '9') || llvm::StringRef("+-.eE").contains(c);
        })
        .size();
  }
  bool tooLarge() {
    diagnostics.error(place(numberLength()),
                      "integer does not fit into 64 bits");
    return false;
  }
  size_t stringLength() {
    skip();
    size_t end = cursor + 1;
    while (end < text.size() && text[end] != '"')
      end += text[end] == '\\' ? 2 : 1;
    return end + 1 - cursor;
  }
  Json *attach(Json json) {
    if (stack.empty()) {
      root = std::move(json);
      return &root;
    }
    Json &parent = *stack.back();
    if (parent.isArray()) {
      parent.items.push_back(std::move(json));
      return &parent.items.back();
    }
    parent.members.back().value = std::move(json);
    return &parent.members.back().value;
  }
  bool scalar(size_t length, Json json) {
    json.span = place(length);
    attach(std::move(json));
    return true;
  }
  bool open(Json::Kind kind) {
    Json json;
    json.kind = kind;
    json.span = place(1);
    if (stack.size() == maxDepth) {
      diagnostics.error(json.span, "nested deeper than " +
                                       std::to_string(maxDepth) + " levels");
      return false;
    }
    stack.push_back(attach(std::move(json)));
    keys.emplace_back();
    return true;
  }
  bool close() {
    place(1);
    stack.pop_back();
    return true;
  }

  llvm::StringRef text;
  Diagnostics &diagnostics;
  size_t cursor = 0;
  std::vector<Json *> stack;
  std::vector<llvm::StringSet<>> keys;
};

} // namespace

static std::map<std::string, const Json *> membersByKey(const Json &object) {
  std::map<std::string, const Json *> members;
  for (const JsonMember &member : object.members)
    members.emplace(member.key, &member.value);
  return members;
}

std::string Json::compact() const {
  auto quoted = [](const std::string &text) {
    return nlohmann::json(text).dump(-1, ' ', false,
                                     nlohmann::json::error_handler_t::replace);
  };
  char digits[40];
  std::string text;
  switch (kind) {
  case Kind::null:
    return "null";
  case Kind::boolean:
    return boolean ? "true" : "false";
  case Kind::integer:
    return std::to_string(integer);
  case Kind::number:
    snprintf(digits, sizeof digits, "%.17g", number);
    return digits;
  case Kind::string:
    return quoted(string);
  case Kind::array:
    for (const Json &item : items)
      text += (text.empty() ? "" : ",") + item.compact();
    return "[" + text + "]";
  case Kind::object:
    for (const auto &[key, value] : membersByKey(*this))
      if (key != "comment")
        text +=
            (text.empty() ? "" : ",") + quoted(key) + ":" + value->compact();
    return "{" + text + "}";
  }
  return text;
}

std::optional<Json> parseJson(llvm::StringRef text, Diagnostics &diagnostics) {
  if (text.size() > maxBytes) {
    diagnostics.error({0, 1}, "the file is larger than 64 MiB");
    return std::nullopt;
  }
  TreeBuilder builder(text, diagnostics);
  bool parsed = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  if (!parsed || diagnostics.hasErrors())
    return std::nullopt;
  return std::move(builder.root);
}

void checkKeys(const Json &object, llvm::ArrayRef<llvm::StringRef> known,
               llvm::StringRef what, Diagnostics &diagnostics) {
  for (const JsonMember &member : object.members)
    if (member.key != "comment" && !llvm::is_contained(known, member.key))
      diagnostics.error(member.keySpan, "unknown key \"" + member.key +
                                            "\" in " + what +
                                            didYouMean(member.key, known));
}

} // namespace nncc
