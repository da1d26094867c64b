//===- RepeatOps.cpp - what is cheaper to compute than to store -----------===//
//
// Differences to a row's maximum, comparisons with a target, normalised values
// and masks are wanted by several kernels, often far apart (forward and
// backward). Each can read the tensor they are made from instead.
//
//===----------------------------------------------------------------------===//
#include "passes/KernelForming.h"
#include "passes/Utils.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace nncc {

namespace {

/// Elements below which storing costs nothing, and above which even a costly
/// function is cheaper than the way to memory and back.
constexpr int64_t largeTensor = 1 << 16, uncachedTensor = 4 << 20;

class Repeats {
public:
  Repeats(Block &block, function_ref<bool(Operation *)> isRoot)
      : isRoot(isRoot) {
    for (Operation &op : block)
      position.try_emplace(&op, position.size());
    for (Operation &op : block)
      consider(&op);
  }

  DenseSet<Operation *> repeated;

private:
  /// What is read to compute an op again.
  struct Source {
    bool fits = true;
    Value base; // at most one large tensor; may be missing
    int64_t costly = 0;
  };

  void consider(Operation *op) {
    if (!op->hasTrait<OpTrait::Elementwise>() || isFreeAnywhere(op) ||
        elements(op->getResult(0)) < largeTensor)
      return;
    SetVector<Operation *> readers = readersOf(op);
    if (readers.size() < 2 || llvm::any_of(readers, [&](Operation *reader) {
          return isRoot(reader) || isa<func::ReturnOp, AllReduceOp>(reader);
        }))
      return;
    Source source = sourceOf(op);
    if (!source.fits || source.costly > 1 ||
        (source.costly && elements(op->getResult(0)) < uncachedTensor))
      return;
    if (source.base && !isThereAnyway(source.base, op, readers))
      return;
    sources[op] = source;
    repeated.insert(op);
  }

  static int64_t elements(Value value) {
    return tensorType(value).getNumElements();
  }

  /// Ops that read `op`, behind those that are computed in each reader.
  SetVector<Operation *> readersOf(Operation *op) {
    SetVector<Operation *> readers;
    SmallVector<Operation *> work{op};
    while (!work.empty())
      for (Operation *user : work.pop_back_val()->getUsers()) {
        if (isFreeAnywhere(user) || repeated.contains(user))
          work.push_back(user);
        else
          readers.insert(user);
      }
    return readers;
  }

  Source sourceOf(Operation *op) {
    Source source;
    source.costly = op->hasTrait<OpTrait::nncc::Costly>();
    for (Value operand : op->getOperands())
      addSource(operand, elements(op->getResult(0)), source);
    return source;
  }

  void addSource(Value value, int64_t size, Source &source) {
    Operation *def = value.getDefiningOp();
    if (isa_and_nonnull<ConstantOp, IotaOp>(def))
      return;
    if (auto known = sources.find(def); known != sources.end()) {
      source.costly += known->second.costly;
      if (known->second.base)
        addBase(known->second.base, source);
    } else if (isa_and_nonnull<BroadcastOp>(def)) {
      // A small tensor stays in the cache.
      source.fits &= elements(def->getOperand(0)) * 8 <= size;
    } else if (isa_and_nonnull<ReshapeOp>(def) && !rootOf(value)) {
      addSource(def->getOperand(0), size, source);
    } else if (def && isFreeAnywhere(def) && !isa<View>(def)) {
      for (Value operand : def->getOperands())
        addSource(operand, size, source);
    } else {
      addBase(value, source);
    }
  }

  void addBase(Value value, Source &source) {
    Operation *def = value.getDefiningOp();
    // Views other than reshape read in another order; parameters change.
    if ((def && isa<View, WeightOp>(def) && !rootOf(value)) ||
        (source.base && source.base != value))
      source.fits = false;
    source.base = value;
  }

  /// The root that gives `value`: its own result, or the columns of it that
  /// count.
  Operation *rootOf(Value value) {
    Operation *def = value.getDefiningOp();
    while (isa_and_nonnull<SliceOp, ReshapeOp>(def) &&
           def->getOperand(0).hasOneUse())
      def = def->getOperand(0).getDefiningOp();
    return def && isRoot(def) ? def : nullptr;
  }

  /// True if the base must be stored for another reader, and takes no more
  /// memory for longer than the result would.
  bool isThereAnyway(Value base, Operation *op,
                     const SetVector<Operation *> &readers) {
    auto last = [&](const SetVector<Operation *> &ops) {
      int64_t latest = 0;
      for (Operation *reader : ops)
        latest = std::max(latest, position[reader]);
      return latest;
    };
    SetVector<Operation *> others;
    for (Operation *user : base.getUsers()) {
      if (user == op)
        continue;
      if (isFreeAnywhere(user) || repeated.contains(user))
        others.insert_range(readersOf(user));
      else
        others.insert(user);
    }
    if (rootOf(base) && others.empty())
      return false; // better at once, in the root's registers
    auto bits = [](Value value) {
      return tensorType(value).getElementTypeBitWidth();
    };
    return last(others) >= last(readers) ||
           bits(base) <= bits(op->getResult(0));
  }

  function_ref<bool(Operation *)> isRoot;
  DenseMap<Operation *, int64_t> position;
  DenseMap<Operation *, Source> sources;
};

} // namespace

DenseSet<Operation *> opsToRepeat(Block &block,
                                  function_ref<bool(Operation *)> isRoot) {
  return std::move(Repeats(block, isRoot).repeated);
}

} // namespace nncc
