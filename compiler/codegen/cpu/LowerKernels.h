//===- LowerKernels.h - kernels in nncc ops to loops and vectors *- C++ -*-===//
#ifndef NNCC_CODEGEN_CPU_LOWERKERNELS_H
#define NNCC_CODEGEN_CPU_LOWERKERNELS_H

#include "codegen/Target.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace nncc {

/// A module with one function per kernel of `module`, of the same name with
/// memrefs for operands and results and a tile range, in scf, vector, memref
/// and arith ops. Sets `nncc.tiles` on the kernels. For tests, `wrongKernel`
/// also overwrites an element of its result.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
lowerKernels(mlir::ModuleOp module, const TargetInfo &target,
             llvm::StringRef wrongKernel = {});

} // namespace nncc
#endif // NNCC_CODEGEN_CPU_LOWERKERNELS_H
