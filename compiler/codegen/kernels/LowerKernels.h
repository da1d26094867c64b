//===- LowerKernels.h - kernels in nncc ops to code for elements *- C++ -*-===//
#ifndef NNCC_CODEGEN_KERNELS_LOWERKERNELS_H
#define NNCC_CODEGEN_KERNELS_LOWERKERNELS_H

#include "codegen/kernels/KernelKind.h"
#include "mlir/IR/OwningOpRef.h"

namespace nncc {

/// A module with one function per kernel of `module`, of the same name with
/// the target's buffers for operands and results and a tile range, in scf,
/// vector, arith and what the target's emitter writes. Sets `nncc.tiles` on
/// the kernels. For tests, `wrongKernel` also overwrites an element of its
/// result.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
lowerKernels(mlir::ModuleOp module, const TargetInfo &target,
             const KernelTarget &how, llvm::StringRef wrongKernel = {});

} // namespace nncc
#endif // NNCC_CODEGEN_KERNELS_LOWERKERNELS_H
