//===- Scan.cpp - the loop with carried state -----------------------------===//
//
// Its gradient stands in ScanGradient.cpp.
//
//===----------------------------------------------------------------------===//
#include "dialect/Expr.h"
#include "dialect/Gradient.h"
#include "dialect/Interpreter.h"
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

Block::BlockArgListType ScanOp::states() {
  return block().getArguments().take_front(stateCount());
}
Block::BlockArgListType ScanOp::elements() {
  return block().getArguments().slice(stateCount(), getSequences().size());
}
Block::BlockArgListType ScanOp::fixed() {
  return block().getArguments().take_back(getInvariants().size());
}

unsigned ScanOp::homeOf(unsigned i) {
  Value value = yielded()[i];
  for (unsigned k = stateCount(); k < yielded().size(); ++k)
    if (yielded()[k] == value)
      return k;
  return llvm::find(yielded(), value) - yielded().begin();
}

Value ScanOp::outside(Value value) {
  auto argument = dyn_cast<BlockArgument>(value);
  auto scan = argument
                  ? dyn_cast_or_null<ScanOp>(argument.getOwner()->getParentOp())
                  : ScanOp();
  if (!scan)
    return {};
  unsigned first = scan.stateCount() + scan.getSequences().size();
  return argument.getArgNumber() < first
             ? Value()
             : scan.getInvariants()[argument.getArgNumber() - first];
}

RankedTensorType ScanOp::elementType(Type stack) {
  auto tensor = cast<RankedTensorType>(stack);
  return tensor.clone(tensor.getShape().drop_front());
}

RankedTensorType ScanOp::stackType(Type element, int64_t steps) {
  auto tensor = cast<RankedTensorType>(element);
  SmallVector<int64_t> shape{steps};
  llvm::append_range(shape, tensor.getShape());
  return tensor.clone(shape);
}

LogicalResult ScanOp::verifyRegions() {
  int64_t steps = getSteps();
  auto hasSteps = [&](Value value) {
    auto type = tensorType(value);
    return type.getRank() > 0 && type.getDimSize(0) == steps;
  };
  auto yield = dyn_cast<YieldOp>(block().getTerminator());
  if (!yield)
    return emitOpError("needs a body that ends with nncc.yield");
  if (getNumResults() < stateCount() ||
      !llvm::all_of(getSequences(), hasSteps) ||
      !llvm::all_of(stacks(), hasSteps))
    return emitOpError("needs sequences and stacks of ")
           << steps << " elements"; // C1
  SmallVector<Type> arguments(getInits().getTypes()), results(arguments);
  for (Type type : getSequences().getTypes())
    arguments.push_back(elementType(type));
  llvm::append_range(arguments, getInvariants().getTypes());
  if (block().getArgumentTypes() != TypeRange(arguments))
    return emitOpError("needs a body whose arguments have its operands' "
                       "types"); // C2
  for (Type type : stacks().getTypes())
    results.push_back(elementType(type));
  if (finals().getTypes() != getInits().getTypes() ||
      yield.getOperandTypes() != TypeRange(results))
    return emitOpError("needs a body that yields the types of the state and of "
                       "the stacks' elements"); // C3
  if ((*this)->getParentOfType<ScanOp>())
    return emitOpError("must not stand in a scan"); // C4
  return success();
}

//===----------------------------------------------------------------------===//
// Meaning
//===----------------------------------------------------------------------===//

std::vector<RefTensor> interpretScan(ScanOp op, ArrayRef<RefTensor> inputs,
                                     Observer observer) {
  unsigned states = op.stateCount(), sequences = op.getSequences().size();
  std::vector<RefTensor> arguments(inputs), results;
  for (Value result : op.getResults())
    results.emplace_back(tensorType(result));
  for (int64_t step = 0; step < int64_t(op.getSteps()); ++step) {
    int64_t element = op.elementOf(step);
    for (unsigned i = states; i < states + sequences; ++i) {
      RefTensor now(tensorType(op.block().getArgument(i)));
      int64_t size = now.size();
      for (int64_t k = 0; k < size; ++k)
        now.copyFrom(inputs[i], element * size + k, k);
      arguments[i] = std::move(now);
    }
    std::vector<RefTensor> yielded =
        interpret(op.block(), arguments, {}, observer);
    for (unsigned i = states; i < yielded.size(); ++i)
      for (int64_t k = 0, size = yielded[i].size(); k < size; ++k)
        results[i].copyFrom(yielded[i], k, element * size + k);
    for (unsigned i = 0; i < states; ++i)
      arguments[i] = results[i] = std::move(yielded[i]);
  }
  return results;
}

void ScanOp::evaluate(ArrayRef<RefTensor> inputs,
                      MutableArrayRef<RefTensor> results) {
  llvm::move(interpretScan(*this, inputs, {}), results.begin());
}

//===----------------------------------------------------------------------===//
// Canonical forms
//===----------------------------------------------------------------------===//

namespace {

/// Which operands and results of a scan stay.
struct Kept {
  SmallVector<bool> states, sequences, invariants, stacks;

