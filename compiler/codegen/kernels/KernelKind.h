//===- KernelKind.h - the kinds of kernels a target knows -------*- C++ -*-===//
//
// One row per kind of kernel and target. Everything that asks what kind a
// kernel is goes through these rows: which numbers its schedule has, what they
// are best, and its code.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_KERNELS_KERNELKIND_H
#define NNCC_CODEGEN_KERNELS_KERNELKIND_H

#include "codegen/kernels/KernelCode.h"
#include "passes/Passes.h"
#include <memory>

namespace llvm {
class Function;
}

namespace nncc {

/// A number of a schedule: from 1 to `most`.
struct ScheduleNumber {
  const char *name;
  int64_t most = 1 << 20;
};

struct KernelKind {
  /// What `nncc.kind` of a kernel says.
  const char *name;
  llvm::ArrayRef<ScheduleNumber> numbers;
  bool (*matches)(mlir::func::FuncOp kernel, const TargetInfo &target);
  /// The numbers that a cost model gives a kernel of this kind, in order.
  llvm::SmallVector<int64_t> (*choose)(mlir::func::FuncOp kernel,
                                       const TargetInfo &target);
  /// Writes the kernel's code and gives its number of tiles.
  int64_t (*emit)(KernelCode &code);
  /// True if such kernels read that product operand of a root of theirs as
  /// `view` has it, and for all other roots. Null: whatever its strides are.
  bool (*wantsOrder)(KernelRoot root, unsigned operand, const StridedView &view,
                     const TargetInfo &target) = nullptr;
};

/// What is behind the passes for one target.
struct KernelTarget {
  /// A kernel is of the first kind that matches; the last takes all.
  llvm::ArrayRef<KernelKind> kinds;
  /// True for the triples that its code is for.
  bool (*isTriple)(llvm::StringRef triple);
  /// The facts about a machine; false and a sentence for an unknown name.
  bool (*lookup)(llvm::StringRef cpu, TargetInfo &info, std::string &error);
  /// What a kernel takes for the memory of a tensor of such elements.
  mlir::Type (*bufferType)(mlir::MLIRContext *context, int64_t elements,
                           mlir::Type stored);
  std::unique_ptr<BufferEmitter> (*emitter)(mlir::OpBuilder &b,
                                            mlir::Location loc,
                                            const TargetInfo &target);
  /// Adds the function `name` beside the code of a kernel, which calls it as
  /// this target's kernels are called.
  void (*wrap)(llvm::Function &code, llvm::StringRef name);

  /// What all kinds together ask of form-kernels.
  KernelFacts facts(const TargetInfo &target) const;
  /// The kind of that name; there must be one.
  const KernelKind &kind(llvm::StringRef name) const;
  /// The number of that name in some kind's schedule, or null.
  const ScheduleNumber *number(llvm::StringRef name) const;
};

/// The CPU (codegen/cpu): what models are compiled for unless tests say else.
const KernelTarget &cpuTarget();

} // namespace nncc
#endif // NNCC_CODEGEN_KERNELS_KERNELKIND_H
