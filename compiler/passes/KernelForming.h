//===- KernelForming.h - between the two halves of form-kernels -*- C++ -*-===//
#ifndef NNCC_PASSES_KERNELFORMING_H
#define NNCC_PASSES_KERNELFORMING_H

#include "dialect/Nncc.h"
#include "passes/Emission.h"
#include "passes/Walks.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"
#include <memory>

namespace nncc {

struct Kernel {
  llvm::SmallVector<mlir::Operation *> ops; // in program order once complete
  llvm::SmallVector<mlir::Value> results;   // of one shape without a root
  bool hasRoot = false;
  /// At most this many tensors come from memory.
  int64_t operands = 0;
  /// How much code it is, without a root.
  std::unique_ptr<Emission> emission;
  /// The iteration space of a kernel with row reductions.
  llvm::SmallVector<int64_t> rowSpace, rowDims;
};

/// Costs nothing: copied into every kernel that reads through it.
bool isFreeAnywhere(mlir::Operation *op);

/// No kernel: what it reads must lie in memory.
bool readsMemory(mlir::Operation *op);

/// The ops of one entry, or of a scan's body, as kernels.
struct FormedKernels {
  FormedKernels(mlir::Block &block, mlir::func::FuncOp entry)
      : block(block), entry(entry) {}

  mlir::Block &block;
  mlir::func::FuncOp entry; // null: the block is a scan's body
  std::vector<std::unique_ptr<Kernel>> kernels;
  llvm::DenseMap<mlir::Operation *, Kernel *> kernelOf;
  llvm::DenseMap<mlir::Operation *, int64_t> position; // in program order
  /// Computed in every kernel that reads them, instead of stored.
  llvm::DenseSet<mlir::Operation *> repeated;

  /// Copied into every kernel that reads through it.
  bool isFree(mlir::Operation *op) const {
    return isFreeAnywhere(op) || repeated.contains(op);
  }

  /// True for a part of a tensor that is an offset into its memory: it stays
  /// outside of the kernel of these ops, so that kernels on different parts are
  /// equal.
  bool isOffset(mlir::Operation *op,
                const llvm::DenseSet<mlir::Operation *> &inside) const;

  /// Adds what the kernel of `inside` reads from memory for `value`, and the
  /// ops that it computes, operands first.
  void collect(mlir::Value value,
               const llvm::DenseSet<mlir::Operation *> &inside,
               llvm::SetVector<mlir::Value> &operands,
               llvm::SetVector<mlir::Operation *> &body) const;

  /// How many tensors a kernel of these ops reads from memory.
  int64_t countOperands(llvm::ArrayRef<mlir::Operation *> ops) const;

  /// Adds the ops that use `value`, looking through free ones.
  void realUsers(mlir::Value value,
                 llvm::SetVector<mlir::Operation *> &users) const;
};

/// Fills `repeated` with ops that several others use and that cost less to
/// compute again than to store and read: elementwise on large tensors, with at
/// most one tensor of that size read from memory that is there anyway.
/// Tensors of `uncachedBytes` are in no cache.
void repeatOps(FormedKernels &formed, int64_t uncachedBytes);

/// Turns the kernels into functions, each different one once (`known`: by
/// text), and calls; gives the number of calls.
int64_t outlineKernels(FormedKernels &formed,
                       llvm::StringMap<mlir::func::FuncOp> &known);

} // namespace nncc
#endif // NNCC_PASSES_KERNELFORMING_H
