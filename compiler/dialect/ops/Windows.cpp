//===- Windows.cpp - patches and concat -----------------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"
#include "support/Size.h"

using namespace mlir;

namespace nncc {

//===----------------------------------------------------------------------===//
// patches
//===----------------------------------------------------------------------===//

LogicalResult PatchesOp::inferReturnTypes(MLIRContext *,
                                          std::optional<Location> loc,
                                          PatchesOp::Adaptor adaptor,
                                          SmallVectorImpl<Type> &types) {
  auto type = tensorType(adaptor.getOperand());
  auto dims = adaptor.getDims(), sizes = adaptor.getSizes(),
       strides = adaptor.getStrides(), dilations = adaptor.getDilations();
  size_t count = dims.size();
  if (!areDims(dims, type.getRank()) || count == 0 || sizes.size() != count ||
      strides.size() != count || dilations.size() != count)
    return emitOptionalError(loc, "dims must be increasing dimensions of ",
                             type, " with one entry per attribute"); // C1
  SmallVector<int64_t> shape(type.getShape());
  for (size_t i = 0; i < count; ++i) {
    if (sizes[i] < 1 || strides[i] < 1 || dilations[i] < 1)
      return emitOptionalError(
          loc, "sizes, strides and dilations must be positive"); // C2
    int64_t room(shape[dims[i]] - (Size(sizes[i]) - 1) * dilations[i] - 1);
    if (room < 0)
      return emitOptionalError(loc, "a window of ", sizes[i],
                               " elements with dilation ", dilations[i],
                               " does not fit into ", shape[dims[i]]); // C3
    shape[dims[i]] = room / strides[i] + 1;
  }
  shape.insert(shape.begin() + dims.back() + 1, sizes.begin(), sizes.end());
  types.push_back(RankedTensorType::get(shape, type.getElementType()));
  return success();
}

/// Result dimension of operand dimension `d`: the window dimensions stand
/// behind the last windowed one.
static int64_t resultDim(PatchesOp op, int64_t d) {
  return d <= op.getDims().back() ? d : d + int64_t(op.getDims().size());
}

void PatchesOp::evaluate(ArrayRef<RefTensor> inputs,
                         MutableArrayRef<RefTensor> results) {
  const RefTensor &x = inputs[0];
  SmallVector<int64_t> strides = x.strides(), from(x.shape().size());
  int64_t position = 0, firstWindow = getDims().back() + 1;
  forEachIndex(results[0].shape(), [&](ArrayRef<int64_t> index) {
    for (size_t d = 0; d < from.size(); ++d)
      from[d] = index[resultDim(*this, d)];
    for (auto [i, d] : llvm::enumerate(getDims()))
      from[d] = from[d] * getStrides()[i] +
                index[firstWindow + i] * getDilations()[i];
    results[0].copyFrom(x, positionOf(from, strides), position++);
  });
}

Value PatchesOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  Coords coords;
  int64_t firstWindow = getDims().back() + 1;
  for (int64_t d = 0, n = shapeOf(getOperand()).size(); d < n; ++d)
    coords.push_back(at[resultDim(*this, d)]);
  for (auto [i, d] : llvm::enumerate(getDims()))
    coords[d] = e.add(e.scale(coords[d], getStrides()[i]),
                      e.scale(at[firstWindow + i], getDilations()[i]));
  return e.at(getOperand(), coords);
}

FailureOr<Coords> PatchesOp::mapForward(ElementEmitter &, ArrayRef<Coord>) {
  llvm_unreachable("an operand element lands in many windows");
}

FailureOr<StridedView> PatchesOp::viewOf(const StridedView &x) {
  StridedView result{x.base, x.offset, llvm::to_vector(shapeOf(getResult())),
                     SmallVector<int64_t>(shapeOf(getResult()).size())};
  int64_t firstWindow = getDims().back() + 1;
  for (size_t d = 0; d < x.strides.size(); ++d)
    result.strides[resultDim(*this, d)] = x.strides[d];
  for (auto [i, d] : llvm::enumerate(getDims())) {
    result.strides[d] = x.strides[d] * getStrides()[i];
    result.strides[firstWindow + i] = x.strides[d] * getDilations()[i];
  }
  return result;
}

void PatchesOp::gradient(Gradient &g) {
  g.give(0, fold(g.of, g.operand(0).shape(), getDims(), getSizes(),
                 getStrides(), getDilations()));
}

//===----------------------------------------------------------------------===//
// fold
//===----------------------------------------------------------------------===//

LogicalResult FoldOp::verify() {
  SmallVector<Type> types;
  auto windows =
      PatchesOp::Adaptor(ValueRange{getResult()}, (*this)->getAttrDictionary(),
                         (*this)->getPropertiesStorage(), {});
  if (failed(PatchesOp::inferReturnTypes(getContext(), std::nullopt, windows,
                                         types)) ||
      types[0] != getOperand().getType())
    return emitOpError("operand ")
           << getOperand().getType() << " is not what patches of "
           << getResult().getType() << " gives"; // C1
  return success();
}

