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
#include <string>
#include <vector>

namespace nncc {

/// LLVM IR of `kernels` (LLVM dialect) with a `void k(ptr, i64, i64)` per
/// kernel of `model`.
std::unique_ptr<llvm::Module> buildLlvmModule(llvm::LLVMContext &context,
                                              mlir::ModuleOp model,
                                              mlir::ModuleOp kernels,
                                              const TargetInfo &target);

/// Kernels as bitcode or machine code.
struct KernelGroup {
  std::string code;
  unsigned kernels;
};
/// Told how many kernels are done, by one thread at a time.
using KernelsDone = llvm::function_ref<void(unsigned done, unsigned all)>;

/// Moves the kernels out of `module`, which keeps their declarations, and runs
/// LLVM's pipeline for `level` in 0..3 on groups of them. Gives bitcode, which
/// does not depend on the number of threads.
std::vector<KernelGroup> optimize(llvm::Module &module,
                                  const TargetInfo &target, unsigned level,
                                  unsigned threads, KernelsDone done);

/// Moves them back, to be printed.
void linkGroups(llvm::Module &module, llvm::ArrayRef<KernelGroup> groups);

/// Machine code of the groups and of `module`, as one object.
std::string emitObject(llvm::Module &module, std::vector<KernelGroup> groups,
                       const TargetInfo &target, unsigned threads,
                       KernelsDone done);

/// Machine code or, if `assembly`, its text.
std::string emitCode(llvm::Module &module, const TargetInfo &target,
                     bool assembly);

} // namespace nncc
#endif // NNCC_CODEGEN_OBJECT_H
