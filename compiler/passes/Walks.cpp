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
    // What the sources say of themselves comes first: it may settle it without
    // a walk to the beginning of the graph.
    for (Value source : answer ? SmallVector<Value>() : sourcesOf(top)) {
      auto it = known.find(source);
      std::optional<bool> one =
          it == known.end() ? own(source) : std::optional(it->second);
      if (!one)
        unknown = source;
      else if (*one == any)
        answer = any;
      if (answer)
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
