//===- Optimizers.h - torch.optim as compositions ---------------*- C++ -*-===//
//
// A table: names, attributes and state as torch.optim has them, and the update
// of one parameter. Checks, the schema and, through it, the exporter read it.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_OPTIMIZERS_H
#define NNCC_FRONTEND_OPTIMIZERS_H

#include "dialect/Expr.h"
#include "frontend/Json.h"
#include "llvm/ADT/StringMap.h"
#include <limits>

namespace nncc {

/// The numbers of an attribute: one, two, or 0 or 1 of a boolean. A missing one
/// was null.
using Numbers = llvm::SmallVector<std::optional<double>, 2>;

struct OptimizerAttribute {
  enum Kind { number, boolean, pair };

  llvm::StringRef name;
  Kind kind;
  Numbers standard;
  /// Numbers lie in [least, below), or in [least, below] if it is closed.
  double least = 0, below = std::numeric_limits<double>::infinity();
  bool isClosed = false;
  /// The first of a pair may be null.
  bool nullable = false;
};

/// One update of one parameter.
struct Update {
  llvm::StringMap<Numbers> attributes;
  Expr parameter, gradient;
  /// Scalars: the learning rate (f64 where a parameter is, else f32), and the
  /// number of this update from 1 (f64).
  Expr lr, count;
  /// Under the names of `Optimizer::states`; read, then replaced.
  llvm::StringMap<Expr> state;

  bool has(llvm::StringRef name) const {
    return attributes.lookup(name)[0].has_value();
  }
  double number(llvm::StringRef name, unsigned i = 0) const {
    return *attributes.lookup(name)[i];
  }
  bool flag(llvm::StringRef name) const { return number(name) != 0; }
};

using StateShape = std::optional<llvm::SmallVector<int64_t>>;

struct OptimizerState {
  llvm::StringRef name;
  /// Its shape for a parameter of this shape, or nothing if none is kept.
  StateShape (*shape)(Ints parameter);
  /// Kept only if this attribute is not 0; empty: always.
  llvm::StringRef attribute = "";
  /// Of a fresh one's elements.
  double initial = 0;
  /// f32, whatever the parameter is.
  bool isSingle = false;
};

struct Optimizer {
  llvm::StringRef name;
  std::vector<OptimizerAttribute> attributes;
  std::vector<OptimizerState> states;
  /// Replaces `parameter` and `state`.
  void (*update)(Update &);
  /// Says what does not go together among the attributes; null: all does.
  const char *(*conflict)(const Update &) = nullptr;
};

const std::vector<Optimizer> &optimizers();
/// Defaults, then what the JSON objects in `sources` say, but for null ones.
void setAttributes(Update &update, const Optimizer &optimizer,
                   llvm::ArrayRef<const Json *> sources);
/// By name; must exist.
const Optimizer *findOptimizer(llvm::StringRef name);

} // namespace nncc
#endif // NNCC_FRONTEND_OPTIMIZERS_H
