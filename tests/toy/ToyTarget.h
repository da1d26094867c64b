//===- ToyTarget.h - the smallest target ------------------------*- C++ -*-===//
#ifndef NNCC_TESTS_TOY_TOYTARGET_H
#define NNCC_TESTS_TOY_TOYTARGET_H

#include "codegen/kernels/KernelKind.h"

namespace nncc {

/// Scalar loops on plain pointers, for any kernel: what a target has to write
/// of its own, and nothing else.
const KernelTarget &toyTarget();

} // namespace nncc
#endif // NNCC_TESTS_TOY_TOYTARGET_H
