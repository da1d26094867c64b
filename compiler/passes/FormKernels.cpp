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
#include "dialect/StridedView.h"
#include "passes/KernelForming.h"
#include "passes/Passes.h"
#include "passes/Utils.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCFORMKERNELS
#include "passes/Passes.h.inc"

namespace {

/// Tensors that one kernel may read (the ABI allows 64 with its result).
constexpr int64_t maxOperands = 60;

/// Elements of 4 bytes in a page.
constexpr int64_t pageElements = 1 << 10;

/// A view whose operand elements land in exactly one place each (or nowhere).
bool isForward(Operation *op) {
  if (auto slice = dyn_cast<SliceOp>(op))
    return llvm::all_of(slice.getSteps(), [](int64_t s) { return s == 1; });
  return isa<ReshapeOp, TransposeOp>(op);
}

/// Functions that are not worth computing several times per element.
bool isExpensive(Operation *op) {
  return isa<ReduceOp>(op) || op->hasTrait<OpTrait::nncc::Costly>();
}

class KernelBuilder : public FormedKernels {
public:
  using FormedKernels::FormedKernels;

  void form() {
    materializeViews();
    repeatOps(*this);
    for (Operation &op : block)
      if (isRoot(&op))
        growFromRoot(&op);
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
  /// Product operands must have strides, and right sides the order that their
  /// emitter wants: a view without is computed first, by an explicit copy.
  void materializeViews() {
    SmallVector<Operation *> roots;
    for (Operation &op : block)
      if (isRoot(&op))
        roots.push_back(&op);
    for (Operation *root : roots)
      for (unsigned i = 0, e = productOperands(root); i < e; ++i)
        materialize(root->getOpOperand(i));
  }

  static bool isRowMajor(const StridedView &view) {
    for (auto [size, stride, expected] :
         llvm::zip_equal(view.shape, view.strides, stridesOf(view.shape)))
      if (size != 1 && stride != expected)
        return false;
    return true;
  }

  /// The emitter reads whole panels, or vectors along the last dimension.
  static bool hasOrder(Operation *root, unsigned operand,
                       const StridedView &view) {
    auto contract = dyn_cast<ContractOp>(root);
    if (contract && operand == 1) {
      if (root->hasAttr(packedAttr))
        return isRowMajor(view);
      if (!llvm::is_contained(contract.rhsFree(),
                              int64_t(view.shape.size()) - 1))
        return true; // a few rows: sums run along memory
    } else if (contract) {
      // Sums across the pages of a tensor that no cache holds wait for memory.
      int64_t last = contract.getLhsContract().empty()
                         ? -1
                         : contract.getLhsContract().back();
      return last < 0 || view.shape[last] == 1 ||
             view.strides[last] < pageElements ||
             tensorType(view.base).getNumElements() < uncachedElements;
    } else if (isa<AttentionOp>(root) && operand != 2) {
      return true;
    }
    return view.shape.back() == 1 || view.strides.back() == 1;
  }

  void materialize(OpOperand &operand) {
    Value obstacle;
    auto view = stridedView(operand.get(), &obstacle);
    for (; failed(view); view = stridedView(operand.get(), &obstacle)) {
      OpBuilder b(block.getParent()->getContext());
      b.setInsertionPointAfterValue(obstacle);
      Value copy = createCopy(b, obstacle, operand.getOwner());
      // Only the uses that this operand reads through see the copy.
      OpOperand *use = &operand;
      while (use->get() != obstacle)
        use = &use->get().getDefiningOp()->getOpOperand(0);
      use->set(copy);
    }
    if (hasOrder(operand.getOwner(), operand.getOperandNumber(), *view))
      return;
    shareCopy(operand);
  }

  /// One copy serves all readers behind the first.
  void shareCopy(OpOperand &operand) {
    Operation *reader = operand.getOwner();
    auto [it, isNew] = copies.try_emplace(operand.get());
    if (isNew) {
      OpBuilder b(reader);
      auto contract = dyn_cast<ContractOp>(reader);
      it->second = contract && operand.getOperandNumber() == 0
                       ? sumsInnermost(b, contract)
                       : createCopy(b, operand.get(), reader);
    }
    operand.set(it->second);
  }

  /// The left side in an order in which sums run along memory.
  Value sumsInnermost(OpBuilder &b, ContractOp contract) {
    ExprBuilder c{b, contract.getLoc()};
    Expr lhs(c, contract.getLhs());
    SmallVector<int64_t> order =
        otherDims(contract.getLhsContract(), lhs.rank());
    llvm::append_range(order, contract.getLhsContract());
    Value copy = createCopy(c.b, transpose(lhs, order).value(), contract);
    SmallVector<int64_t> back(order.size());
    for (auto [i, d] : llvm::enumerate(order))
      back[d] = int64_t(i);
    return transpose(Expr(c, copy), back).value();
  }

  DenseMap<Value, Value> copies;

  //===--------------------------------------------------------------------===//
  // Kernels with a root
  //===--------------------------------------------------------------------===//

  /// Everything that depends on `op`.
  DenseSet<Operation *> dependents(Operation *op) {
    DenseSet<Operation *> seen;
    SmallVector<Operation *> work{op};
    while (!work.empty())
      for (Operation *user : work.pop_back_val()->getUsers())
        if (seen.insert(user).second)
          work.push_back(user);
    return seen;
  }

  void growFromRoot(Operation *root) {
    DenseSet<Operation *> behind = dependents(root);
    // Values that the epilogue has in registers.
    DenseSet<Value> derived{root->getResult(0)};
    SmallVector<Operation *> joined;
    SmallVector<Value> results(root->getResults());
    for (Operation &op :
         llvm::make_range(std::next(root->getIterator()),
                          block.getTerminator()->getIterator())) {
      if (!behind.contains(&op) || joined.size() == 48 || results.size() > 1)
        continue;
      if (!joins(&op, derived, behind))
        continue;
      derived.insert(op.getResult(0));
      joined.push_back(&op);
      if (isa<PadOp>(op))
        break;
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

  /// True if `op` can be computed on the root's register tile.
  bool joins(Operation *op, const DenseSet<Value> &derived,
             const DenseSet<Operation *> &behind) {
    if (kernelOf.count(op) || repeated.contains(op))
      return false;
    if (isForward(op) || isa<PadOp>(op)) {
      if (auto pad = dyn_cast<PadOp>(op))
        if (llvm::any_of(pad.getInterior(), [](int64_t i) { return i != 0; }))
          return false;
      return derived.contains(op->getOperand(0)) &&
             op->getOperand(0).hasOneUse();
    }
    if (!op->hasTrait<OpTrait::Elementwise>())
      return false;
    bool any = false;
    for (Value operand : op->getOperands()) {
      if (derived.contains(operand)) {
        any = true;
        continue;
      }
      // Other operands come from memory and must not wait for this kernel.
      Operation *def = operand.getDefiningOp();
      if (def && behind.contains(def))
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
    // Ending in a view that is free for its users anyway gains nothing, except
    // that a root's own columns need their slice.
    return leaving == 1 && lastLeaves;
  }

  //===--------------------------------------------------------------------===//
  // Kernels without a root
  //===--------------------------------------------------------------------===//

  void place(Operation *op) {
    SetVector<Operation *> users;
    realUsers(op->getResult(0), users);
    Kernel *target = nullptr;
    bool single = true;
    for (Operation *user : users) {
      Kernel *kernel = kernelOf.lookup(user); // null for return
      single &= kernel && (!target || kernel == target);
      target = kernel;
    }
    if (single && target && !target->hasRoot && !isa<ScatterAddOp>(op) &&
        fits(op, *target)) {
      target->ops.push_back(op);
      target->operands += int64_t(op->getNumOperands()) - 1;
      kernelOf[op] = target;
      noteRows(op, *target);
      return;
    }
    auto kernel = std::make_unique<Kernel>();
    kernel->ops.push_back(op);
    kernel->operands = op->getNumOperands();
    kernel->results = {op->getResult(0)};
    kernelOf[op] = kernel.get();
    noteRows(op, *kernel);
    kernels.push_back(std::move(kernel));
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
    return llvm::all_of(op->getUsers(), [&](Operation *user) {
      if (isa<BroadcastOp, PatchesOp>(user))
        return false;
      auto row = dyn_cast<ReduceOp>(user);
      if (row && reducesLanes(row))
        return true; // once per row, whoever reads that
      bool isInside = isFree(user) || kernelOf.lookup(user) == &kernel;
      return !isInside || readOnce(user, kernel);
    });
  }

  bool fits(Operation *op, Kernel &kernel) {
    if (kernel.operands + int64_t(op->getNumOperands()) > maxOperands)
      return false;
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
    if (auto pad = dyn_cast<PadOp>(op))
      if (llvm::any_of(pad.getInterior(), [](int64_t i) { return i != 0; }))
        return false;
    if (isExpensive(op))
      return readOnce(op, kernel);
    // Cheap ops may be computed again, but not a whole tensor per element of
    // another (a broadcast of many rows is a table look-up in memory).
    return true;
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
    auto slice = dyn_cast<SliceOp>(def);
    return (isa<ReshapeOp>(def) || (slice && isContiguous(slice))) &&
           liesInMemory(def->getOperand(0));
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
      if (values.size() < 2)
        continue;
      auto kernel = std::make_unique<Kernel>();
      for (Value value : values) {
        kernel->results.push_back(value);
        kernel->ops.push_back(value.getDefiningOp());
        kernel->operands += value.getDefiningOp()->getNumOperands();
        kernelOf[value.getDefiningOp()] = kernel.get();
      }
      kernels.push_back(std::move(kernel));
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
    return fits(op) && llvm::all_of(dependents(op), fits);
  }

  //===--------------------------------------------------------------------===//
  // New values of weights, in place
  //===--------------------------------------------------------------------===//

  /// A kernel that writes over a weight may read it only at the element that
  /// it writes; else, or if another such kernel reads it, or if something
  /// needs the new value, that takes a way round.
  void separateHazards() {
    Operation *ret = block.getTerminator();
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
      for (auto weight : block.getOps<WeightOp>())
        if (!weight.getPrepared() && weight.getPath() == path)
          hazard |= readsElsewhere(weight.getResult(), *kernel, updating, true);
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

  bool readsElsewhere(Value value, const Kernel &kernel,
                      const DenseSet<Kernel *> &updating, bool inOrder) {
    return llvm::any_of(value.getUsers(), [&](Operation *user) {
      if (isFree(user))
        return readsElsewhere(user->getResult(0), kernel, updating, false);
      Kernel *reader = kernelOf.lookup(user);
      if (reader != &kernel)
        return inOrder && updating.contains(reader) &&
               isa_and_nonnull<WeightOp>(value.getDefiningOp());
      if (!inOrder || !user->hasTrait<OpTrait::Elementwise>())
        return true;
      return readsElsewhere(user->getResult(0), kernel, updating, true);
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
  void runOnOperation() override {
    for (func::FuncOp entry : entriesOf(getOperation())) {
      for (auto scan : entry.getBody().front().getOps<ScanOp>())
        form({scan.block(), nullptr});
      form({entry.getBody().front(), entry});
    }
    kernels += known.size();
  }

private:
  void form(KernelBuilder builder) {
    builder.form();
    calls += outlineKernels(builder, known);
  }

  llvm::StringMap<func::FuncOp> known; // by text
};

} // namespace
} // namespace nncc
