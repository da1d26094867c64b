//===- PlanMemory.cpp - fixed places in one arena -------------------------===//
//
// Writes down where passes/Arena.cpp puts tensors; with a limit, has values
// made again (Recompute.cpp) until the arena keeps it.
//
//===----------------------------------------------------------------------===//
#include "dialect/Names.h"
#include "passes/Arena.h"
#include "passes/Passes.h"
#include "passes/Recompute.h"
#include "passes/Utils.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCPLANMEMORY
#include "passes/Passes.h.inc"

namespace {

struct PlanMemory : impl::NnccPlanMemoryBase<PlanMemory> {
  using NnccPlanMemoryBase::NnccPlanMemoryBase;

  void runOnOperation() override {
    for (func::FuncOp entry : entriesOf(getOperation())) {
      Block &block = entry.getBody().front();
      Arena arena = arenaOf(block);
      while (maxArena && arena.bytes > maxArena &&
             recomputeForPeak(entry, arena.peak())) {
        arena = arenaOf(block);
        ++recomputed;
      }
      write(block, arena);
      Builder builder(&getContext());
      entry->setAttr(arenaAttr, builder.getI64IntegerAttr(arena.bytes));
    }
  }

private:
  void write(Block &block, const Arena &arena) {
    DenseMap<Value, int64_t> offsets;
    DenseMap<int64_t, int64_t> bodies; // of scans, by number
    for (const ArenaTensor &tensor : arena.tensors)
      if (tensor.value)
        offsets[tensor.value] = tensor.offset;
      else
        bodies[tensor.first] = tensor.offset;
    shared += arena.inside.size();
    for (auto [number, op] : llvm::enumerate(block)) {
      SmallVector<int64_t> list;
      for (Value result : op.getResults()) {
        while (Value other = arena.inside.lookup(result))
          result = other;
        auto it = offsets.find(result);
        list.push_back(it == offsets.end() ? -1 : it->second);
      }
      if (auto call = dyn_cast<CallOp>(op))
        call.setOffsets(list);
      if (auto scan = dyn_cast<ScanOp>(op)) {
        write(scan.block(), arenaOf(scan.block()));
        list.push_back(bodies[int64_t(number)]);
        scan.setOffsets(list);
      }
    }
  }
};

} // namespace
} // namespace nncc
