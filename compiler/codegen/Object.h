//===- Object.h - from kernels to an object file ----------------*- C++ -*-===//
//
// LLVM IR of all kernels, the descriptor (runtime/abi.h) that ties them
// together, optimisation and emission. Everything in memory; callers write.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_OBJECT_H
#define NNCC_CODEGEN_OBJECT_H

#include "codegen/kernels/KernelKind.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include <memory>
#include <string>
#include <vector>

namespace nncc {

/// LLVM IR of `kernels` (LLVM dialect), with the function that calls each as
/// the target wants it (KernelTarget::wrap), under the kernel's name; null and
/// an error if one calls a function of a library.
std::unique_ptr<llvm::Module> buildLlvmModule(llvm::LLVMContext &context,
                                              mlir::ModuleOp kernels,
                                              const TargetInfo &target,
                                              const KernelTarget &how);

/// Makes `module` one for that target.
void retarget(llvm::Module &module, const TargetInfo &target);

/// Kernels as bitcode or machine code.
struct KernelGroup {
  std::string code;
  std::vector<std::string> kernels; // their names
};
/// Told how many kernels are done, by one thread at a time.
using KernelsDone = llvm::function_ref<void(unsigned done, unsigned all)>;

/// Moves the kernels out of `module`, which keeps their declarations, into
/// groups of about `size` instructions, in order. Gives bitcode.
std::vector<KernelGroup> splitKernels(llvm::Module &module, unsigned size);

/// Calls `body`, on several threads, with each group as a module of a context
/// of its own, and keeps what it gives, which does not depend on the number of
/// threads.
void forEachGroup(
    std::vector<KernelGroup> &groups, unsigned threads, KernelsDone done,
    llvm::function_ref<std::string(llvm::Module &, const KernelGroup &)> body);

/// LLVM's pipeline for `level` in 0..3.
void optimize(llvm::Module &module, const TargetInfo &target, unsigned level);
std::string bitcodeOf(const llvm::Module &module);

/// Moves them back, to be printed.
void linkGroups(llvm::Module &module, llvm::ArrayRef<KernelGroup> groups);

/// Machine code or, if `assembly`, its text.
std::string emitCode(llvm::Module &module, const TargetInfo &target,
                     bool assembly);

} // namespace nncc
#endif // NNCC_CODEGEN_OBJECT_H
