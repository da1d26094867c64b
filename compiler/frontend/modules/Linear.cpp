//===- Linear.cpp - linear layers and matrix products ---------------------===//
#include "frontend/modules/Fragments.h"

namespace nncc {

/// y = x W^T + b (torch.nn.Linear).
static Result emitLinear(Call &c) {
  Expr x = c.tensor("input"), w = c.tensor("weight");
  Expr y = linear(x, w);
  if (c.hasTensor("bias"))
    y = y + c.tensor("bias");
  return y;
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
  define(r, "y = x W^T + b")
      .operands({tensor("input").shaped({"...", "in_features"})})
      .module("nn.Linear", {integer("in_features").min(0),
                            integer("out_features").min(0), flag("bias", true)})
      .function("F.linear")
      .tensor("weight", {"out_features", "in_features"})
      .tensor("bias", {"out_features"}, when("bias"))
      .types(floating)
      .emit(emitLinear);
  define(r, "batched matrix product")
      .operands({tensor("input").shaped({"b", "n", "m"}),
                 tensor("mat2").shaped({"b", "m", "p"})})
      .functions({"torch.bmm", "Tensor.bmm"})
      .types(same)
      .emit([](Call &c) -> Result {
        return contract(c.tensor("input"), c.tensor("mat2"), {0}, {0}, {2},
                        {1});
      });
  define(r, "matrix product with broadcast batches")
      .operands(twoOperands())
      .functions({"torch.matmul", "Tensor.matmul", "Tensor.__matmul__"})
      .types(same)
      .emit(emitMatmul);
  define(r, "matrix product")
      .operands({tensor("input").shaped({"n", "m"}),
                 tensor("mat2").shaped({"m", "p"}).orNamed("other")})
      .functions({"torch.mm", "Tensor.mm"})
      .types(same)
      .emit([](Call &c) -> Result {
        return contract(c.tensor("input"), c.tensor("mat2"), {}, {}, {1}, {0});
      });
}

} // namespace nncc
