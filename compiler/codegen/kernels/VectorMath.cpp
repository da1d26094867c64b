//===- VectorMath.cpp - exp, log, tanh, erf on vectors --------------------===//
//
// f32 within 2 ULP on scalars and vectors alike, so that a tail computed
// lane by lane gives the same bits. Polynomials: exp, log, tanh from Cephes
// (S. L. Moshier), erf after N. Juffa. Other float types go through libm.
// tests/parity/test_vector_math.py measures the error over all ranges.
//
//===----------------------------------------------------------------------===//
#include "codegen/kernels/BufferEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace nncc {

static bool isF32(Value x) { return getElementTypeOrSelf(x.getType()).isF32(); }

/// Horner's scheme, highest coefficient first.
Value BufferEmitter::polynomial(Value x, ArrayRef<double> coefficients) {
  Type f32 = b.getF32Type();
  Value sum = splat(f32, coefficients.front());
  for (double c : coefficients.drop_front())
    sum = fma(sum, x, splat(f32, c));
  return sum;
}

/// 2^n for an integer element n in [-126, 127].
static Value powerOfTwo(BufferEmitter &e, Value n) {
  Type i32 = e.b.getI32Type();
  Value biased = e.add(n, e.splat(i32, 127));
  Value bits = arith::ShLIOp::create(e.b, e.loc, biased, e.splat(i32, 23));
  return arith::BitcastOp::create(e.b, e.loc, e.typeOf(e.b.getF32Type()), bits);
}

/// exp for x in [-104, 89]: x = n ln2 + r, exp(r) by polynomial, then 2^n in
/// two factors so that neither leaves the range.
Value BufferEmitter::expFinite(Value x) {
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  constexpr double magic = 12582912.0; // 1.5 * 2^23: adding it rounds
  Value shifted = fma(x, splat(f32, 1.44269504088896341), splat(f32, magic));
  Value n = sub(shifted, splat(f32, magic));
  Value r = fma(n, splat(f32, -0.693359375), x);
  r = fma(n, splat(f32, 2.12194440e-4), r);
  Value p = polynomial(r, {1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
                           4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1});
  Value y = add(fma(p, mul(r, r), r), splat(f32, 1));
  Value bits = arith::BitcastOp::create(b, loc, typeOf(i32), shifted);
  Value exponent = sub(bits, splat(i32, 0x4b400000));
  Value half = arith::ShRSIOp::create(b, loc, exponent, splat(i32, 1));
  y = mul(y, powerOfTwo(*this, half));
  return mul(y, powerOfTwo(*this, sub(exponent, half)));
}

Value BufferEmitter::exp(Value x) {
  if (!isF32(x))
    return math::ExpOp::create(b, loc, x);
  Type f32 = b.getF32Type();
  // The clamps keep NaN; both ends are past over- and underflow.
  Value clamped = min(max(x, splat(f32, -104)), splat(f32, 89));
  return expFinite(clamped);
}

Value BufferEmitter::log(Value x) {
  if (!isF32(x))
    return math::LogOp::create(b, loc, x);
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  // Subnormals are scaled into the normal range first.
  Value tiny = compare(Predicate::lt, x, splat(f32, 1.17549435e-38), false);
  Value scaled = select(tiny, mul(x, splat(f32, 8388608)), x);
  Value bits = arith::BitcastOp::create(b, loc, typeOf(i32), scaled);
  Value shift = arith::ShRUIOp::create(b, loc, bits, splat(i32, 23));
  Value exponent =
      sub(shift, select(tiny, splat(i32, 126 + 23), splat(i32, 126)));
  Value mantissaBits =
      bitOr(bitAnd(bits, splat(i32, 0x7fffff)), splat(i32, 0x3f000000));
  Value m = arith::BitcastOp::create(b, loc, typeOf(f32), mantissaBits);
  // m in [0.5, 1) becomes m - 1 in [sqrt(1/2) - 1, sqrt(2) - 1).
  Value small =
      compare(Predicate::lt, m, splat(f32, 0.707106781186547524), false);
  Value e = arith::SIToFPOp::create(b, loc, typeOf(f32), exponent);
  e = select(small, sub(e, splat(f32, 1)), e);
  Value t = sub(select(small, add(m, m), m), splat(f32, 1));
  Value t2 = mul(t, t);
  Value p = polynomial(t, {7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1,
                           -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
                           2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1});
  Value y = mul(mul(t, t2), p);
  y = fma(e, splat(f32, -2.12194440e-4), y);
  y = fma(t2, splat(f32, -0.5), y);
  Value result = fma(e, splat(f32, 0.693359375), add(t, y));
  double infinity = std::numeric_limits<double>::infinity();
  Value zero = splat(f32, 0), inf = splat(f32, infinity);
  result = select(compare(Predicate::eq, x, inf, false), inf, result);
  result = select(compare(Predicate::eq, x, zero, false), splat(f32, -infinity),
                  result);
  // Below zero, and NaN itself: not (x >= 0).
  Value valid = compare(Predicate::ge, x, zero, false);
  return select(valid, result,
                splat(f32, std::numeric_limits<double>::quiet_NaN()));
}

