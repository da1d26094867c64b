//===- Activations.cpp - elementwise activations and softmax --------------===//
//
// Formulas: torch.nn documentation, non-linear activations.
//
//===----------------------------------------------------------------------===//
#include "dialect/Nncc.h"
#include "frontend/ModuleDef.h"
#include <cmath>

namespace nncc {

using K = ArgKind;

static const ArgDef input{"input", K::tensor};
static ArgDef inplace() {
  return ArgDef("inplace", K::boolean).optional("false");
}

/// nn.X(inplace=False) and F.x(input, inplace=False) of one formula.
template <Result (*emit)(Call &)>
static void simple(Registry &r, const char *module,
                   std::vector<std::string> functions, const char *doc,
                   TypeRule types = TypeRule::any) {
  r.add({{module}, doc, {inplace()}, {input}, nullptr, nullptr, emit, types});
  r.add({std::move(functions),
         doc,
         {},
         {input, inplace()},
         nullptr,
         nullptr,
         emit,
         types});
}

static Result emitRelu(Call &c) {
  return max(c.tensor("input"), 0.0, Ties::rhs);
}
static Result emitRelu6(Call &c) {
  return min(max(c.tensor("input"), 0.0, Ties::rhs), 6.0, Ties::rhs);
}
static Result emitSilu(Call &c) {
  Expr x = c.tensor("input");
  return x * sigmoid(x);
}
static Result emitTanh(Call &c) { return tanh(c.tensor("input")); }
static Result emitSigmoid(Call &c) { return sigmoid(c.tensor("input")); }
static Result emitIdentity(Call &c) { return c.tensor("input"); }

/// 0.5 x (1 + erf(x / sqrt 2)), or by tanh: torch.nn.GELU.
static Result emitGelu(Call &c) {
  Expr x = c.tensor("input");
  if (c.word("approximate") == "none")
    return x * 0.5 * (erf(x * std::sqrt(0.5)) + 1.0);
  Expr inner = (x + x * x * x * 0.044715) * std::sqrt(2 / M_PI);
  return x * 0.5 * (tanh(inner) + 1.0);
}

static Result emitSoftmax(Call &c) {
  Expr x = c.tensor("input");
  if (!c.has("dim"))
    return c.error("", "dim is required");
  int64_t dim = c.dim("dim", x.rank());
  if (c.failed)
    return {};
  Expr e = exp(x - detach(reduceMax(x, {dim}, true)));
  return e / sum(e, {dim}, true);
}

static Result emitLogSoftmax(Call &c) {
  Expr x = c.tensor("input");
  if (!c.has("dim"))
    return c.error("", "dim is required");
  int64_t dim = c.dim("dim", x.rank());
  if (c.failed)
    return {};
  return logSoftmax(x, dim);
}

/// torch.nn.Dropout: the identity in eval mode.
static Result emitDropout(Call &c) {
  Expr x = c.tensor("input");
  bool drops = c.def.isModule() ? c.trains : c.flag("training");
  return drops ? c.dropout(x, c.number("p")) : x;
}

void registerActivations(Registry &r) {
  simple<emitRelu>(
      r, "nn.ReLU",
      {"F.relu", "F.relu_", "torch.relu", "Tensor.relu", "Tensor.relu_"},
      "max(x, 0)");
  simple<emitRelu6>(r, "nn.ReLU6", {"F.relu6"}, "min(max(x, 0), 6)");
  simple<emitSilu>(r, "nn.SiLU", {"F.silu"}, "x sigmoid(x)",
                   TypeRule::floating);
  r.add({{"nn.Tanh"},
         "tanh(x)",
         {},
         {input},
         nullptr,
         nullptr,
         emitTanh,
         TypeRule::promoting});
  r.add({{"F.tanh", "torch.tanh", "Tensor.tanh", "Tensor.tanh_"},
         "tanh(x)",
         {},
         {input},
         nullptr,
         nullptr,
         emitTanh,
         TypeRule::promoting});
  r.add({{"nn.Sigmoid"},
         "1 / (1 + exp(-x))",
         {},
         {input},
         nullptr,
         nullptr,
         emitSigmoid,
         TypeRule::promoting});
  r.add({{"F.sigmoid", "torch.sigmoid", "Tensor.sigmoid", "Tensor.sigmoid_"},
         "1 / (1 + exp(-x))",
         {},
         {input},
         nullptr,
         nullptr,
         emitSigmoid,
         TypeRule::promoting});
  r.add({{"nn.Identity"},
         "returns its input",
         {},
         {input},
         nullptr,
         nullptr,
         emitIdentity});

  auto approximate = ArgDef("approximate", K::word)
                         .optional("\"none\"")
                         .oneOf({"none", "tanh"});
  r.add({{"nn.GELU"},
         "x times the normal distribution function of x",
         {approximate},
         {input},
         nullptr,
         nullptr,
         emitGelu,
         TypeRule::floating});
  r.add({{"F.gelu"},
         "x times the normal distribution function of x",
         {},
         {input, approximate},
         nullptr,
         nullptr,
         emitGelu,
         TypeRule::floating});

  auto dim = ArgDef("dim", K::integer).optional();
  r.add({{"nn.Softmax"},
         "exp(x) normalised along dim",
         {dim},
         {input},
         nullptr,
         nullptr,
         emitSoftmax,
         TypeRule::floating});
  r.add({{"F.softmax", "torch.softmax", "Tensor.softmax"},
         "exp(x) normalised along dim",
         {},
         {input, dim},
         nullptr,
         nullptr,
         emitSoftmax,
         TypeRule::floating});
  r.add({{"nn.LogSoftmax"},
         "log of softmax along dim",
         {dim},
         {input},
         nullptr,
         nullptr,
         emitLogSoftmax,
         TypeRule::floating});
  r.add({{"F.log_softmax", "torch.log_softmax", "Tensor.log_softmax"},
         "log of softmax along dim",
         {},
         {input, dim},
         nullptr,
         nullptr,
         emitLogSoftmax,
         TypeRule::floating});

  auto p = ArgDef("p", K::number).optional("0.5").min(0).max(1);
  r.add({{"nn.Dropout"},
         "in train mode zeros with probability p, the rest over 1 - p",
         {p, inplace()},
         {input},
         nullptr,
         nullptr,
         emitDropout,
         TypeRule::floating});
  r.add({{"F.dropout"},
         "zeros with probability p, the rest over 1 - p, if training",
         {},
         {input, p, ArgDef("training", K::mode).optional("true"), inplace()},
         nullptr,
         nullptr,
         emitDropout,
         TypeRule::floating});
}

} // namespace nncc
