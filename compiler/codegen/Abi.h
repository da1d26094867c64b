//===- Abi.h - the descriptor of a compiled model ---------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_ABI_H
#define NNCC_CODEGEN_ABI_H

#include "codegen/EmbeddedWeights.h"
#include "codegen/Target.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/Module.h"

namespace nncc {

/// Adds `const nncc_model *NAME_model(void)` and the tables behind it, whose
/// steps call functions of `module` by kernel name. Of `embedded`, if not null,
/// it takes what steps read.
void addDescriptor(llvm::Module &module, mlir::ModuleOp model,
                   const TargetInfo &target, const EmbeddedWeights *embedded);

} // namespace nncc
#endif // NNCC_CODEGEN_ABI_H
