//===- Walks.cpp - through a graph, each value once -----------------------===//
#include "passes/Walks.h"
#include "dialect/Nncc.h"
#include "llvm/ADT/DenseSet.h"

using namespace mlir;

namespace nncc {

bool allUses(Value value, function_ref<Value(OpOperand &)> through,
             function_ref<bool(OpOperand &)> holds) {
  SmallVector<Value> work{value};
  DenseSet<Value> seen{value};
  while (!work.empty())
    for (OpOperand &use : work.pop_back_val().getUses()) {
      if (!holds(use))
        return false;
      if (Value next = through(use); next && seen.insert(next).second)
        work.push_back(next);
    }
  return true;
}

/// What a value is made of.
static SmallVector<Value> sourcesOf(Value value) {
  if (Operation *op = value.getDefiningOp())
    return llvm::to_vector(op->getOperands());
  Value outside = ScanOp::outside(value);
  return outside ? SmallVector<Value>{outside} : SmallVector<Value>();
}

bool OperandQuestion::operator()(Value value) {
  SmallVector<Value> work{value};
  while (!work.empty()) {
    Value top = work.back();
    if (known.contains(top)) {
      work.pop_back();
      continue;
    }
    std::optional<bool> answer = own(top);
    Value unknown;
    for (Value source : answer ? SmallVector<Value>() : sourcesOf(top)) {
      auto it = known.find(source);
      if (it == known.end())
        unknown = source;
      else if (it->second == any)
        answer = any;
      if (answer || unknown)
        break;
    }
    if (unknown && !answer) {
      work.push_back(unknown);
      continue;
    }
    known[top] = answer.value_or(!any);
    work.pop_back();
  }
  return known.lookup(value);
}

OperandQuestion weightOnly() {
  return OperandQuestion::ofAll([](Value value) -> std::optional<bool> {
    Operation *op = value.getDefiningOp();
    // A mean over processes depends on the others' weights too.
    if (op ? isa<ScanOp, AllReduceOp>(op) : !ScanOp::outside(value))
      return false;
    return std::nullopt;
  });
}

} // namespace nncc
