//===- Reductions.cpp - sum, mean, amax over dimensions -------------------===//
#include "dialect/Nncc.h"
#include "frontend/ModuleDef.h"

namespace nncc {

using K = ArgKind;

/// The dimensions to reduce: all if `dim` is absent or null.
static bool reducedDims(Call &c, Expr x, llvm::SmallVector<int64_t> &dims) {
  if (!c.has("dim")) {
    for (int64_t d = 0; d < x.rank(); ++d)
      dims.push_back(d);
    return true;
  }
  for (int64_t d : c.integers("dim")) {
    if (d < -x.rank() || d >= x.rank()) {
      c.error("dim", "dim = " + llvm::Twine(d) + " is out of range for " +
                         llvm::Twine(x.rank()) + " dimensions");
      return false;
    }
    dims.push_back(d < 0 ? d + x.rank() : d);
  }
  llvm::sort(dims);
  if (std::adjacent_find(dims.begin(), dims.end()) == dims.end())
    return true;
  c.error("dim", "dim names a dimension twice");
  return false;
}

static Result emitSum(Call &c) {
  Expr x = c.tensor("input");
  llvm::SmallVector<int64_t> dims;
  if (!x.isFloat()) // integer sums are i64
    x = convert(x, x.context().b.getI64Type());
  return reducedDims(c, x, dims) ? sum(x, dims, c.flag("keepdim")) : Result();
}
static Result emitMean(Call &c) {
  Expr x = c.tensor("input");
  llvm::SmallVector<int64_t> dims;
  return reducedDims(c, x, dims) ? mean(x, dims, c.flag("keepdim")) : Result();
}
static Result emitAmax(Call &c) {
  Expr x = c.tensor("input");
  llvm::SmallVector<int64_t> dims;
  return reducedDims(c, x, dims) ? reduceMax(x, dims, c.flag("keepdim"))
                                 : Result();
}

void registerReductions(Registry &r) {
  std::vector<ArgDef> args = {ArgDef("input", K::tensor),
                              ArgDef("dim", K::integers).optional(),
                              ArgDef("keepdim", K::boolean).optional("false")};
  r.add({{"torch.sum", "Tensor.sum"},
         "sum over dim",
         {},
         args,
         nullptr,
         nullptr,
         emitSum});
  r.add({{"torch.mean", "Tensor.mean"},
         "mean over dim",
         {},
         args,
         nullptr,
         nullptr,
         emitMean,
         TypeRule::floating});
  r.add({{"torch.amax", "Tensor.amax"},
         "maximum over dim",
         {},
         args,
         nullptr,
         nullptr,
         emitAmax});
}

} // namespace nncc
