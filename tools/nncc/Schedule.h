//===- Schedule.h - learning rates over the steps ---------------*- C++ -*-===//
#ifndef NNCC_TOOLS_SCHEDULE_H
#define NNCC_TOOLS_SCHEDULE_H

#include <cstdint>
#include <string>

namespace nncc {

/// The factor on the learning rate at each step.
class Schedule {
public:
  /// "constant", "step:EVERY,FACTOR", "cosine", "linear" or "one-cycle"; false
  /// and a sentence if `text` is none.
  bool parse(const std::string &text, std::string &error);
  /// Of step `step` (from 0) of `total`; the first `warmup` rise linearly.
  double factor(uint64_t step, uint64_t total, uint64_t warmup) const;
  /// Whether the factor of a step depends on how many there are.
  bool isStretched() const { return kind != constant && kind != steps; }

  /// The first step whose factor is another one, if the factor stands still
  /// before; otherwise 0.
  uint64_t firstChange() const { return kind == steps ? every : 0; }

private:
  enum Kind { constant, steps, cosine, linear, oneCycle } kind = constant;
  uint64_t every = 1;
  double by = 1;
};

} // namespace nncc
#endif // NNCC_TOOLS_SCHEDULE_H
