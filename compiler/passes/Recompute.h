//===- Recompute.h - values made again instead of kept ----------*- C++ -*-===//
#ifndef NNCC_PASSES_RECOMPUTE_H
#define NNCC_PASSES_RECOMPUTE_H

#include "dialect/Nncc.h"

namespace nncc {

/// Finds the largest tensor that lies unused for a while and whose kernel is
/// elementwise on tensors that are there anyway when it is needed again, and
/// calls that kernel a second time. False if there is none.
bool recomputeLargest(mlir::func::FuncOp entry);

} // namespace nncc
#endif // NNCC_PASSES_RECOMPUTE_H
