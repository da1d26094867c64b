//===- KernelEmitters.h - the CPU's code for whole kernels ------*- C++ -*-===//
//
// One function per row of the table in Kernels.cpp; see kernels/KernelCode.h.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_CPU_KERNELEMITTERS_H
#define NNCC_CODEGEN_CPU_KERNELEMITTERS_H

#include "codegen/cpu/CpuEmitter.h"
#include "codegen/cpu/GemmShape.h"
#include "codegen/kernels/KernelCode.h"

namespace llvm {
class Function;
}

namespace nncc {

/// The emitter of a kernel of the CPU.
inline CpuEmitter &cpuEmitter(KernelCode &code) {
  return static_cast<CpuEmitter &>(code.e);
}

/// A contraction by register tiles, with its epilogue.
int64_t emitGemm(KernelCode &code);

/// Rows added to a table: the op whose result is the kernel's.
int64_t emitScatter(KernelCode &code);

/// Scaled dot-product attention, one tile per head and block of rows.
int64_t emitAttention(KernelCode &code);

/// The op that alone is the kernel, one tile per head.
int64_t emitAttentionBackward(KernelCode &code);

/// Loops around an operand that is contiguous along another dimension than the
/// result, by squares of vectors.
bool isTranspose(mlir::func::FuncOp kernel, const TargetInfo &target);
int64_t emitTranspose(KernelCode &code);

/// The function `name` of the ABI (nncc_kernel) around a kernel: it takes its
/// pointers from an array.
void wrapForAbi(llvm::Function &kernel, llvm::StringRef name);

/// acc[r][v] += sum_k lhs[rowStarts[r] + k] * rhs[columnStarts[v] + k], as
/// vectors of the current width along rhs; accumulators row-major. Dimensions
/// outermost first.
llvm::SmallVector<mlir::Value> emitRegisterTile(
    BufferEmitter &e, const Buffer &lhs, const Buffer &rhs,
    llvm::ArrayRef<Coord> rowStarts, llvm::ArrayRef<Coord> columnStarts,
    llvm::ArrayRef<SumDim> dims, llvm::ArrayRef<mlir::Value> accumulators);

} // namespace nncc
#endif // NNCC_CODEGEN_CPU_KERNELEMITTERS_H
