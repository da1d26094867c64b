//===- Attention.cpp - scaled dot-product attention -----------------------===//
//
// Formula: torch.nn.functional.scaled_dot_product_attention, documentation.
// Lowered as a whole by codegen/cpu/AttentionEmitter.cpp.
//
//===----------------------------------------------------------------------===//
#include "dialect/Nncc.h"
#include <limits>

using namespace mlir;

namespace nncc {

LogicalResult AttentionOp::inferReturnTypes(MLIRContext *,
                                            std::optional<Location> loc,
                                            AttentionOp::Adaptor adaptor,
                                            SmallVectorImpl<Type> &types) {
  auto q = tensorType(adaptor.getQ()), k = tensorType(adaptor.getK()),
       v = tensorType(adaptor.getV());
  int64_t rank = q.getRank();
  if (rank < 2 || k.getRank() != rank || v.getRank() != rank ||
      q.getShape().drop_back(2) != k.getShape().drop_back(2) ||
      q.getShape().drop_back(2) != v.getShape().drop_back(2) ||
      q.getShape().back() != k.getShape().back() ||
      k.getDimSize(rank - 2) != v.getDimSize(rank - 2))
    return emitOptionalError(loc, "shapes of q ", q, ", k ", k, " and v ", v,
                             " do not fit"); // C1
  SmallVector<int64_t> scores(q.getShape());
  scores.back() = k.getDimSize(rank - 2);
  if (adaptor.getMask() &&
      shapeOf(adaptor.getMask()) != ArrayRef<int64_t>(scores))
    return emitOptionalError(loc, "mask must have the scores' shape"); // C2
  if (q.getElementType() != k.getElementType() ||
      q.getElementType() != v.getElementType())
    return emitOptionalError(loc, "element types of q, k and v differ"); // C3
  SmallVector<int64_t> shape(q.getShape());
  shape.back() = v.getShape().back();
  types.push_back(RankedTensorType::get(shape, q.getElementType()));
  return success();
}

void AttentionOp::evaluate(ArrayRef<RefTensor> inputs,
                           MutableArrayRef<RefTensor> results) {
  const RefTensor &q = inputs[0], &k = inputs[1], &v = inputs[2];
  ArrayRef<int64_t> shape = q.shape();
  int64_t rank = shape.size(), rows = shape[rank - 2], depth = shape[rank - 1];
  int64_t columns = k.shape()[rank - 2], width = v.shape()[rank - 1];
  double infinity = std::numeric_limits<double>::infinity();
  int64_t batches = depth && rows ? q.size() / (rows * depth) : 0;
  std::vector<double> p(columns);
  for (int64_t i = 0; i < batches * rows; ++i) {
    int64_t batch = i / rows, row = i % rows;
    double maximum = -infinity, sum = 0;
    for (int64_t j = 0; j < columns; ++j) {
      double score = 0;
      for (int64_t d = 0; d < depth; ++d)
        score += q.floats[i * depth + d] *
                 k.floats[(batch * columns + j) * depth + d];
      score *= getScale().convertToDouble();
      if (getMask())
        score += inputs[3].floats[i * columns + j];
      p[j] = getCausal() && j > row ? -infinity : score;
      maximum = std::max(maximum, p[j]);
    }
    for (int64_t j = 0; j < columns; ++j)
      sum += p[j] = std::exp(p[j] - maximum);
    for (int64_t c = 0; c < width; ++c) {
      double y = 0;
      for (int64_t j = 0; j < columns; ++j)
        y += p[j] * v.floats[(batch * columns + j) * width + c];
      results[0].floats[i * width + c] = y / sum;
    }
  }
}

} // namespace nncc
