//===- Reduce.cpp - reductions --------------------------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"
#include <numeric>

using namespace mlir;

namespace nncc {

LogicalResult ReduceOp::inferReturnTypes(MLIRContext *,
                                         std::optional<Location> loc,
                                         ReduceOp::Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  auto type = tensorType(adaptor.getOperand());
  if (!areDims(adaptor.getDims(), type.getRank()))
    return emitOptionalError(loc, "dims must be increasing dimensions of ",
                             type); // C1
  SmallVector<int64_t> shape;
  for (int64_t d : otherDims(adaptor.getDims(), type.getRank()))
    shape.push_back(type.getDimSize(d));
  types.push_back(RankedTensorType::get(shape, type.getElementType()));
  return success();
}

static double plus(double x, double y) { return x + y; }
static double times(double x, double y) { return x * y; }

/// x combiner y; max and min keep a NaN of either side.
template <typename T> static T combined(Combiner combiner, T x, T y) {
  switch (combiner) {
  case Combiner::sum:
    return plus(x, y);
  case Combiner::prod:
    return times(x, y);
  case Combiner::max:
    return x > y || x != x ? x : y;
  case Combiner::min:
    return x < y || x != x ? x : y;
  }
  llvm_unreachable("unknown combiner");
}

void ReduceOp::evaluate(ArrayRef<RefTensor> inputs,
                        MutableArrayRef<RefTensor> results) {
  const RefTensor &x = inputs[0];
  RefTensor &y = results[0];
  Number identity = identityOf(getCombiner(), x.type.getElementType());
  for (int64_t i = 0, n = y.size(); i < n; ++i)
    y.set(i, identity);
  SmallVector<int64_t> kept = otherDims(getDims(), x.type.getRank());
  SmallVector<int64_t> strides = y.strides();
  int64_t position = 0;
  forEachIndex(x.shape(), [&](ArrayRef<int64_t> index) {
    int64_t to = 0;
    for (auto [d, stride] : llvm::zip_equal(kept, strides))
      to += index[d] * stride;
    if (x.isFloat())
      y.floats[to] = combined(getCombiner(), y.floats[to], x.floats[position]);
    else
      y.ints[to] = combined(getCombiner(), y.ints[to], x.ints[position]);
    ++position;
  });
}

/// The longest vectors along the last dimension, from multiples of their length
/// on, that come from one place: from a part of what is joined here, or memory.
static int64_t togetherIn(ElementEmitter &e, Value x) {
  int64_t length = int64_t(1) << 30, start = 0, last = shapeOf(x).size() - 1;
  auto concat = x.getDefiningOp<ConcatOp>();
  if (!concat || e.isInMemory(x) || int64_t(concat.getDim()) != last)
    return length;
  for (Value part : concat.getOperands().drop_back())
    length = std::gcd(length, start += shapeOf(part)[last]);
  return length;
}

Value ReduceOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  auto type = tensorType(getOperand());
  SmallVector<int64_t> kept = otherDims(getDims(), type.getRank());
  SmallVector<int64_t> extents;
  for (int64_t d : getDims())
    extents.push_back(type.getDimSize(d));
  bool isLast = !getDims().empty() && getDims().back() == type.getRank() - 1;
  int64_t together = isLast ? togetherIn(e, getOperand()) : 0;
  return e.reduce(getCombiner(), type.getElementType(), extents, together,
                  [&](ArrayRef<Coord> iv) {
                    Coords coords(type.getRank());
                    for (auto [i, d] : llvm::enumerate(kept))
                      coords[d] = at[i];
                    for (auto [i, d] : llvm::enumerate(getDims()))
                      coords[d] = iv[i];
                    return e.at(getOperand(), coords);
                  });
}

/// The number of each element along the reduced dimensions, in order.
static Expr positionAlong(Expr x, ArrayRef<int64_t> dims) {
  ExprBuilder &c = x.context();
  Type i64 = c.b.getI64Type();
  Expr position;
  int64_t step = 1;
  for (int64_t d : llvm::reverse(dims)) {
    Expr part = iota(c, i64, x.shape(), d, 0, step);
    position = position ? position + part : part;
    step *= x.dim(d);
  }
  return position;
}

/// x dims back from the reduced tensor.
static Expr spreadBack(Expr y, Expr x, ArrayRef<int64_t> dims) {
  SmallVector<int64_t> shape(x.shape());
  for (int64_t d : dims)
    shape[d] = 1;
  return broadcastTo(reshape(y, shape), x.shape());
}

/// Which elements of x are inside of what was padded before windows were taken;
/// null: all. Padding has the combiner's identity, which may tie.
static Expr insideOf(Expr x) {
  auto windows = x.value().getDefiningOp<PatchesOp>();
  auto padded = windows ? windows.getOperand().getDefiningOp<PadOp>() : PadOp();
  if (!padded)
    return Expr();
  ExprBuilder &c = x.context();
  Expr inside = full(c, c.b.getI1Type(), shapeOf(padded.getOperand()), 1);
  return patches(
      pad(inside, padded.getLow(), padded.getHigh(), 0, padded.getInterior()),
      windows.getDims(), windows.getSizes(), windows.getStrides(),
      windows.getDilations());
}

void ReduceOp::gradient(Gradient &g) {
  Expr x = g.operand(0), zero = full(g.c, x.element(), x.shape(), 0);
  ArrayRef<int64_t> dims = getDims();
  Expr dy = spreadBack(g.of, x, dims), y = spreadBack(g.result, x, dims);
  switch (getCombiner()) {
  case Combiner::sum:
    g.give(0, dy);
    return;
  case Combiner::prod: {
    // y / x, but a single zero gets the product of the others.
    Expr one = full(g.c, x.element(), x.shape(), 1);
    Expr isZero = compare(Predicate::eq, x, zero);
    Expr zeros = spreadBack(sum(select(isZero, one, zero), dims), x, dims);
    Expr others = spreadBack(
        reduce(Combiner::prod, select(isZero, one, x), dims), x, dims);
    Expr alone = select(compare(Predicate::eq, zeros, one), others, zero);
    g.give(0, dy * select(isZero, alone, y / select(isZero, one, x)));
    return;
  }
  case Combiner::max:
  case Combiner::min: {
    Expr hit = compare(Predicate::eq, x, y);
    if (!getFirst()) {
      Expr hits = convert(hit, x.element());
      g.give(0, dy * hits / spreadBack(sum(hits, dims), x, dims));
      return;
    }
    // The first hit, but the last NaN, as PyTorch's pooling: NaNs rank below
    // all hits, the last one lowest.
    Expr position = positionAlong(x, dims);
    int64_t count = 1;
    for (int64_t d : dims)
      count *= x.dim(d);
    Expr behind = full(g.c, position.element(), x.shape(), count);
    Expr rank = select(hit, position, behind);
    if (Expr inside = insideOf(x))
      rank = select(inside, rank, behind);
    rank = select(compare(Predicate::ne, x, x), neg(position) - 1, rank);
    Expr least = reduce(Combiner::min, rank, dims);
    // Ranks are read once and never stored, since the least one says where it
    // comes from.
    Expr chosen = max(least, neg(least) - 1);
    Expr isChosen =
        compare(Predicate::eq, position, spreadBack(chosen, x, dims));
    g.give(0, select(isChosen, dy, zero));
    return;
  }
  }
}

} // namespace nncc
