//===- Nncc.h - the nncc dialect --------------------------------*- C++ -*-===//
//
// Everything a pass needs to work with nncc ops: the dialect, its enums,
// interfaces and op classes. Light on purpose: no Linalg, no LLVM dialect.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_NNCC_H
#define NNCC_DIALECT_NNCC_H

#include "dialect/ElementEmitter.h"
#include "dialect/RefTensor.h"
#include "support/Size.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::OpTrait::nncc {
/// An element costs many instructions: not to be computed twice, and not on a
/// full register tile.
template <typename Op> class Costly : public TraitBase<Op, Costly> {};
} // namespace mlir::OpTrait::nncc

namespace nncc {
class Gradient;
struct ExprBuilder;

/// A place in the memory of an operand.
struct MemoryPlace {
  unsigned operand;
  int64_t bytes = 0; // behind its start
};
} // namespace nncc

#include "dialect/NnccDialect.h.inc"
#include "dialect/NnccEnums.h.inc"
#include "dialect/NnccInterfaces.h.inc"

#define GET_OP_CLASSES
#include "dialect/NnccOps.h.inc"

namespace nncc {

inline mlir::RankedTensorType tensorType(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType());
}
inline llvm::ArrayRef<int64_t> shapeOf(mlir::Value value) {
  return tensorType(value).getShape();
}

/// Bytes of an element in memory; bool takes one.
int64_t elementBytes(mlir::Type elementType);
/// Bytes of a tensor in memory.
int64_t byteSize(mlir::RankedTensorType type);

/// Multiplications and additions of a kernel's products; elementwise work is
/// not counted.
Size flopsOf(mlir::Operation *kernel);

/// Where the elements of `value` come from as they are, all of them: through
/// reshapes, transposes, broadcasts, and conversions to wider integers.
mlir::Value sourceOfElements(mlir::Value value);

/// True if `entries` are strictly increasing and in [0, rank).
bool areDims(llvm::ArrayRef<int64_t> entries, int64_t rank);

/// The dimensions of a tensor of this rank that are not in `dims`, in order.
llvm::SmallVector<int64_t> otherDims(llvm::ArrayRef<int64_t> dims,
                                     int64_t rank);

/// The permutation that undoes `perm`.
llvm::SmallVector<int64_t> inverse(llvm::ArrayRef<int64_t> perm);

/// Entries of a transposed tensor's dimensions, in the order of the operand's.
llvm::SmallVector<int64_t> permuted(llvm::ArrayRef<int64_t> entries,
                                    llvm::ArrayRef<int64_t> perm);

/// The value by which `x combiner identity` is x, in the element type.
Number identityOf(Combiner combiner, mlir::Type elementType);

} // namespace nncc
#endif // NNCC_DIALECT_NNCC_H
