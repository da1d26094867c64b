//===- FormKernels.cpp - ops into kernels, kernels into functions ---------===//
//
// Three kinds of op. *Free* ones (views, constants, counting, and what costs
// less to compute than to read: RepeatOps.cpp) are copied into every kernel
// that reads through them. *Roots* (contraction, attention) start a kernel and
// take the elementwise ops behind them, as long as one value leaves (those with
// several results take none). All *others* go, last to first, into the one
// kernel that uses them, or start their own. A kernel has one result, but what
// an optimizer makes of one parameter is computed together, and a scatter keeps
// its result to itself. Each different kernel is outlined once.
//
//===----------------------------------------------------------------------===//
#include "dialect/Expr.h"
#include "dialect/Names.h"
#include "dialect/Place.h"
#include "dialect/StridedView.h"
#include "passes/KernelForming.h"
#include "passes/Passes.h"
#include "passes/Utils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include <set>

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCFORMKERNELS
#include "passes/Passes.h.inc"

namespace {

/// Tensors that one kernel may read (the ABI allows 64 with its result).
constexpr int64_t maxOperands = 60;

/// Free ops behind each other.
constexpr int64_t mostFree = 256;

/// Ops that are computed on the register tile of a root.
constexpr size_t mostJoined = 48;

/// Functions that are not worth computing several times per element.
bool isExpensive(Operation *op) {
  return isa<ReduceOp>(op) || op->hasTrait<OpTrait::nncc::Costly>();
}

class KernelBuilder : public FormedKernels {
public:
  KernelBuilder(Block &block, func::FuncOp entry, const KernelFacts &facts)
      : FormedKernels(block, entry), facts(facts) {}

  void form() {
    cutLongChains();
    materializeViews();
    repeatOps(*this, facts.uncachedBytes);
    for (auto root : block.getOps<KernelRoot>())
      growFromRoot(root);
    makeReturnable();
    groupResults();
    for (Operation &op : llvm::reverse(block.without_terminator()))
      if (!kernelOf.count(&op) && !isFree(&op) && !isa<WeightOp>(op) &&
          !readsMemory(&op))
        place(&op);
    if (entry)
      separateHazards();
    for (Operation &op : block)
      position.try_emplace(&op, position.size());
  }

private:
  /// Kernels read through what is free one level of calls per op, so that a
  /// chain of it has an end: a copy.
  void cutLongChains() {
    DenseMap<Value, int64_t> depths; // of values that are free
    for (Operation &op : llvm::make_early_inc_range(block)) {
      if (!isFreeAnywhere(&op))
        continue;
      int64_t depth = 1;
      for (OpOperand &operand : op.getOpOperands()) {
        int64_t below = depths.lookup(operand.get());
        if (below >= mostFree) {
          shareCopy(operand);
          below = 0;
        }
        depth = std::max(depth, below + 1);
      }
      depths[op.getResult(0)] = depth;
    }
  }

  /// Product operands must have strides, in an order that the target's kernel
  /// reads: a view without is computed first, by an explicit copy.
  void materializeViews() {
    for (KernelRoot root : llvm::to_vector(block.getOps<KernelRoot>()))
      for (unsigned i = 0, e = root.productOperands(); i < e; ++i)
        materialize(root, root->getOpOperand(i));
  }

  void materialize(KernelRoot root, OpOperand &operand) {
    Value obstacle;
    auto view = stridedView(operand.get(), &obstacle);
    for (; failed(view); view = stridedView(operand.get(), &obstacle)) {
      OpBuilder b(block.getParent()->getContext());
      b.setInsertionPointAfterValue(obstacle);
      Value copy = createCopy(b, obstacle, root);
      // Only the uses that this operand reads through see the copy.
      OpOperand *use = &operand;
      while (use->get() != obstacle)
        use = &use->get().getDefiningOp()->getOpOperand(0);
      use->set(copy);
    }
    // What does not lower to elements reads memory only.
    Operation *base = view->base.getDefiningOp();
    bool isThere =
        isa<LowersToElements>(*root) || !base || !isFreeAnywhere(base);
    if (!isThere || !facts.wantsOrder(root, operand.getOperandNumber(), *view))
      shareCopy(operand);
  }

