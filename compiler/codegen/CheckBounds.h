//===- CheckBounds.h - kernels that watch their buffers ---------*- C++ -*-===//
#ifndef NNCC_CODEGEN_CHECKBOUNDS_H
#define NNCC_CODEGEN_CHECKBOUNDS_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/Module.h"

namespace nncc {

/// For tests: compares the position of every load and store of `kernels` with
/// the number of elements of its buffer, and calls a function that says what
/// is wrong and aborts.
void checkBounds(mlir::ModuleOp kernels);

/// Writes that function, if `module` calls it.
void defineBoundsReport(llvm::Module &module);

} // namespace nncc
#endif // NNCC_CODEGEN_CHECKBOUNDS_H
