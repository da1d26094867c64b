//===- Contraction.h - a contraction in memory ------------------*- C++ -*-===//
//
// The dimensions of a contraction as groups over strided memory, whatever
// target multiplies them.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_KERNELS_CONTRACTION_H
#define NNCC_CODEGEN_KERNELS_CONTRACTION_H

#include "dialect/StridedView.h"

namespace nncc {

/// `value` as strides over the memory of a kernel's operand, all of them inside
/// it; fails if something else is computed in between.
mlir::FailureOr<StridedView> operandView(mlir::Value value);

/// A flattened group of dimensions with their strides in one operand.
struct DimGroup {
  llvm::SmallVector<int64_t> sizes, strides;
  int64_t count() const {
    int64_t product = 1;
    for (int64_t size : sizes)
      product *= size;
    return product;
  }
};

/// One K dimension of a register tile: trip count (`count` if it is known only
/// at run time) and steps in both operands.
struct SumDim {
  int64_t size, lhsStride, rhsStride;
  mlir::Value count = {};
};

/// True if dimension `d` of a slice behind a product is the product's columns,
/// of which the slice keeps all but some of the last panel: columns that do not
/// exist.
bool cutsOwnColumns(SliceOp slice, int64_t d);

struct Contraction {
  /// The one of a kernel. Fails if there is none, an operand has no strides,
  /// the element type is no floating one or registers hold another one than the
  /// operands'.
  static mlir::FailureOr<Contraction> of(mlir::func::FuncOp kernel);

  ContractOp op;
  StridedView lhs, rhs;
  DimGroup lhsBatch, rhsBatch, rows, columns;
  /// Sum dimensions in lhs's order, neighbours merged.
  llvm::SmallVector<SumDim> sums;

  /// Products per element of the result.
  int64_t depth() const;
};

} // namespace nncc
#endif // NNCC_CODEGEN_KERNELS_CONTRACTION_H
