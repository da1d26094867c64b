//===- Curve.cpp - the course of a training -------------------------------===//
#include "Curve.h"
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

bool Curve::read(const std::string &csv, uint64_t last) {
  std::istringstream lines(csv);
  std::string line;
  if (!std::getline(lines, line) || line != header)
    return false;
  while (std::getline(lines, line)) {
    unsigned long long step;
    CurvePoint p = {0, 0, 0, std::numeric_limits<double>::quiet_NaN()};
    if (sscanf(line.c_str(), "%llu,%lf,%lf,%lf", &step, &p.lr, &p.loss,
               &p.validation) < 3)
      return false;
    p.step = step;
    if (p.step <= last)
      points.push_back(p);
  }
  return true;
}

} // namespace nncc
