//===- Utils.cpp - questions that several passes ask ----------------------===//
#include "passes/Utils.h"

using namespace mlir;

namespace nncc {

SmallVector<func::FuncOp> entriesOf(ModuleOp module) {
  SmallVector<func::FuncOp> entries;
  for (auto function : module.getOps<func::FuncOp>())
    if (function.isPublic())
      entries.push_back(function);
  return entries;
}

int64_t alignedBytes(RankedTensorType type) {
  return int64_t(llvm::alignTo(byteSize(type), 64));
}

Storage storageOf(Value value) {
  Storage storage{value};
  while (auto alias = storage.root.getDefiningOp<MemoryAlias>()) {
    auto result = cast<OpResult>(storage.root);
    auto place = alias.aliasOf(result.getResultNumber());
    if (!place)
      break;
    storage.bytes += place->bytes;
    storage.root = alias->getOperand(place->operand);
  }
  return storage;
}

Value aliasBehind(OpOperand &use) {
  auto alias = dyn_cast<MemoryAlias>(use.getOwner());
  if (!alias)
    return {};
  for (OpResult result : alias->getResults()) {
    auto place = alias.aliasOf(result.getResultNumber());
    if (place && place->operand == use.getOperandNumber())
      return result;
  }
  return {};
}

int64_t lastUse(Value value, const DenseMap<Operation *, int64_t> &number) {
  int64_t last = 0;
  allUses(value, aliasBehind, [&](OpOperand &use) {
    last = std::max(last, number.lookup(use.getOwner()));
    return true;
  });
  return last;
}

llvm::StringMap<SmallVector<WeightOp, 1>> stateReads(Block &block) {
  llvm::StringMap<SmallVector<WeightOp, 1>> reads;
  for (auto weight : block.getOps<WeightOp>())
    if (!weight.getPrepared())
      reads[weight.getPath()].push_back(weight);
  return reads;
}

bool isMadeOfNothing(Operation *op) {
  return isa_and_nonnull<LowersToElements>(op) && op->getNumOperands() == 0 &&
         !isa<WeightOp>(op); // has memory
}

Value unspread(Value value) {
  while (isa_and_nonnull<BroadcastOp, ReshapeOp>(value.getDefiningOp()))
    value = value.getDefiningOp()->getOperand(0);
  return value;
}

void eraseDead(Block &block) {
  Operation *op = block.getTerminator()->getPrevNode();
  while (op) {
    Operation *previous = op->getPrevNode();
    if (!isa<CallOp>(op) && isOpTriviallyDead(op))
      op->erase();
    op = previous;
  }
}

} // namespace nncc
