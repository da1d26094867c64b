//===- TrainStep.cpp - from gradients to new parameters -------------------===//
//
// What the entry train_step does behind the gradients: accumulation, clipping,
// and the optimizer's update of each parameter.
//
//===----------------------------------------------------------------------===//
#include "frontend/TrainStep.h"
#include "dialect/Names.h"
#include "dialect/Nncc.h"
#include "frontend/Optimizers.h"
#include "frontend/Training.h"
#include "support/Overflow.h"

using namespace mlir;

namespace nncc {

/// A tensor of the optimizer's state: a weight that files may lack.
static Expr optimizerState(BodyBuilder &body, const std::string &name,
                           RankedTensorType type) {
  std::string path = "optimizer." + name;
  if (const StateTensor *own = body.model.tree.findState(path))
    body.model.checkFree(path, "a tensor of the optimizer", own->span);
  body.model.optimizerStates.insert({path, type});
  ExprBuilder &builder = body.builder;
  return Expr(builder,
              WeightOp::create(builder.b, builder.loc, type,
                               builder.b.getStringAttr(path), UnitAttr()));
}

/// The attributes for a parameter: defaults, the optimizer's, those of the
/// first group that names it.
static Update updateOf(const Json &optimizer, const std::string &parameter) {
  const Json *group = nullptr;
  if (const Json *groups = optimizer.find("groups"))
    for (const Json &item : groups->items)
      if (!group && matchesAny(*item.find("params"), parameter))
        group = &item;
  Update update;
  setAttributes(update, *findOptimizer(optimizer.find("type")->string),
                {&optimizer, group});
  return update;
}

namespace {
struct StateOf {
  StringRef name;
  std::string path; // without "optimizer."
  RankedTensorType type;
};
} // namespace

/// The state that an optimizer keeps for a parameter, now in `update.state`.
static std::vector<StateOf> statesOf(BodyBuilder &body,
                                     const Optimizer &optimizer, Update &update,
                                     const std::string &parameter) {
  ExprBuilder &builder = body.builder;
  std::vector<StateOf> list;
  for (const OptimizerState &state : optimizer.states) {
    StateShape shape = state.shape(update.parameter.shape());
    if (!shape || !(state.attribute.empty() || update.flag(state.attribute)))
      continue;
    Type element = state.isSingle ? Type(builder.b.getF32Type())
                                  : update.parameter.element();
    auto type = RankedTensorType::get(*shape, element);
    list.push_back({state.name, state.name.str() + "." + parameter, type});
    Expr value = optimizerState(body, list.back().path, type);
    if (state.initial != 0) { // what is fresh holds zeros
      Expr one = scalar(builder, update.count.element(), 1);
      value = select(compare(Predicate::eq, update.count, one),
                     full(builder, element, *shape, state.initial), value);
    }
    update.state[state.name] = value;
  }
  return list;
}

/// torch.nn.utils.clip_grad_norm_ or clip_grad_value_, of what the optimizer
/// has.
static void clip(ExprBuilder &builder, const Json &training,
                 std::vector<Expr> &gradients) {
  if (const Json *limit = training.find("clip_grad_value"))
    for (Expr &g : gradients)
      g = min(max(g, scalar(builder, g.element(), -limit->number)),
              scalar(builder, g.element(), limit->number));
  const Json *limit = training.find("clip_grad_norm");
  if (!limit || gradients.empty())
    return;
  Expr total;
  for (Expr g : gradients) {
    Expr squares = convert(sumAll(g * g), gradients[0].element());
    total = total ? total + squares : squares;
  }
  Expr factor = min(full(builder, total.element(), {}, limit->number) /
                        (sqrt(total) + 1e-6),
                    scalar(builder, total.element(), 1));
  for (Expr &g : gradients)
    g = g * convert(factor, g.element());
}

/// The argument `lr`, with the digits of the widest parameter.
static Expr rateArgument(BodyBuilder &body, const NamedValues &parameters,
                         double standard) {
  OpBuilder &b = body.builder.b;
  bool isDouble = llvm::any_of(parameters, [](const auto &named) {
    return named.second.element().isF64();
  });
  Type element = isDouble ? b.getF64Type() : b.getF32Type();
  Expr rate = body.argument("lr", RankedTensorType::get({}, element));
  body.function.setArgAttr(body.function.getNumArguments() - 1, defaultAttr,
                           b.getF64FloatAttr(standard));
  return rate;
}

void addOptimizer(BodyBuilder &body, const NamedValues &parameters,
                  std::vector<Expr> gradients, bool accumulates,
                  Outputs &outputs) {
  ExprBuilder &builder = body.builder;
  const Json &training = *body.model.root.find("training");
  const Json &json = *training.find("optimizer");
  const Optimizer &optimizer = *findOptimizer(json.find("type")->string);
  WorkingAt at(body.model.diagnostics, json.span);
  body.setLocation("", optimizer.name, json.span);
  double base = updateOf(json, "").number("lr");
  Expr lr = rateArgument(body, parameters, base);
  Expr step = optimizerState(body, "step",
                             RankedTensorType::get({}, builder.b.getI64Type()));
  const Json *steps = training.find("accumulate_steps");
  int64_t period = steps ? steps->integer : 1;

  if (period > 1)
    for (auto [i, gradient] : llvm::enumerate(gradients)) {
      std::string name = "gradient." + parameters[i].first;
      Expr sum = optimizerState(body, name, gradient.type());
      gradient = sum + gradient / double(period);
      outputs.add("optimizer." + name,
                  accumulates ? gradient
                              : full(builder, sum.element(), sum.shape(), 0),
                  i);
    }
  if (!accumulates) {
    clip(builder, training, gradients);
    // The number of this update: (step + period) / period, a whole number.
    Type f64 = builder.b.getF64Type();
    Expr count = (convert(step, f64) + double(period)) / double(period);
    count = floor(count);
    for (auto [i, named] : llvm::enumerate(parameters)) {
      auto &[path, parameter] = named;
      Update update = updateOf(json, path);
      update.parameter = parameter;
      update.count = count;
      double own = update.number("lr");
      update.lr = own == base ? lr
                  : base == 0 ? scalar(builder, lr.element(), own)
                              : lr * (own / base);
      std::vector<StateOf> states = statesOf(body, optimizer, update, path);
      if (i >= gradients.size())
        continue;
      update.gradient = gradients[i];
      optimizer.update(update);
      outputs.add(path, update.parameter, i);
      // Of one shape are what one kernel computes together.
      for (const StateOf &state : states) {
        bool joins = state.type.getShape() == parameter.shape();
        outputs.add("optimizer." + state.path, update.state[state.name],
                    joins ? i : parameters.size() + outputs.names.size());
      }
    }
  }
  outputs.add("optimizer.step", step + 1.0,
              parameters.size() + outputs.names.size());
}

} // namespace nncc
