//===- PlanMemory.cpp - fixed places in one arena -------------------------===//
//
// Lifetimes are intervals of call numbers. Largest tensors first, each at the
// lowest offset where nothing that lives at the same time is in the way.
//
//===----------------------------------------------------------------------===//
#include "passes/Passes.h"
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

int64_t bytesOf(RankedTensorType type) {
  int64_t bits = type.getElementType().getIntOrFloatBitWidth();
  int64_t bytes = type.getNumElements() * std::max<int64_t>(1, bits / 8);
  return (bytes + alignment - 1) / alignment * alignment;
}

struct PlanMemory : impl::NnccPlanMemoryBase<PlanMemory> {
  void runOnOperation() override {
    for (func::FuncOp entry : entriesOf(getOperation()))
      plan(entry);
  }

private:
  void plan(func::FuncOp entry) {
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
        int64_t first = number[call], last = first;
        auto extend = [&](auto &self, Value value) -> void {
          for (Operation *user : value.getUsers()) {
            last = std::max(last, number[user]);
            if (isa<ReshapeOp, SliceOp>(user))
              self(self, user->getResult(0));
            if (isa<AllReduceOp>(user))
              for (auto [in, out] :
                   llvm::zip(user->getOperands(), user->getResults()))
                if (in == value)
                  self(self, out);
          }
        };
        extend(extend, result);
        tensors.push_back({result, bytesOf(tensorType(result)), first, last});
      }

    SmallVector<Tensor *> order, placed;
    for (Tensor &tensor : tensors)
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
        auto it = offsets.find(result);
        list.push_back(it == offsets.end() ? -1 : it->second);
      }
      call.setOffsets(list);
    }
    entry->setAttr("nncc.arena", builder.getI64IntegerAttr(arena));
  }
};

} // namespace
} // namespace nncc
