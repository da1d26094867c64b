//===- ScanGradient.cpp - backward through time ---------------------------===//
//
// A scan in the other direction, whose state is the gradient of the state. Its
// body is one walk backwards over the forward body; what that reads of forward
// is brought in afterwards, value by value (`Backward::local`).
//
//===----------------------------------------------------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"
#include <functional>

using namespace mlir;

namespace nncc {

namespace {

class Backward {
public:
  Backward(ScanOp op, Gradient &g)
      : op(op), g(g), body(std::make_unique<Block>()),
        inner{OpBuilder(op.getContext()), op.getLoc()}, walk(inner) {
    inner.b.setInsertionPointToEnd(body.get());
  }

  bool build() {
    seed();
    if (failed(walk.run()))
      return false;
    std::vector<Given> given = collect();
    YieldOp::create(inner.b, op.getLoc(), yielded);
    bringIn();
    extendForward();
    runBackward();
    for (auto &[operand, gradient] : given)
      g.give(operand, gradient());
    for (auto [i, result] : llvm::enumerate(op.getResults()))
      g.replaceResult(i, forward.getResult(i));
    op.erase();
    return true;
  }

private:
  /// Something outside that is there once both scans are.
  using Later = std::function<Expr()>;
  struct Given {
    unsigned operand;
    Later gradient;
  };

  bool isInForward(Value value) {
    return value.getParentBlock() == &op.block();
  }
  Expr zeros(ExprBuilder &c, Type type) {
    auto tensor = cast<RankedTensorType>(type);
    return full(c, tensor.getElementType(), tensor.getShape(), 0);
  }

  //===--------------------------------------------------------------------===//
  // The walk over the body
  //===--------------------------------------------------------------------===//

  /// Asks for what is wanted, and gives gradients of what the body yields: of
  /// the state by the step behind, of stacks from outside.
  void seed() {
    Operation *yield = op.block().getTerminator();
    auto isAsked = [&](unsigned i) {
      return walk.wants(op.block().getArgument(i));
    };
    for (unsigned i = 0; i < op.getNumOperands(); ++i)
      if (g.wants(i))
        walk.ask(op.block().getArgument(i));
    for (bool grows = true; grows;) {
      grows = false;
      walk.follow(yield);
      for (unsigned i = 0; i < op.stateCount(); ++i)
        if (!isAsked(i) && walk.wants(op.yielded()[i])) {
          walk.ask(op.block().getArgument(i));
          grows = true;
        }
    }
    for (unsigned i = 0; i < op.stateCount(); ++i) {
      if (!isAsked(i))
        continue;
      Type type = op.getInits()[i].getType();
      Expr last = g.ofResult(i);
      inits.push_back((last ? last : zeros(g.c, type)).value());
      states.push_back(i);
      walk.give(op.yielded()[i],
                Expr(inner, body->addArgument(type, op.getLoc())));
    }
    for (unsigned i = op.stateCount(); i < op.getNumResults(); ++i)
      if (Expr stack = g.ofResult(i); stack && walk.wants(op.yielded()[i]))
        walk.give(op.yielded()[i],
                  Expr(inner, addSequence([=] { return stack; },
                                          op.yielded()[i].getType())));
  }

  /// What the body yields, and how the operands' gradients are made of it.
  std::vector<Given> collect() {
    std::vector<Given> given;
    auto gradientOf = [&](unsigned i) {
      return walk.gradientOf(op.block().getArgument(i));
    };
    for (auto [k, i] : llvm::enumerate(states)) {
      Expr gradient = gradientOf(i);
      if (!gradient)
        gradient = zeros(inner, op.getInits()[i].getType());
      yielded.push_back(gradient.value());
      given.push_back({i, [this, k = k] { return result(k); }});
    }
    unsigned firstFixed = op.stateCount() + op.getSequences().size();
    for (unsigned i = op.stateCount(); i < op.getNumOperands(); ++i)
      if (Expr gradient = g.wants(i) ? gradientOf(i) : Expr())
        given.push_back({i, i < firstFixed ? stacked(gradient.value())
                                           : summed(gradient.value())});
    return given;
  }

  //===--------------------------------------------------------------------===//
  // Sums over all steps
  //===--------------------------------------------------------------------===//

  Expr result(unsigned i) { return Expr(g.c, backward.getResult(i)); }

