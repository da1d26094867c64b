//===- Gradients.h - what is differentiated by what -------------*- C++ -*-===//
//
// The importer only asks for gradients (nncc.gradient); the pass nncc-autodiff
// computes them.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_GRADIENTS_H
#define NNCC_FRONTEND_GRADIENTS_H

#include "frontend/BodyBuilder.h"

namespace nncc {

/// Values with the names of inputs or state.
using NamedValues = std::vector<std::pair<std::string, Expr>>;

/// Parameters that are trained: floating, not frozen, and in a `step` those
/// that the optimizer has.
NamedValues trainedParameters(BodyBuilder &body, bool step);

/// Floating inputs that ask for a gradient.
NamedValues trainedInputs(const BodyBuilder &body);

/// For each of `of` the outputs that autograd has a path from.
llvm::StringMap<std::string> outputsThatReach(const NamedValues &of,
                                              const Outputs &outputs);

/// Moves the parameters without a gradient to the end; gives the number of the
/// others.
size_t splitReached(NamedValues &parameters, Expr loss);

/// The outputs of `backward` times their cotangents, summed: what it
/// differentiates; nothing if none is floating. A cotangent per floating output
/// becomes an argument.
Expr addCotangents(BodyBuilder &body, const Outputs &outputs);

/// Gradients of the values in `of`. The last `parameters` of them go through
/// `all_reduce` in buckets, last ones first: the order in which backward has
/// them.
std::vector<Expr> gradientsOf(Expr total, const NamedValues &of,
                              size_t parameters);

} // namespace nncc
#endif // NNCC_FRONTEND_GRADIENTS_H
