//===- Fill.h - values of tensors -------------------------------*- C++ -*-===//
#ifndef NNCC_TOOLS_FILL_H
#define NNCC_TOOLS_FILL_H

#include "HostTensor.h"
#include "Spec.h"

namespace nncc {

/// Random elements: normal or of [0, 1) for floats; for integers 0 or 1, which
/// every embedding has.
void randomize(HostTensor &tensor, bool isNormal, uint64_t seed);
/// Random values that keep a network's numbers in range: matrices are scaled
/// by their inputs; vectors lie in [0.5, 1.5), which suits variances too.
void randomizeState(HostTensor &tensor, uint64_t seed);
/// Elements as a spec without a file asks; false and what is wrong if they do
/// not fit the tensor's type or size.
bool fillAs(HostTensor &tensor, const InputSpec &spec, std::string &error);
/// Values of another type, each rounded to `dtype`; false and which one if that
/// does not hold it.
bool convertTo(HostTensor &tensor, nncc_dtype dtype, std::string &error);

} // namespace nncc
#endif // NNCC_TOOLS_FILL_H
