//===- GemmShape.h - a contraction in panels of vectors ---------*- C++ -*-===//
//
// A contraction's columns as panels of vectors: what the schedule is chosen
// from and the emitter works with.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_CPU_GEMMSHAPE_H
#define NNCC_CODEGEN_CPU_GEMMSHAPE_H

#include "codegen/Target.h"
#include "codegen/kernels/Contraction.h"

namespace nncc {

/// A run of columns that is computed with one vector width.
struct Segment {
  int64_t start, vectors, width;
  int64_t valid; // columns that exist; the rest of the last vector is padding
};

/// Columns [0, width) as runs of vectors of `lanes` and of halving widths;
/// `padded` columns may be read beyond.
llvm::SmallVector<Segment> segmentsOf(int64_t width, int64_t padded,
                                      int64_t lanes);

/// The most rows of a register tile of that many vectors: bounded by registers
/// and by row pointers.
int64_t mostTileRows(const TargetInfo &target, int64_t vectors);

struct GemmShape : Contraction {
  /// Fails if that of Contraction does, or the columns are not contiguous.
  static mlir::FailureOr<GemmShape> of(mlir::func::FuncOp kernel,
                                       const TargetInfo &target);

  /// Columns but for the innermost dimension.
  DimGroup panels;
  /// The last dimension of `panels` counts runs of a wide one of rhs.
  bool panelsAreColumns = false;
  /// Columns per panel and columns of the last panel.
  int64_t panelWidth = 0, lastWidth = 0;
  llvm::SmallVector<Segment> wholePanel, lastPanel;

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
