//===- GemmShape.h - what a contraction looks like in memory ----*- C++ -*-===//
//
// The dimensions of a contraction as rows, panels of columns and sums over
// strided memory: what the schedule is chosen from and the emitter works with.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_CPU_GEMMSHAPE_H
#define NNCC_CODEGEN_CPU_GEMMSHAPE_H

#include "codegen/Target.h"
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

/// A run of columns that is computed with one vector width.
struct Segment {
  int64_t start, vectors, width;
  int64_t valid; // columns that exist; the rest of the last vector is padding
};

/// Columns [0, width) as runs of vectors of `lanes` and of halving widths;
/// `padded` columns may be read beyond.
llvm::SmallVector<Segment> segmentsOf(int64_t width, int64_t padded,
                                      int64_t lanes);

/// True if dimension `d` of a slice behind a product is the product's columns,
/// of which the slice keeps all but some of the last panel: columns that do not
/// exist.
bool cutsOwnColumns(SliceOp slice, int64_t d);

/// The most rows of a register tile of that many vectors: bounded by registers
/// and by row pointers.
int64_t mostTileRows(const TargetInfo &target, int64_t vectors);

struct GemmShape {
  /// Fails if an operand has no strides, the columns are not contiguous, or the
  /// element type is no floating one.
  static mlir::FailureOr<GemmShape> of(mlir::func::FuncOp kernel,
                                       const TargetInfo &target);

  ContractOp op;
  StridedView lhs, rhs;
  DimGroup lhsBatch, rhsBatch, rows, panels;
  /// Sum dimensions in lhs's order, neighbours merged.
  llvm::SmallVector<SumDim> sums;
  /// Panels are runs of one wide dimension of rhs, not a dimension themselves.
  bool panelsAreColumns = false;
  /// Columns per panel and columns of the last panel.
  int64_t panelWidth = 0, lastWidth = 0;
  llvm::SmallVector<Segment> wholePanel, lastPanel;

  /// Products per element of the result.
  int64_t depth() const;
  /// Panels of full width.
  int64_t wholePanels() const {
    return panels.count() - (lastWidth != panelWidth);
  }

private:
  mlir::LogicalResult analyse(mlir::func::FuncOp kernel,
                              const TargetInfo &target);
};

} // namespace nncc
#endif // NNCC_CODEGEN_CPU_GEMMSHAPE_H
