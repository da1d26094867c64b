//===- Schedule.cpp - learning rates over the steps -----------------------===//
//
// Formulas as in torch.optim.lr_scheduler: StepLR, CosineAnnealingLR (to 0),
// LinearLR (from 1 to 0), OneCycleLR (its defaults).
//
//===----------------------------------------------------------------------===//
#include "Schedule.h"
#include <algorithm>
#include <cctype>
#include <cmath>

namespace nncc {

bool Schedule::parse(const std::string &text, std::string &error) {
  if (text == "constant")
    kind = constant;
  else if (text == "cosine")
    kind = cosine;
  else if (text == "linear")
    kind = linear;
  else if (text == "one-cycle")
    kind = oneCycle;
  else {
    unsigned long long number;
    int end = 0;
    if (sscanf(text.c_str(), "step:%llu,%lf%n", &number, &by, &end) != 2 ||
        !isdigit(text[5]) || size_t(end) != text.size() || number < 1 ||
        !(by > 0) || !std::isfinite(by)) {
      error = "--schedule " + text +
              ": expected constant, step:EVERY,FACTOR, cosine, linear or "
              "one-cycle";
      return false;
    }
    kind = steps;
    every = number;
  }
  return true;
}

double Schedule::factor(uint64_t step, uint64_t total, uint64_t warmup) const {
  const double pi = 3.14159265358979323846;
  double rise = warmup > step ? double(step + 1) / double(warmup) : 1;
  double share = total ? double(step) / double(total) : 0;
  auto ease = [&](double from, double to, double at) {
    return to + (from - to) / 2 * (1 + std::cos(pi * at));
  };
  switch (kind) {
  case constant:
    return rise;
  case steps:
    return rise * std::pow(by, double(step / every));
  case cosine:
    return rise * ease(1, 0, share);
  case linear:
    return rise * (1 - share);
  case oneCycle: {
    double last = double(std::max<uint64_t>(total, 2) - 1),
           peak = 0.3 * double(total) - 1;
    if (double(step) <= peak)
      return ease(1 / 25.0, 1, double(step) / std::max(peak, 1.0));
    return ease(1, 1 / 25.0 / 1e4, (double(step) - peak) / (last - peak));
  }
  }
  return 1;
}

} // namespace nncc