  /// All that a value in either body is, along a new dimension 0.
  Later stacked(Value value) {
    if (isInForward(value))
      if (Later known = forwardStack(value))
        return known;
    unsigned i = llvm::find(llvm::drop_begin(yielded, states.size()), value) -
                 yielded.begin();
    if (i == yielded.size())
      yielded.push_back(value);
    return [this, i] { return result(i); };
  }

  /// The sum over all steps of a value in the body: through what moves elements
  /// only, to a product or a sum, which takes the steps in.
  Later summed(Value value) {
    Operation *def = value.getDefiningOp();
    if (auto add = dyn_cast_or_null<AddOp>(def)) {
      Later x = summed(add.getLhs()), y = summed(add.getRhs());
      return [=] { return x() + y(); };
    }
    if (auto move = dyn_cast_or_null<TransposeOp>(def)) {
      Later x = summed(move.getOperand());
      SmallVector<int64_t> perm(move.getPerm());
      return [=] { return transpose(x(), perm); };
    }
    if (isa_and_nonnull<ReshapeOp>(def)) {
      Later x = summed(def->getOperand(0));
      SmallVector<int64_t> shape(shapeOf(value));
      return [=] { return reshape(x(), shape); };
    }
    auto behindSteps = [](ArrayRef<int64_t> dims, bool withSteps) {
      SmallVector<int64_t> shifted;
      if (withSteps)
        shifted.push_back(0);
      for (int64_t d : dims)
        shifted.push_back(d + 1);
      return shifted;
    };
    auto reduction = dyn_cast_or_null<ReduceOp>(def);
    if (reduction && reduction.getCombiner() == Combiner::sum) {
      Later x = stacked(reduction.getOperand());
      auto dims = behindSteps(reduction.getDims(), true);
      return [=] { return sum(x(), dims); };
    }
    if (auto product = dyn_cast_or_null<ContractOp>(def)) {
      Later x = stacked(product.getLhs()), y = stacked(product.getRhs());
      auto xBatch = behindSteps(product.getLhsBatch(), false);
      auto yBatch = behindSteps(product.getRhsBatch(), false);
      auto xSum = behindSteps(product.getLhsContract(), true);
      auto ySum = behindSteps(product.getRhsContract(), true);
      Type element = product.getType().getElementType();
      return [=] {
        return contract(x(), y(), xBatch, yBatch, xSum, ySum, element);
      };
    }
    Later x = stacked(value);
    return [=] { return sum(x(), {0}); };
  }

  //===--------------------------------------------------------------------===//
  // Values of forward
  //===--------------------------------------------------------------------===//

  /// Replaces what the new body reads of the forward one.
  void bringIn() {
    for (Operation &step : llvm::make_early_inc_range(llvm::reverse(*body)))
      if (isOpTriviallyDead(&step))
        step.erase();
    SmallVector<Operation *> steps;
    for (Operation &step : *body)
      steps.push_back(&step);
    OpBuilder front(op.getContext());
    front.setInsertionPoint(steps.front());
    for (Operation *step : steps)
      for (OpOperand &operand : step->getOpOperands())
        if (isInForward(operand.get()))
          operand.set(local(operand.get(), front));
  }

  /// A forward value in the new body: from a stack, or computed again there.
  Value local(Value value, OpBuilder &front) {
    if (Value known = locals.lookup(value))
      return known;
    if (Value outside = ScanOp::outside(value)) {
      invariants.push_back(outside);
      return locals[value] = body->addArgument(value.getType(), op.getLoc());
    }
    if (Later stack = forwardStack(value))
      return locals[value] = addSequence(stack, value.getType());
    IRMapping mapping;
    for (Value operand : value.getDefiningOp()->getOperands())
      mapping.map(operand, local(operand, front));
    return locals[value] =
               front.clone(*value.getDefiningOp(), mapping)->getResult(0);
  }

  Value addSequence(const Later &stack, Type type) {
    sequences.push_back(stack);
    return body->insertArgument(states.size() + sequences.size() - 1, type,
                                op.getLoc());
  }

