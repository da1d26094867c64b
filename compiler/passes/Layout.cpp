//===- Layout.cpp - channels-last, panels of weights, sunk transposes -----===//
//
// Convolutions become contractions over patches of a channels-last input;
// constant right-hand sides become panels [blocks][sum][width] (docs/cpu.md).
// All of it is ordinary IR: pads, transposes, reshapes. Those on weights end in
// @prepare; those on activations sink (SinkTransposes.cpp) and cancel, and
// what remains is fused into kernels as strides.
//
//===----------------------------------------------------------------------===//
#include "dialect/Expr.h"
#include "dialect/Names.h"
#include "passes/Passes.h"
#include "passes/Utils.h"
#include "passes/SinkTransposes.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCLAYOUT
#include "passes/Passes.h.inc"

namespace {

SmallVector<int64_t> range(int64_t from, int64_t to) {
  return llvm::to_vector(llvm::seq<int64_t>(from, to));
}

/// (N, C, *spatial) -> (N, *spatial, C) and back.
Expr channelsLast(Expr x) {
  SmallVector<int64_t> perm{0};
  llvm::append_range(perm, range(2, x.rank()));
  perm.push_back(1);
  return transpose(x, perm);
}
Expr channelsFirst(Expr x) {
  SmallVector<int64_t> perm{0, x.rank() - 1};
  llvm::append_range(perm, range(1, x.rank() - 1));
  return transpose(x, perm);
}

/// One convolution as Exprs; what the cases below share.
struct Conv {
  mutable ConvolutionOp op;
  Expr x, w; // x channels-last, w (O, C/groups, *K)
  int64_t spatial, groups, outputs;
  ArrayRef<int64_t> kernel;

  Conv(ExprBuilder &c, ConvolutionOp op)
      : op(op), x(channelsLast(Expr(c, op.getInput()))), w(c, op.getKernel()),
        spatial(x.rank() - 2), groups(op.getGroups()), outputs(w.dim(0)),
        kernel(shapeOf(op.getKernel()).drop_front(2)) {}

  bool isPointwise() const {
    return llvm::all_of(kernel, [](int64_t k) { return k == 1; });
  }
  /// Zeros between inputs, and nothing else that is unusual: what a strided
  /// convolution's gradient and a transposed convolution are.
  bool isSpread() const {
    auto ones = [](ArrayRef<int64_t> list) {
      return llvm::all_of(list, [](int64_t x) { return x == 1; });
    };
    return groups == 1 && ones(op.getStrides()) && ones(op.getDilations()) &&
           !ones(op.getInputDilations());
  }
  bool isDepthwise() const {
    return groups == x.dim(-1) && outputs == groups && groups > 1;
  }

