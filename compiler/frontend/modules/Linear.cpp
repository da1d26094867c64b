//===- Linear.cpp - linear layers and matrix products ---------------------===//
#include "frontend/ModuleDef.h"

namespace nncc {

using K = ArgKind;

static void linearState(Call &c, std::vector<StateDef> &state) {
  int64_t in = c.integer("in_features"), out = c.integer("out_features");
  state.push_back({"weight", {out, in}});
  if (c.flag("bias"))
    state.push_back({"bias", {out}});
}

/// y = x W^T + b (torch.nn.Linear).
static Result emitLinear(Call &c) {
  Expr x = c.tensor("input"), w = c.tensor("weight");
  if (w.rank() != 2)
    return c.error("weight",
                   "weight needs 2 dimensions, got " + shapeText(w.shape()));
  if (x.rank() < 1 || x.dim(-1) != w.dim(1))
    return c.error("", "expected an input whose last dimension is " +
                           llvm::Twine(w.dim(1)) + ", got " +
                           shapeText(x.shape()));
  Expr y = linear(x, w);
  if (c.hasTensor("bias"))
    y = y + c.tensor("bias");
  return y;
}

static Result emitBmm(Call &c) {
  Expr x = c.tensor("input"), y = c.tensor("mat2");
  if (x.rank() != 3 || y.rank() != 3 || x.dim(0) != y.dim(0) ||
      x.dim(2) != y.dim(1))
    return c.error("", "expected shapes (b, n, m) and (b, m, p), got " +
                           shapeText(x.shape()) + " and " +
                           shapeText(y.shape()));
  return contract(x, y, {0}, {0}, {2}, {1});
}

/// torch.matmul: vectors, matrices, and broadcast batches of matrices.
static Result emitMatmul(Call &c) {
  Expr x = c.tensor("input"), y = c.tensor("other");
  auto fail = [&] {
    return c.error("", "cannot multiply " + shapeText(x.shape()) + " by " +
                           shapeText(y.shape()));
  };
  if (x.rank() == 0 || y.rank() == 0)
    return fail();
  bool vectorX = x.rank() == 1, vectorY = y.rank() == 1;
  if (vectorX)
    x = reshape(x, {1, x.dim(0)});
  if (vectorY)
    y = reshape(y, {y.dim(0), 1});
  if (x.dim(-1) != y.dim(-2))
    return fail();
  Expr z;
  if (y.rank() == 2) {
    z = contract(x, y, {}, {}, {x.rank() - 1}, {0});
  } else {
    auto batch = broadcastShape(x.shape().drop_back(2), y.shape().drop_back(2));
    if (!batch)
      return fail();
    llvm::SmallVector<int64_t> xShape(*batch), yShape(*batch), dims;
    for (int64_t d = 0; d < int64_t(batch->size()); ++d)
      dims.push_back(d);
    int64_t n = dims.size();
    llvm::append_range(xShape, x.shape().take_back(2));
    llvm::append_range(yShape, y.shape().take_back(2));
    z = contract(broadcastTo(x, xShape), broadcastTo(y, yShape), dims, dims,
                 {n + 1}, {n});
  }
  llvm::SmallVector<int64_t> shape(z.shape());
  if (vectorY)
    shape.pop_back();
  if (vectorX)
    shape.erase(shape.end() - (vectorY ? 1 : 2));
  return reshape(z, shape);
}

void registerLinear(Registry &r) {
  r.add({{"nn.Linear"},
         "y = x W^T + b",
         {ArgDef("in_features", K::integer).min(0),
          ArgDef("out_features", K::integer).min(0),
          ArgDef("bias", K::boolean).optional("true"), stateDType()},
         {ArgDef("input", K::tensor)},
         linearState,
         nullptr,
         emitLinear,
         TypeRule::floating});
  r.add({{"F.linear"},
         "y = x W^T + b",
         {},
         {ArgDef("input", K::tensor), ArgDef("weight", K::tensor),
          ArgDef("bias", K::tensor).optional()},
         nullptr,
         nullptr,
         emitLinear,
         TypeRule::floating});
  r.add({{"torch.bmm", "Tensor.bmm"},
         "batched matrix product",
         {},
         {ArgDef("input", K::tensor), ArgDef("mat2", K::tensor)},
         nullptr,
         nullptr,
         emitBmm,
         TypeRule::same});
  r.add({{"torch.matmul", "Tensor.matmul", "Tensor.__matmul__", "torch.mm",
          "Tensor.mm"},
         "matrix product with broadcast batches",
         {},
         {ArgDef("input", K::tensor), ArgDef("other", K::tensor)},
         nullptr,
         nullptr,
         emitMatmul,
         TypeRule::same});
}

} // namespace nncc
