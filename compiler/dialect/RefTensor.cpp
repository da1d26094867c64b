//===- RefTensor.cpp - tensors of the reference interpreter ---------------===//
//
// See RefTensor.h.
//
//===----------------------------------------------------------------------===//
#include "dialect/RefTensor.h"
#include "dialect/ElementEmitter.h"

using namespace mlir;

namespace nncc {

RefTensor::RefTensor(RankedTensorType type) : type(type) {
  if (isFloat())
    floats.assign(size(), 0.0);
  else
    ints.assign(size(), 0);
}

static double toDouble(APFloat value) {
  bool losesInfo;
  value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven,
                &losesInfo);
  return value.convertToDouble();
}

RefTensor::RefTensor(DenseElementsAttr attr)
    : RefTensor(cast<RankedTensorType>(attr.getType())) {
  if (isFloat()) {
    int64_t i = 0;
    for (APFloat value : attr.getValues<APFloat>())
      floats[i++] = toDouble(value);
    return;
  }
  int64_t i = 0;
  for (APInt value : attr.getValues<APInt>())
    ints[i++] = wrapTo(type.getElementType(), value.getSExtValue());
}

void RefTensor::set(int64_t i, Number value) {
  Type element = type.getElementType();
  if (isFloat())
    floats[i] = value.toDouble();
  else if (element.isInteger(1))
    ints[i] = value.isZero() ? 0 : 1;
  else
    ints[i] = wrapTo(element, value.toInteger(element.getIntOrFloatBitWidth()));
}

void RefTensor::wrap() {
  for (int64_t &value : ints)
    value = wrapTo(type.getElementType(), value);
}

SmallVector<int64_t> RefTensor::strides() const { return stridesOf(shape()); }

DenseElementsAttr RefTensor::toAttr() const {
  Type element = type.getElementType();
  if (auto floatType = dyn_cast<FloatType>(element)) {
    SmallVector<APFloat> values;
    values.reserve(floats.size());
    for (double value : floats) {
      APFloat rounded(value);
      bool losesInfo;
      rounded.convert(floatType.getFloatSemantics(),
                      APFloat::rmNearestTiesToEven, &losesInfo);
      values.push_back(rounded);
    }
    return DenseElementsAttr::get(type, values);
  }
  SmallVector<APInt> values;
  values.reserve(ints.size());
  unsigned width = element.getIntOrFloatBitWidth();
  for (int64_t value : ints)
    values.push_back(APInt(64, value, true).trunc(width));
  return DenseElementsAttr::get(type, values);
}

SmallVector<int64_t> stridesOf(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t i = int64_t(shape.size()) - 2; i >= 0; --i)
    strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
}

void forEachIndex(ArrayRef<int64_t> shape,
                  function_ref<void(ArrayRef<int64_t>)> body) {
  if (llvm::is_contained(shape, 0))
    return;
  SmallVector<int64_t> index(shape.size(), 0);
  while (true) {
    body(index);
    int64_t d = int64_t(shape.size()) - 1;
    for (; d >= 0; --d) {
      if (++index[d] < shape[d])
        break;
      index[d] = 0;
    }
    if (d < 0)
      return;
  }
}

int64_t positionOf(ArrayRef<int64_t> index, ArrayRef<int64_t> strides) {
  int64_t position = 0;
  for (auto [i, stride] : llvm::zip_equal(index, strides))
    position += i * stride;
  return position;
}

int64_t quotient(int64_t x, int64_t y) {
  return y == 0 ? 0 : y == -1 ? minus(0, x) : x / y;
}

int64_t remainder(int64_t x, int64_t y) {
  if (y == 0 || y == -1)
    return 0;
  int64_t rest = x % y;
  return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

int64_t floorQuotient(int64_t x, int64_t y) {
  if (y == 0 || y == -1)
    return quotient(x, y);
  return x / y - (x % y != 0 && (x < 0) != (y < 0));
}

double remainder(double x, double y) {
  double rest = std::fmod(x, y);
  return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

double floorQuotient(double x, double y) {
  if (y == 0)
    return x / y;
  double rest = std::fmod(x, y), whole = (x - rest) / y;
  if (rest != 0 && (rest < 0) != (y < 0))
    whole -= 1;
  if (whole == 0)
    return std::copysign(0.0, x / y);
  double below = std::floor(whole);
  return whole - below > 0.5 ? below + 1 : below;
}

static unsigned shiftOf(int64_t y, Type type) {
  unsigned bits = type.getIntOrFloatBitWidth();
  return y < 0 || y >= int64_t(bits) ? bits : unsigned(y);
}

int64_t shiftLeft(int64_t x, int64_t y, Type type) {
  unsigned amount = shiftOf(y, type);
  return amount == type.getIntOrFloatBitWidth()
             ? 0
             : int64_t(uint64_t(x) << amount);
}

int64_t shiftRight(int64_t x, int64_t y, Type type) {
  // Values are extended by their sign, or by zeros.
  return x >> std::min(shiftOf(y, type), 63u);
}

int64_t integerPower(int64_t base, int64_t exponent) {
  if (exponent < 0)
    return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
  uint64_t result = 1, factor = static_cast<uint64_t>(base);
  for (; exponent; exponent >>= 1, factor *= factor)
    if (exponent & 1)
      result *= factor;
  return static_cast<int64_t>(result);
}

} // namespace nncc
