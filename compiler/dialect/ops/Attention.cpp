//===- Attention.cpp - scaled dot-product attention -----------------------===//
//
// Formula: torch.nn.functional.scaled_dot_product_attention, documentation.
// Lowered as a whole by codegen/cpu/Attention*.cpp.
//
//===----------------------------------------------------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"
#include <limits>

using namespace mlir;

namespace nncc {

/// The type of attention's result.
template <typename Adaptor>
static FailureOr<Type> attentionType(std::optional<Location> loc,
                                     Adaptor adaptor) {
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
  return Type(RankedTensorType::get(shape, q.getElementType()));
}

LogicalResult AttentionOp::inferReturnTypes(MLIRContext *,
                                            std::optional<Location> loc,
                                            AttentionOp::Adaptor adaptor,
                                            SmallVectorImpl<Type> &types) {
  auto type = attentionType(loc, adaptor);
  if (failed(type))
    return failure();
  types.push_back(*type);
  return success();
}

namespace {

/// The sizes of an attention, and its weights row by row in f64.
struct Rows {
  const RefTensor &q, &k;
  const RefTensor *mask; // may be null
  double scale;
  bool causal;
  int64_t rows = q.shape().end()[-2], depth = q.shape().back(),
          columns = k.shape().end()[-2];

  /// Of all heads.
  int64_t count() const { return depth ? q.size() / depth : 0; }
  int64_t head(int64_t i) const { return i / rows; }

