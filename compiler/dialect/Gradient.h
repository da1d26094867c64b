//===- Gradient.h - one step of reverse mode --------------------*- C++ -*-===//
//
// What `Differentiable::gradient` of an op is given: the op's operands and
// result, the gradient of the result, and where gradients of operands go.
// passes/Autodiff.cpp walks the steps.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_GRADIENT_H
#define NNCC_DIALECT_GRADIENT_H

#include "dialect/Expr.h"
#include "mlir/IR/Operation.h"

namespace nncc {

class Gradient {
public:
  /// `give` adds to the gradient of a value; `wants` says whether it matters.
  Gradient(ExprBuilder &c, mlir::Operation *op, Expr of,
           llvm::function_ref<bool(mlir::Value)> wantsValue,
           llvm::function_ref<void(mlir::Value, Expr)> giveValue)
      : c(c), result(c, op->getResult(0)), of(of), op(op),
        wantsValue(wantsValue), giveValue(giveValue) {}

  ExprBuilder &c;
  Expr result; // of the op
  Expr of;     // the gradient of the result

  Expr operand(unsigned i) { return Expr(c, op->getOperand(i)); }
  /// False if nothing that is asked for depends on the operand: its gradient
  /// need not be built.
  bool wants(unsigned i) const { return wantsValue(op->getOperand(i)); }
  void give(unsigned i, Expr gradient) {
    if (wants(i))
      giveValue(op->getOperand(i), gradient);
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
  llvm::function_ref<bool(mlir::Value)> wantsValue;
  llvm::function_ref<void(mlir::Value, Expr)> giveValue;
};

enum class Ties : uint32_t;

// Formulas that the tables of ops name.
/// Of max and min: to the operand that the result is, by `ties` if both are.
void giveExtremum(Gradient &g, Ties ties);
/// y x^(y - 1), 0 where y is 0.
Expr powerByBase(Expr x, Expr y);
/// z log(x) for z = x^y, 0 where x is 0 and y not negative.
Expr powerByExponent(Expr x, Expr y, Expr z);

} // namespace nncc
#endif // NNCC_DIALECT_GRADIENT_H
