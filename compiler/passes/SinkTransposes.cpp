//===- SinkTransposes.cpp - transposes move towards the outputs -----------===//
//
// One pattern per kind of op. Transposes of weights stay where they are:
// @prepare takes them.
//
//===----------------------------------------------------------------------===//
#include "passes/SinkTransposes.h"
#include "dialect/Expr.h"
#include "passes/Utils.h"

using namespace mlir;

namespace nncc {

namespace {

SmallVector<int64_t> inverse(ArrayRef<int64_t> perm) {
  SmallVector<int64_t> result(perm.size());
  for (auto [i, d] : llvm::enumerate(perm))
    result[d] = i;
  return result;
}

/// The transpose that makes `value`, if it moves activations. An input of the
/// entry is brought into the target's layout where it is first used.
TransposeOp sinkable(Value value) {
  auto op = value.getDefiningOp<TransposeOp>();
  if (!op || isa<BlockArgument>(op.getOperand()) ||
      weightOnly()(op.getOperand()))
    return {};
  return op;
}

/// Attribute entries of transposed dimensions, in the operand's order.
SmallVector<int64_t> permuted(ArrayRef<int64_t> entries,
                              ArrayRef<int64_t> perm) {
  SmallVector<int64_t> result(entries.size());
  for (auto [i, d] : llvm::enumerate(perm))
    result[d] = entries[i];
  return result;
}

/// x such that value = transpose(x, perm), cheaply if value is such a
/// transpose, a splat or a broadcast.
Expr untransposed(ExprBuilder &c, Value value, ArrayRef<int64_t> perm) {
  if (auto op = value.getDefiningOp<TransposeOp>())
    if (op.getPerm() == perm)
      return Expr(c, op.getOperand());
  if (auto op = value.getDefiningOp<BroadcastOp>()) {
    // Result dimension d of the broadcast is dimension perm[d] of x.
    SmallVector<int64_t> dims;
    for (int64_t d : op.getDims())
      dims.push_back(perm[d]);
    SmallVector<int64_t> shape = permuted(shapeOf(value), perm);
    SmallVector<int64_t> order =
        llvm::to_vector(llvm::seq<int64_t>(0, dims.size()));
    llvm::sort(order, [&](int64_t x, int64_t y) { return dims[x] < dims[y]; });
    llvm::sort(dims);
    Expr operand = transpose(Expr(c, op.getOperand()), order);
    return Expr(c,
                BroadcastOp::create(
                    c.b, c.loc, RankedTensorType::get(shape, operand.element()),
                    operand.value(), c.b.getDenseI64ArrayAttr(dims)));
  }
  return transpose(Expr(c, value), inverse(perm));
}

/// True if all operands are as well read before a transpose by `perm`. With an
/// operand that would need a transpose of its own, sinking would go on forever
/// between the two.
bool allUntransposable(OperandRange operands, ArrayRef<int64_t> perm) {
  OperandQuestion fixed = weightOnly();
  return llvm::all_of(operands, [&](Value operand) {
    auto moved = operand.getDefiningOp<TransposeOp>();
    return (moved && moved.getPerm() == perm) ||
           operand.getDefiningOp<BroadcastOp>() || fixed(operand);
  });
}

struct SinkBase : RewritePattern {
  SinkBase(StringRef name, MLIRContext *context, Pass::Statistic &sunk)
      : RewritePattern(name, 1, context), sunk(sunk) {}
  SinkBase(MLIRContext *context, Pass::Statistic &sunk)
      : RewritePattern(MatchAnyOpTypeTag(), 1, context), sunk(sunk) {}

