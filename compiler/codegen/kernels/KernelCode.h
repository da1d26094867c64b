//===- KernelCode.h - code for whole kernels --------------------*- C++ -*-===//
//
// A kernel emitter writes the body of `kernel(buffers, begin, end)` at the
// emitter's insertion point: tiles [begin, end) of a number that it returns
// and that depends on shapes, schedule and target alone, never on threads.
// What is here serves the kernels of all targets.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_KERNELS_KERNELCODE_H
#define NNCC_CODEGEN_KERNELS_KERNELCODE_H

#include "codegen/kernels/BufferEmitter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace nncc {

struct KernelCode {
  /// Of the target whose kernel this is.
  BufferEmitter &e;
  /// The kernel in nncc ops. Operands' memory is in e.buffers.
  mlir::func::FuncOp kernel;
  /// Memory of the results.
  llvm::ArrayRef<Buffer> outputs;
  mlir::Value begin, end;

  /// A number of the kernel's schedule.
  int64_t schedule(llvm::StringRef name) const;
};

/// Loops over the elements of the results, with reductions inside. Any kernel
/// of ops that lower to elements.
int64_t emitLoops(KernelCode &code);

/// From an element of the kernel's root at `at` to the store of the result:
/// views move the coordinates, elementwise ops are evaluated where they stand.
void emitResult(KernelCode &code, mlir::Value root, mlir::Value element,
                llvm::ArrayRef<Coord> at);

/// True if emitResult would store the lanes of an element at `at` in one piece.
bool isContiguous(KernelCode &code, mlir::Value root, llvm::ArrayRef<Coord> at);

/// The padding around results that end in `nncc.pad`, by whoever runs tile 0.
void emitHalos(KernelCode &code);

/// body(coordinate) over [0, length) in vectors, then the rest in halving
/// widths; the emitter's width is set for the body.
void alongLanes(BufferEmitter &e, int64_t length,
                llvm::function_ref<void(const Coord &)> body);

/// begin * count / tiles: the first unit of tile `begin` when `count` units
/// are split evenly.
mlir::Value firstUnit(BufferEmitter &e, mlir::Value tile, int64_t count,
                      int64_t tiles);

} // namespace nncc
#endif // NNCC_CODEGEN_KERNELS_KERNELCODE_H
