//===- Optimizers.h - torch.optim as compositions ---------------*- C++ -*-===//
//
// A table: names, attributes and state as torch.optim has them, and the update
// of one parameter.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_OPTIMIZERS_H
#define NNCC_FRONTEND_OPTIMIZERS_H

#include "dialect/Expr.h"
#include "frontend/Json.h"
#include "llvm/ADT/StringMap.h"

namespace nncc {

struct OptimizerAttribute {
  llvm::StringRef name;
  Json::Kind kind;          // number also takes integers
  double first, second = 0; // default; both of a list, 0 or 1 of a boolean
};

/// One update of one parameter, elementwise.
struct Update {
  llvm::StringMap<std::pair<double, double>> attributes;
  Expr parameter, gradient;
  /// f32 scalars: the learning rate, and the number of this update from 1 as
  /// f64.
  Expr lr, count;
  /// Under the names of `Optimizer::state`; read, then replaced.
  llvm::StringMap<Expr> state;

  double number(llvm::StringRef name) { return attributes[name].first; }
  double second(llvm::StringRef name) { return attributes[name].second; }
  bool flag(llvm::StringRef name) { return attributes[name].first != 0; }
};

struct Optimizer {
  llvm::StringRef name;
  std::vector<OptimizerAttribute> attributes;
  /// Tensors like the parameter, fresh ones are zeros.
  void (*state)(Update &, std::vector<llvm::StringRef> &names);
  /// Replaces `parameter` and `state`.
  void (*update)(Update &);
};

const std::vector<Optimizer> &optimizers();
/// By name; must exist.
const Optimizer *findOptimizer(llvm::StringRef name);

} // namespace nncc
#endif // NNCC_FRONTEND_OPTIMIZERS_H
