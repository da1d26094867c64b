//===- Pipelines.h - the compiler's stages, in order ------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_PIPELINES_H
#define NNCC_CODEGEN_PIPELINES_H

#include "codegen/cpu/Tile.h"
#include "mlir/Pass/PassManager.h"

namespace nncc {

/// nncc dialect as imported -> entries that call kernels on planned buffers.
void populateKernelPipeline(mlir::OpPassManager &pm, const TargetInfo &target,
                            const ScheduleTable &schedules,
                            int64_t maxArena = 0);

/// Makes the pass of that name a wrong one, for tests: afterwards the first
/// result of every entry is doubled.
void injectWrongPass(mlir::PassManager &pm, const std::string &pass);

/// Kernels in scf, vector, memref and arith -> LLVM dialect, a plain pointer
/// per buffer; `debugLines` adds DWARF scopes.
void populateLlvmPipeline(mlir::OpPassManager &pm, bool debugLines);

} // namespace nncc
#endif // NNCC_CODEGEN_PIPELINES_H
