//===- CheckBounds.h - kernels that watch their buffers ---------*- C++ -*-===//
#ifndef NNCC_TESTS_CHECKBOUNDS_H
#define NNCC_TESTS_CHECKBOUNDS_H

#include "codegen/kernels/KernelKind.h"

namespace nncc {

/// Compares the position of every load and store of `kernel` with the number
/// of elements of its buffer; outside of it the program ends by a trap.
void checkBounds(mlir::func::FuncOp kernel);

/// The CPU, with checkBounds behind the emitter of each kernel.
const KernelTarget &checkedTarget();

} // namespace nncc
#endif // NNCC_TESTS_CHECKBOUNDS_H
