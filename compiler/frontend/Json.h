//===- Json.h - JSON trees with positions -----------------------*- C++ -*-===//
//
// nlohmann/json does the reading (SAX interface); we keep for every token
// where it stands. Refuses duplicate keys, nesting over 64 and files over
// 64 MiB, as the model format asks.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_JSON_H
#define NNCC_FRONTEND_JSON_H

#include "support/Diagnostics.h"
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nncc {

struct JsonMember;

struct Json {
  enum class Kind { null, boolean, integer, number, string, array, object };
  Kind kind = Kind::null;
  Span span; // of the token; containers: of the opening bracket
  bool boolean = false;
  int64_t integer = 0;
  double number = 0; // integers too
  std::string string;
  std::vector<Json> items;
  std::vector<JsonMember> members; // in file order

  bool isObject() const { return kind == Kind::object; }
  bool isArray() const { return kind == Kind::array; }
  bool isString() const { return kind == Kind::string; }
  bool isInteger() const { return kind == Kind::integer; }
  bool isNumber() const { return kind == Kind::number || isInteger(); }
  bool isNull() const { return kind == Kind::null; }
  bool isBoolean() const { return kind == Kind::boolean; }
  /// The member of that key, or null.
  const Json *find(llvm::StringRef key) const;
  /// "an object", "the string \"x\"", "3": for error texts.
  std::string describe() const;
  /// As JSON without spaces and comments, the members of objects by their keys.
  std::string compact() const;
};

struct JsonMember {
  std::string key;
  Span keySpan;
  Json value;
};

/// Parses `text`; problems go to `diagnostics`, and then nothing is returned.
std::optional<Json> parseJson(llvm::StringRef text, Diagnostics &diagnostics);

/// Reports keys of `object`, which is called `what`, that are neither known nor
/// "comment".
void checkKeys(const Json &object, llvm::ArrayRef<llvm::StringRef> known,
               llvm::StringRef what, Diagnostics &diagnostics);

} // namespace nncc
#endif // NNCC_FRONTEND_JSON_H
