//===- Pooling.cpp - max, average and adaptive pooling --------------------===//
#include "dialect/Nncc.h"
#include "frontend/ModuleDef.h"
#include <limits>

namespace nncc {

using K = ArgKind;

struct Windows {
  llvm::SmallVector<int64_t> dims, sizes, strides, dilations, reduced;
};

/// x padded with `value` as windows over its last `rank` dimensions. `overhang`
/// counts the elements that ceil_mode adds at the end.
static bool makeWindows(Call &c, Expr &x, double value, Windows &w,
                        llvm::SmallVector<int64_t> *overhang = nullptr) {
  int64_t rank = c.spatialRank();
  if (x.rank() != rank + 1 && x.rank() != rank + 2) {
    c.error("", "expected an input of " + llvm::Twine(rank + 1) + " or " +
                    llvm::Twine(rank + 2) + " dimensions, got " +
                    shapeText(x.shape()));
    return false;
  }
  w.sizes = c.integers("kernel_size", rank);
  w.strides = c.has("stride") ? c.integers("stride", rank) : w.sizes;
  w.dilations.assign(rank, 1);
  if (c.has("dilation"))
    w.dilations = c.integers("dilation", rank);
  auto padding = c.integers("padding", rank);
  llvm::SmallVector<int64_t> low(x.rank(), 0), high(x.rank(), 0);
  for (int64_t i = 0; i < rank; ++i) {
    int64_t d = x.rank() - rank + i;
    if (padding[i] * 2 > w.sizes[i]) {
      c.error("padding", "padding may be at most half of kernel_size, got "
                         "padding = " +
                             llvm::Twine(padding[i]) +
                             ", kernel_size = " + llvm::Twine(w.sizes[i]));
      return false;
    }
    int64_t reach = (w.sizes[i] - 1) * w.dilations[i] + 1;
    int64_t room = x.dim(d) + 2 * padding[i] - reach;
    if (room < 0) {
      c.error("", "the window reaches over " + llvm::Twine(reach) +
                      " elements, but the padded input " +
                      shapeText(x.shape()) + " has only " +
                      llvm::Twine(x.dim(d) + 2 * padding[i]));
      return false;
    }
    int64_t count = room / w.strides[i] + 1, more = 0;
    // ceil_mode adds a window that starts inside the input or left padding.
    if (c.flag("ceil_mode") && room % w.strides[i] &&
        count * w.strides[i] < x.dim(d) + padding[i])
      more = count * w.strides[i] - room;
    low[d] = padding[i];
    high[d] = padding[i] + more;
    if (overhang)
      overhang->push_back(more);
    w.dims.push_back(d);
    w.reduced.push_back(x.rank() + i);
  }
  x = pad(x, low, high, value);
  return !c.failed;
}

static Expr pool(Combiner combiner, Expr x, const Windows &w) {
  return reduce(combiner, patches(x, w.dims, w.sizes, w.strides, w.dilations),
                w.reduced, false, true);
}

static Result emitMaxPool(Call &c) {
  Expr x = c.tensor("input");
  if (c.flag("return_indices"))
    return c.error("return_indices", "indices are not supported yet");
  Windows w;
  if (!makeWindows(c, x, -std::numeric_limits<double>::infinity(), w))
    return {};
  return pool(Combiner::max, x, w);
}

/// Sum over the window by its number of elements: all, or only those inside
/// the input (torch.nn.AvgPool2d).
static Result emitAvgPool(Call &c) {
  Expr x = c.tensor("input");
  Expr ones = full(x.context(), x.element(), x.shape(), 1);
  Windows w, same;
  llvm::SmallVector<int64_t> overhang;
  if (!makeWindows(c, x, 0, w, &overhang))
    return {};
  Expr total = pool(Combiner::sum, x, w);
  if (c.has("divisor_override"))
    return total / double(c.integer("divisor_override"));
  bool whole = llvm::all_of(overhang, [](int64_t o) { return o == 0; });
  auto padding = c.integers("padding", c.spatialRank());
  bool padded = llvm::any_of(padding, [](int64_t p) { return p != 0; });
  if (whole && (c.flag("count_include_pad") || !padded)) {
    double count = 1;
    for (int64_t size : w.sizes)
      count *= double(size);
    return total * (1 / count);
  }
  // Counting ones does the division's border cases. The overhang of ceil_mode
  // never counts; the padding does if asked.
  if (c.flag("count_include_pad")) {
    llvm::SmallVector<int64_t> low(x.rank(), 0), high(x.rank(), 0),
        inner(x.shape());
    for (size_t i = 0; i < overhang.size(); ++i) {
      high[w.dims[i]] = overhang[i];
      inner[w.dims[i]] -= overhang[i];
    }
    ones = pad(full(x.context(), x.element(), inner, 1), low, high, 0);
    return total / pool(Combiner::sum, ones, w);
  }
  if (!makeWindows(c, ones, 0, same))
    return {};
  return total / pool(Combiner::sum, ones, same);
}

/// Output i averages [floor(i L / O), ceil((i + 1) L / O)).
static Result emitAdaptiveAvgPool(Call &c) {
  Expr x = c.tensor("input");
  int64_t rank = c.spatialRank();
  if (x.rank() != rank + 1 && x.rank() != rank + 2)
    return c.error("", "expected an input of " + llvm::Twine(rank + 1) +
                           " or " + llvm::Twine(rank + 2) +
                           " dimensions, got " + shapeText(x.shape()));
  auto sizes = c.integers("output_size", rank);
  if (c.failed)
    return {};
  for (int64_t i = 0; i < rank; ++i)
    if (sizes[i] == 0) // null: as it is
      sizes[i] = x.dim(x.rank() - rank + i);
  bool global = llvm::all_of(sizes, [](int64_t s) { return s == 1; });
  llvm::SmallVector<int64_t> dims;
  for (int64_t d = x.rank() - rank; d < x.rank(); ++d)
    dims.push_back(d);
  if (global)
    return mean(x, dims, true);
  for (int64_t i = 0; i < rank; ++i) {
    int64_t d = dims[i], length = x.dim(d), out = sizes[i];
    std::vector<Expr> parts;
    for (int64_t o = 0; o < out; ++o) {
      int64_t lo = o * length / out;
      int64_t hi = ((o + 1) * length + out - 1) / out;
      parts.push_back(mean(slice(x, d, lo, hi - lo), {d}, true));
    }
    x = concat(parts, d);
  }
  return x;
}

void registerPooling(Registry &r) {
  ArgDef input("input", K::tensor);
  auto kernel = ArgDef("kernel_size", K::integers).min(1);
  auto stride = ArgDef("stride", K::integers).optional().min(1);
  auto padding = ArgDef("padding", K::integers).optional("0").min(0);
  auto dilation = ArgDef("dilation", K::integers).optional("1").min(1);
  auto indices = ArgDef("return_indices", K::boolean).optional("false");
  auto ceil = ArgDef("ceil_mode", K::boolean).optional("false");
  auto include = ArgDef("count_include_pad", K::boolean).optional("true");
  auto divisor = ArgDef("divisor_override", K::integer).optional().min(1);
  r.add({{"nn.MaxPool1d", "nn.MaxPool2d", "nn.MaxPool3d"},
         "largest element of each window",
         {kernel, stride, padding, dilation, indices, ceil},
         {input},
         nullptr,
         nullptr,
         emitMaxPool});
  r.add({{"F.max_pool1d", "F.max_pool2d", "F.max_pool3d"},
         "largest element of each window",
         {},
         {input, kernel, stride, padding, dilation, ceil, indices},
         nullptr,
         nullptr,
         emitMaxPool});
  r.add({{"nn.AvgPool1d", "nn.AvgPool2d", "nn.AvgPool3d"},
         "mean of each window",
         {kernel, stride, padding, ceil, include, divisor},
         {input},
         nullptr,
         nullptr,
         emitAvgPool,
         TypeRule::floating});
  r.add({{"F.avg_pool1d", "F.avg_pool2d", "F.avg_pool3d"},
         "mean of each window",
         {},
         {input, kernel, stride, padding, ceil, include, divisor},
         nullptr,
         nullptr,
         emitAvgPool,
         TypeRule::floating});
  auto output = ArgDef("output_size", K::integers).min(1).orNullItems();
  r.add(
      {{"nn.AdaptiveAvgPool1d", "nn.AdaptiveAvgPool2d", "nn.AdaptiveAvgPool3d"},
       "mean over windows that give the asked size",
       {output},
       {input},
       nullptr,
       nullptr,
       emitAdaptiveAvgPool,
       TypeRule::floating});
  r.add({{"F.adaptive_avg_pool1d", "F.adaptive_avg_pool2d",
          "F.adaptive_avg_pool3d"},
         "mean over windows that give the asked size",
         {},
         {input, output},
         nullptr,
         nullptr,
         emitAdaptiveAvgPool,
         TypeRule::floating});
}

} // namespace nncc
