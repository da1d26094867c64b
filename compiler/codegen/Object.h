//===- Object.h - from kernels to an object file ----------------*- C++ -*-===//
//
// LLVM IR of all kernels, the descriptor (runtime/abi.h) that ties them
// together, optimisation and emission. Everything in memory; callers write.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_OBJECT_H
#define NNCC_CODEGEN_OBJECT_H

#include "codegen/Target.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include <memory>

namespace nncc {

/// LLVM IR of `kernels` (LLVM dialect) with a `void k(ptr, i64, i64)` per
/// kernel of `model`.
std::unique_ptr<llvm::Module> buildLlvmModule(llvm::LLVMContext &context,
                                              mlir::ModuleOp model,
                                              mlir::ModuleOp kernels,
                                              const TargetInfo &target);

/// Runs LLVM's pipeline for `level` in 0..3 on groups of kernels, which do not
/// depend on the number of threads.
void optimize(llvm::Module &module, const TargetInfo &target, unsigned level,
              unsigned threads);

/// Machine code or, if `assembly`, its text.
std::string emitCode(llvm::Module &module, const TargetInfo &target,
                     bool assembly);

} // namespace nncc
#endif // NNCC_CODEGEN_OBJECT_H
