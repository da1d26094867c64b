//===- Call.cpp - calls of kernels ----------------------------------------===//
#include "dialect/Interpreter.h"
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

LogicalResult CallOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto callee =
      symbols.lookupNearestSymbolFrom<func::FuncOp>(*this, getCalleeAttr());
  if (!callee ||
      callee.getFunctionType() !=
          FunctionType::get(getContext(), getOperandTypes(), getResultTypes()))
    return emitOpError("@")
           << getCallee() << " is no kernel of this type"; // C1
  return success();
}

void CallOp::evaluate(ArrayRef<RefTensor> inputs,
                      MutableArrayRef<RefTensor> results) {
  auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
      *this, getCalleeAttr());
  std::vector<RefTensor> values = interpret(callee, inputs, {});
  for (auto [result, value] : llvm::zip_equal(results, values))
    result = std::move(value);
}

// Kernels are formed after gradients.
void CallOp::gradient(Gradient &) {
  llvm_unreachable("autodiff runs before form-kernels");
}

} // namespace nncc