  bool hasAll() const {
    return !llvm::is_contained(states, false) &&
           !llvm::is_contained(sequences, false) &&
           !llvm::is_contained(invariants, false) &&
           !llvm::is_contained(stacks, false);
  }
};

/// Replaces `op` by a scan with what is kept, which gets the body.
void rebuild(ScanOp op, const Kept &kept, PatternRewriter &rewriter) {
  auto chosen = [](ValueRange values, ArrayRef<bool> stays) {
    SmallVector<Value> list;
    for (auto [value, keep] : llvm::zip_equal(values, stays))
      if (keep)
        list.push_back(value);
    return list;
  };
  SmallVector<bool> results(kept.states), arguments(kept.states);
  llvm::append_range(results, kept.stacks);
  llvm::append_range(arguments, kept.sequences);
  llvm::append_range(arguments, kept.invariants);
  SmallVector<Value> old = chosen(op.getResults(), results);
  auto rebuilt =
      ScanOp::create(rewriter, op.getLoc(), TypeRange(ValueRange(old)),
                     op.getStepsAttr(), chosen(op.getInits(), kept.states),
                     chosen(op.getSequences(), kept.sequences),
                     chosen(op.getInvariants(), kept.invariants),
                     op.getReverseAttr(), DenseI64ArrayAttr());
  Operation *yield = op.block().getTerminator();
  SmallVector<Value> yielded = chosen(op.yielded(), results);
  rewriter.modifyOpInPlace(yield, [&] { yield->setOperands(yielded); });
  BitVector dropped(arguments.size());
  for (auto [i, keep] : llvm::enumerate(arguments))
    dropped[i] = !keep;
  op.block().eraseArguments(dropped);
  rewriter.inlineRegionBefore(op.getBody(), rebuilt.getBody(),
                              rebuilt.getBody().end());
  for (auto [value, now] : llvm::zip_equal(old, rebuilt.getResults()))
    rewriter.replaceAllUsesWith(value, now);
  rewriter.eraseOp(op);
}

/// Results, operands and state that nothing needs.
struct DropUnused : OpRewritePattern<ScanOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ScanOp op,
                                PatternRewriter &rewriter) const override {
    auto isUsed = [](Value value) { return !value.use_empty(); };
    Kept kept;
    for (auto [argument, final] : llvm::zip_equal(op.states(), op.finals()))
      kept.states.push_back(isUsed(argument) || isUsed(final));
    kept.sequences = llvm::map_to_vector(op.elements(), isUsed);
    kept.invariants = llvm::map_to_vector(op.fixed(), isUsed);
    kept.stacks = llvm::map_to_vector(op.stacks(), isUsed);
    if (kept.hasAll())
      return failure();
    rebuild(op, kept, rewriter);
    return success();
  }
};

/// The same operand twice, the same value in two stacks, and a final state that
/// is the last element of a stack.
struct MergeEqual : OpRewritePattern<ScanOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ScanOp op,
                                PatternRewriter &rewriter) const override {
    bool changed = false;
    auto replace = [&](Value old, Value now) {
      if (old == now || old.use_empty())
        return;
      rewriter.replaceAllUsesWith(old, now);
      changed = true;
    };
    auto mergeArguments = [&](OperandRange operands,
                              Block::BlockArgListType arguments) {
      llvm::SmallDenseMap<Value, Value> first;
      for (auto [operand, argument] : llvm::zip_equal(operands, arguments))
        if (auto [it, isNew] = first.try_emplace(operand, argument); !isNew)
          replace(argument, it->second);
    };
    mergeArguments(op.getSequences(), op.elements());
    mergeArguments(op.getInvariants(), op.fixed());
    for (unsigned i = op.stateCount(); i < op.getNumResults(); ++i)
      replace(op.getResult(i), op.getResult(op.homeOf(i)));
    for (auto [i, final] : llvm::enumerate(op.finals())) {
      unsigned home = op.homeOf(i);
      if (home < op.stateCount() || final.use_empty())
        continue;
      ExprBuilder c{rewriter, op.getLoc()};
      c.b.setInsertionPointAfter(op);
      int64_t last = op.elementOf(int64_t(op.getSteps()) - 1);
      replace(final, reshape(slice(Expr(c, op.getResult(home)), 0, last, 1),
                             shapeOf(final))
                         .value());
    }
    return success(changed);
  }
};

/// One step is no loop.
struct InlineOneStep : OpRewritePattern<ScanOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ScanOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getSteps() != 1)
      return failure();
    ExprBuilder c{rewriter, op.getLoc()};
    c.b.setInsertionPoint(op);
    SmallVector<Value> arguments;
    for (auto [operand, argument] :
         llvm::zip_equal(op.getOperands(), op.block().getArguments()))
      arguments.push_back(reshape(Expr(c, operand), shapeOf(argument)).value());
    Operation *yield = op.block().getTerminator();
    rewriter.inlineBlockBefore(&op.block(), op, arguments);
    SmallVector<Value> results(yield->getOperands());
    rewriter.eraseOp(yield);
    c.b.setInsertionPoint(op);
    for (auto [result, value] : llvm::zip_equal(op.getResults(), results))
      value = reshape(Expr(c, value), shapeOf(result)).value();
    rewriter.replaceOp(op, results);
    return success();
  }
};

} // namespace

void ScanOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                         MLIRContext *context) {
  patterns.add<DropUnused, MergeEqual, InlineOneStep>(context);
}

} // namespace nncc
