//===- Contraction.cpp - a contraction in memory --------------------------===//
#include "codegen/kernels/Contraction.h"

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

static DimGroup pick(const StridedView &view, ArrayRef<int64_t> dims) {
  DimGroup group;
  for (int64_t d : dims) {
    group.sizes.push_back(view.shape[d]);
    group.strides.push_back(view.strides[d]);
  }
  return group;
}

/// Sum dimensions in lhs's order of steps, neighbours merged.
static SmallVector<SumDim> sumsOf(ContractOp op, const StridedView &lhs,
                                  const StridedView &rhs) {
  SmallVector<SumDim> sums;
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
  return sums;
}

FailureOr<Contraction> Contraction::of(func::FuncOp kernel) {
  Contraction it;
  kernel.walk([&](ContractOp op) { it.op = op; });
  if (!it.op || !isa<FloatType>(it.op.getType().getElementType()) ||
      computeType(tensorType(it.op.getLhs()).getElementType()) !=
          computeType(it.op.getType().getElementType()))
    return failure();
  auto lhs = operandView(it.op.getLhs()), rhs = operandView(it.op.getRhs());
  if (failed(lhs) || failed(rhs))
    return failure();
  it.lhs = *lhs;
  it.rhs = *rhs;
  it.lhsBatch = pick(it.lhs, it.op.getLhsBatch());
  it.rhsBatch = pick(it.rhs, it.op.getRhsBatch());
  it.rows = pick(it.lhs, it.op.lhsFree());
  it.columns = pick(it.rhs, it.op.rhsFree());
  it.sums = sumsOf(it.op, it.lhs, it.rhs);
  return it;
}

int64_t Contraction::depth() const {
  int64_t depth = 1;
  for (const SumDim &dim : sums)
    depth *= dim.size;
  return depth;
}

} // namespace nncc
