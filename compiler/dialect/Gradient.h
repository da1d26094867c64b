//===- Gradient.h - reverse mode over straight-line ops ---------*- C++ -*-===//
//
// `ReverseWalk` goes backwards over the ops of a block; `Gradient` is one step
// of it, what `Differentiable::gradient` of an op is given: the op's operands
// and results, the gradients of the results, and where gradients of operands
// go. passes/Autodiff.cpp walks entries, a scan's gradient its body.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_GRADIENT_H
#define NNCC_DIALECT_GRADIENT_H

#include "dialect/Expr.h"
#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace nncc {

/// A value matters if something asked for lies before it; its gradient is
/// complete when all its users were walked. Broadcasting is explicit in the
/// dialect, so it is undone where it is an op.
class ReverseWalk {
public:
  explicit ReverseWalk(ExprBuilder &c) : c(c) {}

  /// Gradients of `value`, a tensor of floats, are asked for.
  void ask(mlir::Value value) { matters.insert(value); }
  /// Finds the ops before `end` that depend on what is asked for.
  void follow(mlir::Operation *end);
  /// True if a gradient of `value` is worth building.
  bool wants(mlir::Value value) const;
  /// Adds to the gradient of `value`.
  void give(mlir::Value value, Expr gradient);
  /// Adds to that of a part of it: from `start` on along `dim`.
  void givePart(mlir::Value value, int64_t dim, int64_t start, Expr gradient);
  /// Walks what `follow` found; fails, with a diagnostic, if an op cannot say
  /// its derivative.
  mlir::LogicalResult run();
  /// `now` stands for `old` from here on, in the IR too.
  void replace(mlir::Value old, mlir::Value now);
  /// The gradient of `value` so far, or null.
  Expr gradientOf(mlir::Value value);
  /// The number of ops that `run` differentiated.
  int64_t steps = 0;

private:
  struct Part {
    int64_t dim, start;
    Expr gradient;
    int64_t end() const { return start + gradient.dim(dim); }
  };
  void joinParts(mlir::Value value, llvm::MutableArrayRef<Part> parts);

  ExprBuilder &c;
  llvm::DenseSet<mlir::Value> matters;
  llvm::SmallVector<mlir::Operation *> path;
  llvm::DenseMap<mlir::Value, Expr> sums;
  llvm::DenseMap<mlir::Value, std::vector<Part>> parts; // not in `sums` yet
};

class Gradient {
public:
  /// `of` is the gradient of the first result that has one.
  Gradient(ExprBuilder &c, mlir::Operation *op, Expr of, ReverseWalk &walk)
      : c(c), result(c, op->getResult(0)), of(of), op(op), walk(walk) {}

  ExprBuilder &c;
  Expr result; // of the op
  Expr of;     // the gradient of the result

  Expr operand(unsigned i) { return Expr(c, op->getOperand(i)); }
  /// Of an op with several results; null where nothing depends on one.
  Expr ofResult(unsigned i) { return walk.gradientOf(op->getResult(i)); }
  /// False if nothing that is asked for depends on the operand: its gradient
  /// need not be built.
  bool wants(unsigned i) const { return walk.wants(op->getOperand(i)); }
  void give(unsigned i, Expr gradient) {
    if (wants(i))
      walk.give(op->getOperand(i), gradient);
  }
  void givePart(unsigned i, int64_t dim, int64_t start, Expr gradient) {
    if (wants(i))
      walk.givePart(op->getOperand(i), dim, start, gradient);
  }
  /// Another op gives what result `i` gave.
  void replaceResult(unsigned i, mlir::Value now) {
    walk.replace(op->getResult(i), now);
  }
  /// No operand has a gradient: zero on purpose.
  void none() const {}
  /// There is a derivative, and this op cannot say it.
  void fail(llvm::StringRef why) {
    op->emitOpError(why);
    failed = true;
  }
  bool failed = false;

private:
  mlir::Operation *op;
  ReverseWalk &walk;
};

enum class Ties : uint32_t;

// Formulas that the tables of ops name.
/// Of max and min: to the operand that the result is, by `ties` if both are.
void giveExtremum(Gradient &g, Ties ties, bool isMax);
/// y x^(y - 1), 0 where y is 0.
Expr powerByBase(Expr x, Expr y);
/// z log(x) for z = x^y, 0 where x is 0 and y not negative.
Expr powerByExponent(Expr x, Expr y, Expr z);

} // namespace nncc
#endif // NNCC_DIALECT_GRADIENT_H
