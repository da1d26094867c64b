//===- Utils.h - questions that several passes ask --------------*- C++ -*-===//
#ifndef NNCC_PASSES_UTILS_H
#define NNCC_PASSES_UTILS_H

#include "dialect/Nncc.h"
#include "passes/Walks.h"

namespace nncc {

/// The functions that the model's users call, and @prepare; not kernels.
inline llvm::SmallVector<mlir::func::FuncOp> entriesOf(mlir::ModuleOp module) {
  llvm::SmallVector<mlir::func::FuncOp> entries;
  for (auto function : module.getOps<mlir::func::FuncOp>())
    if (function.isPublic())
      entries.push_back(function);
  return entries;
}

/// Bytes that a tensor takes in an arena or among the prepared weights.
inline int64_t alignedBytes(mlir::RankedTensorType type) {
  return int64_t(llvm::alignTo(byteSize(type), 64));
}

/// A tensor in an entry: `bytes` behind the start of the memory of `root`.
struct Storage {
  mlir::Value root;
  int64_t bytes = 0;
};

/// True if the slice is one run of its operand's memory.
inline bool isContiguous(SliceOp op) {
  llvm::ArrayRef<int64_t> from = shapeOf(op.getOperand()),
                          sizes = op.getSizes();
  size_t d = 0;
  while (d < sizes.size() && sizes[d] == 1)
    ++d;
  if (d < sizes.size() && op.getSteps()[d] != 1)
    return false;
  for (++d; d < sizes.size(); ++d)
    if (sizes[d] != from[d])
      return false;
  return true;
}

/// Looks through reshapes and contiguous slices, which cost nothing in an
/// entry: they are offsets; and through all_reduce, which works in place.
inline Storage storageOf(mlir::Value value) {
  Storage storage{value};
  while (mlir::Operation *op = storage.root.getDefiningOp()) {
    if (auto slice = mlir::dyn_cast<SliceOp>(op)) {
      if (!isContiguous(slice))
        break;
      auto type = tensorType(slice.getOperand());
      storage.bytes +=
          positionOf(slice.getStarts(), stridesOf(type.getShape())) *
          byteSize(type) / std::max<int64_t>(1, type.getNumElements());
    } else if (mlir::isa<AllReduceOp>(op)) {
      unsigned i = mlir::cast<mlir::OpResult>(storage.root).getResultNumber();
      storage.root = op->getOperand(i);
      continue;
    } else if (!mlir::isa<ReshapeOp>(op)) {
      break;
    }
    storage.root = op->getOperand(0);
  }
  return storage;
}

/// The largest number of an op that needs the memory of `value`: of its users,
/// and of those of what storageOf leads to it. Ops without a number do not
/// count.
inline int64_t
lastUse(mlir::Value value,
        const llvm::DenseMap<mlir::Operation *, int64_t> &number) {
  int64_t last = 0;
  allUses(
      value,
      [](mlir::OpOperand &use) {
        mlir::Operation *user = use.getOwner();
        unsigned i = mlir::isa<AllReduceOp>(user) ? use.getOperandNumber() : 0;
        return mlir::isa<ReshapeOp, SliceOp, AllReduceOp>(user)
                   ? mlir::Value(user->getResult(i))
                   : mlir::Value();
      },
      [&](mlir::OpOperand &use) {
        last = std::max(last, number.lookup(use.getOwner()));
        return true;
      });
  return last;
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

} // namespace nncc
#endif // NNCC_PASSES_UTILS_H
