//===- LoopNest.h - kernels as loops over result elements -------*- C++ -*-===//
//
// The parts of a kernel without a root that loop nests are made of; a target
// with a nest of its own (a transpose in registers) derives from it.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_KERNELS_LOOPNEST_H
#define NNCC_CODEGEN_KERNELS_LOOPNEST_H

#include "codegen/kernels/KernelCode.h"

namespace nncc {

/// What a loop nest gives: a result of the kernel or, if that only pads
/// another value, this one, which is stored into its interior.
struct LoopOutput {
  mlir::Value value;
  PadOp pad; // or null
};
llvm::SmallVector<LoopOutput> loopOutputs(mlir::func::FuncOp kernel);

/// True if all of the kernel is elementwise on one shape, or on scalars.
bool isFlat(mlir::func::FuncOp kernel);

/// The first reduction along the last dimension of at least a vector; null if
/// there is none.
ReduceOp rowReduction(mlir::func::FuncOp kernel, const TargetInfo &target);

class LoopNest {
public:
  explicit LoopNest(KernelCode &code)
      : code(code), e(code.e), outputs(loopOutputs(code.kernel)) {}

  int64_t emit();

protected:
  /// The schedule's tiles, but no more than there is to share out.
  int64_t tilesFor(int64_t units);
  /// Units [first of begin, first of end) of the tiles; gives their number.
  int64_t overUnits(int64_t units,
                    llvm::function_ref<void(const Coord &)> unit);
  void store(unsigned output, llvm::ArrayRef<Coord> at, mlir::Value element);
  /// All outputs at all points of `block`: first computed, then stored, so
  /// that neighbours share loads.
  void emitPoints(llvm::ArrayRef<Coords> block);

  llvm::ArrayRef<int64_t> shape() { return shapeOf(outputs.front().value); }

  KernelCode &code;
  BufferEmitter &e;
  llvm::SmallVector<LoopOutput> outputs;

private:
  int64_t emitFlat();
  int64_t emitGeneral();
  int64_t emitRows(ReduceOp reduction);
  void emitRow(llvm::ArrayRef<Coord> at, ReduceOp reduction);
};

} // namespace nncc
#endif // NNCC_CODEGEN_KERNELS_LOOPNEST_H
