//===- WideMath.h - special functions of f64 --------------------*- C++ -*-===//
//
// Every function of VectorMath.h on f64 elements, without a library and without
// tables: the same arithmetic on every target, in every lane. The bits depend
// on one fact about a target, whether it has a fused multiply-add. f32
// functions without a polynomial of their own go through f64, too, and are
// rounded once.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_WIDEMATH_H
#define NNCC_DIALECT_WIDEMATH_H

#include "dialect/Float.h"

namespace nncc::wideMath {

/// exp(x) = 2^n (1 + r + tail), n an i64.
struct Reduced {
  mlir::Value n;
  Float r, tail;
};
/// Of x, not rounded, for |x| < 2^19.
Reduced reduceExp(Pair x);
/// y 2^n, in two factors so that neither leaves the range, for n in
/// [-2044, 2046].
Float scaled(Float y, mlir::Value n);

// WideMath.cpp: exponentials and logarithms.
Float exp(Float x);
Float exp2(Float x);
Float expm1(Float x);
Float sinh(Float x);
Float cosh(Float x);
Float tanh(Float x);
Float log(Float x);
Float log2(Float x);
Float log10(Float x);
Float asinh(Float x);
Float acosh(Float x);
Float atanh(Float x);
Float pow(Float x, Float y);
/// `power` = |x|^y but for the corners, also in f32.
Float withCorners(Float x, Float y, Float power);

// WideTrig.cpp. `forF32`: of an operand that was f32, for a result that becomes
// one.
Float sin(Float x, bool forF32);
Float cos(Float x, bool forF32);
Float tan(Float x, bool forF32);
Float asin(Float x);
Float acos(Float x);
Float atan(Float x);

// WideErf.cpp.
Float erf(Float x);
Float erfc(Float x);

/// What WideMath.cpp and ShortMath.cpp share: y = log(x) but where that is not
/// of a positive finite x.
Float withEnds(Float x, Float y);
/// x = 2^k m, m in [sqrt(1/2), sqrt(2)), for positive finite x.
struct Split {
  Float k, m;
};
Split split(Float x);
/// 2^n for an i64 n in [-1022, 1023].
Float powerOfTwo(ElementEmitter &e, mlir::Value n);
/// Adding it rounds an f64 below 2^51 to an integer, which integerOf gives.
constexpr double roundingMagic = 0x1.8p52;
mlir::Value integerOf(Float shifted);

} // namespace nncc::wideMath

/// Of f64 elements that were f32, for a result that becomes f32: ShortMath.cpp.
namespace nncc::shortMath {

Float exp2(Float x);
Float log2(Float x);
Float log10(Float x);
Float asinh(Float x);
Float acosh(Float x);
Float atanh(Float x);
/// |x|^y but for corners.
Float power(Float x, Float y);

} // namespace nncc::shortMath
#endif // NNCC_DIALECT_WIDEMATH_H
