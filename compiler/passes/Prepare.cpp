//===- Prepare.cpp - what depends on weights alone is computed once -------===//
//
// The boundary is drawn at the last op before a user that is not weight-only,
// stepping back over broadcasts and reshapes: these cost nothing in a kernel
// and would only enlarge what is stored.
//
//===----------------------------------------------------------------------===//
#include "passes/Passes.h"
#include "passes/Utils.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCPREPARE
#include "passes/Passes.h.inc"

namespace {

struct Prepare : impl::NnccPrepareBase<Prepare> {
  void runOnOperation() override {
    for (func::FuncOp entry : entriesOf(getOperation()))
      if (entry.getName() != "prepare")
        collect(entry);
    if (hoisted.empty())
      return;
    buildPrepare();
  }

private:
  /// True if anything under `value` reads a weight.
  bool readsWeights(Value value) {
    Operation *op = value.getDefiningOp();
    return isa<WeightOp>(op) ||
           llvm::any_of(op->getOperands(),
                        [&](Value v) { return readsWeights(v); });
  }

  void collect(func::FuncOp entry) {
    WeightOnly weightOnly;
    SmallVector<Value> roots;
    for (Operation &op : entry.getBody().front()) {
      bool opIsWeightOnly =
          op.getNumResults() == 1 && weightOnly(op.getResult(0));
      if (opIsWeightOnly)
        continue;
      for (Value operand : op.getOperands()) {
        if (!weightOnly(operand))
          continue;
        Value root = operand;
        while (isa<BroadcastOp, ReshapeOp>(root.getDefiningOp()))
          root = root.getDefiningOp()->getOperand(0);
        Operation *def = root.getDefiningOp();
        if (isa<WeightOp, ConstantOp>(def) || !readsWeights(root))
          continue;
        if (!llvm::is_contained(roots, root))
          roots.push_back(root);
      }
    }
    for (Value root : roots) {
      OpBuilder builder(root.getContext());
      builder.setInsertionPointAfterValue(root);
      auto prepared = WeightOp::create(
          builder, root.getLoc(), root.getType(),
          builder.getStringAttr(Twine(hoisted.size())), builder.getUnitAttr());
      root.replaceAllUsesWith(prepared);
      hoisted.push_back(root);
      ++this->prepared;
    }
  }

  void buildPrepare() {
    ModuleOp module = getOperation();
    OpBuilder builder(module.getBodyRegion());
    builder.setInsertionPointToEnd(module.getBody());
    SmallVector<Type> types;
    for (Value root : hoisted)
      types.push_back(root.getType());
    auto function = func::FuncOp::create(
        builder, module.getLoc(), "prepare",
        builder.getFunctionType({}, types));
    builder.setInsertionPointToStart(function.addEntryBlock());
    IRMapping mapping;
    auto clone = [&](auto &self, Value value) -> Value {
      if (Value known = mapping.lookupOrNull(value))
        return known;
      for (Value operand : value.getDefiningOp()->getOperands())
        self(self, operand);
      builder.clone(*value.getDefiningOp(), mapping);
      return mapping.lookup(value);
    };
    SmallVector<Value> results;
    for (Value root : hoisted)
      results.push_back(clone(clone, root));
    func::ReturnOp::create(builder, module.getLoc(), results);
    // What only the hoisted expressions used is dead now.
    for (func::FuncOp entry : entriesOf(module))
      for (Operation &op : llvm::make_early_inc_range(
               llvm::reverse(entry.getBody().front().without_terminator())))
        if (isOpTriviallyDead(&op))
          op.erase();
  }

  SmallVector<Value> hoisted;
};

} // namespace
} // namespace nncc
