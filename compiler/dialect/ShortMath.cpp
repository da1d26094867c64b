//===- ShortMath.cpp - functions of f32 by f64 arithmetic -----------------===//
//
// Where the rounding to f32 at the end is all that counts: polynomials with
// errors of 2^-36, and one f64 where WideMath.cpp takes a pair. All have 0.501
// units in the last place of f32.
//
//===----------------------------------------------------------------------===//
#include "dialect/WideMath.h"

using namespace mlir;

namespace nncc::shortMath {

constexpr double ln2 = 0x1.62e42fefa39efp-1, log2e = 0x1.71547652b82fep+0;

/// 2^(n + r / ln 2), n the integer in `shifted`.
static Float expOf(Float shifted, Float r) {
  Float q = r.polynomial({2.48598890177511870e-05, 1.98995848955437892e-04,
                          1.38888536753308174e-03, 8.33329810930442082e-03,
                          4.16666667198259608e-02, 1.66666667198429791e-01,
                          5.00000000000000000e-01});
  Float y = (r * r).fma(q, r) + 1;
  return y * wideMath::powerOfTwo(r.e, wideMath::integerOf(shifted));
}

/// exp(x). f32 is 0 and infinite beyond the clamps, which keep NaN.
static Float exp(Float x) {
  x = x.max(-150).min(150);
  Float shifted = x.fma(log2e, x.number(wideMath::roundingMagic));
  return expOf(shifted, (shifted - wideMath::roundingMagic).fma(-ln2, x));
}

Float exp2(Float x) {
  x = x.max(-200).min(200);
  Float shifted = x + wideMath::roundingMagic;
  return expOf(shifted, (x - (shifted - wideMath::roundingMagic)) * ln2);
}

/// log(x) / ln(base) for `scale` = 1 / ln(base) and `ofTwo` = log(2): 2s + s^3
/// P(s^2) as in wideMath::log.
static Float logOf(Float x, double scale, double ofTwo) {
  auto [k, m] = wideMath::split(x);
  Float f = m - 1, s = f / (f + 2), square = s * s;
  Float p = square.polynomial({1.93627768367475334e-01, 2.21913944931750567e-01,
                               2.85717546357327601e-01, 3.99999987968486737e-01,
                               6.66666666673754515e-01});
  Float y = s * square.fma(p, 2);
  return k.fma(ofTwo, scale == 1 ? y : y * scale);
}

static Float log(Float x) { return logOf(x, 1, ln2); }

Float log2(Float x) { return wideMath::withEnds(x, logOf(x, log2e, 1)); }
Float log10(Float x) {
  Float y = logOf(x, 0x1.bcb7b1526e50ep-2, 0x1.34413509f79ffp-2);
  return wideMath::withEnds(x, y);
}

/// log(1 + x) for x >= 0: log(u), and what rounding took from u.
static Float log1p(Float x) {
  Float u = x + 1, rest = (x - (u - 1)) / u;
  return (log(u) + rest).where(x.is(Predicate::lt, infinity), x);
}

Float asinh(Float x) {
  Float a = x.abs(), square = a * a;
  Float y = log1p(a + square / ((square + 1).sqrt() + 1));
  return y.where(a.is(Predicate::lt, infinity), a).copySign(x);
}

Float acosh(Float x) {
  Float t = x - 1, y = log1p(t + (t * (x + 1)).sqrt());
  return y.where(x.is(Predicate::ge, 1), notANumber);
}

Float atanh(Float x) {
  Float a = x.abs(), y = log1p((a + a) / (1 - a)) * 0.5;
  y = y.where(a.is(Predicate::le, 1), notANumber);
  return y.copySign(x);
}

Float power(Float x, Float y) { return exp(y * log(x.abs())); }

} // namespace nncc::shortMath
