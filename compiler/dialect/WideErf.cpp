//===- WideErf.cpp - error functions of f64 -------------------------------===//
//
// Polynomials as in WideMath.cpp.
//
//===----------------------------------------------------------------------===//
#include "dialect/WideMath.h"

using namespace mlir;

namespace nncc::wideMath {

/// (1 + 2a) exp(a^2) erfc(a) - 1 by a polynomial of q = (a - 4) / (a + 4)
/// (Shepherd and Laframboise, 1981; N. Juffa), for a in [0, 28].
static Float scaledComplement(Float q) {
  return q.polynomial({-1.90738862700797095e-09, -1.39528121230423838e-08,
                       -7.79621093575039388e-09, 1.15975649197128353e-07,
                       6.32638193601384593e-08,  -8.35688605480224439e-07,
                       3.00605302027092608e-07,  5.71806700478588108e-06,
                       -1.12242935946793853e-05, -2.44031604971926337e-05,
                       1.50622052323059888e-04,  -1.99255534760078384e-04,
                       -7.57773296373946215e-04, 5.03196976505112213e-03,
                       -1.61977340655028758e-02, 3.71675155610567132e-02,
                       -6.63303658110103028e-02, 9.37328349969053509e-02,
                       -1.01039066036373623e-01, 6.80970542547335994e-02,
                       1.53796521026210910e-02,  -1.39621116840562859e-01,
                       2.32995118625552500e-01});
}

/// Parts are pairs: 2.1 ulp. Near 0 q is near -1, where it has few bits.
Float erfc(Float x) {
  Float a = x.abs().min(28), four = a.number(4), one = a.number(1);
  Pair q = Pair::ofQuotient(Pair::ofSum(a, -four), Pair::ofSum(a, four));
  Pair factor = Pair::ofQuotient(Pair::ofOrdered(one, scaledComplement(q.high)),
                                 Pair::ofSum(a + a, one));
  Pair square = Pair::ofProduct(a, a);
  Reduced power = reduceExp({-square.high, -square.low});
  Pair sum = Pair::ofOrdered(one, power.r);
  sum.low = sum.low + power.tail;
  Float y = scaled((sum * factor).rounded(), power.n);
  return (2 - y).where(x.is(Predicate::lt, 0), y);
}

/// For 1 less it, which needs less.
static Float roughErfc(Float a) {
  Float p = scaledComplement((a - 4) / (a + 4));
  Reduced power = reduceExp({-(a * a), a.number(0)});
  Float y = (power.r + power.tail + 1) * (p + 1) / a.fma(2, 1);
  return y * powerOfTwo(a.e, power.n);
}

/// x + x P(x^2), beyond 0.92 1 - erfc: 1.1 ulp.
Float erf(Float x) {
  Float magnitude = x.abs(), square = x * x;
  Float p =
      square.polynomial({-8.29479489829274695e-10, 1.39639754610739630e-08,
                         -1.62599583582554966e-07, 1.64535597411217714e-06,
                         -1.49251905340077457e-05, 1.20553164248242444e-04,
                         -8.54832662997115139e-04, 5.22397761950363273e-03,
                         -2.68661706446017556e-02, 1.12837916709526837e-01,
                         -3.76126389031837094e-01, 1.28379167095512586e-01});
  Float far = (1 - roughErfc(magnitude.min(7))).copySign(x);
  return p.fma(x, x).where(magnitude.is(Predicate::lt, 0.92), far);
}

} // namespace nncc::wideMath
