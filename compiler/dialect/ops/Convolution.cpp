//===- Convolution.cpp - the general convolution --------------------------===//
#include "dialect/Nncc.h"

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
      x.getDimSize(1) != groups * w.getDimSize(1))
    return emitOptionalError(loc, "groups = ", groups, " does not fit ",
                             x.getDimSize(1), " input channels and kernel ",
                             w); // C2
  SmallVector<int64_t> shape{x.getDimSize(0), w.getDimSize(0)};
  for (size_t i = 0; i < spatial; ++i) {
    int64_t size = (x.getDimSize(i + 2) - 1) * adaptor.getInputDilations()[i] +
                   1 + adaptor.getLow()[i] + adaptor.getHigh()[i];
    int64_t reach = (w.getDimSize(i + 2) - 1) * adaptor.getDilations()[i] + 1;
    if (size < reach || adaptor.getStrides()[i] < 1)
      return emitOptionalError(loc, "a kernel that reaches over ", reach,
                               " elements does not fit into ", size); // C3
    shape.push_back((size - reach) / adaptor.getStrides()[i] + 1);
  }
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

} // namespace nncc
