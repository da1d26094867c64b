//===- Embeddings.cpp - Embedding and EmbeddingBag ------------------------===//
#include "frontend/ModuleDef.h"
#include "dialect/Nncc.h"

namespace nncc {

using K = ArgKind;

static void embeddingState(Call &c, std::vector<StateDef> &state) {
  state.push_back(
      {"weight", {c.integer("num_embeddings"), c.integer("embedding_dim")}});
}

static bool isIndex(Call &c, Expr x) {
  if (x.isFloat() || x.element().isInteger(1)) {
    c.error("input", "indices must be integers, got " + dtypeName(x.element()));
    return false;
  }
  return true;
}

static Result emitEmbedding(Call &c) {
  Expr ids = c.tensor("input"), table = c.tensor("weight");
  if (!isIndex(c, ids))
    return {};
  if (table.rank() != 2)
    return c.error("weight", "weight needs 2 dimensions, got " +
                                 shapeText(table.shape()));
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
  Expr isPadding =
      compare(Predicate::eq, ids,
              scalar(ids.context(), ids.element(), double(padding)));
  return select(broadcastTo(reshape(isPadding, column), rows.shape()),
                detach(rows), rows);
}

/// The rows of each bag, combined: bags are the rows of a 2-D input.
static Result emitEmbeddingBag(Call &c) {
  Expr ids = c.tensor("input"), table = c.tensor("weight");
  if (!isIndex(c, ids))
    return {};
  if (ids.rank() != 2 || c.hasTensor("offsets"))
    return c.error("input", "only a 2-D input without offsets is supported, "
                            "got " +
                                shapeText(ids.shape()));
  Expr rows = gather(table, ids, 0); // (B, L, D)
  llvm::StringRef mode = c.word("mode");
  if (mode == "sum")
    return sum(rows, {1});
  if (mode == "mean")
    return mean(rows, {1});
  return reduceMax(rows, {1});
}

void registerEmbeddings(Registry &r) {
  std::vector<ArgDef> table = {ArgDef("num_embeddings", K::integer).min(1),
                               ArgDef("embedding_dim", K::integer).min(1),
                               stateDType()};
  std::vector<ArgDef> plain = table, bag = table;
  plain.push_back(ArgDef("padding_idx", K::integer).optional());
  bag.push_back(ArgDef("mode", K::word)
                    .optional("\"mean\"")
                    .oneOf({"sum", "mean", "max"}));
  ArgDef input("input", K::tensor);
  r.add({{"nn.Embedding"},
         "rows of a table",
         plain,
         {input},
         embeddingState,
         nullptr,
         emitEmbedding});
  r.add({{"F.embedding"},
         "rows of a table",
         {},
         {input, ArgDef("weight", K::tensor),
          ArgDef("padding_idx", K::integer).optional()},
         nullptr,
         nullptr,
         emitEmbedding});
  r.add({{"nn.EmbeddingBag"},
         "sums, means or maxima of rows of a table",
         bag,
         {input, ArgDef("offsets", K::tensor).optional()},
         embeddingState,
         nullptr,
         emitEmbeddingBag});
}

} // namespace nncc
