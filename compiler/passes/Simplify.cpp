//===- Simplify.cpp - canonical forms, folding, scales into weights -------===//
//
// Greedy rewriting to a fixed point. A factor per output channel (batch norm
// in eval mode) moves into the weights of the convolution or contraction
// before it, where `prepare` computes it once.
//
//===----------------------------------------------------------------------===//
#include "dialect/Expr.h"
#include "passes/Passes.h"
#include "passes/Utils.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/Dominance.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCSIMPLIFY
#include "passes/Passes.h.inc"

namespace {

/// The largest result that constant folding makes, in elements.
constexpr int64_t maxFolded = 1 << 16;

/// Any op whose operands are constants becomes a constant, by its reference
/// meaning.
struct FoldConstants : RewritePattern {
  FoldConstants(MLIRContext *context, Pass::Statistic &folded)
      : RewritePattern(MatchAnyOpTypeTag(), 1, context), folded(folded) {}

  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    auto evaluable = dyn_cast<Evaluable>(op);
    if (!evaluable || op->getNumOperands() == 0 || op->getNumResults() != 1 ||
        isa<CallOp, ScanOp>(op) ||
        tensorType(op->getResult(0)).getNumElements() > maxFolded)
      return failure();
    std::vector<RefTensor> inputs;
    for (Value operand : op->getOperands()) {
      auto constant = operand.getDefiningOp<ConstantOp>();
      // Broadcast splats stay: they cost nothing and keep the IR small.
      if (!constant || isa<BroadcastOp>(op))
        return failure();
      inputs.emplace_back(cast<DenseElementsAttr>(constant.getValue()));
    }
    std::vector<RefTensor> results(1, RefTensor(tensorType(op->getResult(0))));
    evaluable.evaluate(inputs, results);
    rewriter.replaceOpWithNewOp<ConstantOp>(op, results[0].toAttr());
    ++folded;
    return success();
  }
  Pass::Statistic &folded;
};

bool isEmpty(Value value) { return tensorType(value).getNumElements() == 0; }

bool sumsNothing(Operation *op) {
  auto root = dyn_cast<KernelRoot>(op);
  return root && root.sumsNothing();
}

/// What has no elements, or is a sum over nothing, is a constant: no kernel has
/// to do with it.
struct FoldEmpty : RewritePattern {
  explicit FoldEmpty(MLIRContext *context)
      : RewritePattern(MatchAnyOpTypeTag(), 2, context) {}

  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    if (!isa<Evaluable>(op) || isa<ConstantOp, CallOp>(op) ||
        op->getNumResults() == 0 ||
        (!sumsNothing(op) && !llvm::all_of(op->getResults(), isEmpty)))
      return failure();
    ExprBuilder c{rewriter, op->getLoc()};
    c.b.setInsertionPoint(op);
    SmallVector<Value> zeros;
    for (Value result : op->getResults()) {
      Type element = tensorType(result).getElementType();
      zeros.push_back(full(c, element, shapeOf(result), 0).value());
    }
    rewriter.replaceOp(op, zeros);
    return success();
  }
};

/// A vector over channels, broadcast along one dimension.
BroadcastOp channelVector(Value value, int64_t dim) {
  auto broadcast = value.getDefiningOp<BroadcastOp>();
  if (broadcast && broadcast.getDims() == ArrayRef<int64_t>{dim} &&
      weightOnly()(broadcast.getOperand()))
    return broadcast;
  return {};
}

/// The dimension of a product's result that its kernel's dimension 0 gives.
int64_t channelDim(Operation *product) {
  if (isa<ConvolutionOp>(product))
    return 1;
  auto contract = dyn_cast<ContractOp>(product);
  if (!contract || contract.rhsFree() != ArrayRef<int64_t>{0} ||
      contract.getElement()) // factors have the result's type
    return -1;
  return tensorType(contract.getResult()).getRank() - 1;
}

