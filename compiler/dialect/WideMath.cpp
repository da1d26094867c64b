//===- WideMath.cpp - exponentials and logarithms of f64 ------------------===//
//
// Polynomials interpolate at Chebyshev's nodes; their coefficients were found
// for this file in 70 digits. Errors are the largest that were seen, in units
// of the last place (ulp); tests/parity/test_vector_math.py measures them.
//
//===----------------------------------------------------------------------===//
#include "dialect/WideMath.h"

using namespace mlir;

namespace nncc::wideMath {

// The high half of ln 2 has 33 bits, so that its product with an exponent is
// exact.
constexpr double ln2High = 0x1.62e42fee00000p-1, ln2Low = 0x1.a39ef35793c76p-33;
// The same of 26 bits.
constexpr double ln2Top = 0x1.62e42f8p-1, ln2Rest = 0x1.be8e7bcd5e4f2p-27;
constexpr double log2e = 0x1.71547652b82fep+0;

static Value integer(ElementEmitter &e, int64_t value) {
  return e.splat(e.b.getI64Type(), value);
}
static Value shiftedLeft(ElementEmitter &e, Value x, int64_t count) {
  return arith::ShLIOp::create(e.b, e.loc, x, integer(e, count));
}
static Value shiftedRight(ElementEmitter &e, Value x, int64_t count) {
  return arith::ShRUIOp::create(e.b, e.loc, x, integer(e, count));
}

//===----------------------------------------------------------------------===//
// Exponentials
//===----------------------------------------------------------------------===//

Float powerOfTwo(ElementEmitter &e, Value n) {
  return Float::ofBits(e, shiftedLeft(e, e.add(n, integer(e, 1023)), 52));
}

Value integerOf(Float shifted) {
  ElementEmitter &e = shifted.e;
  return e.sub(shifted.bits(), shifted.number(roundingMagic).bits());
}

/// r and tail of exp(r + rest): exp(r) - 1 - r by a polynomial of relative
/// error 2^-59, |r| < 0.3475.
static Reduced reduced(Value n, Float r, Float rest) {
  Float q = r.polynomial({2.09148825634850702e-09, 2.51054909069866965e-08,
                          2.75572731719410260e-07, 2.75572547404054155e-06,
                          2.48015873259201627e-05, 1.98412698753421414e-04,
                          1.38888888888836419e-03, 8.33333333332598493e-03,
                          4.16666666666666713e-02, 1.66666666666666713e-01,
                          5.00000000000000000e-01});
  return {n, r, (r * r).fma(q, rest)};
}

Reduced reduceExp(Pair x) {
  Float shifted = x.high.fma(log2e, x.high.number(roundingMagic));
  Float n = shifted - roundingMagic;
  Float start = n.fma(-ln2High, x.high), below = n.fma(-ln2Low, x.low);
  Float r = start + below;
  return reduced(integerOf(shifted), r, (start - r) + below);
}

Float scaled(Float y, Value n) {
  ElementEmitter &e = y.e;
  Value half = shiftedRight(e, e.add(n, integer(e, 4096)), 1);
  half = e.sub(half, integer(e, 2048));
  return y * powerOfTwo(e, half) * powerOfTwo(e, e.sub(n, half));
}

/// 2^n (1 + r + tail).
static Float expOf(const Reduced &x) {
  Pair sum = Pair::ofOrdered(x.r.number(1), x.r);
  return scaled(sum.high + (sum.low + x.tail), x.n);
}

/// 0.8 ulp. The clamps keep NaN; both ends are past over- and underflow.
Float exp(Float x) {
  x = x.max(-746).min(710);
  return expOf(reduceExp({x, x.number(0)}));
}

/// 2^x by exp(d ln 2) for the rest d of an integer, |x| < 2000.
static Float exp2Of(Pair x) {
  Float shifted = x.high + roundingMagic;
  Float rest = x.high - (shifted - roundingMagic);
  Pair r = Pair{rest, x.low}.short26().times(ln2Top, ln2Rest).tidy();
  return expOf(reduced(integerOf(shifted), r.high, r.low));
}

/// 0.7 ulp, exact for integers.
Float exp2(Float x) {
  x = x.max(-1076).min(1025);
  return exp2Of({x, x.number(0)});
}

/// (exp(x) - 1) 2^shift for x in [-40, 710.5], where that is finite:
/// (2^n - 1) + 2^n (r + tail).
static Pair scaledExpm1(Float x, int64_t shift) {
  ElementEmitter &e = x.e;
  Reduced parts = reduceExp({x, x.number(0)});
  Float scale = powerOfTwo(e, e.add(parts.n, integer(e, shift)));
  Pair sum = Pair::ofSum(scale - std::ldexp(1, shift), scale * parts.r);
  return {sum.high, scale.fma(parts.tail, sum.low)};
}

/// x itself where it is so small that the function is x.
static Float orSmall(Float x, Float result) {
  return x.where(x.abs().is(Predicate::lt, 0x1p-28), result);
}

/// Of half the result, since 2^1024 is none: 1.1 ulp.
Float expm1(Float x) {
  Float half = scaledExpm1(x.max(-40).min(710), -1).rounded();
  return x.where(x.abs().is(Predicate::lt, 0x1p-54), half + half);
}

/// (t + t / (t + 1)) / 2 for t = exp|x| - 1, of which there is a quarter:
/// 1.6 ulp.
Float sinh(Float x) {
  Pair quarter = scaledExpm1(x.abs().min(710.5), -2).tidy();
  Float top = quarter.high, ratio = top / (top + 0.25);
  Float y = ratio.fma(0.5, quarter.low + quarter.low) + (top + top);
  return orSmall(x, y.copySign(x));
}

/// exp|x| / 2 + 1 / (2 exp|x|), from a quarter of exp|x|: 1.1 ulp.
Float cosh(Float x) {
  Reduced parts = reduceExp({x.abs().min(710.5), x.number(0)});
  parts.n = x.e.sub(parts.n, integer(x.e, 2));
  Float quarter = expOf(parts);
  return 0.125 / quarter + (quarter + quarter);
}

/// t / (t + 2) for t = exp(2|x|) - 1: 0.8 ulp.
Float tanh(Float x) {
  Float magnitude = x.abs().min(20);
  Pair t = scaledExpm1(magnitude + magnitude, 0).tidy();
  Pair sum = Pair::ofSum(t.high, x.number(2));
  Pair y = Pair::ofQuotient(t, {sum.high, sum.low + t.low});
  return orSmall(x, y.high.copySign(x));
}

//===----------------------------------------------------------------------===//
// Logarithms
//===----------------------------------------------------------------------===//

Split split(Float x) {
  ElementEmitter &e = x.e;
  // Subnormals are scaled into the normal range first.
  Value tiny = x.is(Predicate::lt, 0x1p-1022);
  Value bits = (x * 0x1p54).where(tiny, x).bits();
  // The exponent changes at sqrt(1/2) instead of 1.
  constexpr int64_t root = 0x3fe6a09e667f3bcd, one = 0x3ff0000000000000;
  bits = e.add(bits, integer(e, one - root));
  // As an f64 by the bits of 2^52, which every target has.
  Value exponent = shiftedRight(e, bits, 52);
  exponent = e.bitOr(exponent, integer(e, 0x4330000000000000));
  Float bias = x.number(0x1p52 + 1023 + 54).where(tiny, 0x1p52 + 1023);
  Value mantissa = e.bitAnd(bits, integer(e, 0xfffffffffffff));
  return {Float::ofBits(e, exponent) - bias,
          Float::ofBits(e, e.add(mantissa, integer(e, root)))};
}

Float withEnds(Float x, Float y) {
  y = y.where(x.is(Predicate::lt, infinity), x); // NaN too
  y = x.number(-infinity).where(x.is(Predicate::eq, 0), y);
  return x.number(notANumber).where(x.is(Predicate::lt, 0), y);
}

/// log(1 + f) = 2s + s^3 P(s^2) for s = f / (2 + f), where 2s = f - s f
/// (FreeBSD's msun): 0.8 ulp.
Float log(Float x) {
  auto [k, m] = split(x);
  Float f = m - 1, s = f / (f + 2), square = s * s;
  Float p = square.polynomial({1.46165854248886229e-01, 1.53317106182107726e-01,
                               1.81828894556749471e-01, 2.22222111302598779e-01,
                               2.85714286260032702e-01, 3.99999999998994438e-01,
                               6.66666666666666963e-01});
  Float half = f * f * 0.5;
  Float y = s.fma(square.fma(p, half), k * ln2Low);
  return withEnds(x, k.fma(ln2High, f - (half - y)));
}

/// log2(x) of a positive finite x with an error of 2^-65 of it, the high part
/// of 26 bits: 2 / (3 ln 2) s (3 + s^2 + s^4 T(s^2)) (fdlibm's pow). What is
/// multiplied is cut to 26 bits first, so that products are exact.
static Pair log2Pair(Float x) {
  auto [k, m] = split(x);
  Float f = m - 1, d = f + 2, inverse = 1 / d, s = f * inverse;
  Float sTop = s.top(), dTop = d.top();
  Float rest = (-sTop).fma(dTop, f);
  rest = (-sTop).fma(f - (dTop - 2), rest) * inverse;
  Float square = sTop * sTop, z = s * s;
  Float t = z.polynomial({1.75847679358147768e-01, 1.75593545092368103e-01,
                          2.00022070407709668e-01, 2.30768924437776468e-01,
                          2.72727275030892002e-01, 3.33333333324838277e-01,
                          4.28571428571440483e-01, 5.99999999999999978e-01});
  t = (z * z).fma(t, rest * (sTop + s));
  Float sum = square + 3, sumTop = (sum + t).top();
  Float sumRest = t - ((sumTop - 3) - square);
  Float product = sTop * sumTop, below = rest.fma(sumTop, sumRest * s);
  Pair y = Pair{product, below}.short26().times(0x1.ec709d8p-1,
                                                0x1.0e80ff5d27f05p-27);
  Float high = (k + (y.high + y.low)).top();
  return {high, y.low - ((high - k) - y.high)};
}

Float log2(Float x) { return withEnds(x, log2Pair(x).rounded()); }

/// 0.51 ulp.
Float log10(Float x) {
  Pair y = log2Pair(x).times(0x1.344135p-2, 0x1.3ef3fde623e25p-31);
  return withEnds(x, y.rounded());
}

/// log(x) of a pair that is tidy.
static Pair logOf(Pair x) {
  Pair y = log2Pair(x.high).times(ln2Top, ln2Rest);
  return {y.high, y.low + x.low / x.high};
}

/// log(x + sqrt(x^2 + sign)) for x >= 0, and log(2x) where that is the same:
/// 0.6 ulp.
static Float areaOf(Float x, double sign) {
  Value isBig = x.is(Predicate::gt, 0x1p28);
  Pair square = Pair::ofProduct(x, x);
  Pair sum = Pair::ofSum(square.high, x.number(sign));
  sum = Pair{sum.high, sum.low + square.low}.tidy();
  Float root = sum.high.sqrt();
  Pair back = Pair::ofProduct(root, root);
  Float rest = ((sum.high - back.high) - back.low + sum.low) / (root + root);
  rest = rest.where(root.is(Predicate::gt, 0), 0);
  Pair argument = Pair::ofSum(x, root);
  argument = Pair{argument.high, argument.low + rest}.tidy();
  Pair y = logOf(
      {x.where(isBig, argument.high), x.number(0).where(isBig, argument.low)});
  y.low = y.low + x.number(0x1.62e42fefa39efp-1).where(isBig, 0);
  return y.rounded().where(x.is(Predicate::lt, infinity), x);
}

Float asinh(Float x) { return orSmall(x, areaOf(x.abs(), 1).copySign(x)); }
Float acosh(Float x) {
  Float y = areaOf(x, -1);
  return y.where(x.is(Predicate::ge, 1), notANumber);
}

/// log((1 + |x|) / (1 - |x|)) / 2: 0.6 ulp.
Float atanh(Float x) {
  Float magnitude = x.abs(), one = x.number(1);
  Pair ratio = Pair::ofQuotient(Pair::ofOrdered(one, magnitude),
                                Pair::ofOrdered(one, -magnitude));
  Float y = logOf(ratio).rounded() * 0.5;
  y = y.where(magnitude.is(Predicate::lt, 1), notANumber);
  y = x.number(infinity).where(magnitude.is(Predicate::eq, 1), y);
  return orSmall(x, y.copySign(x));
}

//===----------------------------------------------------------------------===//
// Powers
//===----------------------------------------------------------------------===//

static Value isWhole(Float magnitude) {
  double large = magnitude.type().isF32() ? 0x1p23 : 0x1p52;
  Float rounded = (magnitude + large) - large;
  return magnitude.e.bitOr(magnitude.is(Predicate::ge, large),
                           magnitude.is(Predicate::eq, rounded));
}

/// C99, Annex F.
Float withCorners(Float x, Float y, Float power) {
  ElementEmitter &e = x.e;
  Float zero = x.number(0), magnitude = x.abs(), size = y.abs();
  Value isZero = x.is(Predicate::eq, 0);
  Value isEnd = e.bitOr(isZero, magnitude.is(Predicate::eq, infinity));
  Value isGrowing = e.bitXor(isZero, y.is(Predicate::gt, 0));
  Float end = x.number(infinity).where(isGrowing, zero);
  // A negative number has odd powers, even ones and those that are not real.
  Value whole = isWhole(size);
  Value isOdd = e.bitAnd(whole, e.bitNot(isWhole(size * 0.5)));
  Value isReal = e.bitOr(whole, x.is(Predicate::ge, 0));
  power = power.where(isReal, notANumber);
  power = end.where(isEnd, power).copySign(x.where(isOdd, zero));
  Value isNumber = e.bitAnd(x.is(Predicate::eq, x), y.is(Predicate::eq, y));
  power = power.where(isNumber, notANumber);
  // 1 to any power; -1 to an infinite one; any number to 0.
  Value isOne = e.bitAnd(magnitude.is(Predicate::eq, 1),
                         size.is(Predicate::eq, infinity));
  isOne = e.bitOr(isOne, x.is(Predicate::eq, 1));
  isOne = e.bitOr(isOne, y.is(Predicate::eq, 0));
  return x.number(1).where(isOne, power);
}

/// 2^(y log2 |x|): 1.2 ulp.
Float pow(Float x, Float y) {
  Float zero = x.number(0), yTop = y.top();
  Pair log = log2Pair(x.abs());
  Float high = yTop * log.high;
  Float low = (y - yTop).fma(log.high, y * log.low);
  low = low.where(high.abs().is(Predicate::lt, 1200), zero);
  Pair power = Pair::ofOrdered(high.max(-1200).min(1200), low);
  return withCorners(x, y, exp2Of(power));
}

} // namespace nncc::wideMath
