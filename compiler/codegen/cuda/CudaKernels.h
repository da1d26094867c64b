//===- CudaKernels.h - what the files of the CUDA target share --*- C++ -*-===//
#ifndef NNCC_CODEGEN_CUDA_CUDAKERNELS_H
#define NNCC_CODEGEN_CUDA_CUDAKERNELS_H

#include "codegen/Device.h"

namespace nncc {

/// Facts about the architecture of that name.
bool lookupCuda(llvm::StringRef name, TargetInfo &info, std::string &error);

/// The function of the grid around a kernel: thread t runs tile t.
void wrapForGrid(llvm::Function &code, llvm::StringRef name);

/// Turns a module of device code into one for `host`, with the function
/// emulatedName(k) (nncc_emulated::thread) for each kernel k. False and a
/// sentence for what the device would compute otherwise.
bool emulate(llvm::Module &module, const TargetInfo &host, std::string &error);

/// Runs ptxas on the PTX of a kernel; false and a sentence if it fails.
bool assemble(const std::string &ptxas, const std::string &ptx,
              const TargetInfo &target, std::string &cubin, KernelUsage &usage,
              std::string &error);

} // namespace nncc
#endif // NNCC_CODEGEN_CUDA_CUDAKERNELS_H
