//===- KernelKind.cpp - the kinds of kernels a target knows ---------------===//
#include "codegen/kernels/KernelKind.h"

using namespace mlir;

namespace nncc {

const KernelKind &KernelTarget::kind(StringRef name) const {
  for (const KernelKind &kind : kinds)
    if (name == kind.name)
      return kind;
  llvm_unreachable("nncc-tile gives every kernel a kind of its target");
}

const ScheduleNumber *KernelTarget::number(StringRef name) const {
  for (const KernelKind &kind : kinds)
    for (const ScheduleNumber &number : kind.numbers)
      if (name == number.name)
        return &number;
  return nullptr;
}

} // namespace nncc
