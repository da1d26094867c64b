//===- Walks.h - through a graph, each value once ---------------*- C++ -*-===//
//
// A value that is used twice, by something that is used twice, and so on, has
// exponentially many paths to the end: no walk may follow paths. Nothing here
// recurses either: chains may be long.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_PASSES_WALKS_H
#define NNCC_PASSES_WALKS_H

#include "mlir/IR/Value.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include <functional>
#include <optional>

namespace nncc {

/// True if `holds` for every use of `value`, and of each value that `through`
/// gives for a use (null: none). Stops at the first for which it does not.
bool allUses(mlir::Value value,
             llvm::function_ref<mlir::Value(mlir::OpOperand &)> through,
             llvm::function_ref<bool(mlir::OpOperand &)> holds);

/// A question about values whose answer is that of all (or of any) operands of
/// their ops, where it does not answer itself. An argument of a scan's body
/// stands for the scan's operand.
class OperandQuestion {
public:
  using Own = std::function<std::optional<bool>(mlir::Value)>;
  static OperandQuestion ofAll(Own own) { return {false, std::move(own)}; }
  static OperandQuestion ofAny(Own own) { return {true, std::move(own)}; }

  bool operator()(mlir::Value value);

private:
  OperandQuestion(bool any, Own own) : any(any), own(std::move(own)) {}

  bool any;
  Own own;
  llvm::DenseMap<mlir::Value, bool> known;
};

/// True for what depends on weights and constants alone.
OperandQuestion weightOnly();

} // namespace nncc
#endif // NNCC_PASSES_WALKS_H
