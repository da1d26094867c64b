//===- Size.h - arithmetic of sizes that cannot wrap ------------*- C++ -*-===//
//
// Sizes in a model file may be any 64-bit integers. Shape rules compute with
// `Size`, which stays at the ends of its range instead of wrapping; what lies
// there is more than any tensor may have, so the one check of shapes
// (`shapeProblem`) refuses it.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_SUPPORT_SIZE_H
#define NNCC_SUPPORT_SIZE_H

#include "llvm/Support/MathExtras.h"
#include <limits>

namespace nncc {

class Size {
public:
  Size(int64_t value) : value(value) {}
  explicit operator int64_t() const { return value; }

  friend Size operator+(Size x, Size y) {
    int64_t sum;
    return llvm::AddOverflow(x.value, y.value, sum) ? end(x.value < 0) : sum;
  }
  friend Size operator-(Size x, Size y) {
    int64_t rest;
    return llvm::SubOverflow(x.value, y.value, rest) ? end(x.value < 0) : rest;
  }
  friend Size operator*(Size x, Size y) {
    int64_t product;
    return llvm::MulOverflow(x.value, y.value, product)
               ? end((x.value < 0) != (y.value < 0))
               : product;
  }
  friend bool operator<(Size x, Size y) { return x.value < y.value; }
  friend bool operator>(Size x, Size y) { return x.value > y.value; }
  friend bool operator==(Size x, Size y) { return x.value == y.value; }

private:
  static int64_t end(bool isNegative) {
    return isNegative ? std::numeric_limits<int64_t>::min()
                      : std::numeric_limits<int64_t>::max();
  }
  int64_t value;
};

} // namespace nncc
#endif // NNCC_SUPPORT_SIZE_H
