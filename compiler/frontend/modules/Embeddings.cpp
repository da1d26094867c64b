//===- Embeddings.cpp - Embedding and EmbeddingBag ------------------------===//
#include "frontend/modules/Fragments.h"

namespace nncc {

static Result emitEmbedding(Call &c) {
  Expr ids = asNumbers(c.tensor("input")), table = c.tensor("weight");
  int64_t padding = -1;
  if (c.has("padding_idx")) {
    padding = c.integer("padding_idx");
    padding += padding < 0 ? table.dim(0) : 0;
    if (padding < 0 || padding >= table.dim(0))
      return c.error("padding_idx", "padding_idx must be in [" +
                                        llvm::Twine(-table.dim(0)) + ", " +
                                        llvm::Twine(table.dim(0)) + "), got " +
                                        llvm::Twine(c.integer("padding_idx")));
  }
  Expr rows = gather(table, ids, 0);
  if (!c.trains || padding < 0)
    return rows;
  // The padding row gets no gradient.
  llvm::SmallVector<int64_t> column(ids.shape());
  column.push_back(1);
  Expr isPadding = compare(Predicate::eq, ids,
                           scalar(ids.context(), ids.element(), padding));
  return select(broadcastTo(reshape(isPadding, column), rows.shape()),
                detach(rows), rows);
}

/// The rows of each bag, combined: bags are the rows of a 2-D input.
static Result emitEmbeddingBag(Call &c) {
  Expr ids = c.tensor("input"), table = c.tensor("weight");
  if (c.hasTensor("offsets"))
    return c.error("offsets", "offsets are not supported yet");
  Expr rows = gather(table, ids, 0); // (B, L, D)
  llvm::StringRef mode = c.word("mode");
  if (mode == "sum")
    return sum(rows, {1});
  if (mode == "mean")
    return mean(rows, {1});
  return reduceMax(rows, {1});
}

void registerEmbeddings(Registry &r) {
  ArgDef ids = tensor("input").of(Elements::integers);
  ArgDef rows = integer("num_embeddings").min(1);
  ArgDef columns = integer("embedding_dim").min(1);
  ArgDef padding = integer("padding_idx").optional();
  define(r, "rows of a table")
      .operands({ids})
      .module("nn.Embedding", {rows, columns, padding})
      .function("F.embedding", {padding})
      .tensor("weight", {"num_embeddings", "embedding_dim"})
      .emit(emitEmbedding);
  define(r, "sums, means or maxima of rows of a table")
      .operands({ids.shaped({"B", "L"}), tensor("offsets").optional()})
      .module("nn.EmbeddingBag",
              {rows, columns, word("mode", {"sum", "mean", "max"}, "mean")})
      .tensor("weight", {"num_embeddings", "embedding_dim"})
      .inF32()
      .emit(emitEmbeddingBag);
}

} // namespace nncc
