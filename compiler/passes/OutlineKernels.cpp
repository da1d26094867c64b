//===- OutlineKernels.cpp - kernels into functions and calls --------------===//
//
// The second half of form-kernels: what FormKernels.cpp put together becomes
// functions, and the entry calls of them, in an order that frees memory early.
//
//===----------------------------------------------------------------------===//
#include "dialect/Names.h"
#include "passes/KernelForming.h"
#include "passes/Utils.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/MD5.h"

using namespace mlir;

namespace nncc {

namespace {

/// Turns the kernels of one entry into functions and calls.
class Outliner {
public:
  Outliner(FormedKernels &formed, llvm::StringMap<func::FuncOp> &known)
      : formed(formed),
        module(formed.block.getParentOp()->getParentOfType<ModuleOp>()),
        known(known) {}

  int64_t calls = 0;

  void run() {
    for (auto &kernel : formed.kernels)
      llvm::sort(kernel->ops, [&](Operation *x, Operation *y) {
        return formed.position[x] < formed.position[y];
      });
    // A kernel runs where its last op stood; producers come before.
    std::vector<Kernel *> order;
    for (auto &kernel : formed.kernels)
      order.push_back(kernel.get());
    llvm::stable_sort(order, [&](Kernel *x, Kernel *y) {
      return formed.position[x->ops.back()] < formed.position[y->ops.back()];
    });
    for (Kernel *kernel : order)
      outline(*kernel);
    eraseDead(formed.block);
    schedule();
  }

private:
  void outline(Kernel &kernel) {
    OpBuilder b(module.getContext());
    DenseSet<Operation *> inside(kernel.ops.begin(), kernel.ops.end());
    SetVector<Value> operands;
    SetVector<Operation *> body;
    for (Value result : kernel.results)
      formed.collect(result, inside, operands, body);

    SmallVector<Type> types;
    for (Value operand : operands)
      types.push_back(operand.getType());
    ValueRange results(kernel.results);
    Location loc = kernel.results.front().getLoc();
    OwningOpRef<func::FuncOp> function = func::FuncOp::create(
        loc, "k", b.getFunctionType(types, results.getTypes()));
    IRMapping mapping;
    Block *entry = function->addEntryBlock();
    for (auto [operand, argument] :
         llvm::zip_equal(operands, entry->getArguments()))
      mapping.map(operand, argument);
    b.setInsertionPointToStart(entry);
    for (Operation *op : body)
      b.clone(*op, mapping)->removeAttr(packedAttr);
    SmallVector<Value> returned;
    for (Value result : results)
      returned.push_back(mapping.lookup(result));
    func::ReturnOp::create(b, loc, returned);
    markInPlace(kernel, *function, operands.getArrayRef());

    ArrayAttr why = reasons(kernel, operands.getArrayRef(), b);
    func::FuncOp callee = deduplicate(function.release());
    b.setInsertionPointAfter(kernel.ops.back());
    auto call = CallOp::create(b, originOf(kernel), results.getTypes(),
                               callee.getName(), operands.getArrayRef(),
                               DenseI64ArrayAttr());
    call->setAttr(reasonsAttr, why);
    for (auto [result, replacement] :
         llvm::zip_equal(results, call.getResults()))
      result.replaceAllUsesExcept(replacement, call);
    for (Operation *op : llvm::reverse(kernel.ops))
      if (op->use_empty())
        op->erase();
    ++calls;
  }

  /// Where the kernel's ops come from, in order, each place once.
  Location originOf(const Kernel &kernel) {
    SetVector<Location> places;
    for (Operation *op : kernel.ops)
      places.insert(op->getLoc());
    return FusedLoc::get(module.getContext(), places.getArrayRef());
  }

  /// The state that the entry writes `value` to, if it does.
  StringRef writtenState(Value value) {
    if (!formed.entry)
      return "";
    for (OpOperand &use : value.getUses())
      if (isa<func::ReturnOp>(use.getOwner()) &&
          formed.entry.getResultAttr(use.getOperandNumber(), updateAttr))
        return formed.entry
            .getResultAttrOfType<StringAttr>(use.getOperandNumber(),
                                             valueNameAttr)
            .getValue();
    return "";
  }

  /// Marks arguments that a result may lie on: those of a kernel without a root
  /// that are read where the result is written, the base of a scatter, and
  /// state that the entry writes.
  void markInPlace(Kernel &kernel, func::FuncOp function,
                   ArrayRef<Value> operands) {
    Value result = kernel.results.front();
    // Loops around a transpose may compute an element twice.
    bool crosses = llvm::any_of(function.getOps<TransposeOp>(),
                                [](TransposeOp) { return true; });
    for (auto [i, operand] : llvm::enumerate(operands)) {
      bool fits = !crosses && !kernel.hasRoot && kernel.results.size() == 1 &&
                  operand.getType() == result.getType() &&
                  isReadInPlace(function.getArgument(i));
      auto weight = storageOf(operand).root.getDefiningOp<WeightOp>();
      for (Value written : kernel.results)
        fits |= weight && writtenState(written) == weight.getPath();
      if (fits)
        function.setArgAttr(i, inPlaceAttr,
                            UnitAttr::get(function.getContext()));
    }
  }

