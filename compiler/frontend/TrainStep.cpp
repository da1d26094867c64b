//===- TrainStep.cpp - from gradients to new parameters -------------------===//
//
// What the entry train_step does behind the gradients: accumulation, clipping,
// and the optimizer's update of each parameter.
//
//===----------------------------------------------------------------------===//
#include "frontend/ImporterImpl.h"
#include "frontend/Training.h"

using namespace mlir;

namespace nncc {

/// A tensor of the optimizer's state: a weight that files may lack.
Expr Importer::optimizerState(const std::string &name, RankedTensorType type) {
  std::string path = "optimizer." + name;
  if (auto own = state.find(path); own != state.end())
    checkFree(path, "a tensor of the optimizer", own->second.span);
  optimizerStates.insert({path, type});
  return Expr(builder,
              WeightOp::create(builder.b, builder.loc, type,
                               builder.b.getStringAttr(path), UnitAttr()));
}

/// The attributes for a parameter: defaults, the optimizer's, those of the
/// first group that names it.
Update Importer::updateOf(const Json &optimizer, const std::string &parameter) {
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

/// The state that an optimizer keeps for a parameter, now in `update.state`.
std::vector<Importer::StateOf>
Importer::statesOf(const Optimizer &optimizer, Update &update,
                   const std::string &parameter) {
  std::vector<StateOf> list;
  for (const OptimizerState &state : optimizer.states) {
    StateShape shape = state.shape(update.parameter.shape());
    if (!shape || !(state.attribute.empty() || update.flag(state.attribute)))
      continue;
    Type element = state.isSingle ? Type(builder.b.getF32Type())
                                  : update.parameter.element();
    auto type = RankedTensorType::get(*shape, element);
    list.push_back({state.name, state.name.str() + "." + parameter, type});
    Expr value = optimizerState(list.back().path, type);
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
void Importer::clip(const Json &training, std::vector<Expr> &gradients) {
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
Expr Importer::rateArgument(const NamedValues &parameters, double standard) {
  bool isDouble = llvm::any_of(parameters, [](const auto &named) {
    return named.second.element().isF64();
  });
  Type element = isDouble ? builder.b.getF64Type() : builder.b.getF32Type();
  Expr rate = argument("lr", RankedTensorType::get({}, element));
  body.function.setArgAttr(body.function.getNumArguments() - 1, defaultAttr,
                           builder.b.getF64FloatAttr(standard));
  return rate;
}

/// Adds new parameters and optimizer state to `outputs`. The learning rate is
/// the argument `lr`; a group with its own keeps its proportion to the
/// optimizer's. Parameters behind the last gradient have none: they stay as
/// they are, and so does the state that a file may have for them.
void Importer::addOptimizer(const Json &training, const NamedValues &parameters,
                            std::vector<Expr> gradients, bool accumulates,
                            Outputs &outputs) {
  const Json &json = *training.find("optimizer");
  const Optimizer &optimizer = *findOptimizer(json.find("type")->string);
  builder.loc = location("", optimizer.name, json.span);
  double base = updateOf(json, "").number("lr");
  Expr lr = rateArgument(parameters, base);
  Expr step =
      optimizerState("step", RankedTensorType::get({}, builder.b.getI64Type()));
  const Json *steps = training.find("accumulate_steps");
  int64_t period = steps ? steps->integer : 1;

  if (period > 1)
    for (auto [i, gradient] : llvm::enumerate(gradients)) {
      std::string name = "gradient." + parameters[i].first;
      Expr sum = optimizerState(name, gradient.type());
      gradient = sum + gradient / double(period);
      outputs.add("optimizer." + name,
                  accumulates ? gradient
                              : full(builder, sum.element(), sum.shape(), 0),
                  i);
    }
  if (!accumulates) {
    clip(training, gradients);
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
      std::vector<StateOf> states = statesOf(optimizer, update, path);
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
