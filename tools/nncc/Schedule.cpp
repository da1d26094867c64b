//===- Schedule.cpp - learning rates over the steps -----------------------===//
//
// Formulas as in torch.optim.lr_scheduler: StepLR, CosineAnnealingLR (to 0),
// LinearLR (from 1 to 0), OneCycleLR (its defaults).
//
//===----------------------------------------------------------------------===//
#include "Schedule.h"
#include "Flags.h"
#include "support/Diagnostics.h"
#include <algorithm>
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
    size_t comma = text.find(',');
    bool isStep = text.rfind("step:", 0) == 0 && comma != text.npos;
    auto number = wholeNumber(isStep ? text.substr(5, comma - 5) : "");
    auto factor = realNumber(isStep ? text.substr(comma + 1) : "");
    if (!number || *number < 1 || !factor || !(*factor > 0) ||
        !std::isfinite(*factor)) {
      error = "--schedule " + text +
              ": expected constant, step:EVERY,FACTOR, cosine, linear or "
              "one-cycle" +
              didYouMean(text, {"constant", "cosine", "linear", "one-cycle"});
      return false;
    }
    kind = steps;
    every = *number;
    by = *factor;
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
