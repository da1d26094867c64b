//===- Gradient.cpp - reverse mode as an op -------------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

LogicalResult GradientOp::verify() {
  if (getResultTypes() != getOf().getTypes())
    return emitOpError("needs one result per value, of its type"); // C1
  for (Value operand : getOperands())
    if (operand.getParentBlock() != (*this)->getBlock())
      return emitOpError("operands must stand in its block"); // C2
  return success();
}

void GradientOp::evaluate(ArrayRef<RefTensor>, MutableArrayRef<RefTensor>) {
  llvm_unreachable("nncc-autodiff replaces it before anything is run");
}

void GradientOp::gradient(Gradient &) {
  llvm_unreachable("second derivatives: autodiff takes the inner op first");
}

} // namespace nncc