  /// `y` with the zeros around and between its elements.
  Expr framed(Expr y) const {
    SmallVector<int64_t> low{0}, high{0}, interior{0};
    for (int64_t i = 0; i < spatial; ++i) {
      low.push_back(op.getLow()[i]);
      high.push_back(op.getHigh()[i]);
      interior.push_back(op.getInputDilations()[i] - 1);
    }
    for (auto *list : {&low, &high, &interior})
      list->push_back(0);
    return pad(y, low, high, 0, interior);
  }
  Expr padded() const { return framed(x); }
  /// (N, *out, *K, C)
  Expr windows() const {
    return patches(padded(), range(1, 1 + spatial), kernel, op.getStrides(),
                   op.getDilations());
  }
};

/// A product on the inputs, then the zeros.
Expr lowerSpreadPointwise(const Conv &conv) {
  int64_t s = conv.spatial;
  Expr w = reshape(conv.w, {conv.outputs, conv.w.dim(1)});
  return conv.framed(contract(conv.x, w, {}, {}, {s + 1}, {1}));
}

/// (N, *P, *d, O) -> (N, P0, d0, P1, d1, ..., O) -> (N, *result, O)
Expr interleaved(Expr y, ArrayRef<int64_t> steps, ArrayRef<int64_t> result) {
  int64_t s = steps.size();
  SmallVector<int64_t> order{0}, shape{y.dim(0)};
  for (int64_t i = 0; i < s; ++i) {
    order.append({1 + i, 1 + s + i});
    shape.push_back(y.dim(1 + i) * steps[i]);
  }
  order.push_back(1 + 2 * s);
  shape.push_back(y.dim(1 + 2 * s));
  y = reshape(transpose(y, order), shape);
  for (int64_t i = 0; i < s; ++i)
    y = slice(y, 1 + i, 0, result[i]);
  return y;
}

/// With inputs d apart and `low` zeros before them, output P * d + r needs
///   y[P * d + r] = sum_u x[P - low / d + u] w[u * d + low % d - r]
/// (w is 0 outside): one product of windows of the inputs without the zeros
/// whose columns are the d places r, which then interleave.
Expr lowerSpread(const Conv &conv) {
  int64_t s = conv.spatial;
  auto result = shapeOf(conv.op.getResult()).drop_front(2);
  SmallVector<int64_t> before(s + 2, 0), after(s + 2, 0); // of the kernel
  SmallVector<int64_t> split{conv.outputs, conv.w.dim(1)}, steps, windows;
  SmallVector<int64_t> low(s + 2, 0), high(s + 2, 0); // of the input
  Expr x = conv.x;
  for (int64_t i = 0; i < s; ++i) {
    int64_t d = conv.op.getInputDilations()[i], zeros = conv.op.getLow()[i];
    before[2 + i] = d - 1 - zeros % d;
    int64_t length = llvm::alignTo(conv.kernel[i] + before[2 + i], d);
    after[2 + i] = length - conv.kernel[i] - before[2 + i];
    split.append({length / d, d});
    windows.push_back(length / d);
    steps.push_back(d);
    low[1 + i] = zeros / d;
    int64_t reach = int64_t(llvm::divideCeil(result[i], d)) + length / d - 1;
    high[1 + i] = reach - low[1 + i] - x.dim(1 + i);
    if (high[1 + i] < 0) {
      x = slice(x, 1 + i, 0, x.dim(1 + i) + high[1 + i]);
      high[1 + i] = 0;
    }
  }
  x = pad(x, low, high, 0);
  // (O, C, *K) -> (O, C, U0, d0, U1, d1, ...) -> (*d, O, *U, C)
  Expr w = reshape(pad(conv.w, before, after, 0), split);
  SmallVector<int64_t> places, order, taps;
  for (int64_t i = 0; i < s; ++i) {
    taps.push_back(2 + 2 * i);
    places.push_back(3 + 2 * i);
  }
  w = reverse(w, places);
  order = places;
  order.push_back(0);
  bool single = llvm::all_of(windows, [](int64_t u) { return u == 1; });
  if (!single) {
    llvm::append_range(order, taps);
    x = patches(x, range(1, 1 + s), windows, SmallVector<int64_t>(s, 1),
                SmallVector<int64_t>(s, 1));
  }
  order.push_back(1);
  int64_t sums = single ? 1 : s + 1;
  if (single) {
    SmallVector<int64_t> squeezed{conv.outputs, conv.w.dim(1)};
    llvm::append_range(squeezed, steps);
    w = reshape(w, squeezed); // (O, C, *d)
    order = range(2, 2 + s);
    order.append({0, 1});
  }
  w = transpose(w, order);
  Expr y = contract(x, w, {}, {}, range(1 + s, 1 + s + sums),
                    range(1 + s, 1 + s + sums));
  return interleaved(y, steps, result);
}

/// One multiply per tap and channel; lanes along channels.
Expr lowerDepthwise(const Conv &conv) {
  int64_t s = conv.spatial;
  Expr windows = conv.windows();
  SmallVector<int64_t> perm = range(2, 2 + s); // (*K, 1, O) -> (*K, O)
  perm.append({1, 0});
  SmallVector<int64_t> shape(conv.kernel);
  shape.push_back(conv.outputs);
  Expr w = reshape(transpose(conv.w, perm), shape);
  return sum(windows * broadcastTo(w, windows.shape()),
             range(1 + s, 1 + 2 * s));
}

Expr lowerDense(const Conv &conv) {
  int64_t s = conv.spatial;
  Expr x = conv.isPointwise() ? conv.padded() : conv.windows();
  SmallVector<int64_t> taps; // (O, C, *K) -> (O, *K, C)
  if (conv.isPointwise()) {
    for (int64_t i = 0; i < s; ++i) {
      int64_t step = conv.op.getStrides()[i];
      x = slice(x, 1 + i, 0, (x.dim(1 + i) - 1) / step + 1, step);
    }
  } else {
    taps = range(2, 2 + s);
  }
  Expr w = conv.isPointwise() ? reshape(conv.w, {conv.outputs, conv.w.dim(1)})
                              : conv.w;
  SmallVector<int64_t> perm{0};
  llvm::append_range(perm, taps);
  perm.push_back(1);
  w = transpose(w, perm);
  int64_t xSumFirst = 1 + s, sumDims = taps.size() + 1;
  if (conv.groups == 1)
    return contract(x, w, {}, {}, range(xSumFirst, xSumFirst + sumDims),
                    range(1, 1 + sumDims));
  // Groups are a batch dimension: x (.., G, C/G), w (G, O/G, ..).
  int64_t g = conv.groups;
  SmallVector<int64_t> xShape(x.shape()), wShape(w.shape());
  xShape.back() /= g;
  xShape.insert(xShape.end() - 1, g);
  wShape[0] /= g;
  wShape.insert(wShape.begin(), g);
  x = reshape(x, xShape);
  w = reshape(w, wShape);
  int64_t groupDim = x.rank() - 2;
  SmallVector<int64_t> xSum = range(xSumFirst, groupDim);
  xSum.push_back(groupDim + 1);
  Expr y = contract(x, w, {groupDim}, {0}, xSum, range(2, 2 + sumDims));
  // (G, N, *out, O/G) -> (N, *out, O)
  SmallVector<int64_t> order = range(1, 2 + s);
  order.append({0, 2 + s});
  y = transpose(y, order);
  SmallVector<int64_t> shape(y.shape().drop_back(2));
  shape.push_back(conv.outputs);
  return reshape(y, shape);
}

/// Fails, with a report, if what the product needs is larger than any tensor
/// may be.
LogicalResult lower(ConvolutionOp op) {
  ExprBuilder c{OpBuilder(op), op.getLoc()};
  Conv conv(c, op);
  Expr y = conv.isSpread() ? conv.isPointwise() ? lowerSpreadPointwise(conv)
                                                : lowerSpread(conv)
           : conv.isDepthwise() ? lowerDepthwise(conv)
                                : lowerDense(conv);
  y = channelsFirst(y);
  if (!y) {
    reportLimit(op.getLoc(), "the windows of a convolution: " + c.problem);
    return failure();
  }
  op.getResult().replaceAllUsesWith(y.value());
  op.erase();
  return success();
}

/// Columns of one panel: the widest that divides `columns`, or else the widest
/// (whose last panel is partial); narrow products take one panel.
int64_t choosePanel(int64_t columns, int64_t widest, int64_t lanes) {
  if (columns <= widest)
    return (columns + lanes - 1) / lanes * lanes;
  for (int64_t width = widest; width > lanes; width -= lanes)
    if (columns % width == 0)
      return width;
  return widest;
}

/// The right side of a product, for the GEMM emitter: (*batch, outer..,
/// panels, *sum, width), where its last free dimension is cut into panels.
/// Weights always; run-time tensors if enough rows pay for the copy and whole
/// panels do. Otherwise these only get their last free dimension innermost.
struct PackRhs : OpRewritePattern<ContractOp> {
  PackRhs(MLIRContext *context, int64_t widest, int64_t lanes,
          Pass::Statistic &packed)
      : OpRewritePattern(context), widest(widest), lanes(lanes),
        packed(packed) {}

