//===- Recompute.h - values made again instead of kept ----------*- C++ -*-===//
#ifndef NNCC_PASSES_RECOMPUTE_H
#define NNCC_PASSES_RECOMPUTE_H

#include "dialect/Nncc.h"

namespace nncc {

/// During the op of number `peak` (Arena::peak), finds a tensor that only waits
/// there and can be made again from tensors that are there anyway when it is
/// needed next, and calls its kernel a second time: the largest of elementwise
/// ones, else the one with most bytes per operation. False if there is none.
bool recomputeForPeak(mlir::func::FuncOp entry, int64_t peak);

} // namespace nncc
#endif // NNCC_PASSES_RECOMPUTE_H
