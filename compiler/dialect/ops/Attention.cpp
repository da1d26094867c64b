//===- Attention.cpp - scaled dot-product attention -----------------------===//
//
// Formula: torch.nn.functional.scaled_dot_product_attention, documentation.
// Lowered as a whole by codegen/cpu/AttentionEmitter.cpp.
//
//===----------------------------------------------------------------------===//
#include "dialect/Gradient.h"
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

/// P = softmax(scale q k^T + mask); dv = P^T do, dS = P (do v^T - rowsum(P do
/// v^T)), dq = scale dS k, dk = scale dS^T q, dmask = dS. Keeps the scores in
/// memory.
void AttentionOp::gradient(Gradient &g) {
  Expr q = g.operand(0), k = g.operand(1), v = g.operand(2), dO = g.of;
  int64_t n = q.rank() - 2;
  SmallVector<int64_t> batch = llvm::to_vector(llvm::seq<int64_t>(0, n));
  auto product = [&](Expr x, Expr y, int64_t xSum, int64_t ySum) {
    return contract(x, y, batch, batch, {n + xSum}, {n + ySum});
  };
  double scale = getScale().convertToDouble();
  Expr scores = product(q, k, 1, 1) * scale;
  if (getMask())
    scores = scores + g.operand(3);
  if (getCausal()) {
    Type i64 = g.c.b.getI64Type();
    Expr row = iota(g.c, i64, scores.shape(), n);
    Expr column = iota(g.c, i64, scores.shape(), n + 1);
    Expr hidden = full(g.c, scores.element(), scores.shape(),
                       -std::numeric_limits<double>::infinity());
    scores = select(compare(Predicate::le, column, row), scores, hidden);
  }
  Expr p = exp(logSoftmax(scores, n + 1));
  Expr dP = product(dO, v, 1, 1);
  Expr dS = p * (dP - sum(p * dP, {n + 1}, true));
  g.give(2, product(p, dO, 0, 0));
  g.give(0, product(dS, k, 1, 0) * scale);
  g.give(1, product(dS, q, 0, 0) * scale);
  if (getMask())
    g.give(3, dS);
}

} // namespace nncc