  void finish(Operation *op, Expr result, PatternRewriter &rewriter) const {
    rewriter.replaceOp(op, result.value());
    ++sunk;
  }
  Pass::Statistic &sunk;
};

struct SinkElementwise : SinkBase {
  using SinkBase::SinkBase;
  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    if (!op->hasTrait<OpTrait::Elementwise>())
      return failure();
    TransposeOp first;
    for (Value operand : op->getOperands())
      if (!first)
        first = sinkable(operand);
    if (!first || !allUntransposable(op->getOperands(), first.getPerm()))
      return failure();
    ExprBuilder c{rewriter, op->getLoc()};
    c.b.setInsertionPoint(op);
    auto perm = llvm::to_vector(first.getPerm());
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(untransposed(c, operand, perm).value());
    auto type = tensorType(op->getResult(0));
    auto shape = permuted(type.getShape(), perm);
    Operation *clone = c.b.clone(*op);
    clone->setOperands(operands);
    clone->getResult(0).setType(
        RankedTensorType::get(shape, type.getElementType()));
    finish(op, transpose(Expr(c, clone->getResult(0)), perm), rewriter);
    return success();
  }
};

/// An op with one operand: `sink` gives op(transpose(x)) rewritten, or nothing.
template <typename OpTy, Expr (*sink)(ExprBuilder &, OpTy, TransposeOp)>
struct SinkOne : SinkBase {
  SinkOne(MLIRContext *context, Pass::Statistic &sunk)
      : SinkBase(OpTy::getOperationName(), context, sunk) {}
  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    TransposeOp moved = sinkable(op->getOperand(0));
    if (!moved)
      return failure();
    ExprBuilder c{rewriter, op->getLoc()};
    c.b.setInsertionPoint(op);
    Expr result = sink(c, cast<OpTy>(op), moved);
    if (!result)
      return failure();
    finish(op, result, rewriter);
    return success();
  }
};

Expr sinkReduce(ExprBuilder &c, ReduceOp op, TransposeOp moved) {
  ArrayRef<int64_t> perm = moved.getPerm();
  SmallVector<int64_t> dims, kept;
  for (int64_t d : op.getDims())
    dims.push_back(perm[d]);
  llvm::sort(dims);
  for (int64_t d : otherDims(op.getDims(), perm.size()))
    kept.push_back(perm[d]);
  // Kept dimensions keep the order of perm among themselves.
  SmallVector<int64_t> sorted(kept), order;
  llvm::sort(sorted);
  for (int64_t d : kept)
    order.push_back(llvm::find(sorted, d) - sorted.begin());
  Expr x(c, moved.getOperand());
  return transpose(reduce(op.getCombiner(), x, dims), order);
}

Expr sinkPad(ExprBuilder &c, PadOp op, TransposeOp moved) {
  ArrayRef<int64_t> perm = moved.getPerm();
  Expr y = pad(Expr(c, moved.getOperand()), permuted(op.getLow(), perm),
               permuted(op.getHigh(), perm), Number::of(op.getValueAttr()),
               permuted(op.getInterior(), perm));
  return transpose(y, perm);
}

Expr sinkSlice(ExprBuilder &c, SliceOp op, TransposeOp moved) {
  ArrayRef<int64_t> perm = moved.getPerm();
  auto attr = [&](ArrayRef<int64_t> entries) {
    return c.b.getDenseI64ArrayAttr(permuted(entries, perm));
  };
  Value y =
      SliceOp::create(c.b, c.loc, moved.getOperand(), attr(op.getStarts()),
                      attr(op.getSizes()), attr(op.getSteps()));
  return transpose(Expr(c, y), perm);
}

/// Windows over dimensions that stand in the same order on both sides.
Expr sinkPatches(ExprBuilder &c, PatchesOp op, TransposeOp moved) {
  ArrayRef<int64_t> perm = moved.getPerm();
  SmallVector<int64_t> dims;
  for (int64_t d : op.getDims())
    dims.push_back(perm[d]);
  if (!llvm::is_sorted(dims))
    return {};
  Expr y = patches(Expr(c, moved.getOperand()), dims, op.getSizes(),
                   op.getStrides(), op.getDilations());
  // Result dimension of operand dimension d, before and after.
  int64_t count = dims.size();
  auto place = [&](int64_t d, int64_t last) {
    return d <= last ? d : d + count;
  };
  SmallVector<int64_t> order(perm.size() + count);
  for (auto [i, d] : llvm::enumerate(perm))
    order[place(i, op.getDims().back())] = place(d, dims.back());
  for (int64_t i = 0; i < count; ++i)
    order[op.getDims().back() + 1 + i] = dims.back() + 1 + i;
  return transpose(y, order);
}

