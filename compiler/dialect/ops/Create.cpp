//===- Create.cpp - constants, counting, state ----------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"
#include "support/Size.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace nncc {

//===----------------------------------------------------------------------===//
// constant
//===----------------------------------------------------------------------===//

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

void ConstantOp::evaluate(ArrayRef<RefTensor>,
                          MutableArrayRef<RefTensor> results) {
  results[0] = RefTensor(cast<DenseElementsAttr>(getValue()));
}

Value ConstantOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  auto value = cast<DenseElementsAttr>(getValue());
  if (value.isSplat()) {
    auto one =
        value.resizeSplat(RankedTensorType::get({}, value.getElementType()));
    return e.splat(value.getElementType(), RefTensor(one).number(0));
  }
  return e.constantAt(value, at);
}

//===----------------------------------------------------------------------===//
// iota
//===----------------------------------------------------------------------===//

LogicalResult IotaOp::verify() {
  int64_t dim = getDim();
  if (dim < 0 || dim >= tensorType(getResult()).getRank())
    return emitOpError("dim ")
           << dim << " is not a dimension of " << getType(); // C1
  return success();
}

void IotaOp::evaluate(ArrayRef<RefTensor>, MutableArrayRef<RefTensor> results) {
  int64_t position = 0;
  forEachIndex(results[0].shape(), [&](ArrayRef<int64_t> index) {
    results[0].set(position++,
                   plus(getStart(), times(getStep(), index[getDim()])));
  });
}

/// As a coordinate, whose arithmetic folds; what does not stay far from the
/// ends of 64 bits as an element, whose arithmetic may wrap on the way.
Value IotaOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  constexpr int64_t far = int64_t(1) << 60;
  auto type = tensorType(getResult());
  Type element = type.getElementType(), i64 = e.b.getI64Type();
  Size last = Size(getStep()) * type.getDimSize(getDim());
  auto isNear = [](Size x) { return Size(-far) < x && x < Size(far); };
  if (isNear(last) && isNear(getStart())) {
    Coord value = e.addTo(e.scale(at[getDim()], getStep()), getStart());
    return e.coordElement(value, element);
  }
  Value count = e.coordElement(at[getDim()], i64);
  Value value =
      e.add(e.mul(count, e.splat(i64, getStep())), e.splat(i64, getStart()));
  return e.convert(value, i64, element);
}

//===----------------------------------------------------------------------===//
// weight
//===----------------------------------------------------------------------===//

void WeightOp::evaluate(ArrayRef<RefTensor>, MutableArrayRef<RefTensor>) {
  llvm_unreachable("the interpreter binds weights itself");
}

Value WeightOp::emitElement(ElementEmitter &, ArrayRef<Coord>) {
  llvm_unreachable("weights are kernel operands");
}

//===----------------------------------------------------------------------===//
// random
//===----------------------------------------------------------------------===//

/// Philox4x32: multipliers and increments of the key, from the paper.
static constexpr uint64_t philoxFactor[] = {0xD2511F53, 0xCD9E8D57},
                          philoxStep[] = {0x9E3779B9, 0xBB67AE85};
static constexpr int philoxRounds = 10;
static constexpr uint64_t low32 = 0xFFFFFFFF;

LogicalResult RandomOp::verify() {
  if (tensorType(getResult()).getNumElements() > int64_t(low32))
    return emitOpError("gives too many elements"); // C1
  return success();
}

void RandomOp::evaluate(ArrayRef<RefTensor> inputs,
                        MutableArrayRef<RefTensor> results) {
  uint64_t seed = uint64_t(inputs[0].ints[0]);
  uint64_t step = uint64_t(inputs[0].ints[1]);
  for (int64_t i = 0, n = results[0].size(); i < n; ++i) {
    uint64_t c[] = {uint64_t(i), uint64_t(getStream()), step & low32,
                    step >> 32};
    uint64_t key[] = {seed & low32, seed >> 32};
    for (int round = 0; round < philoxRounds; ++round) {
      uint64_t first = philoxFactor[0] * c[0], second = philoxFactor[1] * c[2];
      uint64_t next[] = {(second >> 32) ^ c[1] ^ key[0], second & low32,
                         (first >> 32) ^ c[3] ^ key[1], first & low32};
      std::copy(next, next + 4, c);
      for (int k = 0; k < 2; ++k)
        key[k] = (key[k] + philoxStep[k]) & low32;
    }
    results[0].set(i, double(c[0] >> 8) * 0x1p-24);
  }
}

/// The same on vectors of 64-bit integers, which hold whole products.
Value RandomOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  Type i64 = e.b.getI64Type();
  Value low = e.splat(i64, low32), half = e.splat(i64, 32);
  auto highOf = [&](Value x) -> Value {
    return arith::ShRUIOp::create(e.b, e.loc, x, half);
  };
  auto lowOf = [&](Value x) { return e.bitAnd(x, low); };
  auto exclusiveOr = [&](Value x, Value y) -> Value {
    return arith::XOrIOp::create(e.b, e.loc, x, y);
  };
  auto keyAt = [&](int64_t i) { return e.at(getKey(), {Coord::constant(i)}); };
  Coord position = e.linear(at, stridesOf(shapeOf(getResult())));
  Value seed = keyAt(0), step = keyAt(1);
  Value c[] = {e.coordElement(position, i64), e.splat(i64, getStream()),
               lowOf(step), highOf(step)};
  Value key[] = {lowOf(seed), highOf(seed)};
  for (int round = 0; round < philoxRounds; ++round) {
    Value first = e.mul(c[0], e.splat(i64, philoxFactor[0]));
    Value second = e.mul(c[2], e.splat(i64, philoxFactor[1]));
    Value next[] = {
        exclusiveOr(exclusiveOr(highOf(second), c[1]), key[0]), lowOf(second),
        exclusiveOr(exclusiveOr(highOf(first), c[3]), key[1]), lowOf(first)};
    std::copy(next, next + 4, c);
    for (int k = 0; k < 2; ++k)
      key[k] = lowOf(e.add(key[k], e.splat(i64, philoxStep[k])));
  }
  Value bits = arith::ShRUIOp::create(e.b, e.loc, c[0], e.splat(i64, 8));
  Type element = tensorType(getResult()).getElementType();
  Value narrow = e.convert(bits, i64, e.b.getI32Type());
  return e.mul(e.convert(narrow, e.b.getI32Type(), element),
               e.splat(element, 0x1p-24));
}

// The key is an integer.
void RandomOp::gradient(Gradient &g) { g.none(); }

// Without operands there is nothing to give.
void ConstantOp::gradient(Gradient &g) { g.none(); }
void IotaOp::gradient(Gradient &g) { g.none(); }
void WeightOp::gradient(Gradient &g) { g.none(); }

} // namespace nncc