  /// Rows from which a run-time right side is copied, and packed
  /// (docs/cpu.md).
  static constexpr int64_t rowsToCopy = 4, rowsToPack = 64;

  LogicalResult matchAndRewrite(ContractOp op,
                                PatternRewriter &rewriter) const override {
    SmallVector<int64_t> free = op.rhsFree();
    if (op->hasAttr(packedAttr) || free.empty() ||
        !isa<FloatType>(op.getType().getElementType()))
      return failure();
    ArrayRef<int64_t> shape = shapeOf(op.getRhs());
    int64_t columns = shape[free.back()];
    int64_t wide = std::max<int64_t>(
        1, elementBytes(computeType(op.getType().getElementType())) / 4);
    int64_t width = choosePanel(columns, std::max<int64_t>(1, widest / wide),
                                std::max<int64_t>(1, lanes / wide));
    if (!weightOnly()(op.getRhs())) {
      int64_t rows = 1;
      for (int64_t d : op.lhsFree())
        rows *= shapeOf(op.getLhs())[d];
      if (rows < rowsToCopy)
        return failure();
      if (rows < rowsToPack || columns % width)
        return freeDimLast(op, free, rewriter);
    }
    ExprBuilder c{rewriter, op.getLoc()};
    c.b.setInsertionPoint(op);
    Expr w(c, op.getRhs());
    int64_t batches = op.getRhsBatch().size(), frees = free.size();
    int64_t sums = op.getRhsContract().size();
    SmallVector<int64_t> perm(op.getRhsBatch());
    llvm::append_range(perm, free);
    llvm::append_range(perm, op.getRhsContract());
    w = transpose(w, perm);
    int64_t last = batches + frees - 1;
    int64_t panels = (columns + width - 1) / width;
    SmallVector<int64_t> low(w.rank(), 0), high(w.rank(), 0);
    high[last] = panels * width - columns;
    w = pad(w, low, high, 0);
    SmallVector<int64_t> split(w.shape());
    split[last] = panels;
    split.insert(split.begin() + last + 1, width);
    w = reshape(w, split);
    SmallVector<int64_t> toBack = range(0, last + 1);
    llvm::append_range(toBack, range(last + 2, w.rank()));
    toBack.push_back(last + 1);
    w = transpose(w, toBack);
    Expr y =
        contract(Expr(c, op.getLhs()), w, op.getLhsBatch(), range(0, batches),
                 op.getLhsContract(), range(last + 1, last + 1 + sums),
                 op.getType().getElementType());
    y.value().getDefiningOp()->setAttr(packedAttr, rewriter.getUnitAttr());
    SmallVector<int64_t> merged(y.shape().drop_back(2));
    merged.push_back(panels * width);
    y = slice(reshape(y, merged), merged.size() - 1, 0, columns);
    rewriter.replaceOp(op, y.value());
    ++packed;
    return success();
  }

