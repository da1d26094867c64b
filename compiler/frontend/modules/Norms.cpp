//===- Norms.cpp - batch and layer normalisation --------------------------===//
#include "frontend/ModuleDef.h"

namespace nncc {

using K = ArgKind;

static void batchNormState(Call &c, std::vector<StateDef> &state) {
  int64_t features = c.integer("num_features");
  if (c.flag("affine")) {
    state.push_back({"weight", {features}});
    if (c.flag("bias"))
      state.push_back({"bias", {features}});
  }
  if (c.flag("track_running_stats")) {
    state.push_back({"running_mean", {features}, true});
    state.push_back({"running_var", {features}, true});
    state.push_back({"num_batches_tracked", {}, true, "i64"});
  }
}

/// (x - mean)^2. The variance does not change with the mean (the sum of x -
/// mean is 0), so reverse mode may take it as given.
static Expr squared(Expr x, Expr centre) {
  Expr centred = x - detach(centre);
  return centred * centred;
}

/// An empty batch has no statistics, and gradients that are 0.
static Expr meanOrZero(Expr x, Ints dims) {
  return x.type().getNumElements() ? mean(x, dims) : sum(x, dims);
}

/// (x - mean) / sqrt(var + eps) * weight + bias per channel. Running statistics
/// in eval mode; the batch's, with the biased variance, where there are none or
/// `training` says so (torch.nn.BatchNorm2d).
static Result normalizeChannels(Call &c, bool ofBatch) {
  Expr x = c.tensor("input"), centre, variance;
  if (ofBatch) {
    if (x.type().getNumElements() == x.dim(1) && x.dim(1))
      return c.error("", "needs more than one value per channel to train, got "
                         "an input of shape " +
                             shapeText(x.shape()));
    llvm::SmallVector<int64_t> dims{0};
    for (int64_t d = 2; d < x.rank(); ++d)
      dims.push_back(d);
    centre = meanOrZero(x, dims);
    variance = meanOrZero(squared(x, alongDim(centre, x.shape(), 1)), dims);
  } else {
    centre = c.tensor("running_mean");
    variance = c.tensor("running_var");
  }
  Expr scale = rsqrt(variance + c.number("eps"));
  if (c.hasTensor("weight"))
    scale = scale * c.tensor("weight");
  if (ofBatch) { // its gradient needs sums over x - mean
    Expr y =
        (x - alongDim(centre, x.shape(), 1)) * alongDim(scale, x.shape(), 1);
    return c.hasTensor("bias") ? y + alongDim(c.tensor("bias"), y.shape(), 1)
                               : y;
  }
  Expr shift = neg(centre * scale);
  if (c.hasTensor("bias"))
    shift = shift + c.tensor("bias");
  return x * alongDim(scale, x.shape(), 1) + alongDim(shift, x.shape(), 1);
}

/// running = (1 - momentum) running + momentum of the batch, whose variance is
/// the unbiased one here; without momentum the mean of all batches. An empty
/// batch only counts. F.batch_norm has no count of batches.
static void updateStatistics(Call &c, Expr x) {
  llvm::SmallVector<int64_t> dims{0};
  int64_t count = x.dim(0);
  for (int64_t d = 2; d < x.rank(); ++d) {
    dims.push_back(d);
    count *= x.dim(d);
  }
  x = detach(x);
  Expr batches, centre = mean(x, dims);
  Expr centred = x - alongDim(centre, x.shape(), 1);
  Expr variance = sum(centred * centred, dims) / double(count - 1);
  if (Expr before = c.tensor("num_batches_tracked")) {
    batches = before + 1.0;
    c.update(before, batches);
  }
  Expr factor = c.has("momentum")
                    ? scalar(x.context(), x.element(), c.number("momentum"))
                    : full(x.context(), x.element(), {}, 1) /
                          convert(batches, x.element());
  for (auto [name, now] : {std::pair("running_mean", centre),
                           std::pair("running_var", variance)}) {
    Expr old = c.tensor(name);
    c.update(old, count ? old + (now - old) * factor : old);
  }
}

static Result emitBatchNorm(Call &c) {
  Expr x = c.tensor("input");
  int64_t rank = c.spatialRank(), features = c.integer("num_features");
  bool fits = x.rank() == rank + 2 || (rank == 1 && x.rank() == 2);
  if (!fits || x.dim(1) != features)
    return c.error("", "expected an input of " + llvm::Twine(rank + 2) +
                           " dimensions with " + llvm::Twine(features) +
                           " channels, got " + shapeText(x.shape()));
  bool ofBatch = c.trains || !c.hasTensor("running_mean");
  if (c.trains && c.hasTensor("running_mean"))
    updateStatistics(c, x);
  return normalizeChannels(c, ofBatch);
}

/// F.batch_norm: every tensor is given by the call.
static Result emitBatchNormFunction(Call &c) {
  Expr x = c.tensor("input");
  if (x.rank() < 2)
    return c.error("", "expected an input of at least 2 dimensions, got " +
                           shapeText(x.shape()));
  bool training = c.flag("training");
  for (const char *name : {"running_mean", "running_var", "weight", "bias"}) {
    bool isStatistic = name[0] == 'r';
    if (c.hasTensor(name)) {
      if (c.tensor(name).shape() != Ints({x.dim(1)}))
        return c.error(name, name + llvm::Twine(" must have shape ") +
                                 shapeText({x.dim(1)}) + ", got " +
                                 shapeText(c.tensor(name).shape()));
    } else if (isStatistic && !training) {
      return c.error("", name + llvm::Twine(" is needed unless training"));
    }
  }
  if (c.hasTensor("running_mean") != c.hasTensor("running_var"))
    return c.error("", "running_mean and running_var are given together or "
                       "not at all");
  if (training && c.hasTensor("running_mean"))
    updateStatistics(c, x);
  return normalizeChannels(c, training);
}

static void layerNormState(Call &c, std::vector<StateDef> &state) {
  if (!c.flag("elementwise_affine"))
    return;
  state.push_back({"weight", c.integers("normalized_shape")});
  if (c.flag("bias"))
    state.push_back({"bias", c.integers("normalized_shape")});
}

/// (x - mean) / sqrt(var + eps) over the last dimensions, biased variance.
static Result emitLayerNorm(Call &c) {
  Expr x = c.tensor("input");
  auto shape = c.integers("normalized_shape");
  int64_t count = shape.size();
  if (x.rank() < count || x.shape().take_back(count) != Ints(shape))
    return c.error("", "expected an input whose last dimensions are " +
                           shapeText(shape) + ", got " + shapeText(x.shape()));
  llvm::SmallVector<int64_t> dims;
  for (int64_t d = x.rank() - count; d < x.rank(); ++d)
    dims.push_back(d);
  Expr centre = mean(x, dims, true);
  Expr variance = mean(squared(x, centre), dims, true);
  Expr y = (x - centre) * rsqrt(variance + c.number("eps"));
  if (c.hasTensor("weight"))
    y = y * c.tensor("weight");
  if (c.hasTensor("bias"))
    y = y + c.tensor("bias");
  return y;
}

void registerNorms(Registry &r) {
  ArgDef input("input", K::tensor);
  auto momentum = ArgDef("momentum", K::number).optional("0.1");
  momentum.nullable = true; // null: a cumulative mean
  r.add({{"nn.BatchNorm1d", "nn.BatchNorm2d", "nn.BatchNorm3d"},
         "normalises each channel",
         {ArgDef("num_features", K::integer).min(1),
          ArgDef("eps", K::number).optional("1e-05").min(0), momentum,
          ArgDef("affine", K::boolean).optional("true"),
          ArgDef("track_running_stats", K::boolean).optional("true"),
          ArgDef("bias", K::boolean).optional("true"), stateDType()},
         {input},
         batchNormState,
         nullptr,
         emitBatchNorm,
         TypeRule::floating});
  auto optional = [](const char *name) {
    return ArgDef(name, K::tensor).optional();
  };
  r.add({{"F.batch_norm"},
         "normalises each channel",
         {},
         {input, optional("running_mean"), optional("running_var"),
          optional("weight"), optional("bias"),
          ArgDef("training", K::mode).optional("false"),
          ArgDef("momentum", K::number).optional("0.1"),
          ArgDef("eps", K::number).optional("1e-05").min(0)},
         nullptr,
         nullptr,
         emitBatchNormFunction,
         TypeRule::floating});
  r.add({{"nn.LayerNorm"},
         "normalises over the last dimensions",
         {ArgDef("normalized_shape", K::integers).min(1),
          ArgDef("eps", K::number).optional("1e-05").min(0),
          ArgDef("elementwise_affine", K::boolean).optional("true"),
          ArgDef("bias", K::boolean).optional("true"), stateDType()},
         {input},
         layerNormState,
         nullptr,
         emitLayerNorm,
         TypeRule::floating});
  r.add({{"F.layer_norm"},
         "normalises over the last dimensions",
         {},
         {input, ArgDef("normalized_shape", K::integers).min(1),
          ArgDef("weight", K::tensor).optional(),
          ArgDef("bias", K::tensor).optional(),
          ArgDef("eps", K::number).optional("1e-05").min(0)},
         nullptr,
         nullptr,
         emitLayerNorm,
         TypeRule::floating});
}

} // namespace nncc
