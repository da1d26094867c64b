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

struct Tensor {
  Value value; // null: the arena of a scan's body
  int64_t bytes, first, last, offset = 0;
};

struct PlanMemory : impl::NnccPlanMemoryBase<PlanMemory> {
  using NnccPlanMemoryBase::NnccPlanMemoryBase;

  void runOnOperation() override {
    for (func::FuncOp entry : entriesOf(getOperation())) {
      Block &block = entry.getBody().front();
      int64_t arena = plan(block);
      while (maxArena && arena > maxArena && recomputeForPeak(entry)) {
        arena = plan(block);
        ++recomputed;
      }
      Builder builder(&getContext());
      entry->setAttr(arenaAttr, builder.getI64IntegerAttr(arena));
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
      auto call =
          tensor.value ? tensor.value.getDefiningOp<CallOp>() : CallOp();
      if (tensor.value)
        known[tensor.value] = &tensor;
      if (!call)
        continue;
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

  /// Gives the bytes of an entry's arena, or of a scan's body's.
  int64_t plan(Block &block) {
    DenseMap<Operation *, int64_t> number;
    for (Operation &op : block)
      number.try_emplace(&op, number.size());
    DenseSet<Value> returned;
    for (Value value : block.getTerminator()->getOperands())
      returned.insert(storageOf(value).root);

    SmallVector<Tensor> tensors;
    for (Operation &op : block) {
      auto scan = dyn_cast<ScanOp>(op);
      if (!scan && !isa<CallOp>(op))
        continue;
      int64_t first = number[&op];
      for (auto [i, result] : llvm::enumerate(op.getResults())) {
        if ((scan && scan.homeOf(i) != i) || returned.contains(result))
          continue;
        int64_t last = std::max(first, lastUse(result, number));
        for (unsigned k = 0; scan && k < scan.stateCount(); ++k)
          if (scan.homeOf(k) == i)
            last = std::max(last, lastUse(scan.getResult(k), number));
        // A step reads the state before it and writes the next beside it.
        int64_t places = scan && i < scan.stateCount() ? 2 : 1;
        tensors.push_back(
            {result, places * alignedBytes(tensorType(result)), first, last});
      }
      if (scan) // what its body needs lives no longer
        tensors.push_back({Value(), plan(scan.block()), first, first});
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
    DenseMap<int64_t, int64_t> bodies; // of scans, by number
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
      if (tensor->value)
        offsets[tensor->value] = tensor->offset;
      else
        bodies[tensor->first] = tensor->offset;
    }

    for (Operation &op : block) {
      SmallVector<int64_t> list;
      for (Value result : op.getResults()) {
        while (inside.count(result))
          result = inside[result];
        auto it = offsets.find(result);
        list.push_back(it == offsets.end() ? -1 : it->second);
      }
      if (auto call = dyn_cast<CallOp>(op))
        call.setOffsets(list);
      if (auto scan = dyn_cast<ScanOp>(op)) {
        list.push_back(bodies[number[&op]]);
        scan.setOffsets(list);
      }
    }
    return arena;
  }
};

} // namespace
} // namespace nncc