  /// One copy serves all readers behind the first.
  void shareCopy(OpOperand &operand) {
    Operation *reader = operand.getOwner();
    auto [it, isNew] = copies.try_emplace(operand.get());
    if (isNew) {
      OpBuilder b(reader);
      auto root = dyn_cast<KernelRoot>(reader);
      it->second =
          root ? copyFor(b, root, operand.getOperandNumber(), operand.get())
               : createCopy(b, operand.get(), reader);
    }
    operand.set(it->second);
  }

  /// A copy in the order that the root wants of it, seen as `value`.
  Value copyFor(OpBuilder &b, KernelRoot root, unsigned operand, Value value) {
    SmallVector<int64_t> order = root.copyOrder(operand);
    if (llvm::is_sorted(order))
      return createCopy(b, value, root);
    ExprBuilder c{b, root.getLoc()};
    Value ordered = transpose(Expr(c, value), order).value();
    Value copy = createCopy(c.b, ordered, root);
    SmallVector<int64_t> back(order.size());
    for (auto [i, d] : llvm::enumerate(order))
      back[d] = int64_t(i);
    return transpose(Expr(c, copy), back).value();
  }

  const KernelFacts &facts;
  DenseMap<Value, Value> copies;

  //===--------------------------------------------------------------------===//
  // Kernels with a root
  //===--------------------------------------------------------------------===//

  void growFromRoot(KernelRoot root) {
    WorkingOn at(root.getLoc());
    // Values that the epilogue has in registers.
    DenseSet<Value> derived{root->getResult(0)};
    SmallVector<Operation *> joined, ops{root};
    SmallVector<Value> results(root->getResults());
    auto isBefore = [](Operation *x, Operation *y) {
      return x->isBeforeInBlock(y);
    };
    std::set<Operation *, decltype(isBefore)> candidates(isBefore);
    auto addUsers = [&](Operation *op) {
      candidates.insert(op->user_begin(), op->user_end());
    };
    if (root.takesEpilogue())
      addUsers(root);
    while (!candidates.empty() && joined.size() < mostJoined) {
      Operation *op = *candidates.begin();
      candidates.erase(candidates.begin());
      if (op->hasTrait<OpTrait::IsTerminator>() || !joins(op, derived, root))
        continue;
      ops.push_back(op);
      if (countOperands(ops) > maxOperands)
        break;
      derived.insert(op->getResult(0));
      joined.push_back(op);
      if (isa<PadOp>(op))
        break;
      addUsers(op);
    }
    // The longest run with one value leaving it.
    while (!joined.empty() && !leavesOne(root, joined))
      joined.pop_back();
    auto kernel = std::make_unique<Kernel>();
    kernel->hasRoot = true;
    kernel->ops.push_back(root);
    llvm::append_range(kernel->ops, joined);
    if (!joined.empty())
      results = {joined.back()->getResult(0)};
    kernel->results = results;
    for (Operation *op : kernel->ops)
      kernelOf[op] = kernel.get();
    kernels.push_back(std::move(kernel));
  }

  /// True if something that leads to `value` is made of what `root` gives.
  static bool waitsFor(Operation *root, Value value) {
    SmallVector<Operation *> work{value.getDefiningOp()};
    DenseSet<Operation *> seen;
    while (!work.empty()) {
      Operation *op = work.pop_back_val();
      if (op == root)
        return true;
      if (op && root->isBeforeInBlock(op) && seen.insert(op).second)
        for (Value operand : op->getOperands())
          work.push_back(operand.getDefiningOp());
    }
    return false;
  }

  /// True if `op` can be computed on the root's register tile.
  bool joins(Operation *op, const DenseSet<Value> &derived, Operation *root) {
    if (kernelOf.count(op) || repeated.contains(op))
      return false;
    if (auto view = dyn_cast<View>(op))
      return view.landsOnce() && derived.contains(op->getOperand(0)) &&
             op->getOperand(0).hasOneUse();
    if (!op->hasTrait<OpTrait::Elementwise>())
      return false;
    bool any = false;
    for (Value operand : op->getOperands()) {
      if (derived.contains(operand)) {
        any = true;
        continue;
      }
      // Other operands come from memory and must not wait for this kernel.
      if (waitsFor(root, operand))
        return false;
    }
    return any;
  }

