//===- Autodiff.cpp - reverse mode ----------------------------------------===//
//
// One walk backwards over the entry for each `nncc.gradient`. What each op
// gives is its own affair (`Differentiable`).
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
    SmallVector<Operation *> marks;
    // First to last: an inner gradient is plain ops when an outer one comes.
    getOperation().walk([&](GradientOp op) { list.push_back(op); });
    for (GradientOp op : list)
      replace(op);
    getOperation().walk([&](Operation *op) {
      if (isa<DetachOp, WithSlopeOp>(op))
        marks.push_back(op);
    });
    for (Operation *op : marks) {
      op->getResult(0).replaceAllUsesWith(op->getOperand(0));
      op->erase();
    }
  }

private:
  void replace(GradientOp op) {
    ExprBuilder c{OpBuilder(op), op.getLoc()};
    c.room = 8 * maxPrimitives;
    ReverseWalk walk(c);
    for (Value value : op.getOf())
      walk.ask(value);
    walk.follow(op);
    walk.give(op.getValue(), Expr(c, op.getSeed()));
    if (failed(walk.run()))
      signalPassFailure();
    if (!c.problem.empty()) {
      reportLimit(c.loc, "a gradient: " + c.problem);
      return signalPassFailure();
    }
    for (auto [value, result] : llvm::zip_equal(op.getOf(), op.getResults())) {
      Expr gradient = walk.gradientOf(value);
      if (!gradient) { // nothing reaches it
        auto type = tensorType(value);
        gradient = full(c, type.getElementType(), type.getShape(), 0);
      }
      result.replaceAllUsesWith(gradient.value());
    }
    op.erase();
    ++gradients;
    steps += walk.steps;
  }
};

} // namespace
} // namespace nncc
