//===- TrainStep.h - from gradients to new parameters -----------*- C++ -*-===//
#ifndef NNCC_FRONTEND_TRAINSTEP_H
#define NNCC_FRONTEND_TRAINSTEP_H

#include "frontend/Gradients.h"

namespace nncc {

/// Adds new parameters and optimizer state to `outputs`. The learning rate is
/// the argument `lr`; a group with its own keeps its proportion to the
/// optimizer's. Parameters behind the last gradient have none: they stay as
/// they are, and so does the state that a file may have for them. Where the
/// body `accumulates`, it only sums gradients.
void addOptimizer(BodyBuilder &body, const NamedValues &parameters,
                  std::vector<Expr> gradients, bool accumulates,
                  Outputs &outputs);

} // namespace nncc
#endif // NNCC_FRONTEND_TRAINSTEP_H
