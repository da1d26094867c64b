//===- Norms.cpp - batch and layer normalisation --------------------------===//
#include "frontend/modules/Fragments.h"

namespace nncc {

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
  bool ofBatch = c.trains || !c.hasTensor("running_mean");
  if (c.trains && c.hasTensor("running_mean"))
    updateStatistics(c, x);
  return normalizeChannels(c, ofBatch);
}

/// F.batch_norm: every tensor is given by the call.
static Result emitBatchNormFunction(Call &c) {
  bool training = c.flag("training");
  for (const char *name : {"running_mean", "running_var"})
    if (!training && !c.hasTensor(name))
      return c.error("", name + llvm::Twine(" is needed unless training"));
  if (c.hasTensor("running_mean") != c.hasTensor("running_var"))
    return c.error("", "running_mean and running_var are given together or "
                       "not at all");
  if (training && c.hasTensor("running_mean"))
    updateStatistics(c, c.tensor("input"));
  return normalizeChannels(c, training);
}

/// (x - mean) / sqrt(var + eps) over the last dimensions, biased variance.
static Result emitLayerNorm(Call &c) {
  Expr x = c.tensor("input");
  int64_t count = c.integers("normalized_shape").size();
  if (count == 0)
    return c.error("normalized_shape", "normalized_shape has no sizes");
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

/// What the classes and the function have per channel.
static void ofChannels(Define &d) {
  TensorUse affine = when("affine"), tracked = when("track_running_stats");
  d.buffer("running_mean", {"num_features"}, tracked)
      .buffer("running_var", {"num_features"}, tracked)
      .buffer("num_batches_tracked", ShapeFormula({}), tracked.ofModule("i64"))
      .tensor("weight", {"num_features"}, affine)
      .tensor("bias", {"num_features"}, affine.andWhen("bias"))
      .types(floating)
      .inF32();
}

static void batchNorm(Registry &r, std::string name, ShapeFormula input) {
  ArgDef eps = number("eps", 1e-5).min(0);
  Define d = define(r, "normalises each channel");
  ofChannels(d);
  d.operands({tensor("input").shaped(std::move(input))})
      .module(std::move(name),
              {integer("num_features").min(1), eps,
               number("momentum", 0.1).orNull(), // null: a cumulative mean
               flag("affine", true), flag("track_running_stats", true),
               flag("bias", true)})
      .emit(emitBatchNorm);
}

void registerNorms(Registry &r) {
  batchNorm(r, "nn.BatchNorm1d", {"N", "num_features", "L?"});
  for (int64_t rank : {2, 3})
    batchNorm(r, "nn.BatchNorm" + std::to_string(rank) + "d",
              spatial({"N", "num_features"}, rank));
  ArgDef eps = number("eps", 1e-5).min(0);
  Define function = define(r, "normalises each channel");
  ofChannels(function);
  function.operands({tensor("input").shaped({"N", "num_features", "..."})})
      .function("F.batch_norm",
                {mode("training", false), number("momentum", 0.1), eps})
      .emit(emitBatchNormFunction);
  ArgDef shape = integers("normalized_shape").min(1);
  define(r, "normalises over the last dimensions")
      .operands({tensor("input").shaped({"...", "*normalized_shape"})})
      .module("nn.LayerNorm", {shape, eps, flag("elementwise_affine", true),
                               flag("bias", true)})
      .function("F.layer_norm", {shape, tensor("weight"), tensor("bias"), eps})
      .tensor("weight", {"*normalized_shape"}, when("elementwise_affine"))
      .tensor("bias", {"*normalized_shape"},
              when("elementwise_affine").andWhen("bias"))
      .types(floating)
      .inF32()
      .emit(emitLayerNorm);
}

} // namespace nncc
