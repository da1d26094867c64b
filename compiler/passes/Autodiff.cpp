//===- Autodiff.cpp - reverse mode ----------------------------------------===//
//
// One walk backwards over the block. A value matters if something asked for
// lies before it; its gradient is complete when all its users were walked.
// What each op gives is its own affair (`Differentiable`); broadcasting is
// explicit in the dialect, so it is undone where it is an op.
//
//===----------------------------------------------------------------------===//
#include "dialect/Gradient.h"
#include "passes/Passes.h"
#include "passes/Utils.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCAUTODIFF
#include "passes/Passes.h.inc"

namespace {

struct Autodiff : impl::NnccAutodiffBase<Autodiff> {
  void runOnOperation() override {
    SmallVector<GradientOp> list;
    SmallVector<DetachOp> detached;
    // First to last: an inner gradient is plain ops when an outer one comes.
    getOperation().walk([&](GradientOp op) { list.push_back(op); });
    for (GradientOp op : list)
      replace(op);
    getOperation().walk([&](DetachOp op) { detached.push_back(op); });
    for (DetachOp op : detached) {
      op.replaceAllUsesWith(op.getOperand());
      op.erase();
    }
  }

private:
  void replace(GradientOp op) {
    ExprBuilder c{OpBuilder(op), op.getLoc()};
    // Values that something asked for leads to.
    DenseSet<Value> matters(op.getOf().begin(), op.getOf().end());
    SmallVector<Operation *> path;
    for (Operation &step : *op->getBlock()) {
      if (&step == op)
        break;
      if (llvm::none_of(step.getOperands(),
                        [&](Value v) { return matters.contains(v); }))
        continue;
      path.push_back(&step);
      matters.insert(step.getResults().begin(), step.getResults().end());
    }
    DenseMap<Value, Expr> sums;
    auto wants = [&](Value value) {
      return matters.contains(value) &&
             isa<FloatType>(tensorType(value).getElementType());
    };
    auto give = [&](Value value, Expr gradient) {
      Expr &total = sums[value];
      total = total ? total + gradient : gradient;
    };
    sums[op.getValue()] = Expr(c, op.getSeed());
    for (Operation *step : llvm::reverse(path)) {
      Expr of;
      for (Value result : step->getResults())
        if (!of)
          of = sums.lookup(result);
      if (!of)
        continue;
      c.loc = step->getLoc();
      Gradient gradient(c, step, of, wants, give);
      cast<Differentiable>(step).gradient(gradient);
      if (gradient.failed)
        signalPassFailure();
      ++steps;
    }
    for (auto [value, result] : llvm::zip_equal(op.getOf(), op.getResults())) {
      Expr gradient = sums.lookup(value);
      if (!gradient) { // nothing reaches it
        auto type = tensorType(value);
        gradient = full(c, type.getElementType(), type.getShape(), 0);
      }
      result.replaceAllUsesWith(gradient.value());
    }
    op.erase();
    ++gradients;
  }
};

} // namespace
} // namespace nncc
