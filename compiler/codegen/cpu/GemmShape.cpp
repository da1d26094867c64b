//===- GemmShape.cpp - a contraction in panels of vectors -----------------===//
#include "codegen/cpu/GemmShape.h"

using namespace mlir;

namespace nncc {

int64_t mostTileRows(const TargetInfo &target, int64_t vectors) {
  int64_t room = (target.registers - 1 - vectors) / vectors;
  return std::min<int64_t>(room, vectors <= 2 ? 12 : 8);
}

SmallVector<Segment> segmentsOf(int64_t width, int64_t padded, int64_t lanes) {
  SmallVector<Segment> segments;
  int64_t vectors = width / lanes;
  if (width % lanes && (vectors + 1) * lanes <= padded)
    ++vectors; // the storage is padded: one more whole vector
  if (vectors)
    segments.push_back({0, vectors, lanes, std::min(width, vectors * lanes)});
  for (int64_t at = vectors * lanes, w = lanes / 2; w > 0; w /= 2)
    if (width - at >= w) {
      segments.push_back({at, 1, w, w});
      at += w;
    }
  return segments;
}

FailureOr<GemmShape> GemmShape::of(func::FuncOp kernel,
                                   const TargetInfo &target) {
  auto contraction = Contraction::of(kernel);
  if (failed(contraction))
    return failure();
  GemmShape shape;
  static_cast<Contraction &>(shape) = std::move(*contraction);
  if (failed(shape.analyse(kernel, target)))
    return failure();
  return shape;
}

LogicalResult GemmShape::analyse(func::FuncOp kernel,
                                 const TargetInfo &target) {
  panels = columns;
  int64_t width = 1;
  if (!panels.sizes.empty()) {
    width = panels.sizes.pop_back_val();
    if (panels.strides.pop_back_val() != 1 && width != 1)
      return failure();
  }
  // A slice behind the product says which columns of the last panel of a row
  // of panels count: of each, where a row is one panel (the taps of a
  // transposed convolution).
  panelWidth = lastWidth = width;
  int64_t wholeWidth = width;
  for (Operation &user : kernel.getBody().front())
    if (auto slice = dyn_cast<SliceOp>(user))
      if (cutsOwnColumns(slice, slice.getSizes().size() - 1)) {
        int64_t columns = slice.getSizes().back();
        int64_t inRow = shapeOf(slice.getOperand()).back() / width;
        lastWidth = columns - (inRow - 1) * width;
        if (inRow != panels.count()) {
          if (inRow != 1)
            return failure();
          wholeWidth = lastWidth;
        }
      }
  Type element = op.getType().getElementType();
  if (int64_t wide = target.panel(element); width > wide) {
    // Wide run-time operands: panels are runs of columns in place. Only the
    // last of all may be partial.
    while (panels.count() != 1 && width % wide)
      --wide;
    panels.sizes.push_back((width + wide - 1) / wide);
    panels.strides.push_back(wide);
    panelWidth = wholeWidth = wide;
    lastWidth = width - (panels.sizes.back() - 1) * wide;
    panelsAreColumns = true;
  }
  int64_t lanes = target.lanes(element);
  bool inPlace = panelsAreColumns || panels.sizes.empty();
  wholePanel = segmentsOf(wholeWidth, panelWidth, lanes);
  lastPanel = segmentsOf(lastWidth, inPlace ? lastWidth : panelWidth, lanes);
  return success();
}

} // namespace nncc
