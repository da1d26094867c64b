//===- Passes.h - the passes on the nncc dialect ----------------*- C++ -*-===//
//
// Constructors and registration; see Passes.td for what each one does and
// codegen/Pipelines.cpp for their order.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_PASSES_PASSES_H
#define NNCC_PASSES_PASSES_H

#include "dialect/Nncc.h"
#include "mlir/Pass/Pass.h"
#include <functional>

namespace nncc {

/// What form-kernels asks a target.
struct KernelFacts {
  /// True if kernels of such a root read this product operand as `view` has it;
  /// if not it is copied.
  std::function<bool(KernelRoot root, unsigned operand,
                     const StridedView &view)>
      wantsOrder;
  /// Tensors of so many bytes are in no cache.
  int64_t uncachedBytes;
};

std::unique_ptr<mlir::Pass> createFormKernelsPass(const KernelFacts &facts);
/// For nncc-opt, as the CPU wants it (codegen/Pipelines.cpp).
std::unique_ptr<mlir::Pass> createFormKernelsPass();

#define GEN_PASS_DECL
#include "passes/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "passes/Passes.h.inc"
} // namespace nncc
#endif // NNCC_PASSES_PASSES_H
