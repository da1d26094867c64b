//===- Optimizers.cpp - torch.optim as compositions -----------------------===//
//
// Formulas: torch/optim/sgd.py, adam.py, adamw.py (single-tensor versions).
//
//===----------------------------------------------------------------------===//
#include "frontend/Optimizers.h"
#include "dialect/Nncc.h"

namespace nncc {

static void sgdState(Update &u, std::vector<llvm::StringRef> &names) {
  if (u.number("momentum") != 0)
    names.push_back("momentum_buffer");
}

/// A scalar of the parameter's type, for every element.
static Expr like(Expr parameter, Expr number) {
  return broadcastTo(convert(number, parameter.element()), parameter.shape());
}

static Expr signedGradient(Update &u) {
  return u.flag("maximize") ? neg(u.gradient) : u.gradient;
}

static void sgd(Update &u) {
  Expr p = u.parameter, d = signedGradient(u);
  double momentum = u.number("momentum"), dampening = u.number("dampening");
  if (double decay = u.number("weight_decay"))
    d = d + p * decay;
  if (momentum != 0) {
    Expr buffer = u.state["momentum_buffer"], blend = d * (1 - dampening);
    // The first step takes the gradient as it is.
    if (dampening != 0)
      blend = select(compare(Predicate::eq, u.count,
                             scalar(p.context(), u.count.element(), 1)),
                     d, blend);
    buffer = buffer * momentum + blend;
    u.state["momentum_buffer"] = buffer;
    d = u.flag("nesterov") ? d + buffer * momentum : buffer;
  }
  u.parameter = p - d * like(p, u.lr);
}

static void adamState(Update &u, std::vector<llvm::StringRef> &names) {
  names = {"exp_avg", "exp_avg_sq"};
  if (u.flag("amsgrad"))
    names.push_back("max_exp_avg_sq");
}

/// `decoupled`: AdamW shrinks the parameter, Adam adds to the gradient.
template <bool decoupled> static void adam(Update &u) {
  Expr p = u.parameter, g = signedGradient(u);
  double beta1 = u.number("betas"), beta2 = u.second("betas");
  double decay = u.number("weight_decay");
  if (decay != 0 && decoupled)
    p = p * like(p, u.lr * -decay + 1.0);
  else if (decay != 0)
    g = g + p * decay;
  Expr m = u.state["exp_avg"], v = u.state["exp_avg_sq"];
  m = m + (g - m) * (1 - beta1);
  v = v * beta2 + g * g * (1 - beta2);
  u.state["exp_avg"] = m;
  u.state["exp_avg_sq"] = v;
  if (u.flag("amsgrad"))
    v = u.state["max_exp_avg_sq"] = max(u.state["max_exp_avg_sq"], v);
  // Bias corrections, in f64 as torch's Python numbers.
  auto correction = [&](double beta) {
    Expr base = scalar(p.context(), u.count.element(), beta);
    return neg(pow(base, u.count)) + 1.0;
  };
  Expr size = convert(u.lr, u.count.element()) / correction(beta1);
  Expr root = sqrt(v) / like(p, sqrt(correction(beta2)));
  u.parameter = p - m / (root + u.number("eps")) * like(p, size);
}

const std::vector<Optimizer> &optimizers() {
  constexpr auto number = Json::Kind::number, boolean = Json::Kind::boolean,
                 array = Json::Kind::array;
  static const std::vector<Optimizer> table = {{"optim.SGD",
                                                {{"lr", number, 1e-3},
                                                 {"momentum", number, 0},
                                                 {"dampening", number, 0},
                                                 {"weight_decay", number, 0},
                                                 {"nesterov", boolean, 0},
                                                 {"maximize", boolean, 0}},
                                                sgdState,
                                                sgd},
                                               {"optim.Adam",
                                                {{"lr", number, 1e-3},
                                                 {"betas", array, 0.9, 0.999},
                                                 {"eps", number, 1e-8},
                                                 {"weight_decay", number, 0},
                                                 {"amsgrad", boolean, 0},
                                                 {"maximize", boolean, 0}},
                                                adamState,
                                                adam<false>},
                                               {"optim.AdamW",
                                                {{"lr", number, 1e-3},
                                                 {"betas", array, 0.9, 0.999},
                                                 {"eps", number, 1e-8},
                                                 {"weight_decay", number, 1e-2},
                                                 {"amsgrad", boolean, 0},
                                                 {"maximize", boolean, 0}},
                                                adamState,
                                                adam<true>}};
  return table;
}

const Optimizer *findOptimizer(llvm::StringRef name) {
  return llvm::find_if(optimizers(),
                       [&](const Optimizer &o) { return o.name == name; })
      .base();
}

} // namespace nncc
