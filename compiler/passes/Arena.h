//===- Arena.h - what lies where in an arena --------------------*- C++ -*-===//
//
// The arithmetic of an arena: which tensors it has, how long each lives, which
// lies in the place of another, and where all of them go. nncc-plan-memory
// writes it down; recomputing asks it what the peak is.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_PASSES_ARENA_H
#define NNCC_PASSES_ARENA_H

#include "dialect/Nncc.h"

namespace nncc {

/// A piece of an arena that is in use from one op of the block to another, by
/// their numbers.
struct ArenaTensor {
  mlir::Value value; // null: the arena of a scan's body
  int64_t bytes, first, last, offset = 0;
};

struct Arena {
  /// Those that have a place of their own.
  llvm::SmallVector<ArenaTensor> tensors;
  /// Results that are written over an operand which nothing needs afterwards:
  /// result -> operand, whose lifetime has grown.
  llvm::DenseMap<mlir::Value, mlir::Value> inside;
  int64_t bytes = 0;

  /// The number of the op during which most bytes are in use.
  int64_t peak() const;
};

/// Places the tensors of an entry, or of a scan's body. What the block returns
/// is not among them: it lies in outputs.
Arena arenaOf(mlir::Block &block);

} // namespace nncc
#endif // NNCC_PASSES_ARENA_H