  static LogicalResult freeDimLast(ContractOp op, ArrayRef<int64_t> free,
                                   PatternRewriter &rewriter) {
    int64_t rank = shapeOf(op.getRhs()).size();
    if (free.back() == rank - 1)
      return failure();
    ExprBuilder c{rewriter, op.getLoc()};
    c.b.setInsertionPoint(op);
    int64_t batches = op.getRhsBatch().size();
    int64_t sums = op.getRhsContract().size();
    SmallVector<int64_t> perm(op.getRhsBatch());
    llvm::append_range(perm, free.drop_back());
    llvm::append_range(perm, op.getRhsContract());
    perm.push_back(free.back());
    int64_t firstSum = rank - 1 - sums;
    Expr y = contract(
        Expr(c, op.getLhs()), transpose(Expr(c, op.getRhs()), perm),
        op.getLhsBatch(), range(0, batches), op.getLhsContract(),
        range(firstSum, firstSum + sums), op.getType().getElementType());
    rewriter.replaceOp(op, y.value());
    return success();
  }
  int64_t widest, lanes;
  Pass::Statistic &packed;
};

struct Layout : impl::NnccLayoutBase<Layout> {
  using NnccLayoutBase::NnccLayoutBase;

  void runOnOperation() override {
    MLIRContext *context = &getContext();
    SmallVector<ConvolutionOp> found;
    getOperation()->walk([&](ConvolutionOp op) { found.push_back(op); });
    for (ConvolutionOp op : found) {
      if (failed(lower(op)))
        return signalPassFailure();
      ++convolutions;
    }
    {
      RewritePatternSet patterns(context);
      populateSinkTransposes(patterns, sunk);
      if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
        return signalPassFailure();
    }
    RewritePatternSet patterns(context);
    patterns.add<PackRhs>(context, panel, lanes, packed);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
  }
};

} // namespace
} // namespace nncc
