//===- GemmShape.cpp - what a contraction looks like in memory ------------===//
#include "codegen/cpu/GemmShape.h"

using namespace mlir;

namespace nncc {

FailureOr<StridedView> operandView(Value value) {
  auto view = stridedView(value);
  if (failed(view) || !isa<BlockArgument>(view->base))
    return failure();
  return view;
}

bool cutsOwnColumns(SliceOp slice, int64_t d) {
  auto merged = slice.getOperand().getDefiningOp<ReshapeOp>();
  if (!merged || !merged.getOperand().getDefiningOp<ContractOp>() ||
      d + 1 != int64_t(slice.getSizes().size()) || slice.getStarts()[d] != 0)
    return false;
  int64_t width = shapeOf(merged.getOperand()).back();
  return slice.getSizes()[d] > shapeOf(merged.getResult())[d] - width;
}

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

static DimGroup pick(const StridedView &view, ArrayRef<int64_t> dims) {
  DimGroup group;
  for (int64_t d : dims) {
    group.sizes.push_back(view.shape[d]);
    group.strides.push_back(view.strides[d]);
  }
  return group;
}

FailureOr<GemmShape> GemmShape::of(func::FuncOp kernel,
                                   const TargetInfo &target) {
  GemmShape shape;
  kernel.walk([&](ContractOp op) { shape.op = op; });
  auto lhs = operandView(shape.op.getLhs()),
       rhs = operandView(shape.op.getRhs());
  if (failed(lhs) || failed(rhs) ||
      !isa<FloatType>(shape.op.getType().getElementType()))
    return failure();
  shape.lhs = *lhs;
  shape.rhs = *rhs;
  if (failed(shape.analyse(kernel, target)))
    return failure();
  return shape;
}

int64_t GemmShape::depth() const {
  int64_t depth = 1;
  for (const SumDim &dim : sums)
    depth *= dim.size;
  return depth;
}

LogicalResult GemmShape::analyse(func::FuncOp kernel,
                                 const TargetInfo &target) {
  SmallVector<int64_t> rhsFree = op.rhsFree();
  lhsBatch = pick(lhs, op.getLhsBatch());
  rhsBatch = pick(rhs, op.getRhsBatch());
  rows = pick(lhs, op.lhsFree());
  int64_t width = 1;
  if (!rhsFree.empty()) {
    width = rhs.shape[rhsFree.back()];
    if (width != 1 && rhs.strides[rhsFree.back()] != 1)
      return failure();
    rhsFree.pop_back();
  }
  panels = pick(rhs, rhsFree);
  // Sum dimensions in lhs's order of steps, neighbours merged.
  for (auto [x, y] : llvm::zip_equal(op.getLhsContract(), op.getRhsContract()))
    if (lhs.shape[x] != 1)
      sums.push_back({lhs.shape[x], lhs.strides[x], rhs.strides[y]});
  if (sums.empty())
    sums.push_back({1, 0, 0});
  for (size_t i = sums.size(); i-- > 1;) {
    SumDim &outer = sums[i - 1], &inner = sums[i];
    if (outer.lhsStride == inner.lhsStride * inner.size &&
        outer.rhsStride == inner.rhsStride * inner.size) {
      outer = {outer.size * inner.size, inner.lhsStride, inner.rhsStride};
      sums.erase(sums.begin() + i);
    }
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
  if (panels.count() == 1 && width > target.maxPanel()) {
    // One wide run-time operand: panels are runs of columns in place.
    int64_t wide = target.maxPanel();
    panels = DimGroup{{(width + wide - 1) / wide}, {wide}};
    panelWidth = wholeWidth = wide;
    lastWidth = width - (panels.sizes[0] - 1) * wide;
    panelsAreColumns = true;
  }
  int64_t lanes = target.lanes;
  bool inPlace = panelsAreColumns || panels.sizes.empty();
  wholePanel = segmentsOf(wholeWidth, panelWidth, lanes);
  lastPanel = segmentsOf(lastWidth, inPlace ? lastWidth : panelWidth, lanes);
  return success();
}

} // namespace nncc