/// The new dimensions stand before the last one of x, as windows do.
Expr sinkBroadcast(ExprBuilder &c, BroadcastOp op, TransposeOp moved) {
  ArrayRef<int64_t> perm = moved.getPerm(), dims = op.getDims();
  ArrayRef<int64_t> shape = shapeOf(op.getResult());
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
  Expr x(c, moved.getOperand());
  Value y =
      BroadcastOp::create(c.b, c.loc, RankedTensorType::get(sizes, x.element()),
                          x.value(), c.b.getDenseI64ArrayAttr(places));
  return transpose(Expr(c, y), inverse(order));
}

/// Windows that stand behind the last windowed dimension on both sides.
Expr sinkFold(ExprBuilder &c, FoldOp op, TransposeOp moved) {
  ArrayRef<int64_t> perm = moved.getPerm();
  int64_t count = op.getDims().size(), rank = int64_t(perm.size()) - count;
  auto behind = [&](int64_t d, int64_t last) {
    return d <= last ? d : d + count;
  };
  // Where dimension d of the result lies before the transpose.
  SmallVector<int64_t> from, order, place(rank), dims;
  for (int64_t d = 0; d < rank; ++d)
    from.push_back(perm[behind(d, op.getDims().back())]);
  order = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  llvm::sort(order, [&](int64_t x, int64_t y) { return from[x] < from[y]; });
  for (auto [i, d] : llvm::enumerate(order))
    place[d] = i;
  for (int64_t d : op.getDims())
    dims.push_back(place[d]);
  if (!llvm::is_sorted(dims))
    return {};
  for (int64_t d = 0; d < rank; ++d)
    if (from[d] != behind(place[d], dims.back()))
      return {};
  for (int64_t i = 0; i < count; ++i)
    if (perm[op.getDims().back() + 1 + i] != dims.back() + 1 + i)
      return {};
  SmallVector<int64_t> shape;
  for (int64_t d : order)
    shape.push_back(shapeOf(op.getResult())[d]);
  Expr y = fold(Expr(c, moved.getOperand()), shape, dims, op.getSizes(),
                op.getStrides(), op.getDilations());
  return transpose(y, place);
}

struct SinkConcat : SinkBase {
  SinkConcat(MLIRContext *context, Pass::Statistic &sunk)
      : SinkBase(ConcatOp::getOperationName(), context, sunk) {}
  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    auto joined = cast<ConcatOp>(op);
    TransposeOp first = sinkable(joined.getOperands().front());
    if (!first || !allUntransposable(joined.getOperands(), first.getPerm()))
      return failure();
    ExprBuilder c{rewriter, op->getLoc()};
    c.b.setInsertionPoint(op);
    auto perm = llvm::to_vector(first.getPerm());
    SmallVector<Expr> parts;
    for (Value operand : joined.getOperands())
      parts.push_back(untransposed(c, operand, perm));
    Expr y = concat(parts, perm[joined.getDim()]);
    finish(op, transpose(y, perm), rewriter);
    return success();
  }
};

/// A transpose that moves only dimensions of size 1 is a reshape.
struct TransposeToReshape : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(TransposeOp op,
                                PatternRewriter &rewriter) const override {
    SmallVector<int64_t> moving;
    for (int64_t d : op.getPerm())
      if (shapeOf(op.getOperand())[d] != 1)
        moving.push_back(d);
    if (!llvm::is_sorted(moving))
      return failure();
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(), op.getOperand());
    return success();
  }
};

} // namespace

void populateSinkTransposes(RewritePatternSet &patterns,
                            Pass::Statistic &sunk) {
  patterns.add<SinkElementwise, SinkConcat, SinkOne<ReduceOp, sinkReduce>,
               SinkOne<PadOp, sinkPad>, SinkOne<SliceOp, sinkSlice>,
               SinkOne<PatchesOp, sinkPatches>,
               SinkOne<BroadcastOp, sinkBroadcast>, SinkOne<FoldOp, sinkFold>>(
      patterns.getContext(), sunk);
  patterns.add<TransposeToReshape>(patterns.getContext());
}

} // namespace nncc
