//===- Arena.cpp - what lies where in an arena ----------------------------===//
//
// Lifetimes are intervals of call numbers. A result takes the place of an
// operand that dies with it, where its kernel allows that. Largest tensors
// first, each at the lowest offset where nothing that lives at the same time is
// in the way.
//
//===----------------------------------------------------------------------===//
#include "passes/Arena.h"
#include "dialect/Names.h"
#include "passes/Utils.h"
#include <map>

using namespace mlir;

namespace nncc {

using Numbers = DenseMap<Operation *, int64_t>;

/// What the block needs memory for, without places.
static SmallVector<ArenaTensor> tensorsOf(Block &block, Numbers &number) {
  DenseSet<Value> returned;
  for (Value value : block.getTerminator()->getOperands())
    returned.insert(storageOf(value).root);
  SmallVector<ArenaTensor> tensors;
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
      tensors.push_back({Value(), arenaOf(scan.block()).bytes, first, first});
  }
  return tensors;
}

/// Gives the owner of the place of a result that is written over it another
/// lifetime; result -> owner.
static DenseMap<Value, Value> shareMemory(SmallVector<ArenaTensor> &tensors,
                                          const Numbers &number,
                                          ModuleOp module) {
  DenseMap<Value, Value> inside;
  DenseMap<Value, ArenaTensor *> known;
  for (ArenaTensor &tensor : tensors) {
    auto call = tensor.value ? tensor.value.getDefiningOp<CallOp>() : CallOp();
    if (tensor.value)
      known[tensor.value] = &tensor;
    if (!call)
      continue;
    auto kernel = module.lookupSymbol<func::FuncOp>(call.getCallee());
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
      ArenaTensor *owner = known.lookup(root);
      if (!kernel.getArgAttr(i, inPlaceAttr) || !owner || uses != 1 ||
          storage.bytes || owner->bytes != tensor.bytes ||
          owner->last != number.lookup(call))
        continue;
      inside[tensor.value] = root;
      owner->last = std::max(owner->last, tensor.last);
      break;
    }
  }
  return inside;
}

/// Gives each its offset; the bytes of all.
static int64_t place(SmallVector<ArenaTensor> &tensors) {
  SmallVector<ArenaTensor *> order, placed;
  for (ArenaTensor &tensor : tensors)
    order.push_back(&tensor);
  llvm::stable_sort(order, [](ArenaTensor *x, ArenaTensor *y) {
    return x->bytes > y->bytes;
  });
  int64_t bytes = 0;
  for (ArenaTensor *tensor : order) {
    for (ArenaTensor *other : placed) // sorted by offset
      if (other->first <= tensor->last && tensor->first <= other->last &&
          other->offset < tensor->offset + tensor->bytes &&
          tensor->offset < other->offset + other->bytes)
        tensor->offset = other->offset + other->bytes;
    auto at =
        llvm::upper_bound(placed, tensor, [](ArenaTensor *x, ArenaTensor *y) {
          return x->offset < y->offset;
        });
    placed.insert(at, tensor);
    bytes = std::max(bytes, tensor->offset + tensor->bytes);
  }
  return bytes;
}

Arena arenaOf(Block &block) {
  Numbers number;
  for (Operation &op : block)
    number.try_emplace(&op, number.size());
  auto module = block.getParentOp()->getParentOfType<ModuleOp>();
  Arena arena;
  arena.tensors = tensorsOf(block, number);
  arena.inside = shareMemory(arena.tensors, number, module);
  llvm::erase_if(arena.tensors, [&](const ArenaTensor &tensor) {
    return arena.inside.count(tensor.value);
  });
  arena.bytes = place(arena.tensors);
  return arena;
}

int64_t Arena::peak() const {
  std::map<int64_t, int64_t> change; // before an op, by its number
  for (const ArenaTensor &tensor : tensors) {
    change[tensor.first] += tensor.bytes;
    change[tensor.last + 1] -= tensor.bytes;
  }
  int64_t inUse = 0, most = 0, peak = 0;
  for (auto [number, bytes] : change) {
    inUse += bytes;
    if (inUse > most) {
      most = inUse;
      peak = number;
    }
  }
  return peak;
}

} // namespace nncc
