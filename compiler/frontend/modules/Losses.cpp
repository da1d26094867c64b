//===- Losses.cpp - loss functions ----------------------------------------===//
//
// Formulas: torch.nn documentation, loss functions; the corner cases are those
// that PyTorch 2.13 was seen to have.
//
//===----------------------------------------------------------------------===//
#include "frontend/modules/Fragments.h"

namespace nncc {

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
static Expr classWeights(Call &c, Expr logp, int64_t dim) {
  return c.hasTensor("weight") ? alongDim(c.tensor("weight"), logp.shape(), dim)
                               : Expr();
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
  target = asNumbers(target);
  auto &b = logp.context();
  llvm::SmallVector<int64_t> column(expected);
  column.insert(column.begin() + dim, 1);
  Expr number = iota(b, target.element(), logp.shape(), dim);
  Expr hit = compare(Predicate::eq, number, reshape(target, column));
  Expr valid = compare(Predicate::ne, target,
                       full(b, target.element(), target.shape(), ignored));
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

/// The dimension of classes.
static int64_t classDim(Expr x) { return x.rank() == 1 ? 0 : 1; }

static Result emitCrossEntropy(Call &c) {
  Expr x = c.tensor("input"), target = c.tensor("target");
  int64_t dim = classDim(x);
  double smoothing = c.number("label_smoothing");
  Expr logp = logSoftmax(x, dim), w = classWeights(c, logp, dim);
  if (!target.isFloat())
    return indexLoss(c, logp, target, dim, w, smoothing);
  if (target.shape() != x.shape() || target.element() != x.element())
    return c.error("target", "target must be integers, or probabilities like "
                             "the input, got " +
                                 dtypeName(target.element()) + " " +
                                 shapeText(target.shape()));
  if (c.integer("ignore_index") >= 0)
    return c.error("ignore_index", "ignore_index needs a target of classes, "
                                   "but these are probabilities");
  return probabilityLoss(c, logp, target, dim, w, smoothing);
}

static Result emitNll(Call &c) {
  Expr logp = c.tensor("input"), target = c.tensor("target");
  int64_t dim = classDim(logp);
  return indexLoss(c, logp, target, dim, classWeights(c, logp, dim), 0);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

static Expr difference(Call &c) {
  return c.tensor("input") - c.tensor("target");
}

static Result emitMse(Call &c) {
  Expr d = difference(c);
  return reduced(c, d * d);
}

static Result emitL1(Call &c) { return reduced(c, abs(difference(c))); }

/// d within [-bound, bound], the derivative of losses that are linear outside.
static Expr within(Expr d, double bound) {
  return min(max(d, -bound, Ties::lhs), bound, Ties::lhs);
}

/// d^2 / 2 beta below beta, |d| - beta / 2 above.
static Result emitSmoothL1(Call &c) {
  Expr x = difference(c);
  double beta = c.number("beta");
  if (beta == 0)
    return reduced(c, abs(x));
  Expr d = abs(detach(x));
  Expr bound = full(d.context(), d.element(), d.shape(), beta);
  Expr loss = select(compare(Predicate::lt, d, bound), d * d * (0.5 / beta),
                     d - 0.5 * beta);
  return reduced(c, withSlope(loss, x, within(x, beta) * (1 / beta)));
}

/// d^2 / 2 up to delta, delta (|d| - delta / 2) above.
static Result emitHuber(Call &c) {
  Expr x = difference(c), d = abs(detach(x));
  double delta = c.number("delta");
  if (delta == 0)
    return c.error("delta", "delta must be more than 0, got 0");
  Expr bound = full(d.context(), d.element(), d.shape(), delta);
  Expr loss = select(compare(Predicate::le, d, bound), d * d * 0.5,
                     (d - 0.5 * delta) * delta);
  return reduced(c, withSlope(loss, x, within(x, delta)));
}

/// t log t - t x, or exp(t) (t - x) of log-targets; 0 log 0 is 0.
static Result emitKlDiv(Call &c) {
  Expr x = c.tensor("input"), t = c.tensor("target"), loss;
  if (c.flag("log_target")) {
    loss = exp(t) * (t - x);
  } else {
    Expr zero = zeros(t);
    Expr entropy = select(compare(Predicate::eq, t, zero), zero, t * log(t));
    loss = entropy - t * x;
  }
  if (c.word("reduction") != "batchmean")
    return reduced(c, loss);
  loss = sumAll(loss);
  return x.rank() == 0 ? loss : loss / double(x.dim(0));
}

static Result weighted(Call &c, Expr loss) {
  return reduced(c, c.hasTensor("weight") ? loss * c.tensor("weight") : loss);
}

/// -(y max(log x, -100) + (1 - y) max(log(1 - x), -100)). The derivatives are
/// of the logarithms without a limit, with (1 - x) x bounded below.
static Result emitBce(Call &c) {
  Expr x = c.tensor("input"), y = c.tensor("target");
  Expr one = full(x.context(), x.element(), x.shape(), 1);
  Expr yes = log(detach(x)), no = log(one - detach(x)), given = detach(y);
  Expr loss = neg(given * max(yes, -100, Ties::lhs) +
                  (one - given) * max(no, -100, Ties::lhs));
  constexpr float least = 1e-12f; // PyTorch's, in f64 too
  Expr slope = (x - y) / max((one - x) * x, least, Ties::lhs);
  loss = withSlope(withSlope(loss, x, slope), y, log(one - x) - log(x));
  return weighted(c, loss);
}

/// (1 - y) x + (1 + (p - 1) y) (log(1 + exp(-|x|)) + max(-x, 0)), whose
/// derivative by x is (p y + 1 - y) sigmoid(x) - p y.
static Result emitBceWithLogits(Call &c) {
  Expr x = c.tensor("input"), y = c.tensor("target");
  Expr one = full(x.context(), x.element(), x.shape(), 1);
  Expr at = detach(x), slope = sigmoid(x) - y;
  Expr softplus = log1p(exp(neg(abs(at)))) + max(neg(at), 0, Ties::rhs);
  if (c.hasTensor("pos_weight")) {
    Expr p = c.tensor("pos_weight");
    softplus = softplus * ((p - 1) * y + 1);
    slope = (p * y + 1 - y) * sigmoid(x) - p * y;
  }
  Expr loss = (one - y) * at + softplus;
  return weighted(c, withSlope(loss, x, slope));
}

//===----------------------------------------------------------------------===//
// Registration
//===----------------------------------------------------------------------===//

/// Classes along the second dimension, or a vector of them; the target's shape
/// depends on what it holds.
static Define ofClasses(Registry &r, const char *doc, const ArgDef &target) {
  return define(r, doc)
      .operands({tensor("input").shaped({"N?", "C", "..."}), target})
      .tensor("weight", {"C"}, given())
      .types(floating)
      .inF32();
}

static Define ofValues(Registry &r, const char *doc) {
  return define(r, doc)
      .operands({tensor("input"), tensor("target")})
      .broadcast({"input", "target"})
      .types(floating)
      .inF32();
}

static Define ofBinary(Registry &r, const char *doc, const Domain &input) {
  return define(r, doc)
      .operands({tensor("input").shaped({"*shape"}).in(input),
                 tensor("target").shaped({"*shape"}).in(between(0, 1))})
      .tensor("weight", {"*shape"}, givenToBroadcast())
      .types(floating)
      .inF32();
}

/// nn.X and F.x take the same options.
static Define &faces(Define &&d, const char *module, const char *function,
                     const ArgDefs &options) {
  return d.module(module, options).function(function, options);
}

void registerLosses(Registry &r) {
  ArgDef ignored = integer("ignore_index", -100);
  ArgDef smoothing = number("label_smoothing", 0.0).min(0).max(1);
  faces(ofClasses(r, "negative log-likelihood of softmax(input)",
                  tensor("target").of(Elements::other)),
        "nn.CrossEntropyLoss", "F.cross_entropy",
        {ignored, reduction(), smoothing})
      .emit(emitCrossEntropy);
  faces(ofClasses(r, "-weight[target] input[target]",
                  tensor("target").of(Elements::integers)),
        "nn.NLLLoss", "F.nll_loss", {ignored, reduction()})
      .emit(emitNll);
  faces(ofValues(r, "squared difference"), "nn.MSELoss", "F.mse_loss",
        {reduction()})
      .emit(emitMse);
  faces(ofValues(r, "absolute difference"), "nn.L1Loss", "F.l1_loss",
        {reduction()})
      .emit(emitL1);
  faces(ofValues(r, "squared near zero, absolute beyond beta"),
        "nn.SmoothL1Loss", "F.smooth_l1_loss",
        {reduction(), number("beta", 1.0).min(0)})
      .emit(emitSmoothL1);
  faces(ofValues(r, "squared near zero, linear beyond delta"), "nn.HuberLoss",
        "F.huber_loss", {reduction(), number("delta", 1.0).min(0)})
      .emit(emitHuber);
  faces(ofValues(r, "target (log target - input)"), "nn.KLDivLoss", "F.kl_div",
        {reduction({"batchmean"}), flag("log_target", false)})
      .emit(emitKlDiv);
  faces(ofBinary(r, "cross entropy of probabilities", between(0, 1)),
        "nn.BCELoss", "F.binary_cross_entropy", {reduction()})
      .emit(emitBce);
  ofBinary(r, "cross entropy of sigmoid(input)", {})
      .tensor("pos_weight", {"*shape"}, givenToBroadcast())
      .module("nn.BCEWithLogitsLoss", {reduction()})
      .function("F.binary_cross_entropy_with_logits",
                {reduction(), tensor("pos_weight")})
      .emit(emitBceWithLogits);
}

} // namespace nncc
