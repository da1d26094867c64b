//===- Passes.h - the passes on the nncc dialect ----------------*- C++ -*-===//
//
// Constructors and registration; see Passes.td for what each one does and
// codegen/Pipelines.cpp for their order.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_PASSES_PASSES_H
#define NNCC_PASSES_PASSES_H

#include "mlir/Pass/Pass.h"

namespace nncc {
#define GEN_PASS_DECL
#include "passes/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "passes/Passes.h.inc"
} // namespace nncc
#endif // NNCC_PASSES_PASSES_H
