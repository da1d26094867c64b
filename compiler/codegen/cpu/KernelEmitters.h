//===- KernelEmitters.h - code for whole kernels ----------------*- C++ -*-===//
//
// A kernel emitter writes the body of `kernel(buffers, begin, end)` at the
// emitter's insertion point: tiles [begin, end) of a number that it returns
// and that depends on shapes, schedule and target alone, never on threads.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_CPU_KERNELEMITTERS_H
#define NNCC_CODEGEN_CPU_KERNELEMITTERS_H

#include "codegen/cpu/CpuEmitter.h"
#include "codegen/cpu/GemmShape.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace nncc {

struct KernelCode {
  CpuEmitter &e;
  /// The kernel in nncc ops. Operands' memory is in e.buffers.
  mlir::func::FuncOp kernel;
  /// Memory of the results.
  llvm::ArrayRef<mlir::Value> outputs;
  mlir::Value begin, end;

  /// A number of the kernel's schedule (Schedule.h).
  int64_t schedule(llvm::StringRef name) const;
};

/// Loops over the elements of the results, with reductions inside. Any kernel
/// without attention or scan.
int64_t emitLoops(KernelCode &code);

/// A contraction by register tiles, with its epilogue.
int64_t emitGemm(KernelCode &code, const GemmShape &shape);

/// The kernel whose result `op` is.
int64_t emitScatter(KernelCode &code, ScatterAddOp op);

/// Scaled dot-product attention, one tile per head and block of rows.
int64_t emitAttention(KernelCode &code);

/// The kernel that `op` alone is, one tile per head.
int64_t emitAttentionBackward(KernelCode &code, AttentionBackwardOp op);

/// From an element of the kernel's root at `at` to the store of the result:
/// views move the coordinates, elementwise ops are evaluated where they stand.
void emitResult(KernelCode &code, mlir::Value root, mlir::Value element,
                llvm::ArrayRef<Coord> at);

/// The padding around results that end in `nncc.pad`, by whoever runs tile 0.
void emitHalos(KernelCode &code);

/// body(coordinate) over [0, length) in vectors, then the rest in halving
/// widths; the emitter's width is set for the body.
void alongLanes(CpuEmitter &e, int64_t length,
                llvm::function_ref<void(const Coord &)> body);

/// acc[r][v] += sum_k lhs[rowStarts[r] + k] * rhs[columnStarts[v] + k], as
/// vectors of the current width along rhs; accumulators row-major. Dimensions
/// outermost first.
llvm::SmallVector<mlir::Value> emitRegisterTile(
    CpuEmitter &e, mlir::Value lhs, mlir::Value rhs,
    llvm::ArrayRef<Coord> rowStarts, llvm::ArrayRef<Coord> columnStarts,
    llvm::ArrayRef<SumDim> dims, llvm::ArrayRef<mlir::Value> accumulators);

/// begin * count / tiles: the first unit of tile `begin` when `count` units
/// are split evenly.
mlir::Value firstUnit(CpuEmitter &e, mlir::Value tile, int64_t count,
                      int64_t tiles);

} // namespace nncc
#endif // NNCC_CODEGEN_CPU_KERNELEMITTERS_H
