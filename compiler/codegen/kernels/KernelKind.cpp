//===- KernelKind.cpp - the kinds of kernels a target knows ---------------===//
#include "codegen/kernels/KernelKind.h"

using namespace mlir;

namespace nncc {

KernelFacts KernelTarget::facts(const TargetInfo &target) const {
  auto wantsOrder = [kinds = kinds, target](KernelRoot root, unsigned operand,
                                            const StridedView &view) {
    return llvm::all_of(kinds, [&](const KernelKind &kind) {
      return !kind.wantsOrder || kind.wantsOrder(root, operand, view, target);
    });
  };
  return {wantsOrder, target.uncachedBytes};
}

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
