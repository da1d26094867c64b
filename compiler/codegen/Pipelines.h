//===- Pipelines.h - the compiler's stages, in order ------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_PIPELINES_H
#define NNCC_CODEGEN_PIPELINES_H

#include "codegen/Target.h"
#include "mlir/Pass/PassManager.h"

namespace nncc {

/// nncc dialect as imported -> entries that call kernels on planned buffers.
void populateKernelPipeline(mlir::OpPassManager &pm, const TargetInfo &target);

/// Kernels in scf, vector, memref and arith -> LLVM dialect, a plain pointer
/// per buffer.
void populateLlvmPipeline(mlir::OpPassManager &pm);


} // namespace nncc
#endif // NNCC_CODEGEN_PIPELINES_H
