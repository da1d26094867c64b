//===- Parametrizations.cpp - tensors computed from other state -----------===//
//
// Formulas: torch.nn.utils.weight_norm, spectral_norm, prune.custom_from_mask.
// The norms are there twice: nn.utils.parametrizations has them again under
// other names of the state. A module has the names of its spelling, which stand
// first; a weights file may use the others too.
//
//===----------------------------------------------------------------------===//
#include "frontend/ModuleDef.h"
#include "dialect/Nncc.h"
#include "support/Size.h"

namespace nncc {

/// Checks the dimension that `dim` names in a tensor of this shape, which the
/// parametrization hides; -1 after an error.
static int64_t dimOf(Call &c, Ints shape) {
  int64_t dim = c.integer("dim"), rank = shape.size();
  if (dim >= -rank && dim < rank)
    return dim < 0 ? dim + rank : dim;
  c.error("dim", "dim = " + llvm::Twine(dim) + " is out of range for " +
                     llvm::Twine(rank) + " dimensions");
  return -1;
}

template <bool isOlder>
static HiddenState state(const char *key, const std::string &older,
                         const std::string &newer, Ints shape,
                         bool isBuffer = false) {
  std::vector<std::string> names = {older, newer};
  if (!isOlder)
    std::swap(names.front(), names.back());
  return {key, names, llvm::to_vector(shape), isBuffer};
}

template <bool isOlder>
static std::vector<HiddenState>
hiddenWeightNorm(Call &c, const std::string &tensor, Ints shape) {
  llvm::SmallVector<int64_t> norms;
  if (c.has("dim")) {
    int64_t dim = dimOf(c, shape);
    if (dim < 0)
      return {};
    norms.assign(shape.size(), 1);
    norms[dim] = shape[dim];
  }
  std::string path = "parametrizations." + tensor + ".original";
  return {state<isOlder>("g", tensor + "_g", path + "0", norms),
          state<isOlder>("v", tensor + "_v", path + "1", shape)};
}

/// g v / |v|, the norm over all dimensions but `dim`.
static Result emitWeightNorm(Call &c) {
  Expr g = c.state["g"], v = c.state["v"];
  int64_t dim = c.has("dim") ? dimOf(c, v.shape()) : -1;
  llvm::SmallVector<int64_t> dims;
  for (int64_t d = 0; d < v.rank(); ++d)
    if (d != dim)
      dims.push_back(d);
  return v * (g / sqrt(sum(v * v, dims, true)));
}

template <bool isOlder>
static std::vector<HiddenState>
hiddenSpectralNorm(Call &c, const std::string &tensor, Ints shape) {
  int64_t dim = dimOf(c, shape);
  if (dim < 0)
    return {};
  if (shape.size() < 2) {
    c.error("",
            tensor + " needs at least 2 dimensions, got " + shapeText(shape));
    return {};
  }
  Size rest = 1;
  for (int64_t d = 0; d < int64_t(shape.size()); ++d)
    rest = rest * (d == dim ? 1 : shape[d]);
  std::string path = "parametrizations." + tensor + ".";
  return {
      state<isOlder>("w", tensor + "_orig", path + "original", shape),
      state<isOlder>("u", tensor + "_u", path + "0._u", shape[dim], true),
      state<isOlder>("v", tensor + "_v", path + "0._v", int64_t(rest), true)};
}

/// x / max(|x|, eps).
static Expr normalized(Expr x, double eps) {
  return x / max(sqrt(sum(x * x, {0})), eps, Ties::lhs);
}

/// Steps of the power method for the singular vectors u and v of a matrix; the
/// hook of torch.nn.utils.spectral_norm starts with v, the parametrization with
/// u.
static void iterate(Call &c, bool startsWithU, Expr matrix, Expr &u, Expr &v) {
  double eps = c.number("eps");
  auto nextU = [&] {
    Expr rows = matrix * alongDim(v, matrix.shape(), 1);
    u = normalized(sum(rows, {1}), eps);
  };
  auto nextV = [&] {
    Expr columns = matrix * alongDim(u, matrix.shape(), 0);
    v = normalized(sum(columns, {0}), eps);
  };
  for (int64_t i = 0; i < c.integer("n_power_iterations"); ++i) {
    if (startsWithU)
      nextU();
    nextV();
    if (!startsWithU)
      nextU();
  }
}

/// W / (u^T W v), W as a matrix with `dim` first. Entries that train first move
/// u and v, which have no gradient.
static Result emitSpectralNorm(Call &c, bool startsWithU) {
  Expr w = c.state["w"], u = c.state["u"], v = c.state["v"];
  int64_t dim = dimOf(c, w.shape());
  llvm::SmallVector<int64_t> perm{dim};
  for (int64_t d = 0; d < w.rank(); ++d)
    if (d != dim)
      perm.push_back(d);
  Expr matrix = reshape(transpose(w, perm), {u.dim(0), v.dim(0)});
  if (c.trains) {
    Expr oldU = u, oldV = v;
    iterate(c, startsWithU, detach(matrix), u, v);
    c.update(oldU, u);
    c.update(oldV, v);
  }
  Expr rows = alongDim(u, matrix.shape(), 0);
  Expr columns = alongDim(v, matrix.shape(), 1);
  return w / sum(matrix * rows * columns, {0, 1});
}

static std::vector<HiddenState> hiddenMask(Call &, const std::string &tensor,
                                           Ints shape) {
  return {{"w", {tensor + "_orig"}, llvm::to_vector(shape)},
          {"mask", {tensor + "_mask"}, llvm::to_vector(shape), true}};
}

static Result emitMask(Call &c) { return c.state["w"] * c.state["mask"]; }

template <bool isOlder> static void registerNorms(Registry &r) {
  std::string space = isOlder ? "nn.utils." : "nn.utils.parametrizations.";
  define(r, "direction and length apart")
      .parametrization({space + "weight_norm"}, {integer("dim", 0).orNull()})
      .hidden(hiddenWeightNorm<isOlder>)
      .types(TypeRule::floating)
      .inF32()
      .emit(emitWeightNorm);
  define(r, "divided by its largest singular value")
      .parametrization({space + "spectral_norm"},
                       {integer("dim", 0),
                        integer("n_power_iterations", 1).min(1).max(1024),
                        number("eps", 1e-12).min(0)})
      .hidden(hiddenSpectralNorm<isOlder>)
      .types(TypeRule::floating)
      .inF32()
      .emit([](Call &c) { return emitSpectralNorm(c, !isOlder); });
}

void registerParametrizations(Registry &r) {
  registerNorms<true>(r);
  registerNorms<false>(r);
  define(r, "times a mask")
      .parametrization({"nn.utils.prune.custom_from_mask"})
      .hidden(hiddenMask)
      .emit(emitMask);
}

} // namespace nncc
