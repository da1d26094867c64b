//===- Activations.cpp - elementwise activations and softmax --------------===//
//
// Formulas: torch.nn documentation, non-linear activations.
//
//===----------------------------------------------------------------------===//
#include "frontend/modules/Fragments.h"
#include <cmath>

namespace nncc {

/// The derivative is s (1 + x (1 - s)), s = sigmoid(x).
static Expr silu(Expr x) {
  Expr at = detach(x), s = sigmoid(x);
  Expr slope = s * (x * (neg(s) + 1) + 1);
  return withSlope(at * sigmoid(at), x, slope);
}

/// 0.5 x (1 + erf(x / sqrt 2)), or by tanh: torch.nn.GELU. The derivative is
/// the normal distribution function plus x times its density.
static Result emitGelu(Call &c) {
  Expr x = c.tensor("input"), at = detach(x);
  if (c.word("approximate") == "none") {
    auto twice = [](Expr x) { return erf(x * std::sqrt(0.5)) + 1; };
    Expr density = exp(x * x * -0.5) * (1 / std::sqrt(2 * M_PI));
    return withSlope(at * 0.5 * twice(at), x, twice(x) * 0.5 + x * density);
  }
  Expr inner = (x + x * x * x * 0.044715) * std::sqrt(2 / M_PI);
  return x * 0.5 * (tanh(inner) + 1.0);
}

static Expr softmax(Expr x, int64_t dim) {
  Expr e = exp(x - detach(reduceMax(x, {dim}, true)));
  return e / sum(e, {dim}, true);
}

static void pointwiseActivations(Registry &r) {
  define(r, "max(x, 0)")
      .module("nn.ReLU", {inplace()})
      .functions({"torch.relu", "Tensor.relu"})
      .function("F.relu", {inplace()})
      .twin("F.relu_")
      .twins()
      .types(numeric)
      .domain(cornersAt({0}))
      .emit([](Expr x) { return max(x, 0.0, Ties::rhs); });
  define(r, "min(max(x, 0), 6)")
      .module("nn.ReLU6", {inplace()})
      .function("F.relu6", {inplace()})
      .types(numeric)
      .domain(cornersAt({0, 6}))
      .emit([](Expr x) { return min(max(x, 0.0, Ties::rhs), 6.0, Ties::rhs); });
  define(r, "x sigmoid(x)")
      .module("nn.SiLU", {inplace()})
      .function("F.silu", {inplace()})
      .types(floating)
      .inF32()
      .emit(silu);
  define(r, "tanh(x)")
      .module("nn.Tanh")
      .functions({"F.tanh", "torch.tanh", "Tensor.tanh"})
      .twins()
      .types(floats)
      .inF32()
      .emit(tanh);
  define(r, "1 / (1 + exp(-x))")
      .module("nn.Sigmoid")
      .functions({"F.sigmoid", "torch.sigmoid", "Tensor.sigmoid"})
      .alias("torch.special.expit")
      .twins()
      .types(floats)
      .inF32()
      .emit(sigmoid);
  define(r, "returns its input")
      .module("nn.Identity")
      .functions({"Tensor.contiguous", "Tensor.clone"})
      .emit([](Expr x) { return x; });
  define(r, "x times the normal distribution function of x")
      .module("nn.GELU", {word("approximate", {"none", "tanh"}, "none")})
      .function("F.gelu", {word("approximate", {"none", "tanh"}, "none")})
      .types(floating)
      .inF32()
      .emit(emitGelu);
}

void registerActivations(Registry &r) {
  pointwiseActivations(r);
  define(r, "exp(x) normalised along dim")
      .module("nn.Softmax", {dim()})
      .functions({"F.softmax", "torch.softmax", "Tensor.softmax"},
                 {dim(), resultType()})
      .types(floating)
      .inF32()
      .emit(softmax);
  define(r, "log of softmax along dim")
      .module("nn.LogSoftmax", {dim()})
      .functions({"F.log_softmax", "torch.log_softmax", "Tensor.log_softmax"},
                 {dim(), resultType()})
      .types(floating)
      .inF32()
      .emit(logSoftmax);
  ArgDef p = number("p", 0.5).min(0).max(1);
  define(r, "if training zeros with probability p, the rest over 1 - p")
      .module("nn.Dropout", {p, inplace()})
      .function("F.dropout", {p, mode("training", true), inplace()})
      .types(floating)
      .inF32()
      .emit([](Call &c) -> Result {
        Expr x = c.tensor("input");
        return c.isTraining() ? c.dropout(x, c.number("p")) : x;
      });
}

} // namespace nncc
