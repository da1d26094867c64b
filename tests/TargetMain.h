//===- TargetMain.h - nncc with another target ------------------*- C++ -*-===//
#ifndef NNCC_TESTS_TARGETMAIN_H
#define NNCC_TESTS_TARGETMAIN_H

#include "codegen/kernels/KernelKind.h"

namespace nncc {

/// The main function of an nncc that makes kernels for `target`, unoptimised.
int runWithTarget(const KernelTarget &target, int argc, char **argv);

} // namespace nncc
#endif // NNCC_TESTS_TARGETMAIN_H