  bool leavesOne(Operation *root, ArrayRef<Operation *> joined) {
    DenseSet<Operation *> inside(joined.begin(), joined.end());
    inside.insert(root);
    unsigned leaving = 0;
    for (Operation *op : inside)
      if (llvm::any_of(op->getUsers(),
                       [&](Operation *user) { return !inside.contains(user); }))
        ++leaving;
    Operation *last = joined.back();
    bool lastLeaves = llvm::any_of(last->getUsers(), [&](Operation *user) {
      return !inside.contains(user);
    });
    return leaving == 1 && lastLeaves;
  }

  //===--------------------------------------------------------------------===//
  // Kernels without a root
  //===--------------------------------------------------------------------===//

  void place(Operation *op) {
    WorkingOn at(op->getLoc());
    SetVector<Operation *> users;
    realUsers(op->getResult(0), users);
    Kernel *target = nullptr;
    bool single = true;
    for (Operation *user : users) {
      Kernel *kernel = kernelOf.lookup(user); // null for return
      single &= kernel && (!target || kernel == target);
      target = kernel;
    }
    if (!(single && target && !target->hasRoot && !isa<ScatterAddOp>(op) &&
          fits(op, *target)))
      target = startKernel({op});
    else
      join(op, *target);
    noteRows(op, *target);
  }

  Kernel *startKernel(ArrayRef<Operation *> ops) {
    auto kernel = std::make_unique<Kernel>();
    kernel->emission = std::make_unique<Emission>(
        block.getParentOp()->getContext(),
        [this](Operation *op) { return isFree(op); });
    for (Operation *op : ops) {
      kernel->ops.push_back(op);
      kernel->results.push_back(op->getResult(0));
      kernelOf[op] = kernel.get();
    }
    kernel->emission->begin(ops);
    kernel->operands = countOperands(ops);
    kernels.push_back(std::move(kernel));
    return kernels.back().get();
  }

  void join(Operation *op, Kernel &kernel) {
    kernel.ops.push_back(op);
    kernel.emission->join(op);
    kernelOf[op] = &kernel;
  }

  /// Counts one by one only where a bound says that there may be too many.
  bool hasBuffersFor(Operation *op, Kernel &kernel) {
    int64_t more = countOperands({op});
    if (kernel.operands + more <= maxOperands) {
      kernel.operands += more;
      return true;
    }
    SmallVector<Operation *> ops(kernel.ops);
    ops.push_back(op);
    int64_t exact = countOperands(ops);
    if (exact > maxOperands)
      return false;
    kernel.operands = exact;
    return true;
  }

  static bool reducesLanes(ReduceOp op) {
    return !op.getDims().empty() &&
           op.getDims().back() + 1 == int64_t(shapeOf(op.getOperand()).size());
  }

  void noteRows(Operation *op, Kernel &kernel) {
    auto reduction = dyn_cast<ReduceOp>(op);
    if (!reduction || !reducesLanes(reduction) || !kernel.rowSpace.empty())
      return;
    kernel.rowSpace = llvm::to_vector(shapeOf(reduction.getOperand()));
    kernel.rowDims = llvm::to_vector(reduction.getDims());
  }

  /// True if the kernel's result reads each element of op about once.
  bool readOnce(Operation *op, Kernel &kernel) {
    return allUses(
        op->getResult(0),
        [&](OpOperand &use) -> Value {
          Operation *user = use.getOwner();
          auto row = dyn_cast<ReduceOp>(user);
          if (row && reducesLanes(row))
            return {}; // once per row, whoever reads that
          bool isInside = isFree(user) || kernelOf.lookup(user) == &kernel;
          return isInside ? user->getResult(0) : Value();
        },
        [](OpOperand &use) {
          auto view = dyn_cast<View>(use.getOwner());
          return !view || !view.repeats();
        });
  }

  bool fits(Operation *op, Kernel &kernel) {
    return isWorthJoining(op, kernel) && kernel.emission->hasRoomFor(op) &&
           hasBuffersFor(op, kernel);
  }

  /// True if it pays to compute `op` where the kernel reads it.
  bool isWorthJoining(Operation *op, Kernel &kernel) {
    auto reduction = dyn_cast<ReduceOp>(op);
    ArrayRef<int64_t> result = shapeOf(kernel.results.front());
    if (reduction && reducesLanes(reduction)) {
      // Row statistics: the kernel walks the rows that are reduced, or gives
      // one element per row.
      ArrayRef<int64_t> space = shapeOf(reduction.getOperand());
      bool sameRows =
          kernel.rowSpace.empty()
              ? space == result || shapeOf(reduction.getResult()) == result
              : space == ArrayRef<int64_t>(kernel.rowSpace) &&
                    reduction.getDims() == ArrayRef<int64_t>(kernel.rowDims);
      return sameRows && (kernel.rowSpace.empty() || space == result ||
                          shapeOf(reduction.getResult()) == result);
    }
    // Which lanes a spread-out tensor has is decided one by one: code that is
    // not to be repeated in a kernel of its readers.
    if (auto pad = dyn_cast<PadOp>(op); pad && !pad.landsOnce())
      return false;
    return !isExpensive(op) || readOnce(op, kernel);
  }

