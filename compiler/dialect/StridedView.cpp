//===- StridedView.cpp - what views make of a tensor's memory -------------===//
#include "dialect/StridedView.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nncc {

StridedView StridedView::identity(Value value) {
  return {value, 0, llvm::to_vector(shapeOf(value)), stridesOf(shapeOf(value))};
}

bool staysInside(const StridedView &view) {
  size_t rank = view.shape.size();
  if (view.strides.size() != rank)
    return false;
  if (llvm::is_contained(view.shape, 0))
    return true;
  // The lowest and the highest position.
  int64_t low = view.offset, high = view.offset;
  for (size_t d = 0; d < rank; ++d) {
    int64_t reach;
    if (view.shape[d] == 1)
      continue;
    int64_t &end = view.strides[d] < 0 ? low : high;
    if (llvm::MulOverflow(view.shape[d] - 1, view.strides[d], reach) ||
        llvm::AddOverflow(end, reach, end))
      return false;
  }
  return low >= 0 && high < tensorType(view.base).getNumElements();
}

FailureOr<StridedView> stridedView(Value value, Value *obstacle) {
  SmallVector<View> views; // outermost first
  auto next = [](Value v) {
    auto view = v.getDefiningOp<View>();
    return isa_and_nonnull<PadOp>(v.getDefiningOp()) ? View() : view;
  };
  Value base = value;
  for (View view; (view = next(base)); base = view->getOperand(0))
    views.push_back(view);
  auto result = StridedView::identity(base);
  for (View view : llvm::reverse(views)) {
    Value from = view->getOperand(0), to = view->getResult(0);
    auto moved = view.viewOf(result);
    if (failed(moved) || moved->shape != ArrayRef<int64_t>(shapeOf(to)) ||
        !staysInside(*moved)) {
      // Even the whole tensor has no such view: the result itself is needed.
      if (obstacle)
        *obstacle = from == base ? to : from;
      return failure();
    }
    result = std::move(*moved);
  }
  return result;
}

} // namespace nncc
