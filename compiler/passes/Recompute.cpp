//===- Recompute.cpp - values made again instead of kept ------------------===//
//
// What backward reads of forward lives long. A second call of its kernel right
// before the later uses shortens its life; nncc-plan-memory does that, one
// tensor at a time, until the arena fits or nothing shortens its peak.
//
//===----------------------------------------------------------------------===//
#include "passes/Recompute.h"
#include "dialect/Names.h"
#include "passes/Utils.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace nncc {

namespace {

struct Choice {
  CallOp call;
  Operation *before = nullptr; // the first of the uses that get the new value
  int64_t bytes = 0;
  double cost = 0; // operations, or 0 for what is cheaper than memory

  bool isBetterThan(const Choice &other) const {
    if (!other.before)
      return true;
    if ((cost == 0) != (other.cost == 0))
      return cost == 0;
    return cost == 0 ? bytes > other.bytes
                     : bytes * other.cost > other.bytes * cost;
  }
};

class Chooser {
public:
  explicit Chooser(func::FuncOp entry)
      : block(entry.getBody().front()),
        module(entry->getParentOfType<ModuleOp>()) {
    for (Operation &op : block)
      number.try_emplace(&op, number.size());
    for (OpOperand &use : block.getTerminator()->getOpOperands())
      if (unsigned i = use.getOperandNumber();
          entry.getResultAttr(i, updateAttr))
        written[entry.getResultAttrOfType<StringAttr>(i, valueNameAttr)] =
            number[use.get().getDefiningOp()];
  }

  /// For the moment of the op of that number.
  Choice choose(int64_t peak) {
    Choice best;
    for (CallOp call : block.getOps<CallOp>()) {
      Choice choice = consider(call, peak);
      if (choice.before && choice.isBetterThan(best))
        best = choice;
    }
    return best;
  }

  /// Calls the kernel again, and those of its operands that are gone by then.
  void apply(Choice choice) {
    OpBuilder b(choice.before);
    IRMapping mapping;
    for (Value operand : choice.call.getOperands())
      remake(b, operand, choice.before, mapping);
    Value result = choice.call.getResult(0);
    Operation *again = clone(b, choice.call, mapping);
    result.replaceUsesWithIf(again->getResult(0), [&](OpOperand &use) {
      return use.getOwner() != again &&
             !use.getOwner()->isBeforeInBlock(choice.before);
    });
  }

private:
  /// Calls in a row that make one value again.
  static constexpr int mostSteps = 3;

  double costOf(CallOp call) {
    auto kernel = module.lookupSymbol<func::FuncOp>(call.getCallee());
    double elements = 0;
    bool isCheap = true;
    for (Operation &op : kernel.getBody().front().without_terminator()) {
      isCheap &= isMadeOfNothing(&op) || isa<View>(op) ||
                 (op.hasTrait<OpTrait::Elementwise>() &&
                  !op.hasTrait<OpTrait::nncc::Costly>());
      elements += tensorType(op.getResult(0)).getNumElements();
    }
    return isCheap ? 0 : elements + double(int64_t(flopsOf(kernel)));
  }

  Choice consider(CallOp call, int64_t peak) {
    if (call.getNumResults() != 1)
      return {};
    Value result = call.getResult(0);
    Operation *after = nullptr; // its first use behind the peak
    for (Operation *user : result.getUsers()) {
      if (!isa<CallOp>(user) || number[user] == peak)
        return {};
      if (number[user] > peak && (!after || number[user] < number[after]))
        after = user;
    }
    if (number[call] >= peak || !after)
      return {};
    double cost = costOf(call);
    for (Value operand : call.getOperands())
      if (!canRemake(operand, after, mostSteps - 1, cost))
        return {};
    return {call, after, alignedBytes(tensorType(result)), cost};
  }

  /// True if nothing has to be done to have `value` at `at`.
  bool isThere(Value value, Operation *at) {
    Value root = storageOf(value).root;
    Operation *def = root.getDefiningOp();
    if (!def) // an input
      return true;
    if (auto weight = dyn_cast<WeightOp>(def)) {
      auto writer = written.find(weight.getPathAttr());
      return weight.getPrepared() || writer == written.end() ||
             number[at] <= writer->second;
    }
    return lastUse(root, number) >= number[at];
  }

  /// Adds what that costs to `cost`.
  bool canRemake(Value value, Operation *at, int steps, double &cost) {
    if (isThere(value, at))
      return true;
    auto alias = value.getDefiningOp<MemoryAlias>();
    if (alias && !alias.writesInPlace())
      return llvm::all_of(alias->getOperands(), [&](Value operand) {
        return canRemake(operand, at, steps, cost);
      });
    auto call = value.getDefiningOp<CallOp>();
    if (!call || call.getNumResults() != 1 || steps == 0)
      return false;
    cost += costOf(call);
    return llvm::all_of(call.getOperands(), [&](Value operand) {
      return canRemake(operand, at, steps - 1, cost);
    });
  }

  void remake(OpBuilder &b, Value value, Operation *at, IRMapping &mapping) {
    if (isThere(value, at) || mapping.contains(value))
      return;
    Operation *def = value.getDefiningOp();
    for (Value operand : def->getOperands())
      remake(b, operand, at, mapping);
    clone(b, def, mapping);
  }

  static Operation *clone(OpBuilder &b, Operation *op, IRMapping &mapping) {
    Operation *again = b.clone(*op, mapping);
    if (isa<CallOp>(again))
      again->setAttr(recomputedAttr, b.getUnitAttr());
    return again;
  }

  Block &block;
  ModuleOp module;
  DenseMap<Operation *, int64_t> number;
  /// By name: the number of the call that writes a weight.
  DenseMap<StringAttr, int64_t> written;
};

} // namespace

bool recomputeForPeak(func::FuncOp entry, int64_t peak) {
  Chooser chooser(entry);
  Choice choice = chooser.choose(peak);
  if (choice.before)
    chooser.apply(choice);
  return choice.before;
}

} // namespace nncc
