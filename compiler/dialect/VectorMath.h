//===- VectorMath.h - special functions on elements -------------*- C++ -*-===//
//
// The code of each row `Nncc_Special` of ops/Unary.td, which has its formula,
// derivative and error bound: written against ElementEmitter, so every target
// has them. f32 that has a polynomial here takes it, scalar or vector, so that
// a tail computed lane by lane gives the same bits; the rest is WideMath.h.
// Nothing calls a library: not every target has one, and its results would be
// others.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_VECTORMATH_H
#define NNCC_DIALECT_VECTORMATH_H

#include "dialect/ElementEmitter.h"

namespace nncc::vectorMath {

mlir::Value exp(ElementEmitter &e, mlir::Value x);
mlir::Value exp2(ElementEmitter &e, mlir::Value x);
mlir::Value expm1(ElementEmitter &e, mlir::Value x);
mlir::Value log(ElementEmitter &e, mlir::Value x);
mlir::Value log2(ElementEmitter &e, mlir::Value x);
mlir::Value log10(ElementEmitter &e, mlir::Value x);
mlir::Value log1p(ElementEmitter &e, mlir::Value x);
mlir::Value sin(ElementEmitter &e, mlir::Value x);
mlir::Value cos(ElementEmitter &e, mlir::Value x);
mlir::Value tan(ElementEmitter &e, mlir::Value x);
mlir::Value asin(ElementEmitter &e, mlir::Value x);
mlir::Value acos(ElementEmitter &e, mlir::Value x);
mlir::Value atan(ElementEmitter &e, mlir::Value x);
mlir::Value sinh(ElementEmitter &e, mlir::Value x);
mlir::Value cosh(ElementEmitter &e, mlir::Value x);
mlir::Value tanh(ElementEmitter &e, mlir::Value x);
mlir::Value asinh(ElementEmitter &e, mlir::Value x);
mlir::Value acosh(ElementEmitter &e, mlir::Value x);
mlir::Value atanh(ElementEmitter &e, mlir::Value x);
mlir::Value sigmoid(ElementEmitter &e, mlir::Value x);
mlir::Value erf(ElementEmitter &e, mlir::Value x);
mlir::Value erfc(ElementEmitter &e, mlir::Value x);
/// Of floats.
mlir::Value pow(ElementEmitter &e, mlir::Value x, mlir::Value y);

} // namespace nncc::vectorMath
#endif // NNCC_DIALECT_VECTORMATH_H
