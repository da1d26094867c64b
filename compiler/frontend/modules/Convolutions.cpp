//===- Convolutions.cpp - Conv and ConvTranspose of any rank --------------===//
#include "frontend/modules/Fragments.h"
#include "support/Size.h"

namespace nncc {

/// Unbatched input gets a batch dimension of size 1.
static bool addBatch(Expr &x, int64_t rank) {
  if (x.rank() != rank + 1)
    return false;
  llvm::SmallVector<int64_t> shape(x.shape());
  shape.insert(shape.begin(), 1);
  x = reshape(x, shape);
  return true;
}

/// PyTorch convolves nothing only where the batch or the channels are empty.
static bool hasElements(Call &c, Expr x, Expr w) {
  if (w.dim(0) == 0)
    c.error("weight", "weight " + shapeText(w.shape()) + " has no channels");
  else if (llvm::is_contained(x.shape().take_back(w.rank() - 2), 0))
    c.error("input", "the input " + shapeText(x.shape()) +
                         " may be empty along batch and channels only");
  return !c.failed;
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
  if (c.word("padding").empty()) {
    s.low = s.high = c.integers("padding");
    return true;
  }
  int64_t rank = w.rank() - 2;
  bool isSame = c.word("padding") == "same";
  for (int64_t i = 0; i < rank; ++i) {
    int64_t total(isSame ? Size(s.dilations[i]) * (w.dim(2 + i) - 1) : Size(0));
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
  int64_t rank = w.rank() - 2;
  if (!hasElements(c, x, w))
    return {};
  bool unbatch = addBatch(x, rank);
  ConvolutionShape s;
  s.groups = c.integer("groups");
  s.strides = c.integers("stride");
  s.dilations = c.integers("dilation");
  s.inputDilations.assign(rank, 1);
  if (!padConvolution(c, w, s))
    return {};
  for (int64_t i = 0; i < rank; ++i) {
    int64_t reach(Size(w.dim(2 + i) - 1) * s.dilations[i] + 1);
    int64_t length(Size(s.low[i]) + x.dim(2 + i) + s.high[i]);
    if (length < reach)
      return c.error("", "the kernel reaches over " + llvm::Twine(reach) +
                             " elements, but the padded input " +
                             shapeText(x.shape()) + " has only " +
                             llvm::Twine(length));
  }
  return finish(c, convolution(x, w, s), unbatch);
}

/// The gradient of a convolution with respect to its input: input dilation by
/// the stride, kernel flipped and its channels swapped.
static Result emitConvTranspose(Call &c) {
  Expr x = c.tensor("input"), w = c.tensor("weight"); // w (C, O/g, *K)
  int64_t rank = w.rank() - 2, groups = c.integer("groups");
  if (!hasElements(c, x, w))
    return {};
  bool unbatch = addBatch(x, rank);
  ConvolutionShape s;
  s.groups = groups;
  s.inputDilations = c.integers("stride");
  s.dilations = c.integers("dilation");
  s.strides.assign(rank, 1);
  auto padding = c.integers("padding");
  auto extra = c.integers("output_padding");
  llvm::SmallVector<int64_t> flipped, cut, sizes;
  for (int64_t i = 0; i < rank; ++i) {
    int64_t reach(Size(s.dilations[i]) * (w.dim(2 + i) - 1));
    if (extra[i] >= std::max(s.inputDilations[i], s.dilations[i]))
      return c.error("output_padding",
                     "output_padding must be smaller than stride or dilation");
    Size whole =
        Size(x.dim(2 + i) - 1) * s.inputDilations[i] + reach + 1 + extra[i];
    Size rest = whole - Size(2) * padding[i];
    if (rest < 1)
      return c.error("padding", "padding " + llvm::Twine(padding[i]) +
                                    " on both sides leaves nothing of " +
                                    llvm::Twine(int64_t(whole)) + " elements");
    // Padding beyond the kernel's reach is cut off the result.
    int64_t inner = std::min(padding[i], reach);
    s.low.push_back(reach - inner);
    s.high.push_back(int64_t(Size(reach - inner) + extra[i]));
    cut.push_back(padding[i] - inner);
    sizes.push_back(int64_t(rest));
    flipped.push_back(2 + i);
  }
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

/// {"out_channels", ..., "kernel_size.0", "kernel_size.1"}.
static ShapeFormula kernel(std::vector<std::string> terms, int64_t rank) {
  for (int64_t i = 0; i < rank; ++i)
    terms.push_back("kernel_size." + std::to_string(i));
  return terms;
}

static void registerRank(Registry &r, int64_t rank) {
  std::string end = std::to_string(rank) + "d";
  ArgDef stride = integers("stride", 1).each(rank).min(1);
  ArgDef dilation = integers("dilation", 1).each(rank).min(1);
  ArgDef padding = integers("padding", 0).each(rank).min(0);
  ArgDef extra = integers("output_padding", 0).each(rank).min(0);
  ArgDef named = ArgDef(padding).orOneOf({"same", "valid"});
  ArgDef groups = integer("groups", 1).min(1);
  ArgDefs channels = {integer("in_channels").min(1),
                      integer("out_channels").min(1),
                      integers("kernel_size").each(rank).whole().min(1),
                      stride,
                      dilation,
                      groups,
                      flag("bias", true),
                      word("padding_mode", {"zeros"}, "zeros")};
  ArgDefs plain = channels, transposed = channels;
  plain.push_back(named);
  transposed.insert(transposed.end(), {padding, extra});
  ArgDef input = tensor("input").shaped(spatial({"N?", "in_channels"}, rank));
  define(r, "cross-correlation with kernels")
      .operands({input})
      .module("nn.Conv" + end, plain)
      .function("F.conv" + end, {stride, named, dilation, groups})
      .tensor("weight", kernel({"out_channels", "in_channels / groups"}, rank))
      .tensor("bias", {"out_channels"}, when("bias"))
      .divides("groups", {"in_channels", "out_channels"})
      .types(floating)
      .emit(emitConvolution);
  define(r, "transposed convolution")
      .operands({input})
      .module("nn.ConvTranspose" + end, transposed)
      .function("F.conv_transpose" + end,
                {stride, padding, extra, groups, dilation})
      .tensor("weight", kernel({"in_channels", "out_channels / groups"}, rank))
      .tensor("bias", {"out_channels"}, when("bias"))
      .divides("groups", {"in_channels", "out_channels"})
      .types(floating)
      .emit(emitConvTranspose);
}

void registerConvolutions(Registry &r) {
  for (int64_t rank : {1, 2, 3})
    registerRank(r, rank);
}

} // namespace nncc
