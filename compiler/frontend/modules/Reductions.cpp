//===- Reductions.cpp - sum, mean, amax over dimensions -------------------===//
#include "frontend/modules/Fragments.h"

namespace nncc {

/// PyTorch's sum and mean take keepdim only beside dim, which may be null.
static bool hasDim(Call &c) {
  bool isMissing = c.find("keepdim")->isGiven && !c.find("dim")->isGiven;
  if (isMissing)
    c.error("keepdim", "keepdim needs dim, null for all dimensions");
  return !isMissing;
}

/// Integer sums are i64, unless the call says otherwise.
static Result emitSum(Call &c) {
  if (!hasDim(c))
    return {};
  Expr x = c.tensor("input");
  if (!x.isFloat() && !c.has("dtype"))
    x = convert(x, x.context().b.getI64Type());
  return sum(x, c.dims("dim"), c.flag("keepdim"));
}

static Result emitMean(Call &c) {
  if (!hasDim(c))
    return {};
  return mean(c.tensor("input"), c.dims("dim"), c.flag("keepdim"));
}

/// Nothing is the largest of no elements.
static Result emitAmax(Call &c) {
  Expr x = c.tensor("input");
  for (int64_t d : c.dims("dim"))
    if (x.dim(d) == 0)
      return c.error("dim", "needs elements, but dimension " + llvm::Twine(d) +
                                " of " + shapeText(x.shape()) + " is empty");
  return reduceMax(x, c.dims("dim"), c.flag("keepdim"));
}

void registerReductions(Registry &r) {
  ArgDefs withType = reducedDims();
  withType.push_back(resultType());
  define(r, "sum over dim").functions(spellings("sum"), withType).emit(emitSum);
  define(r, "mean over dim")
      .functions(spellings("mean"), withType)
      .types(floating)
      .inF32()
      .emit(emitMean);
  define(r, "maximum over dim")
      .functions(spellings("amax"), reducedDims())
      .emit(emitAmax);
}

} // namespace nncc