  /// The stack of a forward value; null if it is better computed again.
  Later forwardStack(Value value) {
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      unsigned i = argument.getArgNumber();
      if (i < op.stateCount())
        return [this, i, stack = saved(op.yielded()[i])] {
          return statesBefore(Expr(g.c, op.getInits()[i]), stack());
        };
      i -= op.stateCount();
      if (i < op.getSequences().size())
        return [this, i] { return Expr(g.c, op.getSequences()[i]); };
      return {};
    }
    Operation *def = value.getDefiningOp();
    bool isStack =
        llvm::is_contained(op.yielded().drop_front(op.stateCount()), value);
    bool isCheap = def->hasTrait<OpTrait::Elementwise>() ||
                   isa<View, ConstantOp, IotaOp>(def);
    if (!isStack && isCheap && !endsProduct(value))
      return {};
    return saved(value);
  }

  /// True for a product with elementwise work behind it that nothing else
  /// reads: it can be written in the product's place.
  bool endsProduct(Value value) {
    Operation *def = value.getDefiningOp();
    if (!def || !isInForward(value))
      return false;
    if (isa<ContractOp>(def))
      return true;
    return def->hasTrait<OpTrait::Elementwise>() &&
           llvm::any_of(def->getOperands(), [&](Value operand) {
             return endsProduct(operand) &&
                    llvm::count_if(operand.getUses(), [&](OpOperand &use) {
                      return use.getOwner()->getBlock() == &op.block();
                    }) == 1;
           });
  }

  /// A stack that forward has or gets.
  Later saved(Value value) {
    saves.insert(value);
    return [this, value] {
      auto stacks = forward.yielded().drop_front(forward.stateCount());
      unsigned i = llvm::find(stacks, value) - stacks.begin();
      return Expr(g.c, forward.stacks()[i]);
    };
  }

  /// The state that each step read, given those that each wrote.
  Expr statesBefore(Expr init, Expr stack) {
    SmallVector<int64_t> shape{1};
    llvm::append_range(shape, init.shape());
    init = reshape(init, shape);
    int64_t others = stack.dim(0) - 1;
    if (others == 0)
      return init;
    return op.getReverse() ? concat({slice(stack, 0, 1, others), init}, 0)
                           : concat({init, slice(stack, 0, 0, others)}, 0);
  }

  //===--------------------------------------------------------------------===//
  // Both scans
  //===--------------------------------------------------------------------===//

  /// The scan again, with stacks of all that backward reads.
  void extendForward() {
    Operation *yield = op.block().getTerminator();
    auto stacks = op.yielded().drop_front(op.stateCount());
    SmallVector<Value> added;
    for (Value value : saves)
      if (!llvm::is_contained(stacks, value))
        added.push_back(value);
    SmallVector<Type> types(op.getResultTypes());
    for (Value value : added)
      types.push_back(stackType(value));
    yield->insertOperands(yield->getNumOperands(), added);
    OpBuilder b(op);
    forward =
        ScanOp::create(b, op.getLoc(), types, op.getStepsAttr(), op.getInits(),
                       op.getSequences(), op.getInvariants(),
                       op.getReverseAttr(), DenseI64ArrayAttr());
    forward.getBody().takeBody(op.getBody());
  }

  Type stackType(Value value) {
    return ScanOp::stackType(value.getType(), int64_t(op.getSteps()));
  }

  void runBackward() {
    SmallVector<Value> operands;
    for (const Later &sequence : sequences)
      operands.push_back(sequence().value());
    SmallVector<Type> types(ValueRange(inits).getTypes());
    for (Value value : llvm::drop_begin(yielded, states.size()))
      types.push_back(stackType(value));
    ExprBuilder &c = g.c;
    backward = ScanOp::create(
        c.b, op.getLoc(), types, op.getStepsAttr(), inits, operands, invariants,
        op.getReverse() ? UnitAttr() : c.b.getUnitAttr(), DenseI64ArrayAttr());
    backward.getBody().push_back(body.release());
  }

  ScanOp op; // erased at the end
  Gradient &g;
  ScanOp forward, backward;
  // The body of `backward`, and its operands; operand k of the state is the
  // gradient of state `states[k]`.
  std::unique_ptr<Block> body;
  ExprBuilder inner;
  ReverseWalk walk;
  SmallVector<unsigned> states;
  SmallVector<Value> inits, invariants, yielded;
  std::vector<Later> sequences;
  DenseMap<Value, Value> locals; // forward value -> in the new body
  llvm::SetVector<Value> saves;  // forward values that are to be stacks
};

} // namespace

void ScanOp::gradient(Gradient &g) { g.failed = !Backward(*this, g).build(); }

} // namespace nncc
