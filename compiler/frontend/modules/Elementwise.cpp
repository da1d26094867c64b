//===- Elementwise.cpp - torch's pointwise functions ----------------------===//
#include "dialect/Nncc.h"
#include "frontend/ModuleDef.h"

namespace nncc {

using K = ArgKind;

/// Both operands, checked to broadcast.
static bool operands(Call &c, Expr &x, Expr &y) {
  x = c.tensor("input");
  y = c.tensor("other");
  if (broadcastShape(x.shape(), y.shape()))
    return true;
  c.error("", "shapes " + shapeText(x.shape()) + " and " +
                  shapeText(y.shape()) + " do not broadcast");
  return false;
}

/// -x, x - y and the like have no meaning for bools.
static bool areBools(Call &c, Expr x, Expr y) {
  if (!x.element().isInteger(1) || !y.element().isInteger(1))
    return false;
  c.error("", "has no meaning for bool; convert it with Tensor.to");
  return true;
}

static Expr alpha(Call &c, Expr y) {
  return c.number("alpha") == 1 ? y : y * c.number("alpha");
}
static Result emitAdd(Call &c) {
  Expr x, y;
  return operands(c, x, y) ? x + alpha(c, y) : Result();
}
static Result emitSub(Call &c) {
  Expr x, y;
  return operands(c, x, y) && !areBools(c, x, y) ? x - alpha(c, y) : Result();
}
static Result emitMul(Call &c) {
  Expr x, y;
  return operands(c, x, y) ? x * y : Result();
}
/// True division gives floats, also of integers.
static Result emitDiv(Call &c) {
  Expr x, y;
  if (!operands(c, x, y))
    return {};
  if (!x.isFloat() && !y.isFloat()) {
    mlir::Type f32 = x.context().b.getF32Type();
    x = convert(x, f32);
    y = convert(y, f32);
  }
  return x / y;
}
static Result emitPow(Call &c) {
  Expr x, y;
  if (!operands(c, x, y) || areBools(c, x, y))
    return {};
  const Json *exponent = c.literal("other");
  bool isInteger = !x.isFloat() && !y.isFloat();
  if (exponent && isInteger && exponent->number < 0)
    return c.error("other", "integers have no negative powers, got " +
                                exponent->describe());
  if (!exponent || isInteger)
    return pow(x, y);
  return pow(convert(x, promotedType(x, y)), exponent->number);
}
static Result emitMaximum(Call &c) {
  Expr x, y;
  return operands(c, x, y) ? max(x, y) : Result();
}
static Result emitMinimum(Call &c) {
  Expr x, y;
  return operands(c, x, y) ? min(x, y) : Result();
}

template <Predicate predicate> static Result emitCompare(Call &c) {
  Expr x, y;
  return operands(c, x, y) ? compare(predicate, x, y) : Result();
}

template <Expr (*function)(Expr)> static Result emitUnary(Call &c) {
  Expr x = c.tensor("input");
  if (!x.isFloat())
    x = convert(x, x.context().b.getF32Type());
  return function(x);
}
/// For functions that integers have too.
template <Expr (*function)(Expr)> static Result emitSame(Call &c) {
  Expr x = c.tensor("input");
  return areBools(c, x, x) ? Result() : function(x);
}

static Result emitClamp(Call &c) {
  Expr x = c.tensor("input");
  mlir::Builder b(x.context().b);
  bool isWhole = true;
  for (const char *bound : {"min", "max"}) {
    const Json *literal = c.literal(bound); // none for "inf"
    isWhole &= !c.has(bound) || (literal && literal->isInteger());
  }
  if (!x.isFloat() && !isWhole)
    x = convert(x, b.getF32Type());
  else if (x.element().isInteger(1))
    x = convert(x, b.getI64Type());
  if (c.has("min"))
    x = max(x, c.number("min"), Ties::lhs);
  if (c.has("max"))
    x = min(x, c.number("max"), Ties::lhs);
  return x;
}

static Result emitWhere(Call &c) {
  Expr condition = c.tensor("condition"), x, y;
  if (!operands(c, x, y))
    return {};
  auto shape =
      broadcastShape(*broadcastShape(x.shape(), y.shape()), condition.shape());
  if (!condition.element().isInteger(1) || !shape)
    return c.error("condition", "condition must be bool and broadcast, got " +
                                    dtypeName(condition.element()) + " " +
                                    shapeText(condition.shape()));
  return select(broadcastTo(condition, *shape), broadcastTo(x, *shape), y);
}

static Result emitTo(Call &c) {
  Expr x = c.tensor("input");
  return convert(x, parseDType(c.word("dtype"), x.context().b.getContext()));
}
static Result emitFloat(Call &c) {
  Expr x = c.tensor("input");
  return convert(x, x.context().b.getF32Type());
}
static Result emitZerosLike(Call &c) {
  Expr x = c.tensor("input");
  return full(x.context(), x.element(), x.shape(), 0);
}
static Result emitOnesLike(Call &c) {
  Expr x = c.tensor("input");
  return full(x.context(), x.element(), x.shape(), 1);
}

/// "torch.NAME", "Tensor.NAME" and its twin "Tensor.NAME_".
static std::vector<std::string> spellings(const std::string &name) {
  return {"torch." + name, "Tensor." + name, "Tensor." + name + "_"};
}

void registerElementwise(Registry &r) {
  ArgDef input("input", K::tensor), other("other", K::tensor);
  auto alpha = ArgDef("alpha", K::number).optional("1");
  auto function = [&](std::vector<std::string> names, const char *doc,
                      std::vector<ArgDef> args, Result (*emit)(Call &)) {
    r.add({std::move(names), doc, {}, std::move(args), nullptr, nullptr, emit});
  };
  function(spellings("add"), "input + alpha other", {input, other, alpha},
           emitAdd);
  function(spellings("sub"), "input - alpha other", {input, other, alpha},
           emitSub);
  function(spellings("mul"), "input * other", {input, other}, emitMul);
  function(spellings("div"), "input / other", {input, other}, emitDiv);
  function(spellings("pow"), "input to the power of other", {input, other},
           emitPow);
  function({"torch.maximum", "Tensor.maximum"}, "the larger", {input, other},
           emitMaximum);
  function({"torch.minimum", "Tensor.minimum"}, "the smaller", {input, other},
           emitMinimum);
  function(spellings("eq"), "input == other", {input, other},
           emitCompare<Predicate::eq>);
  function(spellings("ne"), "input != other", {input, other},
           emitCompare<Predicate::ne>);
  function(spellings("lt"), "input < other", {input, other},
           emitCompare<Predicate::lt>);
  function(spellings("le"), "input <= other", {input, other},
           emitCompare<Predicate::le>);
  function(spellings("gt"), "input > other", {input, other},
           emitCompare<Predicate::gt>);
  function(spellings("ge"), "input >= other", {input, other},
           emitCompare<Predicate::ge>);
  function(spellings("exp"), "e to the power of x", {input}, emitUnary<exp>);
  function(spellings("log"), "natural logarithm", {input}, emitUnary<log>);
  function(spellings("sqrt"), "square root", {input}, emitUnary<sqrt>);
  function(spellings("rsqrt"), "1 / sqrt(x)", {input}, emitUnary<rsqrt>);
  function(spellings("erf"), "error function", {input}, emitUnary<erf>);
  function(spellings("sin"), "sine", {input}, emitUnary<sin>);
  function(spellings("cos"), "cosine", {input}, emitUnary<cos>);
  function(spellings("floor"), "largest integer below", {input},
           emitSame<floor>);
  function(spellings("ceil"), "smallest integer above", {input},
           emitSame<ceil>);
  function(spellings("neg"), "-x", {input}, emitSame<neg>);
  function(spellings("abs"), "magnitude", {input}, emitSame<abs>);
  function(spellings("clamp"), "into [min, max]",
           {input, ArgDef("min", K::number).optional(),
            ArgDef("max", K::number).optional()},
           emitClamp);
  function({"torch.where"}, "condition ? input : other",
           {ArgDef("condition", K::tensor), input, other}, emitWhere);
  function({"Tensor.to"}, "another element type",
           {input, ArgDef("dtype", K::dtype)}, emitTo);
  function({"Tensor.float"}, "as f32", {input}, emitFloat);
  function({"torch.zeros_like"}, "zeros of the same shape", {input},
           emitZerosLike);
  function({"torch.ones_like"}, "ones of the same shape", {input},
           emitOnesLike);
}

} // namespace nncc
