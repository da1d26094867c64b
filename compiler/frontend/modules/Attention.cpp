//===- Attention.cpp - scaled dot-product attention -----------------------===//
#include "frontend/ModuleDef.h"
#include "dialect/Nncc.h"
#include <cmath>
#include <limits>

namespace nncc {

using K = ArgKind;

static Result emitAttention(Call &c) {
  Expr q = c.tensor("query"), k = c.tensor("key"), v = c.tensor("value");
  int64_t rank = q.rank();
  bool fits = rank >= 2 && k.rank() == rank && v.rank() == rank &&
              q.shape().drop_back(2) == k.shape().drop_back(2) &&
              q.shape().drop_back(2) == v.shape().drop_back(2) &&
              q.dim(-1) == k.dim(-1) && k.dim(-2) == v.dim(-2);
  if (!fits)
    return c.error("", "shapes of query " + shapeText(q.shape()) + ", key " +
                           shapeText(k.shape()) + " and value " +
                           shapeText(v.shape()) + " do not fit");
  Expr mask;
  if (c.hasTensor("attn_mask")) {
    mask = c.tensor("attn_mask");
    llvm::SmallVector<int64_t> scores(q.shape());
    scores.back() = k.dim(-2);
    auto shape = broadcastShape(mask.shape(), scores);
    if (!shape || *shape != scores)
      return c.error("attn_mask", "attn_mask " + shapeText(mask.shape()) +
                                      " does not broadcast to " +
                                      shapeText(scores));
    if (mask.element().isInteger(1)) {
      auto &b = q.context();
      Expr zero = scalar(b, q.element(), 0);
      Expr hidden =
          scalar(b, q.element(), -std::numeric_limits<double>::infinity());
      mask = select(mask, zero, hidden);
    }
    mask = broadcastTo(convert(mask, q.element()), scores);
  }
  double scale =
      c.has("scale") ? c.number("scale") : 1 / std::sqrt(double(q.dim(-1)));
  bool causal = c.flag("is_causal");
  double p = c.number("dropout_p");
  if (p == 0)
    return attention(q, k, v, mask, scale, causal);
  // Weights that are dropped have to be seen: plain formulas.
  llvm::SmallVector<int64_t> batch;
  for (int64_t d = 0; d < rank - 2; ++d)
    batch.push_back(d);
  Expr scores = contract(q, k, batch, batch, {rank - 1}, {rank - 1}) * scale;
  if (mask)
    scores = scores + mask;
  if (causal) {
    mlir::Type i64 = mlir::IntegerType::get(q.element().getContext(), 64);
    Expr row = iota(q.context(), i64, scores.shape(), rank - 2);
    Expr column = iota(q.context(), i64, scores.shape(), rank - 1);
    Expr hidden = full(q.context(), q.element(), scores.shape(),
                       -std::numeric_limits<double>::infinity());
    scores = select(compare(Predicate::le, column, row), scores, hidden);
  }
  Expr weights = exp(logSoftmax(scores, rank - 1));
  return contract(c.dropout(weights, p), v, batch, batch, {rank - 1},
                  {rank - 2});
}

void registerAttention(Registry &r) {
  r.add({{"F.scaled_dot_product_attention"},
         "softmax(query key^T * scale + mask) value",
         {},
         {ArgDef("query", K::tensor), ArgDef("key", K::tensor),
          ArgDef("value", K::tensor),
          ArgDef("attn_mask", K::tensor).optional().ofOtherType(),
          ArgDef("dropout_p", K::number).optional("0.0").min(0).max(1),
          ArgDef("is_causal", K::boolean).optional("false"),
          ArgDef("scale", K::number).optional()},
         nullptr,
         nullptr,
         emitAttention,
         TypeRule::floating});
}

} // namespace nncc
