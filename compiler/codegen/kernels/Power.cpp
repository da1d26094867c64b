//===- Power.cpp - powers and remainders of elements ----------------------===//
//
// The functions that are loops; all others are dialect/VectorMath.cpp.
//
//===----------------------------------------------------------------------===//
#include "codegen/kernels/BufferEmitter.h"
#include "dialect/Float.h"
#include "dialect/VectorMath.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

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
    return vectorMath::pow(*this, x, y);
  return integerPower(*this, x, y);
}

/// |x| less 2^k |y| wherever that is not above it, from the largest on: a turn
/// for each k. All differences are exact, since nothing that is left has a bit
/// below the last of y.
static Float restOf(BufferEmitter &e, Float x, Float y, Float step) {
  OpBuilder &b = e.b;
  Type type = x.value.getType();
  OpBuilder::InsertionGuard guard(b);
  auto loop = scf::WhileOp::create(b, e.loc, TypeRange{type, type},
                                   ValueRange{x.value, step.value});
  Block *before =
      b.createBlock(&loop.getBefore(), {}, {type, type}, {e.loc, e.loc});
  Float multiple(e, before->getArgument(1));
  Value isLeft = e.isAny(multiple.is(Predicate::ge, y));
  scf::ConditionOp::create(b, e.loc, isLeft, before->getArguments());
  Block *after =
      b.createBlock(&loop.getAfter(), {}, {type, type}, {e.loc, e.loc});
  Float rest(e, after->getArgument(0)), next(e, after->getArgument(1));
  Value takes =
      e.bitAnd(next.is(Predicate::ge, y), rest.is(Predicate::ge, next));
  rest = (rest - next).where(takes, rest);
  next = next * 0.5;
  scf::YieldOp::create(b, e.loc, ValueRange{rest.value, next.value});
  return {e, loop.getResult(0)};
}

Value BufferEmitter::fmod(Value dividend, Value divisor) {
  Float x = Float(*this, dividend).abs(), y = Float(*this, divisor).abs();
  bool isWide = x.type().isF64();
  double least = isWide ? 0x1p-1022 : 0x1p-126,
         scale = isWide ? 0x1p52 : 0x1p23;
  // Where there is no rest y becomes NaN, of which x has no multiple.
  y = y.where(y.is(Predicate::gt, 0), notANumber);
  y = y.where(x.is(Predicate::lt, infinity), notANumber);
  // Two subnormal numbers are scaled.
  Value isTiny = x.is(Predicate::lt, least);
  Float dividendScale = x.number(scale).where(isTiny, 1);
  Float from = x * dividendScale, by = y * dividendScale;
  // y with the exponent of x.
  Value isSubnormal = by.is(Predicate::lt, least);
  Value digits = (by * scale).where(isSubnormal, by).bits();
  Type integer = getElementTypeOrSelf(digits);
  Value mantissa = splat(integer, isWide ? (1ll << 52) - 1 : (1 << 23) - 1);
  Value exponent = bitAnd(from.bits(), bitNot(mantissa));
  Float step = Float::ofBits(*this, bitOr(bitAnd(digits, mantissa), exponent));
  step = step.where(from.is(Predicate::ge, by), 0);

  Float rest = restOf(*this, from, by, step);
  rest = rest * x.number(1 / scale).where(isTiny, 1);
  rest = rest.copySign({*this, dividend});
  return rest.where(y.is(Predicate::eq, y), notANumber).value;
}

} // namespace nncc
