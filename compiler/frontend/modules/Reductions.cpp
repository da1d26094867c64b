//===- Reductions.cpp - sum, mean, amax over dimensions -------------------===//
#include "frontend/modules/Fragments.h"

namespace nncc {

/// Integer sums are i64, unless the call says otherwise.
static Result emitSum(Call &c) {
  Expr x = c.tensor("input");
  if (!x.isFloat() && !c.has("dtype"))
    x = convert(x, x.context().b.getI64Type());
  return sum(x, c.dims("dim"), c.flag("keepdim"));
}

/// A function of the input, dimensions, and whether they stay.
static Emitter over(Expr (*function)(Expr, Ints, bool)) {
  return [=](Call &c) -> Result {
    return function(c.tensor("input"), c.dims("dim"), c.flag("keepdim"));
  };
}

void registerReductions(Registry &r) {
  ArgDefs withType = reducedDims();
  withType.push_back(resultType());
  define(r, "sum over dim").functions(spellings("sum"), withType).emit(emitSum);
  define(r, "mean over dim")
      .functions(spellings("mean"), withType)
      .types(floating)
      .inF32()
      .emit(over(mean));
  define(r, "maximum over dim")
      .functions(spellings("amax"), reducedDims())
      .emit(over(reduceMax));
}

} // namespace nncc
