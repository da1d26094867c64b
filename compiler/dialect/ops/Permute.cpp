//===- Permute.cpp - transposes move through ops --------------------------===//
//
// For each op op(transpose(x)) as transpose(op'(x)): see passes/SinkTransposes.
//
//===----------------------------------------------------------------------===//
#include "dialect/Expr.h"
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

Value ReduceOp::permute(ExprBuilder &c, ValueRange operands,
                        ArrayRef<int64_t> perm) {
  SmallVector<int64_t> dims, kept;
  for (int64_t d : getDims())
    dims.push_back(perm[d]);
  llvm::sort(dims);
  for (int64_t d : otherDims(getDims(), perm.size()))
    kept.push_back(perm[d]);
  // Kept dimensions keep the order of perm among themselves.
  SmallVector<int64_t> sorted(kept), order;
  llvm::sort(sorted);
  for (int64_t d : kept)
    order.push_back(llvm::find(sorted, d) - sorted.begin());
  Expr x(c, operands[0]);
  return transpose(reduce(getCombiner(), x, dims), order).value();
}

Value PadOp::permute(ExprBuilder &c, ValueRange operands,
                     ArrayRef<int64_t> perm) {
  Expr y = pad(Expr(c, operands[0]), permuted(getLow(), perm),
               permuted(getHigh(), perm), Number::of(getValueAttr()),
               permuted(getInterior(), perm));
  return transpose(y, perm).value();
}

Value SliceOp::permute(ExprBuilder &c, ValueRange operands,
                       ArrayRef<int64_t> perm) {
  auto attr = [&](ArrayRef<int64_t> entries) {
    return c.b.getDenseI64ArrayAttr(permuted(entries, perm));
  };
  Value y = SliceOp::create(c.b, c.loc, operands[0], attr(getStarts()),
                            attr(getSizes()), attr(getSteps()));
  return transpose(Expr(c, y), perm).value();
}

/// Windows over dimensions that stand in the same order on both sides.
Value PatchesOp::permute(ExprBuilder &c, ValueRange operands,
                         ArrayRef<int64_t> perm) {
  SmallVector<int64_t> dims;
  for (int64_t d : getDims())
    dims.push_back(perm[d]);
  if (!llvm::is_sorted(dims))
    return {};
  Expr y = patches(Expr(c, operands[0]), dims, getSizes(), getStrides(),
                   getDilations());
  // Result dimension of operand dimension d, before and after.
  int64_t count = dims.size();
  auto place = [&](int64_t d, int64_t last) {
    return d <= last ? d : d + count;
  };
  SmallVector<int64_t> order(perm.size() + count);
  for (auto [i, d] : llvm::enumerate(perm))
    order[place(i, getDims().back())] = place(d, dims.back());
  for (int64_t i = 0; i < count; ++i)
    order[getDims().back() + 1 + i] = dims.back() + 1 + i;
  return transpose(y, order).value();
}

/// The new dimensions stand before the last one of x, as windows do.
Value BroadcastOp::permute(ExprBuilder &c, ValueRange operands,
                           ArrayRef<int64_t> perm) {
  ArrayRef<int64_t> dims = getDims();
  ArrayRef<int64_t> shape = shapeOf(getResult());
  // A vector that is repeated has no order worth keeping.
  int64_t rank = shape.size(), own = perm.size();
  if (own < 2)
    return {};
  // Result dimensions in the order of x, with the new ones.
  SmallVector<int64_t> order, sizes, places;
  for (int64_t d : inverse(perm))
    order.push_back(dims[d]);
  SmallVector<int64_t> added = otherDims(dims, rank);
  order.insert(order.end() - 1, added.begin(), added.end());
  for (int64_t d : order)
    sizes.push_back(shape[d]);
  for (int64_t i = 0; i < own; ++i)
    places.push_back(i + 1 < own ? i : rank - 1);
  Expr x(c, operands[0]);
  Value y =
      BroadcastOp::create(c.b, c.loc, RankedTensorType::get(sizes, x.element()),
                          x.value(), c.b.getDenseI64ArrayAttr(places));
  return transpose(Expr(c, y), inverse(order)).value();
}

/// Windows that stand behind the last windowed dimension on both sides.
Value FoldOp::permute(ExprBuilder &c, ValueRange operands,
                      ArrayRef<int64_t> perm) {
  int64_t count = getDims().size(), rank = int64_t(perm.size()) - count;
  auto behind = [&](int64_t d, int64_t last) {
    return d <= last ? d : d + count;
  };
  // Where dimension d of the result lies before the transpose.
  SmallVector<int64_t> from, order, place(rank), dims;
  for (int64_t d = 0; d < rank; ++d)
    from.push_back(perm[behind(d, getDims().back())]);
  order = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  llvm::sort(order, [&](int64_t x, int64_t y) { return from[x] < from[y]; });
  for (auto [i, d] : llvm::enumerate(order))
    place[d] = i;
  for (int64_t d : getDims())
    dims.push_back(place[d]);
  if (!llvm::is_sorted(dims))
    return {};
  for (int64_t d = 0; d < rank; ++d)
    if (from[d] != behind(place[d], dims.back()))
      return {};
  for (int64_t i = 0; i < count; ++i)
    if (perm[getDims().back() + 1 + i] != dims.back() + 1 + i)
      return {};
  SmallVector<int64_t> shape;
  for (int64_t d : order)
    shape.push_back(shapeOf(getResult())[d]);
  Expr y = nncc::fold(Expr(c, operands[0]), shape, dims, getSizes(),
                      getStrides(), getDilations());
  return transpose(y, place).value();
}

Value ConcatOp::permute(ExprBuilder &c, ValueRange operands,
                        ArrayRef<int64_t> perm) {
  SmallVector<Expr> parts;
  for (Value operand : operands)
    parts.push_back(Expr(c, operand));
  return transpose(nncc::concat(parts, perm[getDim()]), perm).value();
}

} // namespace nncc
