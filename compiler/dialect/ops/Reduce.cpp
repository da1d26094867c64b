//===- Reduce.cpp - reductions --------------------------------------------===//
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

LogicalResult ReduceOp::inferReturnTypes(MLIRContext *,
                                         std::optional<Location> loc,
                                         ReduceOp::Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  auto type = tensorType(adaptor.getOperand());
  if (!areDims(adaptor.getDims(), type.getRank()))
    return emitOptionalError(loc, "dims must be increasing dimensions of ",
                             type); // C1
  SmallVector<int64_t> shape;
  for (int64_t d : otherDims(adaptor.getDims(), type.getRank()))
    shape.push_back(type.getDimSize(d));
  types.push_back(RankedTensorType::get(shape, type.getElementType()));
  return success();
}

/// x combiner y; max and min keep a NaN of either side.
template <typename T> static T combined(Combiner combiner, T x, T y) {
  switch (combiner) {
  case Combiner::sum:
    return x + y;
  case Combiner::prod:
    return x * y;
  case Combiner::max:
    return x > y || x != x ? x : y;
  case Combiner::min:
    return x < y || x != x ? x : y;
  }
  llvm_unreachable("unknown combiner");
}

void ReduceOp::evaluate(ArrayRef<RefTensor> inputs,
                        MutableArrayRef<RefTensor> results) {
  const RefTensor &x = inputs[0];
  RefTensor &y = results[0];
  double identity = identityOf(getCombiner(), x.type.getElementType());
  for (int64_t i = 0, n = y.size(); i < n; ++i)
    y.set(i, identity);
  SmallVector<int64_t> kept = otherDims(getDims(), x.type.getRank());
  SmallVector<int64_t> strides = y.strides();
  int64_t position = 0;
  forEachIndex(x.shape(), [&](ArrayRef<int64_t> index) {
    int64_t to = 0;
    for (auto [d, stride] : llvm::zip_equal(kept, strides))
      to += index[d] * stride;
    if (x.isFloat())
      y.floats[to] = combined(getCombiner(), y.floats[to], x.floats[position]);
    else
      y.ints[to] = combined(getCombiner(), y.ints[to], x.ints[position]);
    ++position;
  });
}

Value ReduceOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  auto type = tensorType(getOperand());
  SmallVector<int64_t> kept = otherDims(getDims(), type.getRank());
  SmallVector<int64_t> extents;
  for (int64_t d : getDims())
    extents.push_back(type.getDimSize(d));
  bool lanes = !getDims().empty() && getDims().back() == type.getRank() - 1;
  return e.reduce(getCombiner(), type.getElementType(), extents, lanes,
                  [&](ArrayRef<Coord> iv) {
                    Coords coords(type.getRank());
                    for (auto [i, d] : llvm::enumerate(kept))
                      coords[d] = at[i];
                    for (auto [i, d] : llvm::enumerate(getDims()))
                      coords[d] = iv[i];
                    return e.at(getOperand(), coords);
                  });
}

} // namespace nncc
