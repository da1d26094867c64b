//===- Interpreter.h - the f64 reference interpreter ------------*- C++ -*-===//
//
// Runs a function of nncc ops in f64/i64 through their `evaluate`: before or
// after any pass, so it is the oracle of passes and generated code alike.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_INTERPRETER_H
#define NNCC_DIALECT_INTERPRETER_H

#include "dialect/RefTensor.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringRef.h"

namespace nncc {
class ScanOp;

/// Gives the value of a weight: its path, or for a prepared one its number.
using WeightLookup = llvm::function_ref<RefTensor(
    llvm::StringRef path, bool prepared, mlir::RankedTensorType type)>;

/// Called after each op with its results; what `check --bisect` listens to.
using Observer =
    llvm::function_ref<void(mlir::Operation *, llvm::ArrayRef<RefTensor>)>;

/// Runs `function` on `inputs`. Values are freed after their last use.
/// `lookup` may be null if the function reads no weights.
std::vector<RefTensor> interpret(mlir::func::FuncOp function,
                                 llvm::ArrayRef<RefTensor> inputs,
                                 WeightLookup lookup, Observer observer = {});

/// The same for a block of straight-line ops: gives the terminator's operands.
std::vector<RefTensor> interpret(mlir::Block &block,
                                 llvm::ArrayRef<RefTensor> inputs,
                                 WeightLookup lookup, Observer observer = {});

/// All steps of a scan on its operands; `observer` hears of the body's ops.
std::vector<RefTensor>
interpretScan(ScanOp scan, llvm::ArrayRef<RefTensor> inputs, Observer observer);

} // namespace nncc
#endif // NNCC_DIALECT_INTERPRETER_H