  /// softmax of row `i`, 0 if it sees nothing.
  void weights(int64_t i, MutableArrayRef<double> p) const {
    double infinity = std::numeric_limits<double>::infinity();
    double maximum = -infinity, sum = 0;
    for (int64_t j = 0; j < columns; ++j) {
      double score = 0;
      for (int64_t d = 0; d < depth; ++d)
        score += q.floats[i * depth + d] *
                 k.floats[(head(i) * columns + j) * depth + d];
      score *= scale;
      if (mask)
        score += mask->floats[i * columns + j];
      p[j] = causal && j > i % rows ? -infinity : score;
      maximum = std::max(maximum, p[j]);
    }
    if (maximum == -infinity) // no difference of infinities
      maximum = 0;
    for (double &x : p)
      sum += x = std::exp(x - maximum);
    for (double &x : p)
      x = sum == 0 ? 0 : x / sum;
  }
};

} // namespace

/// Keys, and so scores of a row.
template <typename OpTy> static int64_t keysOf(OpTy op) {
  return shapeOf(op.getK()).drop_back().back();
}

/// True if no query meets a key.
template <typename OpTy> static bool hasNoScores(OpTy op) {
  return keysOf(op) == 0 || shapeOf(op.getQ()).drop_back().back() == 0;
}

unsigned AttentionOp::productOperands() { return 3; }

bool AttentionOp::sumsNothing() { return hasNoScores(*this); }

Size AttentionOp::flops() {
  return Size(2) * keysOf(*this) *
         (tensorType(getQ()).getNumElements() +
          tensorType(getResult()).getNumElements());
}

unsigned AttentionBackwardOp::productOperands() { return 4; }

bool AttentionBackwardOp::sumsNothing() { return hasNoScores(*this); }

Size AttentionBackwardOp::flops() {
  return Size(2) * keysOf(*this) *
         (3 * tensorType(getQ()).getNumElements() +
          2 * tensorType(getDResult()).getNumElements());
}

void AttentionOp::evaluate(ArrayRef<RefTensor> inputs,
                           MutableArrayRef<RefTensor> results) {
  const RefTensor &v = inputs[2];
  Rows rows{inputs[0], inputs[1], getMask() ? &inputs[3] : nullptr,
            getScale().convertToDouble(), getCausal()};
  int64_t width = v.shape().back();
  std::vector<double> p(rows.columns);
  for (int64_t i = 0; i < rows.count(); ++i) {
    rows.weights(i, p);
    for (int64_t j = 0; j < rows.columns; ++j)
      for (int64_t c = 0; c < width; ++c)
        results[0].floats[i * width + c] +=
            p[j] * v.floats[(rows.head(i) * rows.columns + j) * width + c];
  }
}

Expr attentionWeights(Expr q, Expr k, Expr mask, double scale, bool causal) {
  ExprBuilder &c = q.context();
  int64_t n = q.rank() - 2;
  SmallVector<int64_t> batch = llvm::to_vector(llvm::seq<int64_t>(0, n));
  Type sums = computeType(q.element());
  Expr scores = contract(q, k, batch, batch, {n + 1}, {n + 1}, sums) * scale;
  if (mask)
    scores = scores + convert(mask, sums);
  if (causal) {
    Type i64 = c.b.getI64Type();
    Expr row = iota(c, i64, scores.shape(), n);
    Expr column = iota(c, i64, scores.shape(), n + 1);
    Expr hidden =
        full(c, sums, scores.shape(), -std::numeric_limits<double>::infinity());
    scores = select(compare(Predicate::le, column, row), scores, hidden);
  }
  return maskedSoftmax(scores, n + 1);
}

/// dmask = P (dP - rowsum(P dP)) is as large as the scores: where it is wanted
/// they are kept in memory.
void AttentionOp::gradient(Gradient &g) {
  double scale = getScale().convertToDouble();
  Expr q = g.operand(0), k = g.operand(1), v = g.operand(2);
  Expr mask = getMask() ? g.operand(3) : Expr();
  Type own = q.element(), sums = computeType(own);
  auto wide = [&](Expr x) { return x ? convert(x, sums) : x; };
  auto give = [&](unsigned i, Expr gradient) {
    g.give(i, convert(gradient, own));
  };
  if (!mask || !g.wants(3)) { // sums over blocks stay in memory
    auto gradients = attentionBackward(wide(q), wide(k), wide(v), wide(g.of),
                                       wide(mask), scale, getCausal());
    for (unsigned i = 0; i < 3; ++i)
      give(i, gradients[i]);
    return;
  }
  int64_t n = q.rank() - 2;
  SmallVector<int64_t> batch = llvm::to_vector(llvm::seq<int64_t>(0, n));
  auto product = [&](Expr x, Expr y, int64_t xSum, int64_t ySum) {
    return contract(convert(x, own), y, batch, batch, {n + xSum}, {n + ySum},
                    sums);
  };
  Expr p = attentionWeights(q, k, mask, scale, getCausal());
  Expr dP = product(g.of, v, 1, 1);
  Expr dS = p * (dP - sum(p * dP, {n + 1}, true));
  give(2, product(p, g.of, 0, 0));
  give(0, product(dS, k, 1, 0) * scale);
  give(1, product(dS, q, 0, 0) * scale);
  give(3, dS);
}

LogicalResult AttentionBackwardOp::inferReturnTypes(
    MLIRContext *, std::optional<Location> loc,
    AttentionBackwardOp::Adaptor adaptor, SmallVectorImpl<Type> &types) {
  auto type = attentionType(loc, adaptor);
  if (failed(type))
    return failure();
  if (adaptor.getDResult().getType() != *type)
    return emitOptionalError(loc, "d_result must be ", *type); // C4
  for (Value operand : {adaptor.getQ(), adaptor.getK(), adaptor.getV()})
    types.push_back(operand.getType());
  return success();
}

void AttentionBackwardOp::evaluate(ArrayRef<RefTensor> inputs,
                                   MutableArrayRef<RefTensor> results) {
  const RefTensor &q = inputs[0], &k = inputs[1], &v = inputs[2],
                  &dO = inputs[3];
  double scale = getScale().convertToDouble();
  Rows rows{q, k, getMask() ? &inputs[4] : nullptr, scale, getCausal()};
  int64_t width = v.shape().back(), depth = rows.depth;
  std::vector<double> p(rows.columns), dP(rows.columns);
  for (int64_t i = 0; i < rows.count(); ++i) {
    rows.weights(i, p);
    int64_t first = rows.head(i) * rows.columns;
    double delta = 0;
    for (int64_t j = 0; j < rows.columns; ++j) {
      dP[j] = 0;
      for (int64_t c = 0; c < width; ++c)
        dP[j] += dO.floats[i * width + c] * v.floats[(first + j) * width + c];
      delta += p[j] * dP[j];
    }
    for (int64_t j = 0; j < rows.columns; ++j) {
      double dS = scale * p[j] * (dP[j] - delta);
      for (int64_t d = 0; d < depth; ++d) {
        results[0].floats[i * depth + d] +=
            dS * k.floats[(first + j) * depth + d];
        results[1].floats[(first + j) * depth + d] +=
            dS * q.floats[i * depth + d];
      }
      for (int64_t c = 0; c < width; ++c)
        results[2].floats[(first + j) * width + c] +=
            p[j] * dO.floats[i * width + c];
    }
  }
}

void AttentionBackwardOp::gradient(Gradient &g) {
  g.fail("has no derivative of its own");
}

} // namespace nncc
