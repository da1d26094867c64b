//===- Abi.h - the descriptor of a compiled model ---------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_ABI_H
#define NNCC_CODEGEN_ABI_H

#include "codegen/Target.h"
#include "dialect/Names.h"
#include "runtime/abi.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/Module.h"
#include <optional>
#include <string>
#include <vector>

namespace nncc {

struct EmbeddedWeights;

/// The tensors of an entry's signature.
struct TensorInfo {
  std::string name;
  mlir::RankedTensorType type;
  /// Of an input that a call may leave out.
  std::optional<double> initial;
  /// Of state: a file may lack it, then it is zeros.
  bool isFresh = false;
};
/// What callers give; not the random key.
std::vector<TensorInfo> inputsOf(mlir::Operation *entry);
/// What callers get; not what is written in place of weights.
std::vector<TensorInfo> outputsOf(mlir::Operation *entry);
std::vector<TensorInfo> weightsOf(mlir::ModuleOp model);

/// The module paths or functions that something was emitted for, joined by
/// " + "; "" if unknown.
std::string originOf(mlir::Location loc);

nncc_dtype dtypeOf(mlir::Type elementType);

/// Adds `const nncc_model *NAME_model(void)` and the tables behind it, whose
/// steps call functions of `module` by kernel name. Of `embedded`, if not null,
/// it takes what steps read.
void addDescriptor(llvm::Module &module, mlir::ModuleOp model,
                   const TargetInfo &target, const EmbeddedWeights *embedded);

} // namespace nncc
#endif // NNCC_CODEGEN_ABI_H