  //===--------------------------------------------------------------------===//
  // Results
  //===--------------------------------------------------------------------===//

  /// Returned values, and those that all_reduce replaces, are results of
  /// kernels, each used so once; views, weights and arguments are copied, and
  /// the final state of a scan, which moves from step to step.
  void makeReturnable() {
    DenseSet<Value> seen;
    auto copy = [](OpOperand &operand) {
      OpBuilder b(operand.getOwner());
      operand.set(createCopy(b, operand.get(), operand.getOwner()));
    };
    auto isComputed = [&](Value value) {
      Operation *def = value.getDefiningOp();
      auto scan = dyn_cast_or_null<ScanOp>(def);
      return def &&
             (kernelOf.count(def) || (!isFree(def) && !isa<WeightOp>(def))) &&
             !(scan && llvm::is_contained(scan.finals(), value));
    };
    for (auto op : block.getOps<AllReduceOp>())
      for (OpOperand &operand : op->getOpOperands())
        if (!isComputed(operand.get()) || !operand.get().hasOneUse())
          copy(operand);
    for (auto op : block.getOps<ScanOp>())
      for (OpOperand &operand : op->getOpOperands())
        while (!liesInMemory(operand.get())) // a shared copy may be a view
          shareCopy(operand);
    // A yielded value has one place, however often it is yielded.
    for (OpOperand &operand : block.getTerminator()->getOpOperands())
      if (!isComputed(operand.get()) ||
          (entry && !seen.insert(operand.get()).second))
        copy(operand);
  }

  /// True if it is one run of memory that something gives or a kernel writes.
  bool liesInMemory(Value value) {
    Operation *def = value.getDefiningOp();
    if (!def || kernelOf.count(def) || isa<WeightOp>(def) || !isFree(def))
      return true;
    auto alias = dyn_cast<MemoryAlias>(def);
    auto place = alias ? alias.aliasOf(cast<OpResult>(value).getResultNumber())
                       : std::nullopt;
    return place && liesInMemory(def->getOperand(place->operand));
  }

  /// One kernel for what is elementwise and belongs to one parameter, or is
  /// yielded together.
  void groupResults() {
    Operation *ret = block.getTerminator();
    llvm::MapVector<Attribute, llvm::SetVector<Value>> groups;
    for (auto [i, value] : llvm::enumerate(ret->getOperands()))
      if (Attribute key = entry ? entry.getResultAttr(i, updateAttr)
                                : TypeAttr::get(value.getType()))
        groups[key].insert(value);
    for (auto &[key, values] : groups) {
      values.remove_if([&](Value value) {
        Operation *op = value.getDefiningOp();
        return !op || kernelOf.count(op) || !isElementwiseTail(op);
      });
      SmallVector<Operation *> ops;
      auto flush = [&] {
        if (ops.size() > 1)
          startKernel(ops);
        ops.clear();
      };
      for (Value value : values) {
        ops.push_back(value.getDefiningOp());
        if (int64_t(ops.size()) + countOperands(ops) <= maxOperands)
          continue;
        ops.pop_back();
        flush();
        ops.push_back(value.getDefiningOp());
      }
      flush();
    }
  }

  /// True if all that depends on `op` is elementwise on its shape, up to the
  /// end.
  bool isElementwiseTail(Operation *op) {
    auto fits = [&](Operation *user) {
      return isa<func::ReturnOp, YieldOp>(user) ||
             (user->hasTrait<OpTrait::Elementwise>() &&
              shapeOf(user->getResult(0)) == shapeOf(op->getResult(0)));
    };
    return fits(op) &&
           allUses(
               op->getResult(0),
               [](OpOperand &use) -> Value {
                 Operation *user = use.getOwner();
                 bool isEnd = user->hasTrait<OpTrait::IsTerminator>();
                 return isEnd ? Value() : user->getResult(0);
               },
               [&](OpOperand &use) { return fits(use.getOwner()); });
  }

