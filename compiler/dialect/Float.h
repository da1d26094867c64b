//===- Float.h - floating elements with operators ---------------*- C++ -*-===//
//
// What VectorMath.cpp and the files of WideMath.h write their formulas with:
// f32 or f64 elements, and sums of two f64 for what one has too few bits for
// (T. J. Dekker, "A floating-point technique for extending the available
// precision", 1971). LLVM reorders nothing of it: no fast-math flag is set.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_FLOAT_H
#define NNCC_DIALECT_FLOAT_H

#include "dialect/Nncc.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <limits>

namespace nncc {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double notANumber = std::numeric_limits<double>::quiet_NaN();

/// A floating element with operators.
struct Float {
  ElementEmitter &e;
  mlir::Value value;

  Float(ElementEmitter &e, mlir::Value value) : e(e), value(value) {}
  Float(const Float &) = default;
  Float &operator=(const Float &other) {
    value = other.value;
    return *this;
  }

  mlir::Type type() const { return mlir::getElementTypeOrSelf(value); }
  /// A number of the same type.
  Float number(double x) const { return {e, e.splat(type(), x)}; }
  Float operator-() const { return {e, e.neg(value)}; }
  friend Float operator+(Float x, Float y) {
    return {x.e, x.e.add(x.value, y.value)};
  }
  friend Float operator-(Float x, Float y) {
    return {x.e, x.e.sub(x.value, y.value)};
  }
  friend Float operator*(Float x, Float y) {
    return {x.e, x.e.mul(x.value, y.value)};
  }
  friend Float operator/(Float x, Float y) {
    return {x.e, x.e.div(x.value, y.value)};
  }
  friend Float operator+(Float x, double y) { return x + x.number(y); }
  friend Float operator-(Float x, double y) { return x - x.number(y); }
  friend Float operator*(Float x, double y) { return x * x.number(y); }
  friend Float operator-(double x, Float y) { return y.number(x) - y; }
  friend Float operator/(double x, Float y) { return y.number(x) / y; }

  /// this * y + z, fused where the target can.
  Float fma(Float y, Float z) const {
    return {e, e.fma(value, y.value, z.value)};
  }
  Float fma(double y, Float z) const { return fma(number(y), z); }
  Float fma(Float y, double z) const { return fma(y, number(z)); }
  Float fma(double y, double z) const { return fma(number(y), number(z)); }
  Float min(double y) const { return {e, e.min(value, number(y).value)}; }
  Float max(double y) const { return {e, e.max(value, number(y).value)}; }
  Float abs() const { return {e, e.abs(value)}; }
  Float sqrt() const { return {e, e.sqrt(value)}; }
  /// With the sign of another.
  Float copySign(Float sign) const {
    return {e, mlir::math::CopySignOp::create(e.b, e.loc, value, sign.value)};
  }
  mlir::Value is(Predicate predicate, Float y) const {
    return e.compare(predicate, value, y.value, false);
  }
  mlir::Value is(Predicate predicate, double y) const {
    return is(predicate, number(y));
  }
  /// This where the condition holds, else the other.
  Float where(mlir::Value condition, Float otherwise) const {
    return {e, e.select(condition, value, otherwise.value)};
  }
  Float where(mlir::Value condition, double otherwise) const {
    return where(condition, number(otherwise));
  }
  /// Horner's scheme, highest coefficient first.
  Float polynomial(llvm::ArrayRef<double> coefficients) const {
    Float sum = number(coefficients.front());
    for (double c : coefficients.drop_front())
      sum = sum.fma(*this, c);
    return sum;
  }

  /// Integers as wide as the number.
  mlir::Value bits() const {
    mlir::Type integer = e.b.getIntegerType(type().getIntOrFloatBitWidth());
    return mlir::arith::BitcastOp::create(e.b, e.loc, e.typeOf(integer), value);
  }
  /// The first 26 bits of an f64: products of two such are exact.
  Float top() const {
    mlir::Value mask = e.splat(e.b.getI64Type(), ~0x7ffffffll);
    return ofBits(e, e.bitAnd(bits(), mask));
  }
  static Float ofBits(ElementEmitter &e, mlir::Value bits) {
    bool isWide = mlir::getElementTypeOrSelf(bits).isInteger(64);
    mlir::Type type = isWide ? mlir::Type(e.b.getF64Type()) : e.b.getF32Type();
    return {e,
            mlir::arith::BitcastOp::create(e.b, e.loc, e.typeOf(type), bits)};
  }
};

/// An unevaluated sum: `low` is what `high` has too few bits for.
struct Pair {
  Float high, low;

  /// The sum of two numbers, exactly, where |x| >= |y| or x = 0.
  static Pair ofOrdered(Float x, Float y) {
    Float high = x + y;
    return {high, y - (high - x)};
  }
  /// The sum of any two numbers, exactly (D. E. Knuth).
  static Pair ofSum(Float x, Float y) {
    Float high = x + y, other = high - x;
    return {high, (x - (high - other)) + (y - other)};
  }
  /// The product of two f64, exactly but for underflow. `low` is NaN where a
  /// factor or the product is infinite.
  static Pair ofProduct(Float x, Float y) {
    Float high = x * y;
    if (x.e.fuses())
      return {high, x.fma(y, -high)};
    // Halves of 26 and 27 bits have exact products.
    Float top = x.top(), rest = x - top;
    bool isSquare = x.value == y.value;
    Float otherTop = isSquare ? top : y.top();
    Float otherRest = isSquare ? rest : y - otherTop;
    Float low = top * otherTop - high + top * otherRest + rest * otherTop;
    return {high, low + rest * otherRest};
  }
  /// x / y.
  static Pair ofQuotient(Pair x, Pair y) {
    Float quotient = x.high / y.high;
    Pair back = ofProduct(quotient, y.high);
    Float rest = (x.high - back.high) - back.low + x.low - quotient * y.low;
    return ofOrdered(quotient, rest / y.high);
  }
  Pair operator*(Pair y) const {
    Pair product = ofProduct(high, y.high);
    return {product.high, high.fma(y.low, low.fma(y.high, product.low))};
  }
  /// The same with |low| at most half a unit in the last place of `high`.
  Pair tidy() const { return ofOrdered(high, low); }
  /// The same with `high` of 26 bits.
  Pair short26() const {
    Float top = (high + low).top();
    return {top, (high - top) + low};
  }
  /// By the number high + low, both parts of `high` having 26 bits.
  Pair times(double top, double rest) const {
    return {high * top, high.fma(rest, low * (top + rest))};
  }
  Float rounded() const { return high + low; }
};

} // namespace nncc
#endif // NNCC_DIALECT_FLOAT_H
