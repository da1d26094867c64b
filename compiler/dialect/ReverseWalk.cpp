//===- ReverseWalk.cpp - reverse mode over straight-line ops --------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"
#include "dialect/Place.h"

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

void ReverseWalk::givePart(Value value, int64_t dim, int64_t start,
                           Expr gradient) {
  parts[value].push_back({dim, start, gradient});
}

Expr ReverseWalk::gradientOf(Value value) {
  if (auto it = parts.find(value); it != parts.end()) {
    std::vector<Part> list = std::move(it->second);
    parts.erase(it);
    joinParts(value, list);
  }
  return sums.lookup(value);
}

/// Parts that do not meet are one concatenation, with zeros between them: a
/// tensor that is taken apart has a gradient that is put together, however many
/// parts there are.
void ReverseWalk::joinParts(Value value, MutableArrayRef<Part> parts) {
  llvm::stable_sort(parts, [](const Part &x, const Part &y) {
    return std::pair(x.dim, x.start) < std::pair(y.dim, y.start);
  });
  SmallVector<bool> isTaken(parts.size());
  auto type = tensorType(value);
  for (size_t first = 0; first < parts.size(); ++first) {
    if (isTaken[first])
      continue;
    int64_t dim = parts[first].dim, end = 0, count = 0;
    SmallVector<Expr> pieces;
    auto fill = [&](int64_t until) {
      SmallVector<int64_t> shape(type.getShape());
      shape[dim] = until - end;
      if (shape[dim])
        pieces.push_back(full(c, type.getElementType(), shape, 0));
      end = until;
    };
    for (size_t i = first; i < parts.size() && parts[i].dim == dim; ++i)
      if (!isTaken[i] && parts[i].start >= end) {
        fill(parts[i].start);
        pieces.push_back(parts[i].gradient);
        end = parts[i].end();
        isTaken[i] = true;
        ++count;
      }
    if (count == 1) {
      SmallVector<int64_t> low(type.getRank(), 0), high(low);
      low[dim] = parts[first].start;
      high[dim] = type.getDimSize(dim) - end;
      give(value, pad(parts[first].gradient, low, high, 0));
      continue;
    }
    fill(type.getDimSize(dim));
    give(value, concat(pieces, dim));
  }
}

void ReverseWalk::replace(Value old, Value now) {
  old.replaceAllUsesWith(now);
  if (matters.erase(old))
    matters.insert(now);
  if (Expr gradient = gradientOf(old)) {
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
        of = gradientOf(result);
    if (!of)
      continue;
    c.loc = op->getLoc();
    WorkingOn at(c.loc);
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
