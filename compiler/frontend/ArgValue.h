//===- ArgValue.h - what stands in the place of an argument -----*- C++ -*-===//
//
// JSON becomes these once per node; defaults of definitions are written in
// them. Integers stay integers: no number of a file passes through a double.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_ARGVALUE_H
#define NNCC_FRONTEND_ARGVALUE_H

#include "dialect/Number.h"
#include "support/Diagnostics.h"
#include "llvm/ADT/SmallVector.h"
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace nncc {

/// A tensor: the name of a value.
struct ValueName {
  std::string name;
};

/// "mode": whether the entry trains.
struct Mode {};

/// A tensor that a constructor takes: {"shape": [3], "dtype": "f32"}.
struct StateType {
  llvm::SmallVector<int64_t> shape;
  std::string dtype;
};

// Entries of an index, beside integers, null and references.
struct Slice {
  std::optional<int64_t> start, stop;
  int64_t step = 1;
};
struct Ellipsis {};

struct ArgValue {
  using Integers = llvm::SmallVector<int64_t>;
  using List = std::vector<ArgValue>;
  /// monostate is null; words and element types are strings.
  std::variant<std::monostate, bool, Number, std::string, Mode, Integers,
               ValueName, StateType, Slice, Ellipsis, List>
      data = {};
  Span span = {}; // in the file; empty for defaults

  bool isNull() const { return std::holds_alternative<std::monostate>(data); }
  template <typename T> const T *as() const { return std::get_if<T>(&data); }
  /// A number, or a boolean as 0 or 1.
  std::optional<Number> number() const {
    if (const bool *flag = as<bool>())
      return Number(int64_t(*flag));
    const Number *number = as<Number>();
    return number ? std::optional(*number) : std::nullopt;
  }
};

} // namespace nncc
#endif // NNCC_FRONTEND_ARGVALUE_H
