//===- SinkTransposes.cpp - transposes move towards the outputs -----------===//
//
// Through elementwise ops, and those that are Permutable. Transposes of weights
// stay where they are: @prepare takes them.
//
//===----------------------------------------------------------------------===//
#include "passes/SinkTransposes.h"
#include "dialect/Expr.h"
#include "passes/Utils.h"

using namespace mlir;

namespace nncc {

namespace {

/// The transpose that makes `value`, if it moves activations. An input of the
/// entry is brought into the target's layout where it is first used.
TransposeOp sinkable(Value value) {
  auto op = value.getDefiningOp<TransposeOp>();
  if (!op || isa<BlockArgument>(op.getOperand()) ||
      weightOnly()(op.getOperand()))
    return {};
  return op;
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

struct SinkPermutable : SinkBase {
  using SinkBase::SinkBase;
  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    auto permutable = dyn_cast<Permutable>(op);
    TransposeOp first =
        permutable ? sinkable(op->getOperand(0)) : TransposeOp();
    if (!first || !allUntransposable(op->getOperands(), first.getPerm()))
      return failure();
    ExprBuilder c{rewriter, op->getLoc()};
    c.b.setInsertionPoint(op);
    auto perm = llvm::to_vector(first.getPerm());
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(untransposed(c, operand, perm).value());
    Value result = permutable.permute(c, operands, perm);
    if (!result)
      return failure();
    finish(op, Expr(c, result), rewriter);
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
  patterns.add<SinkElementwise, SinkPermutable>(patterns.getContext(), sunk);
  patterns.add<TransposeToReshape>(patterns.getContext());
}

} // namespace nncc
