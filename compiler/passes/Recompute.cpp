//===- Recompute.cpp - values made again instead of kept ------------------===//
//
// What backward reads of forward lives long. Where an elementwise kernel gives
// it from tensors that live as long, a second call right before its later uses
// shortens its life; nncc-plan-memory does that until the arena fits.
//
//===----------------------------------------------------------------------===//
#include "passes/Recompute.h"
#include "dialect/Names.h"
#include "passes/Utils.h"

using namespace mlir;

namespace nncc {

namespace {

struct Choice {
  CallOp call;
  Operation *before = nullptr; // the first of the uses that get the new value
  int64_t bytes = 0;
};

class Chooser {
public:
  explicit Chooser(func::FuncOp entry)
      : entry(entry), module(entry->getParentOfType<ModuleOp>()) {
    for (Operation &op : entry.getBody().front())
      number.try_emplace(&op, number.size());
  }

  Choice choose() {
    Choice best;
    for (CallOp call : entry.getBody().front().getOps<CallOp>()) {
      Choice choice = consider(call);
      if (choice.before && choice.bytes > best.bytes)
        best = choice;
    }
    return best;
  }

private:
  /// Multiplications and the like: not what costs more than memory.
  bool isCheap(CallOp call) {
    auto kernel = module.lookupSymbol<func::FuncOp>(call.getCallee());
    return llvm::all_of(kernel.getBody().front().without_terminator(),
                        [](Operation &op) {
                          return isa<ConstantOp, IotaOp, View>(op) ||
                                 (op.hasTrait<OpTrait::Elementwise>() &&
                                  !op.hasTrait<OpTrait::nncc::Costly>());
                        });
  }

  /// The number of the last op that reads the memory of `value`.
  int64_t lastUse(Value value) {
    int64_t last = 0;
    for (Operation *user : value.getUsers()) {
      last = std::max(last, number[user]);
      if (isa<ReshapeOp, SliceOp>(user))
        last = std::max(last, lastUse(user->getResult(0)));
    }
    return last;
  }

  Choice consider(CallOp call) {
    if (call.getNumResults() != 1 || !isCheap(call))
      return {};
    Value result = call.getResult(0);
    SmallVector<Operation *> users;
    for (Operation *user : result.getUsers()) {
      if (!isa<CallOp>(user))
        return {};
      users.push_back(user);
    }
    llvm::sort(users, [&](Operation *x, Operation *y) {
      return number[x] < number[y];
    });
    // The longest time without a use.
    Operation *previous = call, *after = nullptr;
    int64_t longest = 8; // less frees nothing
    for (Operation *user : users) {
      if (number[user] - number[previous] > longest && previous != call) {
        longest = number[user] - number[previous];
        after = user;
      }
      previous = user;
    }
    if (!after)
      return {};
    for (Value operand : call.getOperands()) {
      Value root = storageOf(operand).root;
      Operation *def = root.getDefiningOp();
      if (!def) // an input
        continue;
      // Weights may have changed by then.
      if (!isa<CallOp>(def) || lastUse(root) < number[after])
        return {};
    }
    auto type = tensorType(result);
    int64_t bits = type.getElementType().getIntOrFloatBitWidth();
    return {call, after,
            type.getNumElements() * std::max<int64_t>(1, bits / 8)};
  }

  func::FuncOp entry;
  ModuleOp module;
  DenseMap<Operation *, int64_t> number;
};

} // namespace

bool recomputeLargest(func::FuncOp entry) {
  Choice choice = Chooser(entry).choose();
  if (!choice.before)
    return false;
  OpBuilder b(choice.before);
  auto again = cast<CallOp>(b.clone(*choice.call));
  again->setAttr(recomputedAttr, b.getUnitAttr());
  choice.call.getResult(0).replaceUsesWithIf(
      again.getResult(0), [&](OpOperand &use) {
        return use.getOwner() != again &&
               !use.getOwner()->isBeforeInBlock(choice.before);
      });
  return true;
}

} // namespace nncc
