//===- Signature.h - what a model's callers see -----------------*- C++ -*-===//
//
// The tensors that go in and out of entries, and the model's state, with their
// names; what the header, the report, the descriptor and the interpreter show.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_SIGNATURE_H
#define NNCC_CODEGEN_SIGNATURE_H

#include "dialect/Names.h"
#include "runtime/abi.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include <optional>
#include <string>
#include <vector>

namespace nncc {

/// A named tensor.
struct TensorInfo {
  std::string name;
  mlir::RankedTensorType type;
  /// Of an input that a call may leave out.
  std::optional<double> initial;
  /// Of state: a file may lack it, then it is zeros.
  bool isFresh = false;
  /// Of a gradient that `backward` gives: the outputs that autograd has a path
  /// from, as "y,z".
  std::string reached = {};
};

/// What callers give; not the random key.
std::vector<TensorInfo> inputsOf(mlir::func::FuncOp entry);
/// What callers get; not what is written in place of weights.
std::vector<TensorInfo> outputsOf(mlir::func::FuncOp entry);
/// The model's state, in the order of its numbers.
std::vector<TensorInfo> weightsOf(mlir::ModuleOp model);

/// Which input an argument is; it must not be the random key.
uint64_t inputNumber(mlir::func::FuncOp entry, unsigned argument);
/// The name of an argument or result, or else its number.
std::string valueName(mlir::DictionaryAttr attrs, unsigned index);

/// The module paths or functions that something was emitted for, joined by
/// " + "; "" if unknown.
std::string originOf(mlir::Location loc);

nncc_dtype dtypeOf(mlir::Type elementType);

} // namespace nncc
#endif // NNCC_CODEGEN_SIGNATURE_H
