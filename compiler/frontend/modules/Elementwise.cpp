//===- Elementwise.cpp - torch's pointwise functions ----------------------===//
#include "frontend/modules/Fragments.h"

namespace nncc {

/// alpha y; null if the sum's type cannot hold alpha.
static Expr scaled(Call &c) {
  Expr x = c.tensor("input"), y = c.tensor("other");
  Number alpha = c.exact("alpha");
  mlir::Type type = promotedType(x, y);
  if (!mlir::isa<mlir::FloatType>(type) && !alpha.isInteger()) {
    c.error("alpha",
            "alpha must be an integer beside integers, got " + alpha.text());
    return Expr();
  }
  if (!c.fits("alpha", c.half ? c.half : type))
    return Expr();
  return alpha.toDouble() == 1 ? y : y * c.rounded("alpha");
}
static Result emitAdd(Call &c) {
  Expr y = scaled(c);
  return y ? c.tensor("input") + y : Result();
}
static Result emitSub(Call &c) {
  for (const char *name : {"input", "other"})
    if (!c.literal(name) && c.tensor(name).element().isInteger(1))
      return c.error(name,
                     "has no meaning for bool; convert it with Tensor.to");
  Expr y = scaled(c);
  return y ? c.tensor("input") - y : Result();
}

/// True division gives floats, also of integers; a number is not one of their
/// type first.
static Result emitDiv(Call &c) {
  Expr x = c.tensor("input"), y = c.tensor("other");
  if (x.isFloat() || y.isFloat())
    return x / y;
  mlir::Type f32 = x.context().b.getF32Type();
  auto real = [&](const char *name) {
    std::optional<Number> number = c.literal(name);
    return number ? scalar(x.context(), f32, *number)
                  : convert(c.tensor(name), f32);
  };
  return real("input") / real("other");
}

static Result emitPow(Call &c) {
  Expr x = c.tensor("input"), y = c.tensor("other");
  std::optional<Number> exponent = c.literal("other");
  bool isInteger = !x.isFloat() && !y.isFloat();
  if (exponent && isInteger && exponent->toInteger() < 0)
    return c.error("other", "integers have no negative powers, got " +
                                llvm::Twine(exponent->toInteger()));
  if (isInteger &&
      !(c.fits("input", x.element()) && c.fits("other", y.element())))
    return Result();
  if (!exponent || isInteger)
    return pow(x, y);
  if (c.half && !c.fits("other", c.half))
    return Result();
  return pow(convert(x, promotedType(x, y)), c.rounded("other").toDouble());
}

static Result emitClamp(Call &c) {
  Expr x = c.tensor("input");
  if (!c.has("min") && !c.has("max"))
    return c.error("", "needs min or max, got neither");
  mlir::Builder b(x.context().b);
  bool isWhole = true;
  for (const char *bound : {"min", "max"})
    isWhole &= !c.has(bound) || c.exact(bound).isInteger();
  if (!x.isFloat() && !isWhole)
    x = convert(x, b.getF32Type());
  else if (x.element().isInteger(1))
    x = convert(x, b.getI64Type());
  for (const char *bound : {"min", "max"})
    if (c.has(bound) && !c.fits(bound, x.element()))
      return Result();
  if (c.has("min"))
    x = max(x, c.exact("min"), Ties::lhs);
  if (c.has("max"))
    x = min(x, c.exact("max"), Ties::lhs);
  return x;
}

static Result emitWhere(Call &c) {
  Expr condition = c.tensor("condition"), x = c.tensor("input"),
       y = c.tensor("other");
  mlir::Type type = promotedType(x, y);
  for (const char *name : {"input", "other"})
    if (!isHalf(type) && !c.fits(name, type))
      return Result();
  auto shape =
      broadcastShape(*broadcastShape(x.shape(), y.shape()), condition.shape());
  return select(broadcastTo(condition, *shape), broadcastTo(x, *shape), y);
}

static Result emitTo(Call &c) {
  Expr x = c.tensor("input");
  return convert(x, c.dtype("dtype", ""));
}

/// "eq" and so on.
static void comparisons(Registry &r) {
  struct Row {
    const char *name, *doc;
    Predicate predicate;
    std::vector<std::string> aliases;
  };
  const Row rows[] = {
      {"eq", "input == other", Predicate::eq, {}},
      {"ne", "input != other", Predicate::ne, {"not_equal"}},
      {"lt", "input < other", Predicate::lt, {"less"}},
      {"le", "input <= other", Predicate::le, {"less_equal"}},
      {"gt", "input > other", Predicate::gt, {"greater"}},
      {"ge", "input >= other", Predicate::ge, {"greater_equal"}}};
  for (const Row &row : rows)
    binary(r, row.name, row.doc)
        .aliases(row.aliases)
        .twins()
        .emit([predicate = row.predicate](Call &c) -> Result {
          return compare(predicate, c.tensor("input"), c.tensor("other"));
        });
}

/// An integer type in which the number that is written for `other` is 0.
static bool dividesByZero(Call &c) {
  std::optional<Number> number = c.literal("other");
  mlir::Type type = promotedType(c.tensor("input"), c.tensor("other"));
  return number && !mlir::isa<mlir::FloatType>(type) &&
         wrapTo(type, number->toInteger()) == 0;
}

/// Integers that are rounded down, and what is left; no bools.
static void floorDivisions(Registry &r) {
  const Binary rows[] = {
      {"floor_divide", "floor(input / other)", floorDiv, Scalars::exact},
      {"remainder", "input - floor(input / other) other", remainder}};
  for (const Binary &row : rows)
    binary(r, row.name, row.doc)
        .twins()
        .types(numeric)
        .inF32(row.scalars)
        .emit([function = row.function](Call &c) -> Result {
          if (dividesByZero(c))
            return c.error("other", "integers cannot be divided by 0");
          return function(c.tensor("input"), c.tensor("other"));
        });
}

/// A function of bits: no floats.
static bool areBits(Call &c, Expr x) {
  if (x.isFloat())
    c.error("", "needs integers or bools, got " + dtypeName(x.element()));
  return !x.isFloat();
}

static void bits(Registry &r) {
  const Binary logic[] = {{"bitwise_and", "input & other", bitAnd},
                          {"bitwise_or", "input | other", bitOr},
                          {"bitwise_xor", "input ^ other", bitXor}};
  const Binary shifts[] = {
      {"bitwise_left_shift", "input << other", shiftLeft},
      {"bitwise_right_shift", "input >> other", shiftRight}};
  auto add = [&](llvm::ArrayRef<Binary> rows, TypeRule types) {
    for (const Binary &row : rows)
      binary(r, row.name, row.doc)
          .twins()
          .types(types)
          .emit([function = row.function](Call &c) -> Result {
            Expr x = c.tensor("input"), y = c.tensor("other");
            return areBits(c, x) && areBits(c, y) ? function(x, y) : Result();
          });
  };
  add(logic, TypeRule::any);
  add(shifts, numeric);
  define(r, "all bits the other way round")
      .functions(spellings("bitwise_not"))
      .twins()
      .emit([](Call &c) -> Result {
        Expr x = c.tensor("input");
        return areBits(c, x) ? logicalNot(x) : Result();
      });
}

/// A tensor like the input with this number everywhere.
static Emitter filled(int64_t value) {
  return [value](Call &c) -> Result {
    Expr x = c.tensor("input");
    return full(x.context(), x.element(), x.shape(), value);
  };
}

static void arithmetic(Registry &r) {
  ArgDef alpha = number("alpha", 1);
  binary(r, "add", "input + alpha other", {alpha})
      .twins()
      .inF32()
      .emit(emitAdd);
  binary(r, "sub", "input - alpha other", {alpha})
      .aliases({"subtract"})
      .twins()
      .types(numeric)
      .inF32()
      .emit(emitSub);
  binary(r, "pow", "input to the power of other")
      .twins()
      .types(numeric)
      .inF32()
      .emit(emitPow);
  binary(r, "div", "input / other")
      .aliases({"divide", "true_divide"})
      .twins()
      .inF32(Scalars::exact)
      .emit(emitDiv);
  binary(r, "mul", "input * other")
      .aliases({"multiply"})
      .twins()
      .inF32(Scalars::exact)
      .emit(operator*);
  binary(r, "maximum", "the larger").inF32().emit(max);
  binary(r, "minimum", "the smaller").inF32().emit(min);
}

static void functions(Registry &r) {
  pointwise(
      r,
      {{"exp", "e to the power of x", exp, floats},
       {"log", "natural logarithm", log, floats, positive()},
       {"sqrt", "square root", sqrt, floats, positive()},
       {"rsqrt", "1 / sqrt(x)", rsqrt, floats, positive()},
       {"exp2", "2 to the power of x", exp2, floats},
       {"expm1", "exp(x) - 1", expm1, floats},
       {"log2", "logarithm to base 2", log2, floats, positive()},
       {"log10", "logarithm to base 10", log10, floats, positive()},
       {"log1p", "log(1 + x)", log1p, floats, positive()},
       {"erf", "error function", erf, floats},
       {"erfc", "1 - erf(x)", erfc, floats},
       {"tan", "tangent", tan, floats, between(-1, 1)},
       {"asin", "inverse sine", asin, floats, between(-1, 1), {"arcsin"}},
       {"acos", "inverse cosine", acos, floats, between(-1, 1), {"arccos"}},
       {"atan", "inverse tangent", atan, floats, {}, {"arctan"}},
       {"sinh", "hyperbolic sine", sinh, floats},
       {"cosh", "hyperbolic cosine", cosh, floats},
       {"asinh", "inverse of sinh", asinh, floats, {}, {"arcsinh"}},
       {"acosh", "inverse of cosh", acosh, floats, between(1, 9), {"arccosh"}},
       {"atanh", "inverse of tanh", atanh, floats, between(-1, 1), {"arctanh"}},
       {"sin", "sine", sin, floats},
       {"cos", "cosine", cos, floats},
       {"floor", "largest integer below", floor, numeric, steps()},
       {"ceil", "smallest integer above", ceil, numeric, steps()},
       {"neg", "-x", neg, numeric, {}, {"negative"}},
       {"abs", "magnitude", abs, numeric, cornersAt({0}), {"absolute"}}});
}

void registerElementwise(Registry &r) {
  arithmetic(r);
  comparisons(r);
  floorDivisions(r);
  bits(r);
  functions(r);
  define(r, "into [min, max]")
      .functions(spellings("clamp"),
                 {number("min").optional(), number("max").optional()})
      .aliases({"clip"})
      .twins()
      .emit(emitClamp);
  define(r, "condition ? input : other")
      .operands({tensor("condition").of(Elements::bools), tensor("input"),
                 tensor("other")})
      .broadcast({"condition", "input", "other"})
      .function("torch.where")
      .emit(emitWhere);
  define(r, "another element type")
      .function("Tensor.to", {dtype("dtype")})
      .emit(emitTo);
  define(r, "as f32").function("Tensor.float").emit([](Expr x) {
    return convert(x, x.context().b.getF32Type());
  });
  define(r, "zeros of the same shape")
      .function("torch.zeros_like", {resultType()})
      .emit(filled(0));
  define(r, "ones of the same shape")
      .function("torch.ones_like", {resultType()})
      .emit(filled(1));
}

} // namespace nncc