  //===--------------------------------------------------------------------===//
  // New values of weights, in place
  //===--------------------------------------------------------------------===//

  /// A kernel that writes over a weight may read it only at the element that
  /// it writes; else, or if another such kernel reads it, or if something
  /// needs the new value, that takes a way round.
  void separateHazards() {
    Operation *ret = block.getTerminator();
    auto reads = stateReads(block);
    DenseSet<Kernel *> updating;
    for (unsigned i = 0; i < ret->getNumOperands(); ++i)
      if (entry.getResultAttr(i, updateAttr))
        updating.insert(kernelOf.lookup(ret->getOperand(i).getDefiningOp()));
    for (unsigned i = 0; i < ret->getNumOperands(); ++i) {
      if (!entry.getResultAttr(i, updateAttr))
        continue;
      Value value = ret->getOperand(i);
      Kernel *kernel = kernelOf.lookup(value.getDefiningOp());
      StringRef path =
          entry.getResultAttrOfType<StringAttr>(i, valueNameAttr).getValue();
      bool hazard = false;
      for (Operation *user : value.getUsers())
        hazard |= user != ret && kernelOf.lookup(user) != kernel;
      for (WeightOp weight : reads.lookup(path))
        hazard |= readsElsewhere(weight.getResult(), *kernel, updating);
      if (!hazard)
        continue;
      OpBuilder b(ret);
      Value copy = createCopy(b, value, ret);
      ret->setOperand(i, copy);
      auto own = std::make_unique<Kernel>();
      own->ops.push_back(copy.getDefiningOp());
      own->results = {copy};
      kernelOf[copy.getDefiningOp()] = own.get();
      kernels.push_back(std::move(own));
    }
  }

  /// True if `kernel` needs the weight at other elements than it writes, or
  /// another kernel that writes needs it.
  bool readsElsewhere(Value weight, const Kernel &kernel,
                      const DenseSet<Kernel *> &updating) {
    SmallVector<Value> moved; // elements of the weight at other places
    bool inOrder = allUses(
        weight,
        [&](OpOperand &use) -> Value {
          Operation *user = use.getOwner();
          if (isFree(user))
            moved.push_back(user->getResult(0));
          bool goesOn = !isFree(user) && kernelOf.lookup(user) == &kernel;
          return goesOn ? user->getResult(0) : Value();
        },
        [&](OpOperand &use) {
          Operation *user = use.getOwner();
          if (isFree(user))
            return true;
          Kernel *reader = kernelOf.lookup(user);
          if (reader == &kernel)
            return user->hasTrait<OpTrait::Elementwise>();
          return use.get() != weight || !updating.contains(reader);
        });
    return !inOrder || llvm::any_of(moved, [&](Value value) {
      llvm::SetVector<Operation *> users;
      realUsers(value, users);
      return llvm::any_of(users, [&](Operation *user) {
        return kernelOf.lookup(user) == &kernel;
      });
    });
  }

  /// A pad of nothing is the canonical copy. A constant's belongs to `reader`.
  static Value createCopy(OpBuilder &b, Value value, Operation *reader) {
    Location loc = value.getLoc();
    if (isa<UnknownLoc>(loc))
      loc = reader->getLoc();
    SmallVector<int64_t> none(shapeOf(value).size(), 0);
    auto attr = b.getDenseI64ArrayAttr(none);
    return PadOp::create(b, loc, value, b.getF64FloatAttr(0), attr, attr, attr);
  }
};

struct FormKernels : impl::NnccFormKernelsBase<FormKernels> {
  explicit FormKernels(const KernelFacts &facts) : facts(facts) {}

  void runOnOperation() override {
    for (func::FuncOp entry : entriesOf(getOperation())) {
      for (auto scan : entry.getBody().front().getOps<ScanOp>())
        form({scan.block(), nullptr, facts});
      form({entry.getBody().front(), entry, facts});
    }
    kernels += known.size();
  }

private:
  void form(KernelBuilder builder) {
    builder.form();
    calls += outlineKernels(builder, known);
  }

  KernelFacts facts;
  llvm::StringMap<func::FuncOp> known; // by text
};

} // namespace

std::unique_ptr<Pass> createFormKernelsPass(const KernelFacts &facts) {
  return std::make_unique<FormKernels>(facts);
}

} // namespace nncc
