//===- KernelForming.cpp - between the two halves of form-kernels ---------===//
#include "passes/KernelForming.h"
#include "passes/Utils.h"

using namespace mlir;

namespace nncc {

bool isFreeAnywhere(Operation *op) {
  auto isView = [](Operation *op) {
    return isa_and_nonnull<View>(op) && !isa<PadOp>(op);
  };
  if (isMadeOfNothing(op) || isView(op))
    return true;
  // Numbers made from counting alone, such as positions in a window.
  return op->hasTrait<OpTrait::Elementwise>() &&
         !op->hasTrait<OpTrait::nncc::Costly>() &&
         llvm::all_of(op->getOperands(), [&](Value value) {
           Operation *def = value.getDefiningOp();
           return isMadeOfNothing(def) ||
                  (isView(def) &&
                   isMadeOfNothing(def->getOperand(0).getDefiningOp()));
         });
}

bool readsMemory(Operation *op) {
  return isa<func::ReturnOp, YieldOp, AllReduceOp, ScanOp>(op);
}

bool FormedKernels::isOffset(Operation *op,
                             const DenseSet<Operation *> &inside) const {
  auto alias = dyn_cast<MemoryAlias>(op);
  auto place = alias ? alias.aliasOf(0) : std::nullopt;
  if (!place || byteSize(tensorType(op->getResult(0))) ==
                    byteSize(tensorType(op->getOperand(place->operand))))
    return false;
  Operation *root = storageOf(op->getResult(0)).root.getDefiningOp();
  return !root || (!inside.contains(root) && !isFree(root));
}

void FormedKernels::collect(Value value, const DenseSet<Operation *> &inside,
                            SetVector<Value> &operands,
                            SetVector<Operation *> &body) const {
  Operation *op = value.getDefiningOp();
  if (!op || !(inside.contains(op) || isFree(op)) || isOffset(op, inside)) {
    operands.insert(value);
    return;
  }
  if (body.contains(op))
    return;
  for (Value operand : op->getOperands())
    collect(operand, inside, operands, body);
  body.insert(op);
}

int64_t FormedKernels::countOperands(ArrayRef<Operation *> ops) const {
  DenseSet<Operation *> inside(ops.begin(), ops.end());
  SetVector<Value> operands;
  SetVector<Operation *> body;
  for (Operation *op : ops)
    for (Value operand : op->getOperands())
      collect(operand, inside, operands, body);
  return operands.size();
}

void FormedKernels::realUsers(Value value,
                              SetVector<Operation *> &users) const {
  allUses(
      value,
      [&](OpOperand &use) {
        Operation *user = use.getOwner();
        return isFree(user) ? Value(user->getResult(0)) : Value();
      },
      [&](OpOperand &use) {
        if (!isFree(use.getOwner()))
          users.insert(use.getOwner());
        return true;
      });
}

} // namespace nncc
