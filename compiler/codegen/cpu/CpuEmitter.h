//===- CpuEmitter.h - buffers that are memrefs ------------------*- C++ -*-===//
//
// The CPU's memory: 1-D memrefs, scratch on the stack, and squares of vectors
// transposed in registers.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_CPU_CPUEMITTER_H
#define NNCC_CODEGEN_CPU_CPUEMITTER_H

#include "codegen/kernels/BufferEmitter.h"

namespace nncc {

class CpuEmitter : public BufferEmitter {
public:
  using BufferEmitter::BufferEmitter;

  mlir::Value loadAt(mlir::Value memory, mlir::Type stored,
                     const Coord &position) override;
  void storeAt(mlir::Value memory, const Coord &position,
               mlir::Value element) override;
  mlir::Value constantMemory(mlir::DenseElementsAttr stored) override;
  mlir::Value scratchMemory(mlir::Type stored, int64_t elements) override;
  mlir::Value fma(mlir::Value x, mlir::Value y, mlir::Value z) override;

  /// A square of vectors, transposed in registers: lane j of result i is lane i
  /// of rows[j]. As many rows as lanes, a power of two.
  llvm::SmallVector<mlir::Value> transpose(llvm::SmallVector<mlir::Value> rows);
  /// Elements [i][lane] of a buffer for i in [0, width): memory is contiguous
  /// along i and strided along lanes. Loads along i and transposes; all
  /// width * width elements must exist.
  llvm::SmallVector<mlir::Value> loadTransposed(const Buffer &buffer,
                                                const Coord &position);
};

} // namespace nncc
#endif // NNCC_CODEGEN_CPU_CPUEMITTER_H
