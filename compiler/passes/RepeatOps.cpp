//===- RepeatOps.cpp - what is cheaper to compute than to store -----------===//
//
// Differences to a row's maximum, comparisons with a target, normalised values
// and masks are wanted by several kernels, often far apart (forward and
// backward). Each can read the tensor they are made from instead.
//
//===----------------------------------------------------------------------===//
#include "passes/KernelForming.h"
#include "passes/Utils.h"

using namespace mlir;

namespace nncc {

namespace {

/// Elements below which storing costs nothing. What no cache holds even a
/// costly function is cheaper than, on its way to memory and back.
constexpr int64_t largeTensor = 1 << 16;

class Repeats {
public:
  Repeats(FormedKernels &formed, int64_t uncachedBytes)
      : formed(formed), uncachedBytes(uncachedBytes) {}

  void consider(Operation *op) {
    if (!op->hasTrait<OpTrait::Elementwise>() || isFreeAnywhere(op) ||
        elements(op->getResult(0)) < largeTensor)
      return;
    SetVector<Operation *> readers;
    formed.realUsers(op->getResult(0), readers);
    if (readers.size() < 2 || llvm::any_of(readers, [&](Operation *reader) {
          return isa<KernelRoot>(reader) || readsMemory(reader);
        }))
      return;
    Source source = sourceOf(op);
    if (!source.fits || source.costly > 1 ||
        (source.costly &&
         byteSize(tensorType(op->getResult(0))) < uncachedBytes))
      return;
    if (source.base && !isThereAnyway(source.base, op, readers))
      return;
    sources[op] = source;
    formed.repeated.insert(op);
  }

private:
  /// What is read to compute an op again.
  struct Source {
    bool fits = true;
    Value base; // at most one large tensor; may be missing
    int64_t costly = 0;
  };

  static int64_t elements(Value value) {
    return tensorType(value).getNumElements();
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
    if (isMadeOfNothing(def))
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
    return isa_and_nonnull<KernelRoot>(def) ? def : nullptr;
  }

  /// True if the base must be stored for another reader, and takes no more
  /// memory for longer than the result would.
  bool isThereAnyway(Value base, Operation *op,
                     const SetVector<Operation *> &readers) {
    auto last = [](const SetVector<Operation *> &ops) {
      Operation *latest = ops.front();
      for (Operation *reader : ops)
        if (latest->isBeforeInBlock(reader))
          latest = reader;
      return latest;
    };
    SetVector<Operation *> others;
    for (Operation *user : base.getUsers()) {
      if (user == op)
        continue;
      if (formed.isFree(user))
        formed.realUsers(user->getResult(0), others);
      else
        others.insert(user);
    }
    if (rootOf(base) && others.empty())
      return false; // better at once, in the root's registers
    auto bits = [](Value value) {
      return tensorType(value).getElementTypeBitWidth();
    };
    return bits(base) <= bits(op->getResult(0)) ||
           (!others.empty() && !last(others)->isBeforeInBlock(last(readers)));
  }

  FormedKernels &formed;
  int64_t uncachedBytes;
  DenseMap<Operation *, Source> sources;
};

} // namespace

void repeatOps(FormedKernels &formed, int64_t uncachedBytes) {
  Repeats repeats(formed, uncachedBytes);
  for (Operation &op : formed.block)
    repeats.consider(&op);
}

} // namespace nncc
