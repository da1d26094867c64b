//===- Utils.h - questions that several passes ask --------------*- C++ -*-===//
#ifndef NNCC_PASSES_UTILS_H
#define NNCC_PASSES_UTILS_H

#include "dialect/Nncc.h"

namespace nncc {

/// The functions that the model's users call, and @prepare; not kernels.
inline llvm::SmallVector<mlir::func::FuncOp> entriesOf(mlir::ModuleOp module) {
  llvm::SmallVector<mlir::func::FuncOp> entries;
  for (auto function : module.getOps<mlir::func::FuncOp>())
    if (function.isPublic())
      entries.push_back(function);
  return entries;
}

/// Erases ops without uses, last to first; calls stay.
inline void eraseDead(mlir::Block &block) {
  mlir::Operation *op = block.getTerminator()->getPrevNode();
  while (op) {
    mlir::Operation *previous = op->getPrevNode();
    if (!mlir::isa<CallOp>(op) && mlir::isOpTriviallyDead(op))
      op->erase();
    op = previous;
  }
}

/// Answers whether a value depends on weights and constants alone.
class WeightOnly {
public:
  bool operator()(mlir::Value value) {
    mlir::Operation *op = value.getDefiningOp();
    if (!op)
      return false;
    auto [it, isNew] = known.try_emplace(op, false);
    if (isNew) {
      bool all = llvm::all_of(op->getOperands(),
                              [this](mlir::Value v) { return (*this)(v); });
      known[op] = all;
      return all;
    }
    return it->second;
  }

private:
  llvm::DenseMap<mlir::Operation *, bool> known;
};

} // namespace nncc
#endif // NNCC_PASSES_UTILS_H