void FoldOp::evaluate(ArrayRef<RefTensor> inputs,
                      MutableArrayRef<RefTensor> results) {
  RefTensor &x = results[0];
  SmallVector<int64_t> strides = x.strides(), to(x.shape().size());
  int64_t position = 0, last = getDims().back();
  int64_t count = getDims().size();
  forEachIndex(inputs[0].shape(), [&](ArrayRef<int64_t> index) {
    for (int64_t d = 0, n = to.size(); d < n; ++d)
      to[d] = index[d <= last ? d : d + count];
    for (auto [i, d] : llvm::enumerate(getDims()))
      to[d] = to[d] * getStrides()[i] + index[last + 1 + i] * getDilations()[i];
    int64_t at = positionOf(to, strides);
    const RefTensor &from = inputs[0];
    if (x.isFloat())
      x.floats[at] += from.floats[position++];
    else
      x.ints[at] = plus(x.ints[at], from.ints[position++]);
  });
}

Value FoldOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  for (int64_t d : getDims())
    if (at[d].lane != 0)
      return e.perLane(getResult(), at);
  ArrayRef<int64_t> windows = shapeOf(getOperand());
  int64_t last = getDims().back();
  // The place in each window that the element has there.
  auto part = [&](ArrayRef<Coord> place) {
    Coords coords(at.begin(), at.end());
    SmallVector<Value> conditions;
    for (auto [i, d] : llvm::enumerate(getDims())) {
      Coord first = e.add(at[d], e.scale(place[i], -getDilations()[i]));
      int64_t stride = getStrides()[i];
      coords[d] = e.divide(first, stride);
      conditions.push_back(e.inRange(coords[d], 0, windows[d]));
      if (stride > 1)
        conditions.push_back(e.inRange(e.remainder(first, stride), 0, 1));
    }
    coords.insert(coords.begin() + last + 1, place.begin(), place.end());
    return e.guarded(conditions, getOperand(), coords, 0);
  };
  return e.reduce(Combiner::sum, tensorType(getResult()).getElementType(),
                  getSizes(), 0, part);
}

void FoldOp::gradient(Gradient &g) {
  g.give(0, patches(g.of, getDims(), getSizes(), getStrides(), getDilations()));
}

//===----------------------------------------------------------------------===//
// concat
//===----------------------------------------------------------------------===//

LogicalResult ConcatOp::inferReturnTypes(MLIRContext *,
                                         std::optional<Location> loc,
                                         ConcatOp::Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  if (adaptor.getOperands().empty())
    return emitOptionalError(loc, "needs at least one operand"); // C1
  auto first = tensorType(adaptor.getOperands().front());
  int64_t dim = adaptor.getDim();
  Size total = 0;
  if (dim < 0 || dim >= first.getRank())
    return emitOptionalError(loc, "dim ", dim, " is not a dimension of ",
                             first); // C1
  for (Value operand : adaptor.getOperands()) {
    auto type = tensorType(operand);
    SmallVector<int64_t> expected(first.getShape());
    if (type.getRank() == first.getRank())
      expected[dim] = type.getDimSize(dim);
    if (type.getShape() != ArrayRef<int64_t>(expected) ||
        type.getElementType() != first.getElementType())
      return emitOptionalError(loc, type, " does not match ", first,
                               " outside dim ", dim); // C2
    total = total + expected[dim];
  }
  SmallVector<int64_t> shape(first.getShape());
  shape[dim] = int64_t(total);
  types.push_back(RankedTensorType::get(shape, first.getElementType()));
  return success();
}

void ConcatOp::evaluate(ArrayRef<RefTensor> inputs,
                        MutableArrayRef<RefTensor> results) {
  SmallVector<int64_t> strides = results[0].strides();
  int64_t start = 0;
  for (const RefTensor &input : inputs) {
    int64_t position = 0;
    forEachIndex(input.shape(), [&](ArrayRef<int64_t> index) {
      results[0].copyFrom(input, position++,
                          positionOf(index, strides) +
                              start * strides[getDim()]);
    });
    start += input.shape()[getDim()];
  }
}

Value ConcatOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  const Coord &along = at[getDim()];
  if (along.lane != 0) {
    // Lanes of one operand stay together if all starts are aligned to them.
    int64_t reach = along.lane * e.width, start = 0;
    bool aligned =
        along.lane > 0 && along.align % reach == 0 && along.offset % reach == 0;
    for (Value operand : getOperands()) {
      aligned &= start % reach == 0;
      start += shapeOf(operand)[getDim()];
    }
    if (!aligned)
      return e.perLane(getResult(), at);
  }
  Coord first = along;
  first.lane = 0;
  int64_t start = 0;
  SmallVector<std::pair<int64_t, Value>> parts;
  for (Value operand : getOperands()) {
    parts.push_back({start, operand});
    start += shapeOf(operand)[getDim()];
  }
  return e.choose(first, parts, getDim(), at);
}

} // namespace nncc
