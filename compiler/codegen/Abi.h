//===- Abi.h - the descriptor of a compiled model ---------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_ABI_H
#define NNCC_CODEGEN_ABI_H

#include "codegen/Device.h"
#include "codegen/EmbeddedWeights.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/Module.h"

namespace nncc {

/// A program for GPUs of one architecture.
struct DeviceProgram {
  mlir::ModuleOp model; // its kernels are lowered
  const TargetInfo &target;
  DeviceCode code;
};

/// Adds `const nncc_model *NAME_model(void)` and the tables behind it. Steps of
/// the CPU's program, which is `model`, call functions of `module` by kernel
/// name; if `cpu` is null there is none, and `model` gives the signatures. Of
/// `embedded`, if not null, it takes what steps read.
void addDescriptor(llvm::Module &module, mlir::ModuleOp model,
                   const TargetInfo *cpu, llvm::ArrayRef<DeviceProgram> devices,
                   const EmbeddedWeights *embedded);

} // namespace nncc
#endif // NNCC_CODEGEN_ABI_H
