//===- HoistInvariants.cpp - work that every step of a scan would repeat --===//
//
// As in @prepare, the boundary is the last op before a user that changes from
// step to step, stepping back over broadcasts and reshapes, which cost nothing.
//
//===----------------------------------------------------------------------===//
#include "passes/Passes.h"
#include "passes/Utils.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

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
    llvm::SetVector<Value> roots;
    for (Operation &op : scan.block())
      for (Value operand : op.getOperands()) {
        if (isFixed(&op) || !operand.getDefiningOp() || !fixed(operand))
          continue;
        operand = unspread(operand);
        if (operand.getDefiningOp() && readsInvariant(operand))
          roots.insert(operand);
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
  bool isFixed(Operation *op) {
    return op->getNumResults() &&
           llvm::all_of(op->getResults(), [&](Value v) { return fixed(v); });
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
  /// Gives the same in each step.
  OperandQuestion fixed =
      OperandQuestion::ofAll([](Value value) -> std::optional<bool> {
        if (!value.getDefiningOp())
          return bool(ScanOp::outside(value));
        return std::nullopt;
      });
  /// False for constants and counting alone.
  OperandQuestion readsInvariant =
      OperandQuestion::ofAny([](Value value) -> std::optional<bool> {
        return value.getDefiningOp() ? std::nullopt : std::optional<bool>(true);
      });
};

struct HoistInvariants : impl::NnccHoistInvariantsBase<HoistInvariants> {
  void runOnOperation() override {
    getOperation().walk([&](ScanOp scan) { hoisted += Hoister(scan).run(); });
  }
};

} // namespace
} // namespace nncc
