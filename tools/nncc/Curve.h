//===- Curve.h - the course of a training -----------------------*- C++ -*-===//
#ifndef NNCC_TOOLS_CURVE_H
#define NNCC_TOOLS_CURVE_H

#include <cstdint>
#include <string>
#include <vector>

namespace nncc {

/// A number of f32 in 9 digits, another one in so many that it reads back as it
/// was.
std::string digitsOf(double value);

struct CurvePoint {
  uint64_t step; // from 1
  double loss, lr;
  double validation; // NaN: not computed at this step
};

struct Curve {
  std::vector<CurvePoint> points;

  /// "step,lr,loss,validation", numbers that read back as they were.
  std::string csv() const;
  /// Reads such a file up to and with `last`; false if it is none, and the
  /// first line, from 1, that is not one of such a file.
  bool read(const std::string &csv, uint64_t last, size_t &bad);
  /// A chart: loss, its running mean, validation.
  std::string svg(const std::string &title) const;
};

} // namespace nncc
#endif // NNCC_TOOLS_CURVE_H