/// product(x, w) * s -> product(x, w * s), and
/// (product(x, w) + b) * s -> product(x, w * s) + b * s.
struct ScaleWeights : OpRewritePattern<MulOp> {
  ScaleWeights(MLIRContext *context, Pass::Statistic &scaled)
      : OpRewritePattern(context), scaled(scaled) {}

  LogicalResult matchAndRewrite(MulOp op,
                                PatternRewriter &rewriter) const override {
    for (auto [value, factor] : {std::make_pair(op.getLhs(), op.getRhs()),
                                 std::make_pair(op.getRhs(), op.getLhs())}) {
      if (!value.hasOneUse())
        continue;
      Operation *product = value.getDefiningOp();
      auto add = value.getDefiningOp<AddOp>();
      if (add)
        product = add.getLhs().getDefiningOp();
      int64_t dim = product ? channelDim(product) : -1;
      if (dim < 0 || !product->hasOneUse() ||
          !weightOnly()(product->getOperand(1)))
        continue;
      BroadcastOp scale = channelVector(factor, dim);
      BroadcastOp bias = add ? channelVector(add.getRhs(), dim) : BroadcastOp();
      if (!scale || (add && !bias))
        continue;
      ExprBuilder c{rewriter, op.getLoc()};
      c.b.setInsertionPoint(op);
      Expr s(c, scale.getOperand()), w(c, product->getOperand(1));
      Expr scaledKernel = w * alongDim(s, w.shape(), 0);
      Operation *clone = c.b.clone(*product);
      clone->setOperand(1, scaledKernel.value());
      Expr result(c, clone->getResult(0));
      if (add)
        result = result +
                 alongDim(Expr(c, bias.getOperand()) * s, result.shape(), dim);
      rewriter.replaceOp(op, result.value());
      ++scaled;
      return success();
    }
    return failure();
  }
  Pass::Statistic &scaled;
};

/// (x + a) + b -> x + (a + b) for channel vectors a and b.
struct MergeBiases : OpRewritePattern<AddOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AddOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getLhs().getDefiningOp<AddOp>();
    auto second = op.getRhs().getDefiningOp<BroadcastOp>();
    if (!inner || !inner->hasOneUse() || !second ||
        second.getDims().size() != 1)
      return failure();
    int64_t dim = second.getDims()[0];
    BroadcastOp first = channelVector(inner.getRhs(), dim);
    if (!first || !channelVector(second, dim))
      return failure();
    ExprBuilder c{rewriter, op.getLoc()};
    c.b.setInsertionPoint(op);
    Expr sum = Expr(c, first.getOperand()) + Expr(c, second.getOperand());
    Expr x(c, inner.getLhs());
    rewriter.replaceOp(op, (x + alongDim(sum, x.shape(), dim)).value());
    return success();
  }
};

/// contract(a, b) + contract(c, d) -> contract(a ++ c, b ++ d), joined along
/// what is summed: one product for all uses of a weight. Where a
/// result is smaller than its operands, joining costs more than adding.
struct MergeProducts : OpRewritePattern<AddOp> {
  MergeProducts(MLIRContext *context, Pass::Statistic &merged)
      : OpRewritePattern(context), merged(merged) {}

