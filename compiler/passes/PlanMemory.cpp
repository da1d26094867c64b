//===- PlanMemory.cpp - fixed places in one arena -------------------------===//
//
// Lifetimes are intervals of call numbers. A result takes the place of an
// operand that dies with it, where its kernel allows that. Largest tensors
// first, each at the lowest offset where nothing that lives at the same time is
// in the way.
//
//===----------------------------------------------------------------------===//
#include "dialect/Names.h"
#include "passes/Passes.h"
#include "passes/Recompute.h"
#include "passes/Utils.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCPLANMEMORY
#include "passes/Passes.h.inc"

namespace {

constexpr int64_t alignment = 64;

struct Tensor {
  Value value;
  int64_t bytes, first, last, offset = 0;
};

int64_t alignedBytes(Value value) {
  return llvm::alignTo(byteSize(tensorType(value)), alignment);
}

struct PlanMemory : impl::NnccPlanMemoryBase<PlanMemory> {
  using NnccPlanMemoryBase::NnccPlanMemoryBase;

  void runOnOperation() override {
    for (func::FuncOp entry : entriesOf(getOperation())) {
      int64_t arena = plan(entry);
      while (maxArena && arena > maxArena && recomputeForPeak(entry)) {
        arena = plan(entry);
        ++recomputed;
      }
    }
  }

private:
  /// Results that are written over an operand which nothing needs afterwards:
  /// result -> operand, whose lifetime grows.
  DenseMap<Value, Value> shareMemory(SmallVector<Tensor> &tensors,
                                     DenseMap<Operation *, int64_t> &number) {
    DenseMap<Value, Value> inside;
    DenseMap<Value, Tensor *> known;
    for (Tensor &tensor : tensors) {
      known[tensor.value] = &tensor;
      auto call = cast<CallOp>(tensor.value.getDefiningOp());
      auto kernel = getOperation().lookupSymbol<func::FuncOp>(call.getCallee());
      if (call.getNumResults() != 1)
        continue;
      for (auto [i, operand] : llvm::enumerate(call.getOperands())) {
        Storage storage = storageOf(operand);
        Value root = storage.root;
        unsigned uses = llvm::count_if(call.getOperands(), [&](Value other) {
          return storageOf(other).root == root;
        });
        while (inside.count(root))
          root = inside[root];
        Tensor *owner = known.lookup(root);
        if (!kernel.getArgAttr(i, inPlaceAttr) || !owner || uses != 1 ||
            storage.bytes || owner->bytes != tensor.bytes ||
            owner->last != number[call])
          continue;
        inside[tensor.value] = root;
        owner->last = std::max(owner->last, tensor.last);
        ++shared;
        break;
      }
    }
    return inside;
  }

  /// Gives the bytes of the arena.
  int64_t plan(func::FuncOp entry) {
    Block &block = entry.getBody().front();
    DenseMap<Operation *, int64_t> number;
    for (Operation &op : block)
      number.try_emplace(&op, number.size());
    SmallVector<Value> returned;
    for (Value value : block.getTerminator()->getOperands())
      returned.push_back(storageOf(value).root);

    SmallVector<Tensor> tensors;
    for (CallOp call : block.getOps<CallOp>())
      for (Value result : call.getResults()) {
        if (llvm::is_contained(returned, result))
          continue;
        int64_t first = number[call];
        int64_t last = std::max(first, lastUse(result, number));
        tensors.push_back({result, alignedBytes(result), first, last});
      }

    DenseMap<Value, Value> inside = shareMemory(tensors, number);
    SmallVector<Tensor *> order, placed;
    for (Tensor &tensor : tensors)
      if (!inside.count(tensor.value))
        order.push_back(&tensor);
    llvm::stable_sort(order,
                      [](Tensor *x, Tensor *y) { return x->bytes > y->bytes; });
    int64_t arena = 0;
    DenseMap<Value, int64_t> offsets;
    for (Tensor *tensor : order) {
      for (Tensor *other : placed) // sorted by offset
        if (other->first <= tensor->last && tensor->first <= other->last &&
            other->offset < tensor->offset + tensor->bytes &&
            tensor->offset < other->offset + other->bytes)
          tensor->offset = other->offset + other->bytes;
      auto at = llvm::upper_bound(placed, tensor, [](Tensor *x, Tensor *y) {
        return x->offset < y->offset;
      });
      placed.insert(at, tensor);
      arena = std::max(arena, tensor->offset + tensor->bytes);
      offsets[tensor->value] = tensor->offset;
    }

    Builder builder(&getContext());
    for (CallOp call : block.getOps<CallOp>()) {
      SmallVector<int64_t> list;
      for (Value result : call.getResults()) {
        while (inside.count(result))
          result = inside[result];
        auto it = offsets.find(result);
        list.push_back(it == offsets.end() ? -1 : it->second);
      }
      call.setOffsets(list);
    }
    entry->setAttr("nncc.arena", builder.getI64IntegerAttr(arena));
    return arena;
  }
};

} // namespace
} // namespace nncc
