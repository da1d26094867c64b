//===- StridedView.h - what views make of a tensor's memory -----*- C++ -*-===//
//
// Products read their operands through strides, without coordinates that
// anything could clamp. So here, the only place that composes views, every one
// is proven to stay inside its tensor, by arithmetic on its strides and sizes
// and whatever `View::viewOf` says.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_STRIDEDVIEW_H
#define NNCC_DIALECT_STRIDEDVIEW_H

#include "dialect/Nncc.h"

namespace nncc {

/// True if the element at each index of the view's shape lies in the memory of
/// its base. A view without elements does; one whose arithmetic overflows does
/// not.
bool staysInside(const StridedView &view);

/// `value` as strides over the nearest value that no view makes (of which `pad`
/// is none). Fails if a view has no strides, or none that stay inside; then a
/// copy of `*obstacle` in the place of that value takes one cause away.
llvm::FailureOr<StridedView> stridedView(mlir::Value value,
                                         mlir::Value *obstacle = nullptr);

} // namespace nncc
#endif // NNCC_DIALECT_STRIDEDVIEW_H