  LogicalResult matchAndRewrite(AddOp op,
                                PatternRewriter &rewriter) const override {
    if (op->hasOneUse() && isa<AddOp>(*op->user_begin()))
      return failure(); // the whole sum is looked at from its end
    SmallVector<Value> others;
    SmallVector<ContractOp> products;
    collect(op, products, others);
    if (products.size() < 2)
      return failure();
    ExprBuilder c{rewriter, op.getLoc()};
    c.b.setInsertionPoint(op);
    Expr total;
    auto add = [&](Expr value) { total = total ? total + value : value; };
    bool any = false;
    while (!products.empty()) {
      ContractOp first = products.front();
      SmallVector<Expr> lhs, rhs;
      for (ContractOp product : products)
        if (isLike(first, product)) {
          lhs.push_back(Expr(c, product.getLhs()));
          rhs.push_back(Expr(c, product.getRhs()));
        }
      llvm::erase_if(
          products, [&](ContractOp product) { return isLike(first, product); });
      if (lhs.size() == 1) {
        others.push_back(first.getResult());
        continue;
      }
      any = true;
      ++merged;
      add(contract(concat(lhs, first.getLhsContract()[0]),
                   concat(rhs, first.getRhsContract()[0]), {}, {},
                   first.getLhsContract(), first.getRhsContract(),
                   first.getType().getElementType()));
    }
    if (!any)
      return failure();
    for (Value value : others)
      add(Expr(c, value));
    rewriter.replaceOp(op, total.value());
    return success();
  }

private:
  static bool isLike(ContractOp x, ContractOp y) {
    return x->getAttrs() == y->getAttrs() &&
           x.getLhs().getType() == y.getLhs().getType() &&
           x.getRhs().getType() == y.getRhs().getType();
  }
  /// What the sum that ends in `op` adds up.
  static void collect(AddOp op, SmallVectorImpl<ContractOp> &products,
                      SmallVectorImpl<Value> &others) {
    auto size = [](Value v) { return tensorType(v).getNumElements(); };
    SmallVector<Value> work{op.getRhs(), op.getLhs()};
    while (!work.empty()) {
      Value value = work.pop_back_val();
      auto add = value.getDefiningOp<AddOp>();
      auto product = value.getDefiningOp<ContractOp>();
      if (add && value.hasOneUse())
        work.append({add.getRhs(), add.getLhs()});
      else if (product && value.hasOneUse() && product.getLhsBatch().empty() &&
               product.getLhsContract().size() == 1 &&
               size(value) >= size(product.getLhs()) + size(product.getRhs()))
        products.push_back(product);
      else
        others.push_back(value);
    }
  }
  Pass::Statistic &merged;
};

/// x + scatter_add(0, i, u) -> scatter_add(x, i, u), through reshapes.
struct ScatterInto : OpRewritePattern<AddOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AddOp op,
                                PatternRewriter &rewriter) const override {
    for (auto [value, other] : {std::make_pair(op.getLhs(), op.getRhs()),
                                std::make_pair(op.getRhs(), op.getLhs())}) {
      Value inner = value;
      while (auto reshaped = inner.getDefiningOp<ReshapeOp>())
        inner = reshaped.getOperand();
      auto scatter = inner.getDefiningOp<ScatterAddOp>();
      auto base = scatter ? scatter.getBase().getDefiningOp<ConstantOp>()
                          : ConstantOp();
      if (!base || !value.hasOneUse() || !inner.hasOneUse() ||
          !matchPattern(base.getResult(), m_AnyZeroFloat()))
        continue;
      ExprBuilder c{rewriter, op.getLoc()};
      c.b.setInsertionPoint(op);
      Expr x(c, other), indices(c, scatter.getIndices());
      Expr sum = scatterAdd(reshape(x, shapeOf(inner)), indices,
                            Expr(c, scatter.getUpdates()));
      rewriter.replaceOp(op, reshape(sum, x.shape()).value());
      return success();
    }
    return failure();
  }
};

struct Simplify : impl::NnccSimplifyBase<Simplify> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FoldConstants>(&getContext(), folded);
    patterns.add<ScaleWeights>(&getContext(), scaled);
    patterns.add<FoldEmpty, MergeBiases, ScatterInto>(&getContext());
    patterns.add<MergeProducts>(&getContext(), merged);
    ScanOp::getCanonicalizationPatterns(patterns, &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
    DominanceInfo dominance(getOperation());
    IRRewriter rewriter(&getContext());
    eliminateCommonSubExpressions(rewriter, dominance, getOperation());
  }
};

} // namespace
} // namespace nncc
