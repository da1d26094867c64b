//===- Convolutions.cpp - Conv and ConvTranspose of any rank --------------===//
#include "frontend/ModuleDef.h"

namespace nncc {

using K = ArgKind;

static std::vector<ArgDef> shapeArgs(ArgDef padding) {
  return {ArgDef("stride", K::integers).optional("1").min(1), padding,
          ArgDef("dilation", K::integers).optional("1").min(1),
          ArgDef("groups", K::integer).optional("1").min(1)};
}

static void convolutionCheck(Call &c) {
  int64_t groups = c.integer("groups");
  for (const char *channels : {"in_channels", "out_channels"})
    if (c.integer(channels) % groups)
      c.error("groups", llvm::Twine("groups must divide ") + channels +
                            ", got groups = " + llvm::Twine(groups) + ", " +
                            channels + " = " +
                            llvm::Twine(c.integer(channels)));
}

static void convolutionState(Call &c, std::vector<StateDef> &state) {
  int64_t in = c.integer("in_channels"), out = c.integer("out_channels");
  int64_t groups = c.integer("groups");
  bool transposed = c.name.contains("Transpose");
  StateDef weight{"weight", {out, in / groups}};
  if (transposed)
    weight.shape = {in, out / groups};
  llvm::append_range(weight.shape, c.integers("kernel_size", c.spatialRank()));
  state.push_back(weight);
  if (c.flag("bias"))
    state.push_back({"bias", {out}});
}

/// Input with a batch dimension; unbatched input gets one of size 1.
static bool batched(Call &c, Expr &x, int64_t channels, bool &added) {
  int64_t rank = c.spatialRank();
  added = x.rank() == rank + 1;
  if (added) {
    llvm::SmallVector<int64_t> shape(x.shape());
    shape.insert(shape.begin(), 1);
    x = reshape(x, shape);
  }
  if (x.rank() != rank + 2 || x.dim(1) != channels) {
    c.error("", "expected an input of " + llvm::Twine(rank + 2) +
                    " dimensions with " + llvm::Twine(channels) +
                    " channels, got " + shapeText(x.shape()));
    return false;
  }
  return true;
}

static Result finish(Call &c, Expr y, bool unbatch) {
  if (c.hasTensor("bias"))
    y = y + alongDim(c.tensor("bias"), y.shape(), 1);
  if (unbatch)
    y = reshape(y, y.shape().drop_front());
  return y;
}

/// Elements in front of and behind the input. "same" gives as many results as
/// there are elements; of an odd number one more lies behind.
static bool padConvolution(Call &c, Expr w, ConvolutionShape &s) {
  int64_t rank = c.spatialRank();
  if (c.word("padding").empty()) {
    s.low = s.high = c.integers("padding", rank);
    return !c.failed;
  }
  bool isSame = c.word("padding") == "same";
  for (int64_t i = 0; i < rank; ++i) {
    int64_t total = isSame ? s.dilations[i] * (w.dim(2 + i) - 1) : 0;
    s.low.push_back(total / 2);
    s.high.push_back(total - total / 2);
    if (isSame && s.strides[i] != 1) {
      c.error("padding", "padding \"same\" needs a stride of 1, got " +
                             llvm::Twine(s.strides[i]));
      return false;
    }
  }
  return true;
}

static Result emitConvolution(Call &c) {
  Expr x = c.tensor("input"), w = c.tensor("weight");
  int64_t rank = c.spatialRank();
  bool unbatch;
  ConvolutionShape s;
  s.groups = c.integer("groups");
  if (w.rank() != rank + 2)
    return c.error("weight", "weight needs " + llvm::Twine(rank + 2) +
                                 " dimensions, got " + shapeText(w.shape()));
  if (!batched(c, x, w.dim(1) * s.groups, unbatch))
    return {};
  s.strides = c.integers("stride", rank);
  s.dilations = c.integers("dilation", rank);
  s.inputDilations.assign(rank, 1);
  if (!padConvolution(c, w, s))
    return {};
  for (int64_t i = 0; i < rank; ++i) {
    int64_t reach = (w.dim(2 + i) - 1) * s.dilations[i] + 1;
    int64_t length = s.low[i] + x.dim(2 + i) + s.high[i];
    if (length < reach)
      return c.error("", "the kernel reaches over " + llvm::Twine(reach) +
                             " elements, but the padded input " +
                             shapeText(x.shape()) + " has only " +
                             llvm::Twine(length));
  }
  return c.failed ? Result() : finish(c, convolution(x, w, s), unbatch);
}

/// The gradient of a convolution with respect to its input: input dilation by
/// the stride, kernel flipped and its channels swapped.
static Result emitConvTranspose(Call &c) {
  Expr x = c.tensor("input"), w = c.tensor("weight"); // w (C, O/g, *K)
  int64_t rank = c.spatialRank(), groups = c.integer("groups");
  bool unbatch;
  if (!batched(c, x, w.dim(0), unbatch))
    return {};
  ConvolutionShape s;
  s.groups = groups;
  s.inputDilations = c.integers("stride", rank);
  s.dilations = c.integers("dilation", rank);
  s.strides.assign(rank, 1);
  auto padding = c.integers("padding", rank);
  auto extra = c.integers("output_padding", rank);
  llvm::SmallVector<int64_t> flipped, cut, sizes;
  for (int64_t i = 0; i < rank; ++i) {
    int64_t reach = s.dilations[i] * (w.dim(2 + i) - 1);
    if (extra[i] >= std::max(s.inputDilations[i], s.dilations[i]))
      return c.error("output_padding",
                     "output_padding must be smaller than stride or dilation");
    int64_t whole =
        (x.dim(2 + i) - 1) * s.inputDilations[i] + reach + 1 + extra[i];
    if (2 * padding[i] >= whole)
      return c.error("padding", "padding " + llvm::Twine(padding[i]) +
                                    " on both sides leaves nothing of " +
                                    llvm::Twine(whole) + " elements");
    // Padding beyond the kernel's reach is cut off the result.
    int64_t inner = std::min(padding[i], reach);
    s.low.push_back(reach - inner);
    s.high.push_back(reach - inner + extra[i]);
    cut.push_back(padding[i] - inner);
    sizes.push_back(whole - 2 * padding[i]);
    flipped.push_back(2 + i);
  }
  if (c.failed)
    return {};
  // (g, C/g, O/g, *K) -> (g, O/g, C/g, *K)
  llvm::SmallVector<int64_t> split(w.shape()), perm, merged(w.shape());
  split[0] /= groups;
  split.insert(split.begin(), groups);
  for (int64_t d = 0; d < int64_t(split.size()); ++d)
    perm.push_back(d);
  std::swap(perm[1], perm[2]);
  merged[0] = w.dim(1) * groups;
  merged[1] = w.dim(0) / groups;
  w = reverse(w, flipped);
  w = reshape(transpose(reshape(w, split), perm), merged);
  Expr y = convolution(x, w, s);
  for (int64_t i = 0; i < rank; ++i)
    y = slice(y, 2 + i, cut[i], sizes[i]);
  return finish(c, y, unbatch);
}

void registerConvolutions(Registry &r) {
  std::vector<ArgDef> conv = {ArgDef("in_channels", K::integer).min(1),
                              ArgDef("out_channels", K::integer).min(1),
                              ArgDef("kernel_size", K::integers).min(1)};
  std::vector<ArgDef> transposed = conv;
  auto numbers = ArgDef("padding", K::integers).optional("0").min(0);
  auto padding = ArgDef(numbers).oneOf({"same", "valid"});
  llvm::append_range(conv, shapeArgs(padding));
  llvm::append_range(transposed, shapeArgs(numbers));
  auto bias = ArgDef("bias", K::boolean).optional("true");
  auto zeros =
      ArgDef("padding_mode", K::word).optional("\"zeros\"").oneOf({"zeros"});
  conv.insert(conv.end(), {bias, zeros, stateDType()});
  transposed.insert(
      transposed.end(),
      {bias, zeros, stateDType(),
       ArgDef("output_padding", K::integers).optional("0").min(0)});
  ArgDef input("input", K::tensor);
  r.add({{"nn.Conv1d", "nn.Conv2d", "nn.Conv3d"},
         "cross-correlation with learned kernels",
         conv,
         {input},
         convolutionState,
         convolutionCheck,
         emitConvolution,
         TypeRule::floating});
  r.add({{"nn.ConvTranspose1d", "nn.ConvTranspose2d", "nn.ConvTranspose3d"},
         "transposed convolution",
         transposed,
         {input},
         convolutionState,
         convolutionCheck,
         emitConvTranspose,
         TypeRule::floating});
  std::vector<ArgDef> function = {input, ArgDef("weight", K::tensor),
                                  ArgDef("bias", K::tensor).optional()};
  llvm::append_range(function, shapeArgs(padding));
  r.add({{"F.conv1d", "F.conv2d", "F.conv3d"},
         "cross-correlation with given kernels",
         {},
         function,
         nullptr,
         nullptr,
         emitConvolution,
         TypeRule::floating});
}

} // namespace nncc
