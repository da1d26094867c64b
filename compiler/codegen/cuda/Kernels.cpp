//===- Kernels.cpp - the GPU's kinds of kernels ---------------------------===//
//
// The CPU's kernels, which may run their tiles in any order: here each by a
// thread of its own. So there are as many tiles as emitters allow, and what a
// tile keeps to itself is small. Kinds, names and numbers are the CPU's.
//
//===----------------------------------------------------------------------===//
#include "codegen/cuda/CudaKernels.h"

using namespace mlir;

namespace nncc {

using Numbers = SmallVector<int64_t>;

/// As many as there can be: emitters take fewer.
static constexpr int64_t all = 1 << 20;

/// A tile is `rows` by one panel: 32 numbers in registers.
static Numbers chooseProduct(func::FuncOp, const TargetInfo &) {
  static constexpr int64_t rows = 4, panels = 1, block = 1;
  return {rows, panels, block, all};
}

/// More tiles than threads that run at once gain nothing.
static Numbers chooseLoops(func::FuncOp, const TargetInfo &) { return {16384}; }

static Numbers cpuNumbers(const char *kind, func::FuncOp kernel,
                          const TargetInfo &target) {
  return cpuTarget().kind(kind).choose(kernel, target);
}

static Numbers chooseAttention(func::FuncOp kernel, const TargetInfo &target) {
  Numbers numbers = cpuNumbers("attention", kernel, target);
  numbers[2] = all; // groups
  return numbers;
}

/// Maxima and sums of few rows are kept, since they lie on the stack.
static Numbers chooseAttentionBackward(func::FuncOp kernel,
                                       const TargetInfo &target) {
  static constexpr int64_t block = 8, chunk = 64;
  Numbers numbers = cpuNumbers("attention_backward", kernel, target);
  numbers[2] = block;
  numbers[3] = chunk;
  return numbers;
}

const KernelTarget &cudaTarget() {
  static const SmallVector<KernelKind> kinds = [] {
    const std::pair<StringRef, decltype(KernelKind::choose)> choices[] = {
        {"product", chooseProduct},
        {"attention", chooseAttention},
        {"attention_backward", chooseAttentionBackward}};
    SmallVector<KernelKind> list(cpuTarget().kinds);
    for (KernelKind &kind : list) {
      kind.choose = chooseLoops;
      for (auto [name, choose] : choices)
        if (name == kind.name)
          kind.choose = choose;
    }
    return list;
  }();
  static const KernelTarget target = [] {
    KernelTarget target = cpuTarget();
    target.kinds = kinds;
    target.isTriple = isCudaTarget;
    target.lookup = lookupCuda;
    target.wrap = wrapForGrid;
    return target;
  }();
  return target;
}

} // namespace nncc