Value BufferEmitter::tanh(Value x) {
  if (!isF32(x))
    return math::TanhOp::create(b, loc, x);
  Type f32 = b.getF32Type();
  Value magnitude = abs(x), square = mul(x, x);
  Value p = polynomial(square,
                       {-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2,
                        1.33314422036e-1, -3.33332819422e-1});
  Value near = fma(mul(p, square), x, x);
  // tanh |x| = 1 - 2 / (exp(2|x|) + 1), which is 1 in f32 beyond 10.
  Value twice = add(magnitude, magnitude);
  Value grown = expFinite(min(twice, splat(f32, 20)));
  Value far = sub(splat(f32, 1), div(splat(f32, 2), add(grown, splat(f32, 1))));
  far = math::CopySignOp::create(b, loc, far, x);
  Value isNear = compare(Predicate::lt, magnitude, splat(f32, 0.625), false);
  return select(isNear, near, far);
}

Value BufferEmitter::sigmoid(Value x) {
  Type element = getElementTypeOrSelf(x.getType());
  Value one = splat(element, 1);
  return div(one, add(one, exp(neg(x))));
}

Value BufferEmitter::erf(Value x) {
  if (!isF32(x))
    return math::ErfOp::create(b, loc, x);
  Type f32 = b.getF32Type();
  Value magnitude = abs(x), square = mul(x, x);
  // |x| > 0.9277: 1 - exp(-q(|x|)); q(4) > 17, where erf is 1 in f32.
  Value t = min(magnitude, splat(f32, 4));
  Value q = polynomial(t, {-1.72853470e-5, 3.83197126e-4, -3.88396438e-3,
                           2.42546219e-2, -1.06777877e-1, -6.34846687e-1,
                           -1.28717512e-1});
  q = fma(q, t, neg(t));
  Value far = sub(splat(f32, 1), expFinite(q));
  far = math::CopySignOp::create(b, loc, far, x);
  Value p = polynomial(square, {-5.96761703e-4, 4.99119423e-3, -2.67681349e-2,
                                1.12819925e-1, -3.76125336e-1, 1.28379166e-1});
  Value near = fma(p, x, x);
  Value isFar =
      compare(Predicate::gt, magnitude, splat(f32, 0.927734375), false);
  return select(isFar, far, near);
}

Value BufferEmitter::sin(Value x) { return math::SinOp::create(b, loc, x); }
Value BufferEmitter::cos(Value x) { return math::CosOp::create(b, loc, x); }

/// By squaring, modulo 2^bits. Negative exponents: 1, -1 or 0, as integer
/// division gives.
static Value integerPower(BufferEmitter &e, Value x, Value y) {
  Type type = getElementTypeOrSelf(x.getType());
  Value zero = e.splat(type, 0), one = e.splat(type, 1);
  SmallVector<Value> last =
      e.loop(0, type.getIntOrFloatBitWidth() - 1, 1, {one, x, y},
             [&](const Coord &, ValueRange carried) -> SmallVector<Value> {
               Value result = carried[0], square = carried[1],
                     rest = carried[2];
               Value isOdd =
                   e.compare(Predicate::ne, e.bitAnd(rest, one), zero, false);
               return {e.select(isOdd, e.mul(result, square), result),
                       e.mul(square, square),
                       arith::ShRUIOp::create(e.b, e.loc, rest, one)};
             });
  Value isOne = e.compare(Predicate::eq, x, one, false);
  Value isMinusOne = e.compare(Predicate::eq, x, e.splat(type, -1), false);
  Value isOdd = e.compare(Predicate::ne, e.bitAnd(y, one), zero, false);
  Value reciprocal = e.select(isOdd, x, one);
  reciprocal = e.select(isMinusOne, reciprocal, e.select(isOne, one, zero));
  Value isNegative = e.compare(Predicate::lt, y, zero, false);
  return e.select(isNegative, reciprocal, last[0]);
}

Value BufferEmitter::pow(Value x, Value y) {
  if (isa<FloatType>(getElementTypeOrSelf(x.getType())))
    return math::PowFOp::create(b, loc, x, y);
  return integerPower(*this, x, y);
}

} // namespace nncc
