//===- RefTensor.h - tensors of the reference interpreter -------*- C++ -*-===//
//
// Floating tensors hold f64, all others i64 (bool is 0 or 1), whatever the
// element type; so the interpreter says what f32 code should approach.
// Row-major. Written for reading, not for speed.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_REFTENSOR_H
#define NNCC_DIALECT_REFTENSOR_H

#include "dialect/Number.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include <cmath>
#include <cstdint>
#include <vector>

namespace nncc {

struct RefTensor {
  mlir::RankedTensorType type;
  std::vector<double> floats;
  std::vector<int64_t> ints;

  RefTensor() = default;
  /// Zero-filled.
  explicit RefTensor(mlir::RankedTensorType type);
  /// From an attribute; expands splats.
  explicit RefTensor(mlir::DenseElementsAttr attr);

  bool isFloat() const {
    return llvm::isa<mlir::FloatType>(type.getElementType());
  }
  llvm::ArrayRef<int64_t> shape() const { return type.getShape(); }
  int64_t size() const { return type.getNumElements(); }
  /// Row-major strides in elements.
  llvm::SmallVector<int64_t> strides() const;
  /// Element `i` as a double, whatever the kind.
  double get(int64_t i) const {
    return isFloat() ? floats[i] : double(ints[i]);
  }
  /// Element `i` as it is.
  Number number(int64_t i) const {
    return isFloat() ? Number(floats[i]) : Number(ints[i]);
  }
  /// Doubles round towards zero in integer tensors, and integers wrap to the
  /// element type; any non-zero is true in bool ones.
  void set(int64_t i, Number value);
  /// Reduces integers to the element type: what `evaluate` gives is modulo
  /// 2^64.
  void wrap();
  /// Copies element `from` of `source`, which has the same kind.
  void copyFrom(const RefTensor &source, int64_t from, int64_t to) {
    if (isFloat())
      floats[to] = source.floats[from];
    else
      ints[to] = source.ints[from];
  }
  /// The tensor as an attribute, rounded to its element type.
  mlir::DenseElementsAttr toAttr() const;
};

llvm::SmallVector<int64_t> stridesOf(llvm::ArrayRef<int64_t> shape);

/// Calls `body` with every index tuple of `shape` in row-major order.
void forEachIndex(llvm::ArrayRef<int64_t> shape,
                  llvm::function_ref<void(llvm::ArrayRef<int64_t>)> body);

/// The row-major position of `index` under `strides`.
int64_t positionOf(llvm::ArrayRef<int64_t> index,
                   llvm::ArrayRef<int64_t> strides);

/// base^exponent, 0 for negative exponents of |base| > 1.
int64_t integerPower(int64_t base, int64_t exponent);

/// Sums and products modulo 2^64.
inline int64_t plus(int64_t x, int64_t y) {
  return int64_t(uint64_t(x) + uint64_t(y));
}
inline int64_t minus(int64_t x, int64_t y) {
  return int64_t(uint64_t(x) - uint64_t(y));
}
inline int64_t times(int64_t x, int64_t y) {
  return int64_t(uint64_t(x) * uint64_t(y));
}
/// x / y towards zero; 0 where y is 0.
int64_t quotient(int64_t x, int64_t y);
/// floor(x / y) and x - floor(x / y) y, as PyTorch rounds; of integers 0 where
/// y is 0.
int64_t floorQuotient(int64_t x, int64_t y);
int64_t remainder(int64_t x, int64_t y);
double floorQuotient(double x, double y);
double remainder(double x, double y);
/// By as many bits as the type has, or more, or a negative number: everything
/// is shifted out.
int64_t shiftLeft(int64_t x, int64_t y, mlir::Type type);
int64_t shiftRight(int64_t x, int64_t y, mlir::Type type);

template <typename FloatFn, typename IntFn>
void mapElements(const RefTensor &x, RefTensor &result, FloatFn floatFn,
                 IntFn intFn) {
  for (int64_t i = 0, e = x.size(); i < e; ++i) {
    if (result.isFloat())
      result.floats[i] = floatFn(x.floats[i]);
    else
      result.ints[i] = intFn(x.ints[i]);
  }
}

template <typename FloatFn, typename IntFn>
void zipElements(const RefTensor &x, const RefTensor &y, RefTensor &result,
                 FloatFn floatFn, IntFn intFn) {
  for (int64_t i = 0, e = x.size(); i < e; ++i) {
    if (result.isFloat())
      result.floats[i] = floatFn(x.floats[i], y.floats[i]);
    else
      result.ints[i] = intFn(x.ints[i], y.ints[i]);
  }
}

} // namespace nncc
#endif // NNCC_DIALECT_REFTENSOR_H
