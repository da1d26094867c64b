//===- Attention.cpp - scaled dot-product attention -----------------------===//
#include "frontend/modules/Fragments.h"
#include <cmath>
#include <limits>

namespace nncc {

/// PyTorch's mask: bools, or what is added, in f32 or the query's type.
static bool isMask(Call &c, Expr mask, Expr q) {
  mlir::Type type = mask.element();
  if (mask.rank() < 2)
    c.error("attn_mask", "attn_mask needs at least 2 dimensions, got " +
                             shapeText(mask.shape()));
  else if (!type.isInteger(1) && !type.isF32() && type != q.element())
    c.error("attn_mask", "attn_mask must be bool, f32 or of the query's type, "
                         "got " +
                             dtypeName(type));
  return !c.failed;
}

static Result emitAttention(Call &c) {
  Expr q = c.tensor("query"), k = c.tensor("key"), v = c.tensor("value");
  int64_t rank = q.rank();
  Expr mask;
  if (c.hasTensor("attn_mask")) {
    mask = c.tensor("attn_mask");
    if (!isMask(c, mask, q))
      return {};
    llvm::SmallVector<int64_t> scores(q.shape());
    scores.back() = k.dim(-2);
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
  Expr weights = attentionWeights(q, k, mask, scale, causal);
  return contract(convert(c.dropout(weights, p), q.element()), v, batch, batch,
                  {rank - 1}, {rank - 2});
}

void registerAttention(Registry &r) {
  define(r, "softmax(query key^T * scale + mask) value")
      .operands({tensor("query").shaped({"*batch", "L", "E"}),
                 tensor("key").shaped({"*batch", "S", "E"}),
                 tensor("value").shaped({"*batch", "S", "V"})})
      .function("F.scaled_dot_product_attention",
                {tensor("attn_mask")
                     .optional()
                     .of(Elements::other)
                     .broadcastsTo({"*batch", "L", "S"}),
                 number("dropout_p", 0.0).min(0).max(1),
                 flag("is_causal", false), number("scale").optional()})
      .types(floating)
      .emit(emitAttention);
}

} // namespace nncc
