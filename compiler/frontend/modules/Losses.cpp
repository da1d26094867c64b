//===- Losses.cpp - loss functions ----------------------------------------===//
//
// Formulas: torch.nn documentation, loss functions; the corner cases are those
// that PyTorch 2.13 was seen to have.
//
//===----------------------------------------------------------------------===//
#include "dialect/Nncc.h"
#include "frontend/ModuleDef.h"

namespace nncc {

using K = ArgKind;

/// "none", "sum", or "mean" over all elements.
static Result reduced(Call &c, Expr loss) {
  if (c.word("reduction") == "none")
    return loss;
  auto all = llvm::to_vector(llvm::seq<int64_t>(0, loss.rank()));
  return c.word("reduction") == "sum" ? sum(loss, all) : mean(loss, all);
}

static Expr zeros(Expr like) {
  return full(like.context(), like.element(), like.shape(), 0);
}

//===----------------------------------------------------------------------===//
// Classes
//===----------------------------------------------------------------------===//

/// The class weights along `dim` of the log-probabilities, or null.
static bool classWeights(Call &c, Expr logp, int64_t dim, Expr &w) {
  if (!c.hasTensor("weight"))
    return true;
  Expr weight = c.tensor("weight");
  if (weight.shape() != Ints({logp.dim(dim)})) {
    c.error("weight", "weight must have shape " + shapeText({logp.dim(dim)}) +
                          ", got " + shapeText(weight.shape()));
    return false;
  }
  w = alongDim(weight, logp.shape(), dim);
  return true;
}

/// Targets are class numbers: -w[y] logp[y], smoothed; the mean is by the sum
/// of w[y] over targets that are not ignored.
static Result indexLoss(Call &c, Expr logp, Expr target, int64_t dim, Expr w,
                        double smoothing) {
  llvm::SmallVector<int64_t> expected(logp.shape());
  expected.erase(expected.begin() + dim);
  if (target.shape() != Ints(expected))
    return c.error("target", "target must have shape " + shapeText(expected) +
                                 ", got " + shapeText(target.shape()));
  int64_t classes = logp.dim(dim), ignored = c.integer("ignore_index");
  c.limitInput(target, 0, classes, ignored);
  auto &b = logp.context();
  llvm::SmallVector<int64_t> column(expected);
  column.insert(column.begin() + dim, 1);
  Expr number = iota(b, target.element(), logp.shape(), dim);
  Expr hit = compare(Predicate::eq, number, reshape(target, column));
  Expr valid =
      compare(Predicate::ne, target,
              full(b, target.element(), target.shape(), double(ignored)));
  Expr weighted = w ? logp * w : logp;
  // Chosen, not multiplied: other classes may have logp = -inf.
  Expr loss = neg(sum(select(hit, weighted, zeros(logp)), {dim}));
  if (smoothing > 0)
    loss = loss * (1 - smoothing) -
           sum(weighted, {dim}) * (smoothing / double(classes));
  loss = select(valid, loss, zeros(loss));
  if (c.word("reduction") != "mean")
    return reduced(c, loss);
  Expr counts = convert(valid, logp.element());
  if (w)
    counts = counts * sum(select(hit, w, zeros(w)), {dim});
  return sumAll(loss) / sumAll(counts);
}

/// Targets are probabilities: -sum w q logp, the mean is by the number of
/// samples.
static Result probabilityLoss(Call &c, Expr logp, Expr target, int64_t dim,
                              Expr w, double smoothing) {
  if (smoothing > 0)
    target = target * (1 - smoothing) + smoothing / double(logp.dim(dim));
  Expr terms = target * logp;
  return reduced(c, neg(sum(w ? terms * w : terms, {dim})));
}

/// The dimension of classes, or -1 after an error.
static int64_t classDim(Call &c, Expr x) {
  if (x.rank() == 0) {
    c.error("", "expected an input with a dimension of classes, got a scalar");
    return -1;
  }
  return x.rank() == 1 ? 0 : 1;
}

static Result emitCrossEntropy(Call &c) {
  Expr x = c.tensor("input"), target = c.tensor("target"), w;
  int64_t dim = classDim(c, x);
  double smoothing = c.number("label_smoothing");
  if (dim < 0)
    return {};
  if (smoothing > 1)
    return c.error("label_smoothing",
                   "label_smoothing must be between 0 and 1");
  Expr logp = logSoftmax(x, dim);
  if (!classWeights(c, logp, dim, w))
    return {};
  if (!target.isFloat())
    return indexLoss(c, logp, target, dim, w, smoothing);
  if (target.shape() != x.shape() || target.element() != x.element())
    return c.error("target", "target must be integers, or probabilities like "
                             "the input, got " +
                                 dtypeName(target.element()) + " " +
                                 shapeText(target.shape()));
  return probabilityLoss(c, logp, target, dim, w, smoothing);
}

static Result emitNll(Call &c) {
  Expr logp = c.tensor("input"), target = c.tensor("target"), w;
  int64_t dim = classDim(c, logp);
  if (dim < 0 || !classWeights(c, logp, dim, w))
    return {};
  if (target.isFloat())
    return c.error("target", "target must be integers, got " +
                                 dtypeName(target.element()));
  return indexLoss(c, logp, target, dim, w, 0);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

/// Input and target, checked to broadcast.
static bool operands(Call &c, Expr &x, Expr &y) {
  x = c.tensor("input");
  y = c.tensor("target");
  if (broadcastShape(x.shape(), y.shape()))
    return true;
  c.error("target", "shapes of input " + shapeText(x.shape()) + " and target " +
                        shapeText(y.shape()) + " do not broadcast");
  return false;
}

static Result emitMse(Call &c) {
  Expr x, y;
  if (!operands(c, x, y))
    return {};
  Expr d = x - y;
  return reduced(c, d * d);
}

static Result emitL1(Call &c) {
  Expr x, y;
  return operands(c, x, y) ? reduced(c, abs(x - y)) : Result();
}

/// d^2 / 2 beta below beta, |d| - beta / 2 above.
static Result emitSmoothL1(Call &c) {
  Expr x, y;
  if (!operands(c, x, y))
    return {};
  Expr d = abs(x - y);
  double beta = c.number("beta");
  if (beta == 0)
    return reduced(c, d);
  Expr bound = full(d.context(), d.element(), d.shape(), beta);
  return reduced(c, select(compare(Predicate::lt, d, bound),
                           d * d * (0.5 / beta), d - 0.5 * beta));
}

/// d^2 / 2 up to delta, delta (|d| - delta / 2) above.
static Result emitHuber(Call &c) {
  Expr x, y;
  if (!operands(c, x, y))
    return {};
  Expr d = abs(x - y);
  double delta = c.number("delta");
  Expr bound = full(d.context(), d.element(), d.shape(), delta);
  return reduced(c, select(compare(Predicate::le, d, bound), d * d * 0.5,
                           (d - 0.5 * delta) * delta));
}

/// t log t - t x, or exp(t) (t - x) of log-targets; 0 log 0 is 0.
static Result emitKlDiv(Call &c) {
  Expr x, t;
  if (!operands(c, x, t))
    return {};
  Expr loss;
  if (c.flag("log_target")) {
    loss = exp(t) * (t - x);
  } else {
    Expr zero = zeros(t);
    Expr entropy = select(compare(Predicate::eq, t, zero), zero, t * log(t));
    loss = entropy - t * x;
  }
  if (c.word("reduction") != "batchmean")
    return reduced(c, loss);
  if (loss.rank() == 0)
    return loss;
  return sumAll(loss) / double(loss.dim(0));
}

/// `weight` of a binary loss, broadcast to the terms.
static Result weighted(Call &c, Expr loss) {
  if (!c.hasTensor("weight"))
    return reduced(c, loss);
  Expr w = c.tensor("weight");
  auto shape = broadcastShape(w.shape(), loss.shape());
  if (!shape || Ints(*shape) != loss.shape())
    return c.error("weight", "weight " + shapeText(w.shape()) +
                                 " does not broadcast to " +
                                 shapeText(loss.shape()));
  return reduced(c, loss * w);
}

static bool sameShape(Call &c, Expr &x, Expr &y) {
  x = c.tensor("input");
  y = c.tensor("target");
  if (x.shape() == y.shape())
    return true;
  c.error("target", "target must have the input's shape " +
                        shapeText(x.shape()) + ", got " + shapeText(y.shape()));
  return false;
}

/// -(y max(log x, -100) + (1 - y) max(log(1 - x), -100))
static Result emitBce(Call &c) {
  Expr x, y;
  if (!sameShape(c, x, y))
    return {};
  Expr one = full(x.context(), x.element(), x.shape(), 1);
  Expr loss = neg(y * max(log(x), -100.0, Ties::lhs) +
                  (one - y) * max(log(one - x), -100.0, Ties::lhs));
  return weighted(c, loss);
}

/// (1 - y) x + (1 + (p - 1) y) (log(1 + exp(-|x|)) + max(-x, 0))
static Result emitBceWithLogits(Call &c) {
  Expr x, y;
  if (!sameShape(c, x, y))
    return {};
  Expr one = full(x.context(), x.element(), x.shape(), 1);
  Expr softplus = log(exp(neg(abs(x))) + 1.0) + max(neg(x), 0.0, Ties::rhs);
  if (c.hasTensor("pos_weight")) {
    Expr p = c.tensor("pos_weight");
    auto shape = broadcastShape(p.shape(), x.shape());
    if (!shape || Ints(*shape) != x.shape())
      return c.error("pos_weight", "pos_weight " + shapeText(p.shape()) +
                                       " does not broadcast to " +
                                       shapeText(x.shape()));
    softplus = softplus * ((p - 1.0) * y + 1.0);
  }
  return weighted(c, (one - y) * x + softplus);
}

//===----------------------------------------------------------------------===//
// Registration
//===----------------------------------------------------------------------===//

/// Class or element weights that a module was made with.
template <const char *...names>
static void weightState(Call &c, std::vector<StateDef> &state) {
  for (const char *name : {names...})
    if (c.has(name))
      state.push_back(c.stateOf(name));
}

static const char weightName[] = "weight", posWeightName[] = "pos_weight";

void registerLosses(Registry &r) {
  ArgDef input("input", K::tensor), target("target", K::tensor);
  ArgDef classes = ArgDef("target", K::tensor).ofOtherType();
  auto reduction = ArgDef("reduction", K::word)
                       .optional("\"mean\"")
                       .oneOf({"none", "mean", "sum"});
  auto ignored = ArgDef("ignore_index", K::integer).optional("-100");
  auto smoothing = ArgDef("label_smoothing", K::number).optional("0.0").min(0);
  auto state = [](const char *name) {
    return ArgDef(name, K::state).optional();
  };
  auto tensor = [](const char *name) {
    return ArgDef(name, K::tensor).optional();
  };
  using Args = std::vector<ArgDef>;
  /// nn.X with its tensors as state, F.x with them as inputs.
  auto loss = [&](const char *module, const char *function, const char *doc,
                  ArgDef target, const Args &tensors, const Args &options,
                  void (*addState)(Call &, std::vector<StateDef> &),
                  Result (*emit)(Call &)) {
    Args attributes, inputs = {input, target};
    for (const ArgDef &one : tensors) {
      attributes.push_back(state(one.name.c_str()));
      inputs.push_back(one);
    }
    attributes.insert(attributes.end(), options.begin(), options.end());
    inputs.insert(inputs.end(), options.begin(), options.end());
    r.add({{module},
           doc,
           attributes,
           {input, target},
           addState,
           nullptr,
           emit,
           TypeRule::floating});
    r.add({{function},
           doc,
           {},
           inputs,
           nullptr,
           nullptr,
           emit,
           TypeRule::floating});
  };
  loss("nn.CrossEntropyLoss", "F.cross_entropy",
       "negative log-likelihood of softmax(input)", classes, {tensor("weight")},
       {ignored, reduction, smoothing}, weightState<weightName>,
       emitCrossEntropy);
  loss("nn.NLLLoss", "F.nll_loss", "-weight[target] input[target]", classes,
       {tensor("weight")}, {ignored, reduction}, weightState<weightName>,
       emitNll);
  loss("nn.MSELoss", "F.mse_loss", "squared difference", target, {},
       {reduction}, nullptr, emitMse);
  loss("nn.L1Loss", "F.l1_loss", "absolute difference", target, {}, {reduction},
       nullptr, emitL1);
  loss("nn.SmoothL1Loss", "F.smooth_l1_loss",
       "squared near zero, absolute beyond beta", target, {},
       {reduction, ArgDef("beta", K::number).optional("1.0").min(0)}, nullptr,
       emitSmoothL1);
  loss("nn.HuberLoss", "F.huber_loss", "squared near zero, linear beyond delta",
       target, {},
       {reduction, ArgDef("delta", K::number).optional("1.0").min(0)}, nullptr,
       emitHuber);
  auto withBatch = ArgDef("reduction", K::word)
                       .optional("\"mean\"")
                       .oneOf({"none", "mean", "sum", "batchmean"});
  loss("nn.KLDivLoss", "F.kl_div", "target (log target - input)", target, {},
       {withBatch, ArgDef("log_target", K::boolean).optional("false")}, nullptr,
       emitKlDiv);
  loss("nn.BCELoss", "F.binary_cross_entropy", "cross entropy of probabilities",
       target, {tensor("weight")}, {reduction}, weightState<weightName>,
       emitBce);
  const char *logits = "cross entropy of sigmoid(input)";
  r.add({{"nn.BCEWithLogitsLoss"},
         logits,
         {state("weight"), reduction, state("pos_weight")},
         {input, target},
         weightState<weightName, posWeightName>,
         nullptr,
         emitBceWithLogits,
         TypeRule::floating});
  r.add({{"F.binary_cross_entropy_with_logits"},
         logits,
         {},
         {input, target, tensor("weight"), reduction, tensor("pos_weight")},
         nullptr,
         nullptr,
         emitBceWithLogits,
         TypeRule::floating});
}

} // namespace nncc
