//===- Power.cpp - powers of elements -------------------------------------===//
//
// The one function that is a loop; all others are dialect/VectorMath.cpp.
//
//===----------------------------------------------------------------------===//
#include "codegen/kernels/BufferEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace nncc {

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
