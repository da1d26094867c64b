//===- ReverseWalk.cpp - reverse mode over straight-line ops --------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

void ReverseWalk::follow(Operation *end) {
  path.clear();
  for (Operation &op : *end->getBlock()) {
    if (&op == end)
      return;
    if (llvm::none_of(op.getOperands(),
                      [&](Value v) { return matters.contains(v); }))
      continue;
    path.push_back(&op);
    matters.insert(op.getResults().begin(), op.getResults().end());
  }
}

bool ReverseWalk::wants(Value value) const {
  return matters.contains(value) &&
         isa<FloatType>(tensorType(value).getElementType());
}

void ReverseWalk::give(Value value, Expr gradient) {
  Expr &total = sums[value];
  total = total ? total + gradient : gradient;
}

void ReverseWalk::replace(Value old, Value now) {
  old.replaceAllUsesWith(now);
  if (matters.erase(old))
    matters.insert(now);
  if (Expr gradient = sums.lookup(old)) {
    sums.erase(old);
    sums[now] = gradient;
  }
}

LogicalResult ReverseWalk::run() {
  bool failed = false;
  for (Operation *op : llvm::reverse(path)) {
    Expr of;
    for (Value result : op->getResults())
      if (!of)
        of = sums.lookup(result);
    if (!of)
      continue;
    c.loc = op->getLoc();
    Gradient gradient(c, op, of, *this);
    cast<Differentiable>(op).gradient(gradient);
    failed |= gradient.failed;
    ++steps;
    if (!c.problem.empty())
      break; // of this op
  }
  return failure(failed);
}

} // namespace nncc
