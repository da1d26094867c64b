//===- ShapeFormula.h - shapes by names and formulas ------------*- C++ -*-===//
//
// {"out_channels", "in_channels / groups", "*kernel_size"}: the shape of a
// module's state, and what the same tensor must have as an input of a function.
// A name is an argument, or a size that the first tensor gives it.
//
//   "3 * size + 1"  from left to right, with * / + -; / leaves no rest
//   "*kernel_size"  all sizes of a list; "kernel_size.0" is the first
//   "..."           any sizes
//   "N?"            may be missing; at most one of a shape
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_SHAPEFORMULA_H
#define NNCC_FRONTEND_SHAPEFORMULA_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace nncc {

/// Sizes by name; one of a list has one item.
using Sizes = std::map<std::string, llvm::SmallVector<int64_t>>;

/// Why sizes do not fit, and at which argument.
struct SizeError {
  std::string argument, text;
};

class ShapeFormula {
public:
  ShapeFormula(std::initializer_list<const char *> terms);
  ShapeFormula(const std::vector<std::string> &terms);

  /// The shape, whose names are all known; nothing after an error.
  std::optional<llvm::SmallVector<int64_t>> evaluate(const Sizes &sizes,
                                                     SizeError &error) const;
  /// Whether a tensor may have this shape; new names get their sizes. An error
  /// is only set where a formula has no value.
  bool match(llvm::ArrayRef<int64_t> shape, Sizes &sizes,
             SizeError &error) const;
  /// "[N, 3, H, W] or [3, H, W]": known sizes as numbers, others by name.
  std::string text(const Sizes &sizes) const;
  /// A sentence about each term that is none.
  std::vector<std::string> problems() const;
  /// All names in it.
  std::vector<std::string> names() const;

private:
  struct Factor {
    char op; // '*' for the first
    std::string name;
    int64_t number; // if there is no name
  };
  struct Term {
    std::string text; // without "*" and "?"
    bool isAny = false, isList = false, isOptional = false;
    std::vector<Factor> factors = {};
  };
  static Term parse(llvm::StringRef text);
  static std::optional<int64_t> valueOf(const Term &term, const Sizes &sizes,
                                        size_t from, int64_t start,
                                        SizeError &error);
  static bool isKnown(const Term &term, const Sizes &sizes, size_t from);
  static bool matchOne(const Term &term, int64_t size, Sizes &sizes,
                       SizeError &error);
  bool matchAll(llvm::ArrayRef<int64_t> shape, bool withOptional, Sizes &sizes,
                SizeError &error) const;
  std::string textOf(const Sizes &sizes, bool withOptional) const;

  std::vector<Term> terms;
};

} // namespace nncc
#endif // NNCC_FRONTEND_SHAPEFORMULA_H
