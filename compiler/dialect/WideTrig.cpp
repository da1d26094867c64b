//===- WideTrig.cpp - trigonometric functions of f64 ----------------------===//
//
// Polynomials as in WideMath.cpp. Angles below 2^22 lose multiples of pi/2 by
// subtraction (W. J. Cody and W. Waite, 1980), larger ones by a product with
// 2/pi in integers (M. H. Payne and R. N. Hanek, 1983), which is code that is
// jumped over where no lane needs it.
//
//===----------------------------------------------------------------------===//
#include "dialect/WideMath.h"

using namespace mlir;

namespace nncc::wideMath {

constexpr double halfPi = 0x1.921fb54442d18p+0,
                 halfPiLow = 0x1.1a62633145c07p-54;

//===----------------------------------------------------------------------===//
// Reduction of angles
//===----------------------------------------------------------------------===//

namespace {

/// An angle as quadrant pi/2 + r, |r| <= pi/4 or little more; only the low two
/// bits of the i64 count.
struct Angle {
  Value quadrant;
  Pair r;
};

/// Arithmetic of i64 elements.
struct Integers {
  ElementEmitter &e;

  Value number(int64_t value) { return e.splat(e.b.getI64Type(), value); }
  Value left(Value x, Value count) {
    return arith::ShLIOp::create(e.b, e.loc, x, count);
  }
  Value right(Value x, Value count) {
    return arith::ShRUIOp::create(e.b, e.loc, x, count);
  }
  Value right(Value x, int64_t count) { return right(x, number(count)); }
  /// A digit to base 2^32.
  Value low(Value x) { return e.bitAnd(x, number(0xffffffff)); }
  Value high(Value x) { return right(x, 32); }
  /// x below 2^52 as an f64.
  Float toFloat(Value x) {
    return Float::ofBits(e, e.bitOr(x, number(0x4330000000000000))) - 0x1p52;
  }
};

} // namespace

/// 2/pi to base 2^32, behind a zero.
constexpr int64_t twoOverPi[] = {
    0x00000000, 0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599,
    0x3c439041, 0xfe5163ab, 0xdebbc561, 0xb7246e3a, 0x424dd2e0, 0x06492eea,
    0x09d1921c, 0xfe1deb1c, 0xb129a73e, 0xe88235f5, 0x2ebb4484, 0xe99c7026,
    0xb45f7e41, 0x3991d639, 0x835339f4, 0x9c845f8b, 0xbdf9283b, 0x1ff897ff,
    0xde05980f, 0xef2f118b, 0x5a0a6d1f, 0x6d367ecf, 0x27cb09b7, 0x4f463f66,
    0x9e5fea2d, 0x7527bac7, 0xebe5f17b, 0x3d0739f7, 0x8a5292ea, 0x6bfb5fb1,
    0x1f8d5d08, 0x56033046};

/// Seven digits of 2/pi from the one at `start` on, which has `bits` bits: by
/// halving, since lanes cannot look into a table.
static SmallVector<Value> digitsFrom(Integers i, Value start, int64_t bits) {
  SmallVector<Value> digits;
  for (int64_t k = 0; k < (1 << bits) + 6; ++k)
    digits.push_back(i.number(twoOverPi[k]));
  while (bits-- > 0) {
    int64_t step = 1 << bits;
    Value bit = i.e.bitAnd(start, i.number(step));
    Value isLater = i.e.compare(Predicate::ne, bit, i.number(0), false);
    for (size_t k = 0; k + step < digits.size(); ++k)
      digits[k] = i.e.select(isLater, digits[k + step], digits[k]);
    digits.resize(step + 6);
  }
  return digits;
}

/// The product of three digits with fractions of seven, modulo 2^32: digits of
/// 2^0, 2^-32, 2^-64 and 2^-96.
static SmallVector<Value> fractionOf(Integers i, ArrayRef<Value> x,
                                     ArrayRef<Value> fraction) {
  ElementEmitter &e = i.e;
  SmallVector<Value> columns(5, i.number(0));
  for (size_t column = 0; column < 5; ++column)
    for (size_t k = 0; k < 3; ++k) {
      Value product = e.mul(x[k], fraction[column + k]);
      columns[column] = e.add(columns[column], i.low(product));
      if (column > 0)
        columns[column - 1] = e.add(columns[column - 1], i.high(product));
    }
  for (size_t column = 4; column > 0; --column)
    columns[column - 1] = e.add(columns[column - 1], i.high(columns[column]));
  columns.pop_back();
  for (Value &column : columns)
    column = i.low(column);
  return columns;
}

/// x = m 2^e with an integer m. All digits of 2/pi that make multiples of 4
/// are left out; what m is shifted by brings the others to multiples of 2^-30.
static Angle reduceLarge(Float x, bool forF32) {
  ElementEmitter &e = x.e;
  Integers i{e};
  Value bits = x.abs().bits();
  Value mantissa = e.bitOr(e.bitAnd(bits, i.number(0xfffffffffffff)),
                           i.number(0x10000000000000));
  Value position = e.sub(i.right(bits, 52), i.number(1023 + 22));
  Value shift = e.bitAnd(position, i.number(31));
  Value low = i.left(mantissa, shift);
  Value high = i.right(i.right(mantissa, 1), e.sub(i.number(63), shift));
  SmallVector<Value> product =
      fractionOf(i, {i.low(low), i.high(low), high},
                 digitsFrom(i, i.right(position, 5), forF32 ? 2 : 5));

  // Two bits of quadrant, and a fraction of 126 that is rounded off.
  Value quadrant = i.right(product[0], 30);
  Value first = e.bitAnd(product[0], i.number((1 << 30) - 1));
  Value above = i.right(first, 29);
  quadrant = e.add(quadrant, above);
  Float top = i.toFloat(first) * 0x1p-30 - i.toFloat(above);
  Pair sum = Pair::ofOrdered(top, i.toFloat(product[1]) * 0x1p-62);
  Pair rest = Pair::ofOrdered(i.toFloat(product[2]) * 0x1p-94,
                              i.toFloat(product[3]) * 0x1p-126);
  Pair total = Pair::ofSum(sum.high, rest.high);
  total = Pair{total.high, total.low + (sum.low + rest.low)}.tidy();
  Pair r = (total * Pair{x.number(halfPi), x.number(halfPiLow)}).tidy();

  Value isNegative = x.is(Predicate::lt, 0);
  return {
      e.select(isNegative, e.sub(i.number(0), quadrant), quadrant),
      {(-r.high).where(isNegative, r.high), (-r.low).where(isNegative, r.low)}};
}

/// For f32 only the sum of r counts, in its high part.
static Angle reduceAngle(Float x, bool forF32) {
  constexpr double magic = 0x1.8p52;
  Float shifted = x.fma(0x1.45f306dc9c883p-1, x.number(magic));
  Float n = shifted - magic;
  // The parts of pi/2 have 31 bits each, the last 53: all products are exact.
  Float rest = n.fma(-0x1.921fb544p+0, x), second = n * 0x1.0b4611a4p-34;
  Pair r{rest, x.number(0)};
  if (forF32) {
    r.high = n.fma(-0x1.13198a2e03707p-65, rest - second);
  } else {
    Pair first = Pair::ofSum(rest, -second);
    Pair next = Pair::ofSum(first.high, n * -0x1.13198a2cp-65);
    Float low = n.fma(-0x1.01b839a252049p-96, first.low + next.low);
    r = Pair::ofSum(next.high, low);
  }
  SmallVector<Value> usual = {shifted.bits(), r.high.value, r.low.value};
  SmallVector<Value> result = x.e.rarely(
      x.abs().is(Predicate::ge, 0x1p22), usual, [&]() -> SmallVector<Value> {
        auto [quadrant, large] = reduceLarge(x, forF32);
        return {quadrant, large.high.value, large.low.value};
      });
  return {result[0], {{x.e, result[1]}, {x.e, result[2]}}};
}

//===----------------------------------------------------------------------===//
// Sines and cosines
//===----------------------------------------------------------------------===//

/// sin(r): r + r^3 S(r^2).
static Pair sinNear(Pair r, bool forF32) {
  Float x = r.high, square = x * x;
  if (forF32) {
    Float s =
        square.polynomial({2.72498646551395851e-06, -1.98400862637554431e-04,
                           8.33333187383708887e-03, -1.66666666638530442e-01});
    return {x, square * x * s};
  }
  Float s =
      square.polynomial({1.59181012302741205e-10, -2.50511314554279461e-08,
                         2.75573161006830287e-06, -1.98412698367549713e-04,
                         8.33333333333094624e-03, -1.66666666666666657e-01});
  return {x, (square * x).fma(s, r.low * square.fma(-0.5, 1))};
}

/// cos(r): 1 - r^2 / 2 + r^4 C(r^2).
static Pair cosNear(Pair r, bool forF32) {
  Float x = r.high, square = x * x, half = square * 0.5, top = 1 - half;
  if (forF32) {
    Float c =
        square.polynomial({-2.73009081679965369e-07, 2.48005999835317087e-05,
                           -1.38888876712881079e-03, 4.16666666643193268e-02});
    return {top, square * square * c};
  }
  Float c =
      square.polynomial({-1.13826148685563245e-11, 2.08761460246897470e-09,
                         -2.75573172705603264e-07, 2.48015872987634326e-05,
                         -1.38888888888873954e-03, 4.16666666666666644e-02});
  Float low = (1 - top - half) - x * r.low;
  return {top, (square * square).fma(c, low)};
}

/// x with its sign changed where bit `bit` of n is set.
static Float negatedBy(Float x, Value n, int64_t bit) {
  Integers i{x.e};
  Value sign = i.left(n, i.number(63 - bit));
  sign = x.e.bitAnd(sign, i.number(std::numeric_limits<int64_t>::min()));
  return Float::ofBits(x.e, x.e.bitXor(x.bits(), sign));
}

static Value isOdd(ElementEmitter &e, Value n) {
  Integers i{e};
  Value bit = e.bitAnd(n, i.number(1));
  return e.compare(Predicate::ne, bit, i.number(0), false);
}

/// NaN at infinity.
static Float orNan(Float x, Float y) {
  return y.where(x.abs().is(Predicate::lt, infinity), x - x);
}

/// sin(x + quarters pi/2): 0.9 ulp, of f32 0.501.
static Float sine(Float x, int64_t quarters, bool forF32) {
  ElementEmitter &e = x.e;
  auto [quadrant, r] = reduceAngle(x, forF32);
  quadrant = e.add(quadrant, e.splat(e.b.getI64Type(), quarters));
  Float y = cosNear(r, forF32).rounded().where(isOdd(e, quadrant),
                                               sinNear(r, forF32).rounded());
  return orNan(x, negatedBy(y, quadrant, 1));
}

Float sin(Float x, bool forF32) {
  Float y = sine(x, 0, forF32);
  return x.where(x.abs().is(Predicate::lt, 0x1p-28), y);
}
Float cos(Float x, bool forF32) { return sine(x, 1, forF32); }

/// sin / cos, in odd quadrants -cos / sin: 1.1 ulp.
Float tan(Float x, bool forF32) {
  auto [quadrant, r] = reduceAngle(x, forF32);
  Pair sine = sinNear(r, forF32), cosine = cosNear(r, forF32);
  Value swaps = isOdd(x.e, quadrant);
  Pair above{cosine.high.where(swaps, sine.high),
             cosine.low.where(swaps, sine.low)};
  Pair below{sine.high.where(swaps, cosine.high),
             sine.low.where(swaps, cosine.low)};
  Float y = forF32 ? above.rounded() / below.rounded()
                   : Pair::ofQuotient(above.tidy(), below.tidy()).rounded();
  y = orNan(x, negatedBy(y, quadrant, 0));
  return x.where(x.abs().is(Predicate::lt, 0x1p-28), y);
}

//===----------------------------------------------------------------------===//
// Inverse functions
//===----------------------------------------------------------------------===//

namespace {

/// asin(t) = t + rest for t = |x| where that is below 1/2, else for
/// t = sqrt((1 - |x|) / 2), an angle that is half of pi/2 - asin|x|.
struct Arc {
  Value isNear;
  Float t, rest;
};

} // namespace

static Arc arcOf(Float x) {
  Float magnitude = x.abs();
  Value isNear = magnitude.is(Predicate::lt, 0.5);
  Float square = (magnitude * magnitude).where(isNear, (1 - magnitude) * 0.5);
  Float t = magnitude.where(isNear, square.sqrt());
  Float p =
      square.polynomial({2.87784426125930401e-02, -1.48814093928180662e-02,
                         1.74193579648848559e-02, 5.45087818772055019e-03,
                         1.03243182887441127e-02, 1.14789526902573866e-02,
                         1.39712353011245387e-02, 1.73523912659092269e-02,
                         2.23721730020055957e-02, 3.03819441370852157e-02,
                         4.46428571463733798e-02, 7.49999999999842459e-02,
                         1.66666666666666685e-01});
  // What the root lacks.
  Pair back = Pair::ofProduct(t, t);
  Float low = ((square - back.high) - back.low) / (t + t);
  low = low.where(t.is(Predicate::gt, 0), 0); // no 0 / 0
  low = x.number(0).where(isNear, low);
  return {isNear, t, (t * square).fma(p, low)};
}

/// 0.7 ulp.
Float asin(Float x) {
  auto [isNear, t, rest] = arcOf(x);
  Pair far = Pair::ofOrdered(x.number(halfPi), t * -2);
  Float y = far.high + (far.low + rest.fma(-2, halfPiLow));
  y = (t + rest).where(isNear, y).copySign(x);
  return x.where(x.abs().is(Predicate::lt, 0x1p-28), y);
}

/// 0.7 ulp.
Float acos(Float x) {
  auto [isNear, t, rest] = arcOf(x);
  Value isNegative = x.is(Predicate::lt, 0);
  Float y = t + rest;
  y = y + y;
  // pi - 2 asin(t) below -1/2, pi/2 - asin(x) in the middle.
  Value isBelow = x.is(Predicate::lt, -0.5);
  Float start = x.number(2 * halfPi).where(isBelow, halfPi);
  Float factor = x.number(-2).where(isBelow, x.number(1).where(isNegative, -1));
  Float startLow = x.number(2 * halfPiLow).where(isBelow, halfPiLow);
  Pair far = Pair::ofOrdered(start, t * factor);
  far.low = far.low + rest.fma(factor, startLow);
  return y.where(x.is(Predicate::ge, 0.5), far.rounded());
}

/// atan(c) + atan((|x| - c) / (1 + c |x|)) for c of 0, 1/2, 1, 3/2 and infinity
/// (fdlibm), which leaves |t| < 7/16: 0.8 ulp.
Float atan(Float x) {
  Float magnitude = x.abs();
  struct {
    double from, center, angle, low;
  } pieces[] = {
      {0.4375, 0.5, 0x1.dac670561bb4fp-2, 0x1.a2b7f222f65e2p-56},
      {0.6875, 1, 0x1.921fb54442d18p-1, 0x1.1a62633145c07p-55},
      {1.1875, 1.5, 0x1.f730bd281f69bp-1, 0x1.007887af0cbbdp-56},
  };
  Float center = x.number(0), angle = x.number(0), low = x.number(0);
  for (auto [from, at, result, rest] : pieces) {
    Value isHere = magnitude.is(Predicate::ge, from);
    center = x.number(at).where(isHere, center);
    angle = x.number(result).where(isHere, angle);
    low = x.number(rest).where(isHere, low);
  }
  Value isFar = magnitude.is(Predicate::ge, 2.4375);
  Float above = x.number(-1).where(isFar, magnitude - center);
  Float below = magnitude.where(isFar, center.fma(magnitude, 1));
  angle = x.number(halfPi).where(isFar, angle);
  low = x.number(halfPiLow).where(isFar, low);
  Float t = above / below, square = t * t;
  Float p =
      square.polynomial({1.47455769565433652e-02, -3.31003101033352717e-02,
                         4.49105087947123741e-02, -5.21638383892352939e-02,
                         5.87690158010815561e-02, -6.66623756357215963e-02,
                         7.69228528373220449e-02, -9.09090834512582269e-02,
                         1.11111110964098245e-01, -1.42857142855641106e-01,
                         1.99999999999993988e-01, -3.33333333333333315e-01});
  Float y = angle + (t + (square * t).fma(p, low));
  return y.copySign(x);
}

} // namespace nncc::wideMath
