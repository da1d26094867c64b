//===- Fragments.h - parts that definitions share ---------------*- C++ -*-===//
#ifndef NNCC_FRONTEND_MODULES_FRAGMENTS_H
#define NNCC_FRONTEND_MODULES_FRAGMENTS_H

#include "dialect/Nncc.h"
#include "frontend/ModuleDef.h"

namespace nncc {

constexpr TypeRule numeric = TypeRule::numeric, same = TypeRule::same,
                   floating = TypeRule::floating, floats = TypeRule::floats;

// Domains.
inline Domain between(double low, double high) { return {low, high}; }
Domain positive();
Domain except(std::vector<double> poles);
Domain cornersAt(std::vector<double> points);
/// Steps at each integer: no derivative there.
Domain steps();

// Arguments.
inline ArgDef inplace() { return flag("inplace", false); }
/// The result's element type, to which the input is converted first.
inline ArgDef resultType() { return dtype("dtype").optional().castOf("input"); }
/// One dimension of the input.
inline ArgDef dim() { return integer("dim").ofDims("input").orNamed("axis"); }
/// "dim" and "keepdim" of reductions: one, several, or all dimensions.
ArgDefs reducedDims();
/// "none", "mean" or "sum", and `more`.
ArgDef reduction(std::vector<std::string> more = {});

/// `front` and the sizes of images of this rank: {"N?", "C", "H", "W"}.
ShapeFormula spatial(std::vector<std::string> front, int64_t rank);

/// "torch.NAME" and "Tensor.NAME".
std::vector<std::string> spellings(const std::string &name);

/// A function of single elements, with its twin in place.
struct Pointwise {
  const char *name, *doc;
  Expr (*function)(Expr);
  TypeRule types = numeric;
  Domain domain = {};
  std::vector<std::string> aliases = {};
};
void pointwise(Registry &r, const std::vector<Pointwise> &rows);

/// A function of elements of two tensors that broadcast.
struct Binary {
  const char *name, *doc;
  Expr (*function)(Expr, Expr);
  Scalars scalars = Scalars::rounded; // beside halves
};
/// "input" and "other".
ArgDefs twoOperands();
/// The start of such a function's definition, with arguments of its own.
Define binary(Registry &r, const char *name, const char *doc,
              ArgDefs arguments = {});

/// Integers that number something, classes or rows or steps, as i64: what is
/// compared with them or added need not fit their own type.
Expr asNumbers(Expr integers);

} // namespace nncc
#endif // NNCC_FRONTEND_MODULES_FRAGMENTS_H
