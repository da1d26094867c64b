//===- Convolution.cpp - the general convolution --------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"
#include "support/Size.h"

using namespace mlir;

namespace nncc {

LogicalResult ConvolutionOp::inferReturnTypes(MLIRContext *,
                                              std::optional<Location> loc,
                                              ConvolutionOp::Adaptor adaptor,
                                              SmallVectorImpl<Type> &types) {
  auto x = tensorType(adaptor.getInput()), w = tensorType(adaptor.getKernel());
  size_t spatial = x.getRank() - 2;
  if (x.getRank() < 3 || w.getRank() != x.getRank() ||
      llvm::any_of(
          ArrayRef<ArrayRef<int64_t>>{
              adaptor.getStrides(), adaptor.getLow(), adaptor.getHigh(),
              adaptor.getInputDilations(), adaptor.getDilations()},
          [&](ArrayRef<int64_t> a) { return a.size() != spatial; }))
    return emitOptionalError(loc, "input and kernel need equal ranks of at "
                                  "least 3, and attributes one entry per "
                                  "spatial dimension"); // C1
  int64_t groups = adaptor.getGroups();
  if (groups < 1 || w.getDimSize(0) % groups ||
      x.getDimSize(1) != int64_t(Size(groups) * w.getDimSize(1)))
    return emitOptionalError(loc, "groups = ", groups, " does not fit ",
                             x.getDimSize(1), " input channels and kernel ",
                             w); // C2
  SmallVector<int64_t> shape{x.getDimSize(0), w.getDimSize(0)};
  Size padded = Size(x.getDimSize(0)) * x.getDimSize(1);
  for (size_t i = 0; i < spatial; ++i) {
    int64_t size((Size(x.getDimSize(i + 2)) - 1) *
                     adaptor.getInputDilations()[i] +
                 1 + adaptor.getLow()[i] + adaptor.getHigh()[i]);
    int64_t reach((Size(w.getDimSize(i + 2)) - 1) * adaptor.getDilations()[i] +
                  1);
    if (size > maxElements)
      return emitOptionalError(loc, "a dimension that is padded to more than "
                                    "2^40 elements"); // C3
    if (reach < 1 || size < reach || adaptor.getStrides()[i] < 1)
      return emitOptionalError(loc, "a kernel that reaches over ", reach,
                               " elements does not fit into ", size); // C3
    shape.push_back((size - reach) / adaptor.getStrides()[i] + 1);
    padded = padded * size;
  }
  if (padded > maxElements)
    return emitOptionalError(loc, "an input that is padded to more than 2^40 "
                                  "elements"); // C3
  if (x.getElementType() != w.getElementType())
    return emitOptionalError(loc, "element types of ", x, " and ", w,
                             " differ"); // C4
  types.push_back(RankedTensorType::get(shape, x.getElementType()));
  return success();
}

void ConvolutionOp::evaluate(ArrayRef<RefTensor> inputs,
                             MutableArrayRef<RefTensor> results) {
  const RefTensor &x = inputs[0], &w = inputs[1];
  SmallVector<int64_t> xStrides = x.strides(), wStrides = w.strides();
  int64_t perGroup = w.shape()[1], outPerGroup = w.shape()[0] / getGroups();
  ArrayRef<int64_t> kernel = w.shape().drop_front(2);
  int64_t position = 0;
  forEachIndex(results[0].shape(), [&](ArrayRef<int64_t> index) {
    double sum = 0;
    int64_t xBase = index[0] * xStrides[0] +
                    index[1] / outPerGroup * perGroup * xStrides[1];
    forEachIndex(kernel, [&](ArrayRef<int64_t> tap) {
      int64_t xAt = xBase, wAt = index[1] * wStrides[0];
      for (size_t i = 0; i < tap.size(); ++i) {
        int64_t p = index[i + 2] * getStrides()[i] +
                    tap[i] * getDilations()[i] - getLow()[i];
        if (p < 0 || p % getInputDilations()[i])
          return;
        p /= getInputDilations()[i];
        if (p >= x.shape()[i + 2])
          return;
        xAt += p * xStrides[i + 2];
        wAt += tap[i] * wStrides[i + 2];
      }
      for (int64_t c = 0; c < perGroup; ++c)
        sum +=
            x.floats[xAt + c * xStrides[1]] * w.floats[wAt + c * wStrides[1]];
    });
    results[0].floats[position++] = sum;
  });
}

namespace {

/// Zeros between and around elements along the spatial dimensions (2 and on);
/// negative amounts cut off.
Expr frame(Expr x, ArrayRef<int64_t> low, ArrayRef<int64_t> high,
           ArrayRef<int64_t> dilation) {
  SmallVector<int64_t> lo{0, 0}, hi{0, 0}, interior{0, 0};
  for (size_t i = 0; i < low.size(); ++i) {
    lo.push_back(std::max<int64_t>(low[i], 0));
    hi.push_back(std::max<int64_t>(high[i], 0));
    interior.push_back(dilation[i] - 1);
  }
  x = pad(x, lo, hi, 0, interior);
  for (size_t i = 0; i < low.size(); ++i) {
    int64_t d = int64_t(i) + 2, front = std::max<int64_t>(-low[i], 0);
    int64_t back = std::max<int64_t>(-high[i], 0);
    x = slice(x, d, front, x.dim(d) - front - back);
  }
  return x;
}

} // namespace

static SmallVector<int64_t> range(int64_t from, int64_t to) {
  return llvm::to_vector(llvm::seq<int64_t>(from, to));
}

/// A convolution of dy, spread by the strides, with the weights turned round.
static Expr inputGradient(ConvolutionOp op, Expr x, Expr w, Expr dy) {
  int64_t s = x.rank() - 2, groups = op.getGroups();
  int64_t outputs = w.dim(0), inputs = w.dim(1);
  SmallVector<int64_t> low, high;
  for (int64_t i = 0; i < s; ++i) {
    int64_t reach = (w.dim(2 + i) - 1) * op.getDilations()[i];
    int64_t spread = (dy.dim(2 + i) - 1) * op.getStrides()[i] + 1;
    int64_t wanted = (x.dim(2 + i) - 1) * op.getInputDilations()[i] + 1;
    low.push_back(reach - op.getLow()[i]);
    high.push_back(wanted + reach - spread - low.back());
  }
  // (g, O, C, *K) -> (g, C, O, *K)
  SmallVector<int64_t> split{groups, outputs / groups, inputs};
  llvm::append_range(split, w.shape().drop_front(2));
  SmallVector<int64_t> exchange{0, 2, 1};
  llvm::append_range(exchange, range(3, 3 + s));
  SmallVector<int64_t> merged{groups * inputs, outputs / groups};
  llvm::append_range(merged, w.shape().drop_front(2));
  Expr turned = reverse(w, range(2, 2 + s));
  turned = reshape(transpose(reshape(turned, split), exchange), merged);
  ConvolutionShape shape;
  shape.strides.assign(op.getInputDilations().begin(),
                       op.getInputDilations().end());
  shape.dilations.assign(op.getDilations().begin(), op.getDilations().end());
  shape.groups = groups;
  Expr spread = dy;
  bool cuts = llvm::any_of(low, [](int64_t v) { return v < 0; }) ||
              llvm::any_of(high, [](int64_t v) { return v < 0; });
  if (cuts) {
    spread = frame(dy, low, high, op.getStrides());
    shape.low.assign(s, 0);
    shape.high.assign(s, 0);
    shape.inputDilations.assign(s, 1);
  } else {
    shape.low = low;
    shape.high = high;
    shape.inputDilations.assign(op.getStrides().begin(), op.getStrides().end());
  }
  return convolution(spread, turned, shape);
}

/// A product of dy with what each element of the kernel has seen.
static Expr weightGradient(ConvolutionOp op, Expr x, Expr w, Expr dy) {
  int64_t s = x.rank() - 2, groups = op.getGroups();
  int64_t outputs = w.dim(0), inputs = w.dim(1);
  // (N, *P, *K, C), channels innermost as the layout pass has them.
  SmallVector<int64_t> channelsLast{0};
  llvm::append_range(channelsLast, range(2, 2 + s));
  channelsLast.push_back(1);
  Expr framed = frame(x, op.getLow(), op.getHigh(), op.getInputDilations());
  Expr seen =
      patches(transpose(framed, channelsLast), range(1, 1 + s),
              w.shape().drop_front(2), op.getStrides(), op.getDilations());
  Expr dyLast = transpose(dy, channelsLast);
  SmallVector<int64_t> points = range(0, 1 + s);
  SmallVector<int64_t> toKernel; // (.., *K) behind the channels
  if (groups == x.dim(1) && outputs == groups) {
    SmallVector<int64_t> places(dyLast.shape());
    places.insert(places.end() - 1, s, 1);
    Expr sums =
        sum(seen * broadcastTo(reshape(dyLast, places), seen.shape()), points);
    toKernel.push_back(s); // (*K, C) -> (C, 1, *K)
    llvm::append_range(toKernel, range(0, s));
    return reshape(transpose(sums, toKernel), w.shape());
  }
  SmallVector<int64_t> seenShape(seen.shape()), dyShape(dyLast.shape());
  seenShape.back() = inputs;
  seenShape.insert(seenShape.end() - 1, groups);
  dyShape.back() = outputs / groups;
  dyShape.insert(dyShape.end() - 1, groups);
  if (groups == 1) {
    Expr product = contract(seen, dyLast, {}, {}, points, points);
    toKernel.assign({s + 1, s}); // (*K, C, O) -> (O, C, *K)
    llvm::append_range(toKernel, range(0, s));
    return transpose(product, toKernel);
  }
  Expr product = contract(reshape(seen, seenShape), reshape(dyLast, dyShape),
                          {1 + 2 * s}, {1 + s}, points, points);
  toKernel.assign({0, s + 2, s + 1}); // (g, *K, C, O) -> (g, O, C, *K)
  llvm::append_range(toKernel, range(1, 1 + s));
  return reshape(transpose(product, toKernel), w.shape());
}

void ConvolutionOp::gradient(Gradient &g) {
  Expr x = g.operand(0), w = g.operand(1);
  if (g.wants(0))
    g.give(0, inputGradient(*this, x, w, g.of));
  if (g.wants(1))
    g.give(1, weightGradient(*this, x, w, g.of));
}

} // namespace nncc
