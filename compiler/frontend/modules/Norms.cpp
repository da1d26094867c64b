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

/// (x - mean) / sqrt(var + eps) * weight + bias with running statistics, as a
/// scale and a shift per channel (torch.nn.BatchNorm2d, eval mode).
static Result emitBatchNorm(Call &c) {
  Expr x = c.tensor("input");
  int64_t rank = c.spatialRank(), features = c.integer("num_features");
  bool fits = x.rank() == rank + 2 || (rank == 1 && x.rank() == 2);
  if (!fits || x.dim(1) != features)
    return c.error("", "expected an input of " + llvm::Twine(rank + 2) +
                           " dimensions with " + llvm::Twine(features) +
                           " channels, got " + shapeText(x.shape()));
  if (!c.hasTensor("running_mean"))
    return c.error("track_running_stats",
                   "batch statistics in eval mode (track_running_stats = "
                   "false) are not supported yet");
  Expr scale = rsqrt(c.tensor("running_var") + c.number("eps"));
  if (c.hasTensor("weight"))
    scale = scale * c.tensor("weight");
  Expr shift = neg(c.tensor("running_mean") * scale);
  if (c.hasTensor("bias"))
    shift = shift + c.tensor("bias");
  return x * alongDim(scale, x.shape(), 1) + alongDim(shift, x.shape(), 1);
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
  Expr centred = x - mean(x, dims, true);
  Expr variance = mean(centred * centred, dims, true);
  Expr y = centred * rsqrt(variance + c.number("eps"));
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
          ArgDef("eps", K::number).optional("1e-05").min(0),
          momentum, ArgDef("affine", K::boolean).optional("true"),
          ArgDef("track_running_stats", K::boolean).optional("true"),
          ArgDef("bias", K::boolean).optional("true")},
         {input}, batchNormState, nullptr, emitBatchNorm, TypeRule::floating});
  r.add({{"nn.LayerNorm"}, "normalises over the last dimensions",
         {ArgDef("normalized_shape", K::integers).min(1),
          ArgDef("eps", K::number).optional("1e-05").min(0),
          ArgDef("elementwise_affine", K::boolean).optional("true"),
          ArgDef("bias", K::boolean).optional("true")},
         {input}, layerNormState, nullptr, emitLayerNorm, TypeRule::floating});
  r.add({{"F.layer_norm"}, "normalises over the last dimensions", {},
         {input, ArgDef("normalized_shape", K::integers).min(1),
          ArgDef("weight", K::tensor).optional(),
          ArgDef("bias", K::tensor).optional(),
          ArgDef("eps", K::number).optional("1e-05").min(0)},
         nullptr, nullptr, emitLayerNorm, TypeRule::floating});
}

} // namespace nncc
