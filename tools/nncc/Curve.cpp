//===- Curve.cpp - the course of a training -------------------------------===//
#include "Curve.h"
#include "Flags.h"
#include <cmath>
#include <cstdlib>
#include <limits>
#include <sstream>

namespace nncc {

static const char header[] = "step,lr,loss,validation";

std::string digitsOf(double value) {
  char text[40];
  snprintf(text, sizeof text, "%.9g", value);
  double read = strtod(text, nullptr);
  if (read != value && double(float(read)) != value)
    snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string Curve::csv() const {
  std::string text = std::string(header) + "\n";
  for (const CurvePoint &p : points)
    text += std::to_string(p.step) + "," + digitsOf(p.lr) + "," +
            digitsOf(p.loss) + "," +
            (std::isnan(p.validation) ? "" : digitsOf(p.validation)) + "\n";
  return text;
}

/// A line of such a file: a step, finite numbers, the last of which may be
/// missing.
static bool readPoint(const std::string &line, CurvePoint &point) {
  std::vector<std::string> fields(1);
  for (char c : line)
    if (c == ',')
      fields.emplace_back();
    else
      fields.back() += c;
  point.validation = std::numeric_limits<double>::quiet_NaN();
  auto step = wholeNumber(fields[0]);
  if (!step || fields.size() != 4)
    return false;
  point.step = *step;
  double *const numbers[] = {&point.lr, &point.loss, &point.validation};
  for (size_t i = 0; i < 3; ++i) {
    auto number = realNumber(fields[i + 1]);
    if (number && std::isfinite(*number))
      *numbers[i] = *number;
    else if (i < 2 || !fields[3].empty())
      return false;
  }
  return true;
}

bool Curve::read(const std::string &csv, uint64_t last, size_t &bad) {
  std::istringstream lines(csv);
  std::string line;
  bad = 1;
  if (!std::getline(lines, line) || line != header)
    return false;
  uint64_t before = 0;
  while (++bad, std::getline(lines, line)) {
    CurvePoint point;
    if (!readPoint(line, point) || point.step <= before)
      return false;
    before = point.step;
    if (point.step <= last)
      points.push_back(point);
  }
  return true;
}

} // namespace nncc
