//===- HoistInvariants.cpp - work that every step of a scan would repeat --===//
//
// As in @prepare, the boundary is the last op before a user that changes from
// step to step, stepping back over broadcasts and reshapes, which cost nothing.
//
//===----------------------------------------------------------------------===//
#include "passes/Passes.h"
#include "passes/Utils.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCHOISTINVARIANTS
#include "passes/Passes.h.inc"

namespace {

class Hoister {
public:
  explicit Hoister(ScanOp scan) : scan(scan), b(scan) {
    for (auto [argument, operand] :
         llvm::zip_equal(scan.fixed(), scan.getInvariants()))
      outside.map(argument, operand);
  }

  int64_t run() {
    SmallVector<Value> roots;
    for (Operation &op : scan.block())
      for (Value operand : op.getOperands()) {
        if (isFixed(&op) || !isFixed(operand.getDefiningOp()))
          continue;
        while (isa_and_nonnull<BroadcastOp, ReshapeOp>(operand.getDefiningOp()))
          operand = operand.getDefiningOp()->getOperand(0);
        Operation *def = operand.getDefiningOp();
        if (def && readsInvariant(operand) &&
            !llvm::is_contained(roots, operand))
          roots.push_back(operand);
      }
    SmallVector<Value> hoisted;
    for (Value root : roots)
      hoisted.push_back(clone(root));
    scan.getInvariantsMutable().append(hoisted);
    for (Value root : roots)
      root.replaceAllUsesWith(
          scan.block().addArgument(root.getType(), root.getLoc()));
    eraseDead(scan.block());
    return roots.size();
  }

private:
  /// True if the op gives the same in each step.
  bool isFixed(Operation *op) {
    if (!op || op->hasTrait<OpTrait::IsTerminator>())
      return false;
    auto [it, isNew] = fixed.try_emplace(op, false);
    if (!isNew)
      return it->second;
    bool all = llvm::all_of(op->getOperands(), [&](Value value) {
      return ScanOp::outside(value) || isFixed(value.getDefiningOp());
    });
    return fixed[op] = all;
  }

  /// False for constants and counting alone.
  bool readsInvariant(Value value) {
    Operation *op = value.getDefiningOp();
    return !op || llvm::any_of(op->getOperands(), [&](Value operand) {
      return readsInvariant(operand);
    });
  }

  Value clone(Value value) {
    if (Value known = outside.lookupOrNull(value))
      return known;
    for (Value operand : value.getDefiningOp()->getOperands())
      clone(operand);
    b.clone(*value.getDefiningOp(), outside);
    return outside.lookup(value);
  }

  ScanOp scan;
  OpBuilder b;
  IRMapping outside;
  DenseMap<Operation *, bool> fixed;
};

struct HoistInvariants : impl::NnccHoistInvariantsBase<HoistInvariants> {
  void runOnOperation() override {
    getOperation().walk([&](ScanOp scan) { hoisted += Hoister(scan).run(); });
  }
};

} // namespace
} // namespace nncc
