//===- Pipelines.h - the compiler's stages, in order ------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_PIPELINES_H
#define NNCC_CODEGEN_PIPELINES_H

#include "codegen/kernels/Tile.h"
#include "mlir/Pass/PassManager.h"

namespace nncc {

/// What is the same for all targets, from the nncc dialect as imported:
/// gradients and what follows from algebra.
void populateCommonPipeline(mlir::OpPassManager &pm);

/// Behind it: entries that call kernels on planned buffers, for a target.
void populateKernelPipeline(mlir::OpPassManager &pm, const TargetInfo &target,
                            const KernelTarget &how,
                            const ScheduleTable &schedules,
                            int64_t maxArena = 0);

/// cf, vector, memref, arith, math, index and func -> LLVM dialect.
std::unique_ptr<mlir::Pass> createConvertToLlvm();

/// Kernels in scf, vector, memref and arith -> LLVM dialect, a plain pointer
/// per buffer; `debugLines` adds DWARF scopes.
void populateLlvmPipeline(mlir::OpPassManager &pm, bool debugLines);

} // namespace nncc
#endif // NNCC_CODEGEN_PIPELINES_H
