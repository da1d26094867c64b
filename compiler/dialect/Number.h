//===- Number.h - a number as a model writes it -----------------*- C++ -*-===//
//
// An integer or a double, so that integers beyond 2^53 reach integer tensors
// as they were written. What a number becomes in an element type is decided
// here alone.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_NUMBER_H
#define NNCC_DIALECT_NUMBER_H

#include "mlir/IR/BuiltinAttributes.h"
#include <cstdint>
#include <string>
#include <type_traits>

namespace nncc {

class Number {
public:
  template <typename T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
  Number(T value)
      : whole(std::is_integral_v<T>),
        integer(std::is_integral_v<T> ? int64_t(value) : 0),
        real(double(value)) {}

  /// The value of an integer or float attribute.
  static Number of(mlir::Attribute attr);

  bool isInteger() const { return whole; }
  bool isZero() const { return whole ? integer == 0 : real == 0; }
  double toDouble() const { return real; }
  /// A double rounds towards zero; what no integer of `bits` bits (32 or more)
  /// holds, NaN too, is the least one, as x86 converts.
  int64_t toInteger(unsigned bits = 64) const;
  /// Whether an element of this type can hold it, rounded: PyTorch refuses
  /// others where it converts a number by itself. A bool holds all; negative
  /// numbers of the size that an unsigned type has wrap there; a double in an
  /// integer type loses its fraction.
  bool fits(mlir::Type elementType) const;
  /// As a model writes it.
  std::string text() const;
  /// As an element of this type: rounded for floats, modulo 2^bits for
  /// integers, whether it is not 0 for bool.
  mlir::TypedAttr toAttr(mlir::Type elementType) const;

private:
  bool whole;
  int64_t integer;
  double real;
};

/// The low bits of `value` as an integer of the type: sign or zero extended;
/// bool: whether it is not 0.
int64_t wrapTo(mlir::Type elementType, int64_t value);

} // namespace nncc
#endif // NNCC_DIALECT_NUMBER_H