  /// True if elements of the argument are needed for the same elements of the
  /// result only.
  static bool isReadInPlace(Value value) {
    return allUses(
        value,
        [](OpOperand &use) -> Value {
          Operation *user = use.getOwner();
          return isa<func::ReturnOp>(user) ? Value() : user->getResult(0);
        },
        [](OpOperand &use) {
          Operation *user = use.getOwner();
          bool isBase = isa<ScatterAddOp>(user) && use.getOperandNumber() == 0;
          return isBase || isa<func::ReturnOp>(user) ||
                 user->hasTrait<OpTrait::Elementwise>();
        });
  }

  /// Gradients leave as soon as they are there, and weights are written as soon
  /// as nothing needs their old value.
  void schedule() {
    auto last = [](Operation *x, Operation *y) {
      return !x || (y && x->isBeforeInBlock(y)) ? y : x;
    };
    auto place = [&](Operation *op, Operation *behind) {
      for (Value operand : op->getOperands())
        behind = last(behind, operand.getDefiningOp());
      if (!behind)
        return;
      // moveAfter would have the whole block numbered anew for the next one.
      op->remove();
      formed.block.getOperations().insertAfter(behind->getIterator(), op);
    };
    for (auto op :
         llvm::make_early_inc_range(formed.block.getOps<AllReduceOp>()))
      place(op, nullptr);
    SmallVector<CallOp> writers;
    for (auto call : formed.block.getOps<CallOp>())
      if (llvm::any_of(call.getResults(), [&](Value value) {
            return !writtenState(value).empty();
          }))
        writers.push_back(call);
    auto reads = stateReads(formed.block);
    for (CallOp call : writers) {
      Operation *reader = nullptr;
      auto noteReaders = [&](Value value) {
        allUses(value, aliasBehind, [&](OpOperand &use) {
          Operation *user = use.getOwner();
          if (isa<CallOp, ScanOp>(user) && user != call)
            reader = last(reader, user);
          return true;
        });
      };
      for (Value result : call.getResults())
        for (WeightOp weight : reads.lookup(writtenState(result)))
          noteReaders(weight.getResult());
      place(call, reader);
    }
  }

  /// The existing function with the same text, or this one under a new name.
  func::FuncOp deduplicate(func::FuncOp function) {
    std::string text;
    llvm::raw_string_ostream os(text);
    function->print(os, OpPrintingFlags().elideLargeElementsAttrs(1 << 30));
    auto [it, isNew] = known.try_emplace(text, function);
    if (!isNew) {
      function.erase();
      return it->second;
    }
    llvm::MD5 md5;
    md5.update(text);
    llvm::MD5::MD5Result digest;
    md5.final(digest);
    function->setAttr(kernelKeyAttr,
                      StringAttr::get(module.getContext(),
                                      digest.digest().str().substr(0, 16)));
    function.setName("k" + std::to_string(known.size() - 1));
    function.setPrivate();
    module.push_back(function);
    return function;
  }

  /// Why each operand comes from memory.
  ArrayAttr reasons(Kernel &kernel, ArrayRef<Value> operands, OpBuilder &b) {
    SmallVector<Attribute> list;
    for (Value operand : operands) {
      operand = storageOf(operand).root;
      Operation *def = operand.getDefiningOp();
      StringRef why = "fusing would change what is computed per element";
      if (ScanOp::outside(operand))
        why = "the same in each step";
      else if (!def)
        why = formed.entry ? "an input of the entry" : "comes with each step";
      else if (isa<WeightOp>(def))
        why = "a weight";
      else if (kernel.hasRoot)
        why = "the root reads its operands several times";
      else if (isa<ScanOp>(def))
        why = "a loop gives it";
      else if (def->getNumResults() > 1)
        why = "the kernel before has several results";
      else if (!operand.hasOneUse())
        why = "several kernels use it";
      else if (!kernel.rowSpace.empty())
        why = "each row is read once per reduction";
      list.push_back(b.getStringAttr(why));
    }
    return b.getArrayAttr(list);
  }

  FormedKernels &formed;
  ModuleOp module;
  llvm::StringMap<func::FuncOp> &known;
};

} // namespace

int64_t outlineKernels(FormedKernels &formed,
                       llvm::StringMap<func::FuncOp> &known) {
  Outliner outliner(formed, known);
  outliner.run();
  return outliner.calls;
}

} // namespace nncc
