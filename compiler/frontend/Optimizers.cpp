//===- Optimizers.cpp - torch.optim as compositions -----------------------===//
//
// Formulas: torch/optim/sgd.py, adam.py, adamw.py, nadam.py, _adafactor.py
// (single-tensor versions).
//
//===----------------------------------------------------------------------===//
#include "frontend/Optimizers.h"
#include "dialect/Nncc.h"

namespace nncc {

//===----------------------------------------------------------------------===//
// Shapes of state
//===----------------------------------------------------------------------===//

static StateShape whole(Ints parameter) { return llvm::to_vector(parameter); }

static StateShape single(Ints) { return llvm::SmallVector<int64_t>(); }

/// Of a parameter with at least two dimensions: 1 in the one that is `fromEnd`
/// before the last.
template <unsigned fromEnd> static StateShape reduced(Ints parameter) {
  if (parameter.size() < 2)
    return std::nullopt;
  auto shape = llvm::to_vector(parameter);
  shape.rbegin()[fromEnd] = 1;
  return shape;
}

static StateShape ofVector(Ints parameter) {
  return parameter.size() < 2 ? whole(parameter) : StateShape();
}

//===----------------------------------------------------------------------===//
// Formulas
//===----------------------------------------------------------------------===//

/// A scalar of the parameter's type, for every element.
static Expr like(Expr parameter, Expr number) {
  return broadcastTo(convert(number, parameter.element()), parameter.shape());
}

static Expr signedGradient(Update &u) {
  return u.flag("maximize") ? neg(u.gradient) : u.gradient;
}

/// A number beside `count`, in f64 as torch's Python numbers.
static Expr constant(const Update &u, double value) {
  return scalar(u.count.context(), u.count.element(), value);
}

/// base^count.
static Expr power(const Update &u, double base) {
  return pow(constant(u, base), u.count);
}

/// 1 - beta^count.
static Expr correction(const Update &u, double beta) {
  return neg(power(u, beta)) + 1.0;
}

/// Shrinks the parameter itself (AdamW).
static Expr decayed(const Update &u) {
  double decay = u.number("weight_decay");
  return decay != 0 ? u.parameter * like(u.parameter, u.lr * -decay + 1.0)
                    : u.parameter;
}

/// The gradient with that of the decay (SGD, Adam).
static Expr decayedGradient(Update &u) {
  double decay = u.number("weight_decay");
  Expr g = signedGradient(u);
  return decay != 0 ? g + u.parameter * decay : g;
}

/// Both moments, with the new gradient in them.
static std::pair<Expr, Expr> moments(Update &u, Expr g) {
  double beta1 = u.number("betas"), beta2 = u.number("betas", 1);
  Expr m = u.state["exp_avg"], v = u.state["exp_avg_sq"];
  u.state["exp_avg"] = m = m + (g - m) * (1 - beta1);
  u.state["exp_avg_sq"] = v = v * beta2 + g * g * (1 - beta2);
  return {m, v};
}

static void sgd(Update &u) {
  Expr p = u.parameter, d = decayedGradient(u);
  double momentum = u.number("momentum"), dampening = u.number("dampening");
  if (momentum != 0) {
    Expr buffer = u.state["momentum_buffer"], blend = d * (1 - dampening);
    // The first step takes the gradient as it is.
    if (dampening != 0)
      blend = select(compare(Predicate::eq, u.count, constant(u, 1)), d, blend);
    buffer = buffer * momentum + blend;
    u.state["momentum_buffer"] = buffer;
    d = u.flag("nesterov") ? d + buffer * momentum : buffer;
  }
  u.parameter = p - d * like(p, u.lr);
}

static const char *sgdConflict(const Update &u) {
  bool fits = !u.flag("nesterov") ||
              (u.number("momentum") > 0 && u.number("dampening") == 0);
  return fits ? nullptr : "nesterov needs a momentum and no dampening";
}

/// `decoupled`: AdamW shrinks the parameter, Adam adds to the gradient.
template <bool decoupled> static void adam(Update &u) {
  Expr p = decoupled ? decayed(u) : u.parameter;
  auto [m, v] = moments(u, decoupled ? signedGradient(u) : decayedGradient(u));
  if (u.flag("amsgrad"))
    u.state["max_exp_avg_sq"] = v = max(u.state["max_exp_avg_sq"], v);
  Expr size =
      convert(u.lr, u.count.element()) / correction(u, u.number("betas"));
  Expr root = sqrt(v) / like(p, sqrt(correction(u, u.number("betas", 1))));
  u.parameter = p - m / (root + u.number("eps")) * like(p, size);
}

/// Adam with Nesterov's momentum, whose weight mu grows: mu_product is the
/// product of all of them so far.
static void nadam(Update &u) {
  bool decoupled = u.flag("decoupled_weight_decay");
  Expr p = decoupled ? decayed(u) : u.parameter;
  Expr g = decoupled ? signedGradient(u) : decayedGradient(u);
  auto [m, v] = moments(u, g);
  double beta1 = u.number("betas"), decay = u.number("momentum_decay");
  auto mu = [&](Expr count) {
    return (pow(constant(u, 0.96), count * decay) * -0.5 + 1.0) * beta1;
  };
  Expr now = mu(u.count), next = mu(u.count + 1.0);
  Expr &product = u.state["mu_product"];
  product = product * convert(now, product.element());
  Expr one = constant(u, 1), lr = convert(u.lr, one.element());
  Expr sofar = convert(product, one.element());
  Expr denominator =
      sqrt(v / like(v, correction(u, u.number("betas", 1)))) + u.number("eps");
  p = p - g / denominator * like(p, lr * (one - now) / (one - sofar));
  u.parameter = p - m / denominator * like(p, lr * next / (one - sofar * next));
}

static Expr rootMeanSquare(Expr x) {
  auto all = llvm::to_vector(llvm::seq<int64_t>(0, x.rank()));
  return sqrt(mean(x * x, all));
}

/// The second moment as the product of a column and a row, which are means
/// over the last two dimensions.
static void adafactor(Update &u) {
  Expr g = signedGradient(u), estimate;
  mlir::Type f64 = u.count.element();
  const auto &semantics =
      llvm::cast<mlir::FloatType>(g.element()).getFloatSemantics();
  double epsilon =
      u.has("eps")
          ? u.number("eps")
          : std::ldexp(2.0, -int(llvm::APFloat::semanticsPrecision(semantics)));
  // Sizes of the step as torch has them, from the parameter as it was.
  Expr norm = convert(rootMeanSquare(u.parameter), f64);
  Expr alpha = max(norm, constant(u, u.number("eps", 1))) *
               min(convert(u.lr, f64), constant(u, 1) / sqrt(u.count));
  Expr p = decayed(u);
  Expr weight = pow(u.count, constant(u, u.number("beta2_decay")));
  auto blend = [&](const char *name, Expr now) {
    Expr &state = u.state[name];
    return state = state + (now - state) * like(state, weight);
  };
  int64_t rank = g.rank();
  if (rank > 1) {
    Expr rows = blend("row_var", mean(g * g, {rank - 1}, true));
    Expr columns = blend("col_var", mean(g * g, {rank - 2}, true));
    Expr size = max(mean(rows, {rank - 2}, true), epsilon, Ties::lhs);
    estimate = rows * columns / size;
  } else {
    estimate = blend("variance", g * g);
  }
  Expr step = g * rsqrt(max(estimate, epsilon * epsilon, Ties::lhs));
  Expr size =
      max(convert(rootMeanSquare(step), f64) / u.number("d"), constant(u, 1));
  u.parameter = p - step * like(p, alpha / size);
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

using A = OptimizerAttribute;

static A number(llvm::StringRef name, double standard) {
  return {name, A::number, {standard}};
}
static A flag(llvm::StringRef name) { return {name, A::boolean, {0.0}}; }
static A betas() { return {"betas", A::pair, {0.9, 0.999}, 0, 1}; }
static A anyNumber(llvm::StringRef name, double standard) {
  return {
      name, A::number, {standard}, -std::numeric_limits<double>::infinity()};
}

static std::vector<A> adamAttributes(double decay) {
  return {number("lr", 1e-3),  betas(),
          number("eps", 1e-8), number("weight_decay", decay),
          flag("amsgrad"),     flag("maximize")};
}

static std::vector<OptimizerState> adamStates() {
  return {{"exp_avg", whole},
          {"exp_avg_sq", whole},
          {"max_exp_avg_sq", whole, "amsgrad"}};
}

const std::vector<Optimizer> &optimizers() {
  static const std::vector<Optimizer> table = {
      {"optim.SGD",
       {number("lr", 1e-3), number("momentum", 0), anyNumber("dampening", 0),
        number("weight_decay", 0), flag("nesterov"), flag("maximize")},
       {{"momentum_buffer", whole, "momentum"}},
       sgd,
       sgdConflict},
      {"optim.Adam", adamAttributes(0), adamStates(), adam<false>},
      {"optim.AdamW", adamAttributes(1e-2), adamStates(), adam<true>},
      {"optim.NAdam",
       {number("lr", 2e-3), betas(), number("eps", 1e-8),
        number("weight_decay", 0), number("momentum_decay", 4e-3),
        flag("decoupled_weight_decay"), flag("maximize")},
       {{"exp_avg", whole},
        {"exp_avg_sq", whole},
        {"mu_product", single, "", 1, true}},
       nadam},
      {"optim.Adafactor",
       {number("lr", 1e-2),
        {"beta2_decay",
         A::number,
         {-0.8},
         -std::numeric_limits<double>::infinity(),
         0,
         true},
        {"eps",
         A::pair,
         {std::nullopt, 1e-3},
         0,
         std::numeric_limits<double>::infinity(),
         false,
         true},
        {"d", A::number, {1.0}, 1},
        number("weight_decay", 0),
        flag("maximize")},
       {{"row_var", reduced<0>},
        {"col_var", reduced<1>},
        {"variance", ofVector}},
       adafactor}};
  return table;
}

void setAttributes(Update &update, const Optimizer &optimizer,
                   llvm::ArrayRef<const Json *> sources) {
  auto read = [](const Json &json) -> std::optional<double> {
    if (json.isNull())
      return std::nullopt;
    return json.isBoolean() ? double(json.boolean) : json.number;
  };
  for (const OptimizerAttribute &attribute : optimizer.attributes) {
    Numbers &numbers = update.attributes[attribute.name];
    numbers = attribute.standard;
    for (const Json *source : sources) {
      const Json *json = source ? source->find(attribute.name) : nullptr;
      if (!json)
        continue;
      numbers.clear();
      for (const Json &item :
           json->isArray() ? json->items : std::vector{*json})
        numbers.push_back(read(item));
    }
  }
}

const Optimizer *findOptimizer(llvm::StringRef name) {
  return llvm::find_if(optimizers(),
                       [&](const Optimizer &o) { return o.name == name; })
      .base();
}

} // namespace nncc
