//===- Utils.h - questions that several passes ask --------------*- C++ -*-===//
#ifndef NNCC_PASSES_UTILS_H
#define NNCC_PASSES_UTILS_H

#include "dialect/Nncc.h"
#include "passes/Walks.h"

namespace nncc {

/// The functions that the model's users call, and @prepare; not kernels.
llvm::SmallVector<mlir::func::FuncOp> entriesOf(mlir::ModuleOp module);

/// Bytes that a tensor takes in an arena or among the prepared weights.
int64_t alignedBytes(mlir::RankedTensorType type);

/// A tensor in an entry: `bytes` behind the start of the memory of `root`.
struct Storage {
  mlir::Value root;
  int64_t bytes = 0;
};

/// Looks through ops that are a MemoryAlias.
Storage storageOf(mlir::Value value);

/// The result of the user that lies in the memory of what it uses, or null.
mlir::Value aliasBehind(mlir::OpOperand &use);

/// The largest number of an op that needs the memory of `value`: of its users,
/// and of those of what storageOf leads to it. Ops without a number do not
/// count.
int64_t lastUse(mlir::Value value,
                const llvm::DenseMap<mlir::Operation *, int64_t> &number);

/// The ops that read state in a block, by its path; not what is prepared.
llvm::StringMap<llvm::SmallVector<WeightOp, 1>> stateReads(mlir::Block &block);

/// True for constants and counters: their elements come from coordinates alone.
/// False for null.
bool isMadeOfNothing(mlir::Operation *op);

/// What broadcasts and reshapes spread out to `value`: the smaller thing to
/// keep.
mlir::Value unspread(mlir::Value value);

/// Erases ops without uses, last to first; calls stay.
void eraseDead(mlir::Block &block);

} // namespace nncc
#endif // NNCC_PASSES_UTILS_H
