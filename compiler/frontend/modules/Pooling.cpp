//===- Pooling.cpp - max, average and adaptive pooling --------------------===//
#include "frontend/modules/Fragments.h"
#include "support/Size.h"

namespace nncc {

struct Windows {
  llvm::SmallVector<int64_t> dims, sizes, strides, dilations, reduced;
};

/// x padded with `value` as windows over its last `rank` dimensions. `overhang`
/// counts the elements that ceil_mode adds at the end.
static bool makeWindows(Call &c, Expr &x, Number value, Windows &w,
                        llvm::SmallVector<int64_t> *overhang = nullptr) {
  w.sizes = c.integers("kernel_size");
  w.strides = c.has("stride") ? c.integers("stride") : w.sizes;
  int64_t rank = w.sizes.size();
  w.dilations.assign(rank, 1);
  if (c.has("dilation"))
    w.dilations = c.integers("dilation");
  auto padding = c.integers("padding");
  llvm::SmallVector<int64_t> low(x.rank(), 0), high(x.rank(), 0);
  for (int64_t i = 0; i < rank; ++i) {
    int64_t d = x.rank() - rank + i;
    if (padding[i] > w.sizes[i] / 2) {
      c.error("padding", "padding may be at most half of kernel_size, got "
                         "padding = " +
                             llvm::Twine(padding[i]) +
                             ", kernel_size = " + llvm::Twine(w.sizes[i]));
      return false;
    }
    int64_t reach(Size(w.sizes[i] - 1) * w.dilations[i] + 1);
    int64_t padded(Size(padding[i]) * 2 + x.dim(d)), room = padded - reach;
    if (room < 0) {
      c.error("", "the window reaches over " + llvm::Twine(reach) +
                      " elements, but the padded input " +
                      shapeText(x.shape()) + " has only " +
                      llvm::Twine(padded));
      return false;
    }
    int64_t count = room / w.strides[i] + 1, more = 0;
    int64_t next(Size(count) * w.strides[i]); // where one more would start
    // ceil_mode adds a window that starts inside the input or left padding.
    if (c.flag("ceil_mode") && room % w.strides[i] &&
        next - padding[i] < x.dim(d))
      more = next - room;
    low[d] = padding[i];
    high[d] = int64_t(Size(padding[i]) + more);
    if (overhang)
      overhang->push_back(more);
    w.dims.push_back(d);
    w.reduced.push_back(x.rank() + i);
  }
  x = pad(x, low, high, value);
  return true;
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
  if (!makeWindows(c, x, identityOf(Combiner::max, x.element()), w))
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
  auto padding = c.integers("padding");
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

/// Means along `d` over [floor(i L / O), ceil((i + 1) L / O)) for i below O:
/// one by one if they are few, else of all windows at once, as rows of a table
/// in which the shorter ones end in zeros.
static Expr averageWindows(Expr x, int64_t d, int64_t out) {
  int64_t length = x.dim(d);
  if (out <= 32) {
    std::vector<Expr> parts;
    for (int64_t o = 0; o < out; ++o) {
      int64_t low = o * length / out;
      int64_t high = ((o + 1) * length + out - 1) / out;
      parts.push_back(mean(slice(x, d, low, high - low), {d}, true));
    }
    return concat(parts, d);
  }
  auto &b = x.context();
  mlir::Type i64 = b.b.getI64Type();
  int64_t widest = length / out + (length % out ? 2 : 0);
  auto all = [&](int64_t value) { return full(b, i64, {out}, value); };
  Expr begin = iota(b, i64, {out}, 0, 0, length);
  Expr low = floorDiv(begin, all(out));
  Expr high = floorDiv(begin + all(length + out - 1), all(out));
  const int64_t table[] = {out, widest};
  Expr at = iota(b, i64, table, 1) + alongDim(low, table, 0);
  Expr inside = compare(Predicate::lt, at, alongDim(high, table, 0));
  Expr last = full(b, i64, table, length - 1);
  Expr rows = gather(x, min(at, last), d); // (.., out, widest, ..)
  llvm::SmallVector<int64_t> shape(rows.shape());
  llvm::SmallVector<int64_t> plane(shape.size(), 1);
  plane[d] = out;
  plane[d + 1] = widest;
  inside = broadcastTo(reshape(inside, plane), shape);
  rows = select(inside, rows, full(b, x.element(), shape, 0));
  Expr total = sum(rows, {d + 1});
  return total / alongDim(convert(high - low, x.element()), total.shape(), d);
}

static Result emitAdaptiveAvgPool(Call &c) {
  Expr x = c.tensor("input");
  auto sizes = c.integers("output_size");
  int64_t rank = sizes.size();
  for (int64_t i = 0; i < rank; ++i) {
    int64_t length = x.dim(x.rank() - rank + i);
    if (length == 0)
      return c.error("", "the input " + shapeText(x.shape()) +
                             " has no elements to average");
    if (sizes[i] == 0) // null: as it is
      sizes[i] = length;
  }
  bool global = llvm::all_of(sizes, [](int64_t s) { return s == 1; });
  llvm::SmallVector<int64_t> dims;
  for (int64_t d = x.rank() - rank; d < x.rank(); ++d)
    dims.push_back(d);
  if (global)
    return mean(x, dims, true);
  for (int64_t i = 0; i < rank; ++i) {
    if (c.isTooLong("output_size", sizes[i]))
      return {};
    x = averageWindows(x, dims[i], sizes[i]);
  }
  return x;
}

static void registerRank(Registry &r, int64_t rank) {
  std::string end = std::to_string(rank) + "d";
  ArgDefs input = {tensor("input").shaped(spatial({"N?", "C"}, rank))};
  ArgDef kernel = integers("kernel_size").each(rank).min(1);
  ArgDef stride = integers("stride").each(rank).min(1).optional();
  ArgDef padding = integers("padding", 0).each(rank).min(0);
  ArgDef dilation = integers("dilation", 1).each(rank).min(1);
  ArgDef indices = flag("return_indices", false);
  ArgDef ceil = flag("ceil_mode", false);
  define(r, "largest element of each window")
      .operands(input)
      .module("nn.MaxPool" + end,
              {kernel, stride, padding, dilation, indices, ceil})
      .function("F.max_pool" + end,
                {kernel, stride, padding, dilation, ceil, indices})
      .emit(emitMaxPool);
  ArgDefs average = {kernel, stride, padding, ceil,
                     flag("count_include_pad", true)};
  if (rank > 1)
    average.push_back(integer("divisor_override").min(1).optional());
  define(r, "mean of each window")
      .operands(input)
      .module("nn.AvgPool" + end, average)
      .function("F.avg_pool" + end, average)
      .types(floating)
      .inF32()
      .emit(emitAvgPool);
  ArgDef output =
      integers("output_size").each(rank).whole().min(1).orNullItems();
  define(r, "mean over windows that give the asked size")
      .operands(input)
      .module("nn.AdaptiveAvgPool" + end, {output})
      .function("F.adaptive_avg_pool" + end, {output})
      .types(floating)
      .inF32()
      .emit(emitAdaptiveAvgPool);
}

void registerPooling(Registry &r) {
  for (int64_t rank : {1, 2, 3})
    registerRank(r, rank);
}

} // namespace nncc
