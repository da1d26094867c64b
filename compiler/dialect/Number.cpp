//===- Number.cpp - a number as a model writes it -------------------------===//
#include "dialect/Number.h"
#include "dialect/ElementEmitter.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace mlir;

namespace nncc {

int64_t wrapTo(Type elementType, int64_t value) {
  unsigned bits = elementType.getIntOrFloatBitWidth();
  if (bits == 1)
    return value != 0;
  if (bits == 64)
    return value;
  return isUnsignedElement(elementType)
             ? int64_t(uint64_t(value) & llvm::maskTrailingOnes<uint64_t>(bits))
             : llvm::SignExtend64(uint64_t(value), bits);
}

Number Number::of(Attribute attr) {
  if (auto integer = dyn_cast<IntegerAttr>(attr))
    return integer.getValue().getSExtValue();
  return cast<FloatAttr>(attr).getValueAsDouble();
}

int64_t Number::toInteger(unsigned bits) const {
  if (whole)
    return integer;
  bits = std::max(bits, 32u);
  double limit = std::ldexp(1.0, bits - 1);
  // Between the least number and the next double below it are none.
  return real > -limit - 1 && real < limit ? int64_t(real)
                                           : llvm::minIntN(bits);
}

bool Number::fits(Type elementType) const {
  unsigned bits = elementType.getIntOrFloatBitWidth();
  if (bits == 1)
    return true;
  if (auto floats = dyn_cast<FloatType>(elementType)) {
    double most =
        APFloat::getLargest(floats.getFloatSemantics()).convertToDouble();
    return !(std::isfinite(real) && std::fabs(real) > most);
  }
  bool isUnsigned = isUnsignedElement(elementType);
  double limit = std::ldexp(1.0, isUnsigned ? bits : bits - 1);
  if (!whole) // NaN is below nothing
    return real < limit && (isUnsigned ? real > -limit : real >= -limit);
  return bits == 64 || (double(integer) < limit &&
                        double(integer) >= -limit + (isUnsigned ? 1 : 0));
}

std::string Number::text() const {
  if (whole)
    return std::to_string(integer);
  char text[40];
  snprintf(text, sizeof text, "%g", real);
  return text;
}

TypedAttr Number::toAttr(Type elementType) const {
  if (isa<FloatType>(elementType))
    return FloatAttr::get(elementType, real);
  unsigned bits = elementType.getIntOrFloatBitWidth();
  int64_t value = bits == 1 ? !isZero() : wrapTo(elementType, toInteger(bits));
  return IntegerAttr::get(elementType,
                          llvm::APInt(64, uint64_t(value)).trunc(bits));
}

} // namespace nncc
