//===- VectorMath.cpp - special functions on elements ---------------------===//
//
// Polynomials: exp, log, tanh, atan from Cephes (S. L. Moshier), erf and erfc
// after N. Juffa. tests/parity/test_vector_math.py measures the errors over all
// of f32 against the bounds in ops/Unary.td.
//
//===----------------------------------------------------------------------===//
#include "dialect/VectorMath.h"
#include "dialect/WideMath.h"

using namespace mlir;

namespace nncc::vectorMath {

static bool isF32(Value x) { return getElementTypeOrSelf(x.getType()).isF32(); }

using OfFloat = Float(Float);

/// An f64 function; `ofF32` where x is f32, rounded once.
static Value wide(ElementEmitter &e, Value x,
                  llvm::function_ref<OfFloat> function,
                  llvm::function_ref<OfFloat> ofF32) {
  Type f32 = e.b.getF32Type(), f64 = e.b.getF64Type();
  if (!isF32(x))
    return function(Float(e, x)).value;
  Float y = ofF32(Float(e, e.convert(x, f32, f64)));
  return e.convert(y.value, f64, f32);
}

namespace {

/// An i32 in all lanes.
Value integer(ElementEmitter &e, int64_t value) {
  return e.splat(e.b.getI32Type(), value);
}

/// 2^n for an integer element n in [-126, 127].
Float powerOfTwo(ElementEmitter &e, Value n) {
  Value biased = e.add(n, integer(e, 127));
  Value bits = arith::ShLIOp::create(e.b, e.loc, biased, integer(e, 23));
  return Float::ofBits(e, bits);
}

/// exp(x) = 2^n (1 + p).
struct Reduced {
  Value n;
  Float p;
};

/// x = n ln2 + r and p = exp(r) - 1 by polynomial, for |x| < 2^21.
Reduced reduceExp(Float x) {
  constexpr double magic = 12582912.0; // 1.5 * 2^23: adding it rounds
  Float shifted = x.fma(1.44269504088896341, magic);
  Float n = shifted - magic;
  Float r = n.fma(-0.693359375, x);
  r = n.fma(2.12194440e-4, r);
  Float p = r.polynomial({1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
                          4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1});
  return {x.e.sub(shifted.bits(), integer(x.e, 0x4b400000)), p.fma(r * r, r)};
}

/// exp for x in [-104, 89]: 2^n in two factors, so that neither leaves the
/// range.
Float expFinite(Float x) {
  ElementEmitter &e = x.e;
  auto [n, p] = reduceExp(x);
  Value half = arith::ShRSIOp::create(e.b, e.loc, n, integer(e, 1));
  return (p + 1) * powerOfTwo(e, half) * powerOfTwo(e, e.sub(n, half));
}

Float logF32(Float x) {
  ElementEmitter &e = x.e;
  // Subnormals are scaled into the normal range first.
  Value tiny = x.is(Predicate::lt, 1.17549435e-38);
  Value bits = (x * 8388608).where(tiny, x).bits();
  Value shift = arith::ShRUIOp::create(e.b, e.loc, bits, integer(e, 23));
  Value exponent =
      e.sub(shift, e.select(tiny, integer(e, 126 + 23), integer(e, 126)));
  Float m = Float::ofBits(
      e, e.bitOr(e.bitAnd(bits, integer(e, 0x7fffff)), integer(e, 0x3f000000)));
  // m in [0.5, 1) becomes m - 1 in [sqrt(1/2) - 1, sqrt(2) - 1).
  Value small = m.is(Predicate::lt, 0.707106781186547524);
  Float n(e, arith::SIToFPOp::create(e.b, e.loc, e.typeOf(e.b.getF32Type()),
                                     exponent));
  n = (n - 1).where(small, n);
  Float t = (m + m).where(small, m) - 1;
  Float t2 = t * t;
  Float p = t.polynomial({7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1,
                          -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
                          2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1});
  Float y = t * t2 * p;
  y = n.fma(-2.12194440e-4, y);
  y = t2.fma(-0.5, y);
  Float result = n.fma(0.693359375, t + y);
  Float limit = x.number(infinity);
  result = limit.where(x.is(Predicate::eq, limit), result);
  result = (-limit).where(x.is(Predicate::eq, 0), result);
  // Below zero, and NaN itself: not (x >= 0).
  return result.where(x.is(Predicate::ge, 0), notANumber);
}

Float log(Float x) { return isF32(x.value) ? logF32(x) : wideMath::log(x); }

/// log(u) for u = x + 1, and what rounding took from u. (To LLVM log1p is
/// log(1 + x).)
Float log1p(Float x) {
  Float u = x + 1, rest = (x - (u - 1)) / u;
  // At -1 and infinity the rest is NaN, and log(u) right.
  Float y = log(u) + rest.where(rest.is(Predicate::eq, rest), 0);
  return x.where(x.is(Predicate::eq, 0), y); // -0 too
}

/// 2^n p + (2^n - 1), of half that, since 2^128 is none.
Float expm1F32(Float x) {
  auto [n, p] = reduceExp(x.max(-30).min(89));
  Float half = powerOfTwo(x.e, x.e.sub(n, integer(x.e, 1)));
  Float y = half.fma(p, half - 0.5);
  return x.where(x.abs().is(Predicate::lt, 0x1p-25), y + y);
}

Float tanh(Float x) {
  Float magnitude = x.abs(), square = x * x;
  Float p =
      square.polynomial({-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2,
                         1.33314422036e-1, -3.33332819422e-1});
  Float near = (p * square).fma(x, x);
  // tanh |x| = 1 - 2 / (exp(2|x|) + 1), which is 1 in f32 beyond 10.
  Float far = 1 - 2 / (expFinite((magnitude + magnitude).min(20)) + 1);
  return near.where(magnitude.is(Predicate::lt, 0.625), far).copySign(x);
}

/// atan |x| = pi/2 + atan(-1/|x|) beyond tan(3 pi/8), pi/4 +
/// atan((|x| - 1)/(|x| + 1)) beyond tan(pi/8).
Float atan(Float x) {
  Float magnitude = x.abs();
  Value far = magnitude.is(Predicate::gt, 2.414213562373095);
  Value middle = magnitude.is(Predicate::gt, 0.4142135623730950);
  Float above = x.number(-1).where(far, magnitude - 1);
  Float below = magnitude.where(far, magnitude + 1);
  Float t = (above / below).where(middle, magnitude);
  Float start = x.number(M_PI_2).where(far, M_PI_4).where(middle, 0);
  Float square = t * t;
  Float p = square.polynomial({8.05374449538e-2, -1.38776856032e-1,
                               1.99777106478e-1, -3.33329491539e-1});
  return (start + (p * square).fma(t, t)).copySign(x);
}

Float erf(Float x) {
  Float magnitude = x.abs(), square = x * x;
  // |x| > 0.9277: 1 - exp(-q(|x|)); q(4) > 17, where erf is 1 in f32.
  Float t = magnitude.min(4);
  Float q = t.polynomial({-1.72853470e-5, 3.83197126e-4, -3.88396438e-3,
                          2.42546219e-2, -1.06777877e-1, -6.34846687e-1,
                          -1.28717512e-1});
  Float far = (1 - expFinite(q.fma(t, -t))).copySign(x);
  Float p = square.polynomial({-5.96761703e-4, 4.99119423e-3, -2.67681349e-2,
                               1.12819925e-1, -3.76125336e-1, 1.28379166e-1});
  Float near = p.fma(x, x);
  return far.where(magnitude.is(Predicate::gt, 0.927734375), near);
}

/// (1 + 2a) exp(a^2) erfc(a) for a = |x| by a polynomial of q = (a - 2) /
/// (a + 2) (Shepherd and Laframboise, 1981); exp(-a^2) by a = z + rest, where
/// z^2 is exact.
Float erfc(Float x) {
  ElementEmitter &e = x.e;
  Float a = x.abs().min(10.5);
  Float sum = a + 2, reciprocal = 1 / sum, q = (a - 2) * reciprocal;
  Float rest = (-a).fma(q, (q + 1).fma(-2, a));
  q = rest.fma(reciprocal, q);
  Float p = q.polynomial({-4.01020574e-4, -1.23073824e-3, 1.31355994e-3,
                          8.63243826e-3, -8.05991236e-3, -5.42047396e-2,
                          1.64055347e-1, -1.66031361e-1, -9.27639678e-2,
                          2.76978403e-1});
  Float scale = 1 / a.fma(2, 1);
  Float y = p.fma(scale, scale);
  Float off = y.fma(-a, 0.5).fma(2, p - y);
  y = off.fma(scale, y);
  Float z = Float::ofBits(e, e.bitAnd(a.bits(), integer(e, ~0xfff)));
  y = y * expFinite((z - a) * (z + a)) * expFinite(-(z * z));
  return (2 - y).where(x.is(Predicate::lt, 0), y);
}

} // namespace

Value exp(ElementEmitter &e, Value x) {
  if (!isF32(x))
    return wideMath::exp({e, x}).value;
  // The clamps keep NaN; both ends are past over- and underflow.
  return expFinite(Float(e, x).max(-104).min(89)).value;
}
Value expm1(ElementEmitter &e, Value x) {
  return isF32(x) ? expm1F32({e, x}).value : wideMath::expm1({e, x}).value;
}
Value log(ElementEmitter &e, Value x) { return log(Float(e, x)).value; }
Value log1p(ElementEmitter &e, Value x) { return log1p(Float(e, x)).value; }
Value tanh(ElementEmitter &e, Value x) {
  return isF32(x) ? tanh(Float(e, x)).value : wideMath::tanh({e, x}).value;
}
Value atan(ElementEmitter &e, Value x) {
  return isF32(x) ? atan(Float(e, x)).value : wideMath::atan({e, x}).value;
}
Value erf(ElementEmitter &e, Value x) {
  return isF32(x) ? erf(Float(e, x)).value : wideMath::erf({e, x}).value;
}
Value erfc(ElementEmitter &e, Value x) {
  return isF32(x) ? erfc(Float(e, x)).value : wideMath::erfc({e, x}).value;
}
Value sigmoid(ElementEmitter &e, Value x) {
  Value one = e.splat(getElementTypeOrSelf(x.getType()), 1);
  return e.div(one, e.add(one, exp(e, e.neg(x))));
}
Value exp2(ElementEmitter &e, Value x) {
  return wide(e, x, wideMath::exp2, shortMath::exp2);
}
Value log2(ElementEmitter &e, Value x) {
  return wide(e, x, wideMath::log2, shortMath::log2);
}
Value log10(ElementEmitter &e, Value x) {
  return wide(e, x, wideMath::log10, shortMath::log10);
}
Value asinh(ElementEmitter &e, Value x) {
  return wide(e, x, wideMath::asinh, shortMath::asinh);
}
Value acosh(ElementEmitter &e, Value x) {
  return wide(e, x, wideMath::acosh, shortMath::acosh);
}
Value atanh(ElementEmitter &e, Value x) {
  return wide(e, x, wideMath::atanh, shortMath::atanh);
}
Value asin(ElementEmitter &e, Value x) {
  return wide(e, x, wideMath::asin, wideMath::asin);
}
Value acos(ElementEmitter &e, Value x) {
  return wide(e, x, wideMath::acos, wideMath::acos);
}
Value sinh(ElementEmitter &e, Value x) {
  return wide(e, x, wideMath::sinh, wideMath::sinh);
}
Value cosh(ElementEmitter &e, Value x) {
  return wide(e, x, wideMath::cosh, wideMath::cosh);
}
Value sin(ElementEmitter &e, Value x) {
  auto function = [&](Float y) { return wideMath::sin(y, isF32(x)); };
  return wide(e, x, function, function);
}
Value cos(ElementEmitter &e, Value x) {
  auto function = [&](Float y) { return wideMath::cos(y, isF32(x)); };
  return wide(e, x, function, function);
}
Value tan(ElementEmitter &e, Value x) {
  auto function = [&](Float y) { return wideMath::tan(y, isF32(x)); };
  return wide(e, x, function, function);
}
Value pow(ElementEmitter &e, Value x, Value y) {
  if (!isF32(x))
    return wideMath::pow({e, x}, {e, y}).value;
  Type f32 = e.b.getF32Type(), f64 = e.b.getF64Type();
  Float base(e, e.convert(x, f32, f64)), exponent(e, e.convert(y, f32, f64));
  Float power = shortMath::power(base, exponent);
  power.value = e.convert(power.value, f64, f32);
  return wideMath::withCorners({e, x}, {e, y}, power).value;
}

} // namespace nncc::vectorMath
