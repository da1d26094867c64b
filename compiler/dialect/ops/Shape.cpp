//===- Shape.cpp - views: reshape, transpose, broadcast, slice, ... -------===//
//
// Per op: shape rule, reference meaning, element lowering (result coordinates
// to operand coordinates), forward map, strides, folds. `patches` and `concat`
// stand in Windows.cpp.
//
//===----------------------------------------------------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"
#include "support/Size.h"

using namespace mlir;

namespace nncc {

/// A view of a splat constant is a splat of the view's type; null otherwise.
static Attribute foldSplat(Attribute operand, Type type) {
  auto splat = dyn_cast_or_null<SplatElementsAttr>(operand);
  return splat ? splat.resizeSplat(cast<ShapedType>(type)) : Attribute();
}

/// Fills `result` by asking, for each of its indices, which element of
/// `source` belongs there.
static void fillFrom(
    const RefTensor &source, RefTensor &result,
    function_ref<void(ArrayRef<int64_t>, SmallVectorImpl<int64_t> &)> map) {
  SmallVector<int64_t> strides = source.strides(), from;
  int64_t position = 0;
  forEachIndex(result.shape(), [&](ArrayRef<int64_t> index) {
    from.clear();
    map(index, from);
    result.copyFrom(source, positionOf(from, strides), position++);
  });
}

//===----------------------------------------------------------------------===//
// reshape
//===----------------------------------------------------------------------===//

LogicalResult ReshapeOp::verify() {
  auto from = tensorType(getOperand()), to = tensorType(getResult());
  if (from.getElementType() != to.getElementType() ||
      from.getNumElements() != to.getNumElements())
    return emitOpError("cannot turn ") << from << " into " << to; // C1
  return success();
}

OpFoldResult ReshapeOp::fold(FoldAdaptor adaptor) {
  if (getOperand().getType() == getType())
    return getOperand();
  if (Attribute splat = foldSplat(adaptor.getOperand(), getType()))
    return splat;
  if (auto inner = getOperand().getDefiningOp<ReshapeOp>()) {
    setOperand(inner.getOperand());
    return getResult();
  }
  return {};
}

std::optional<MemoryPlace> ReshapeOp::aliasOf(unsigned) {
  return MemoryPlace{0};
}

void ReshapeOp::evaluate(ArrayRef<RefTensor> inputs,
                         MutableArrayRef<RefTensor> results) {
  results[0].floats = inputs[0].floats;
  results[0].ints = inputs[0].ints;
}

Value ReshapeOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  auto coords = e.reshape(at, shapeOf(getResult()), shapeOf(getOperand()));
  if (failed(coords))
    return e.perLane(getResult(), at);
  return e.at(getOperand(), *coords);
}

FailureOr<Coords> ReshapeOp::mapForward(ElementEmitter &e, ArrayRef<Coord> at) {
  return e.reshape(at, shapeOf(getOperand()), shapeOf(getResult()));
}

/// Merges or splits dimensions where strides allow it.
FailureOr<StridedView> ReshapeOp::viewOf(const StridedView &x) {
  StridedView result{
      x.base, x.offset, llvm::to_vector(shapeOf(getResult())), {}};
  ArrayRef<int64_t> to = result.shape;
  if (llvm::is_contained(to, 0)) { // no groups of equal counts, no elements
    result.strides.assign(to.size(), 0);
    return result;
  }
  size_t i = 0, j = 0;
  while (i < x.shape.size() || j < to.size()) {
    size_t i0 = i, j0 = j;
    int64_t fromCount = i < x.shape.size() ? x.shape[i++] : 1;
    int64_t toCount = j < to.size() ? to[j++] : 1;
    while (fromCount != toCount) {
      if (fromCount < toCount)
        fromCount *= x.shape[i++];
      else
        toCount *= to[j++];
    }
    // The group is linear if each dimension steps over the whole next one.
    // Repeated rows have stride 0, and so has what steps over only them.
    std::optional<int64_t> stride, reach;
    for (size_t d = i; d-- > i0;) {
      if (x.shape[d] == 1)
        continue;
      if (!reach)
        stride = x.strides[d];
      else if (x.strides[d] != *reach)
        return failure();
      reach = x.strides[d] * x.shape[d];
    }
    SmallVector<int64_t> group(j - j0);
    int64_t step = stride.value_or(0);
    for (size_t d = j; d-- > j0; step *= to[d])
      group[d - j0] = step;
    llvm::append_range(result.strides, group);
  }
  return result;
}

//===----------------------------------------------------------------------===//
// transpose
//===----------------------------------------------------------------------===//

LogicalResult TransposeOp::inferReturnTypes(MLIRContext *,
                                            std::optional<Location> loc,
                                            TransposeOp::Adaptor adaptor,
                                            SmallVectorImpl<Type> &types) {
  auto type = tensorType(adaptor.getOperand());
  SmallVector<int64_t> sorted(adaptor.getPerm());
  llvm::sort(sorted);
  if (int64_t(sorted.size()) != type.getRank() ||
      !areDims(sorted, type.getRank()) ||
      (!sorted.empty() && sorted.front() != 0))
    return emitOptionalError(loc, "perm is not a permutation of ",
                             type.getRank(), " dimensions"); // C1
  SmallVector<int64_t> shape;
  for (int64_t d : adaptor.getPerm())
    shape.push_back(type.getDimSize(d));
  types.push_back(RankedTensorType::get(shape, type.getElementType()));
  return success();
}

OpFoldResult TransposeOp::fold(FoldAdaptor adaptor) {
  if (llvm::is_sorted(getPerm()))
    return getOperand();
  if (Attribute splat = foldSplat(adaptor.getOperand(), getType()))
    return splat;
  auto inner = getOperand().getDefiningOp<TransposeOp>();
  if (!inner)
    return {};
  SmallVector<int64_t> perm;
  for (int64_t d : getPerm())
    perm.push_back(inner.getPerm()[d]);
  setPerm(perm);
  setOperand(inner.getOperand());
  return getResult();
}

void TransposeOp::evaluate(ArrayRef<RefTensor> inputs,
                           MutableArrayRef<RefTensor> results) {
  fillFrom(inputs[0], results[0],
           [&](ArrayRef<int64_t> index, SmallVectorImpl<int64_t> &from) {
             from.resize(index.size());
             for (auto [i, d] : llvm::enumerate(getPerm()))
               from[d] = index[i];
           });
}

Value TransposeOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  Coords coords(at.size());
  for (auto [i, d] : llvm::enumerate(getPerm()))
    coords[d] = at[i];
  return e.at(getOperand(), coords);
}

FailureOr<Coords> TransposeOp::mapForward(ElementEmitter &,
                                          ArrayRef<Coord> at) {
  Coords coords;
  for (int64_t d : getPerm())
    coords.push_back(at[d]);
  return coords;
}

FailureOr<StridedView> TransposeOp::viewOf(const StridedView &x) {
  StridedView result{
      x.base, x.offset, llvm::to_vector(shapeOf(getResult())), {}};
  for (int64_t d : getPerm())
    result.strides.push_back(x.strides[d]);
  return result;
}

//===----------------------------------------------------------------------===//
// broadcast
//===----------------------------------------------------------------------===//

LogicalResult BroadcastOp::verify() {
  auto from = tensorType(getOperand()), to = tensorType(getResult());
  if (int64_t(getDims().size()) != from.getRank() ||
      !areDims(getDims(), to.getRank()))
    return emitOpError("dims must give each operand dimension an increasing "
                       "dimension of ")
           << to; // C1
  for (auto [i, d] : llvm::enumerate(getDims()))
    if (from.getDimSize(i) != to.getDimSize(d))
      return emitOpError("operand dimension ")
             << i << " has size " << from.getDimSize(i) << ", result dimension "
             << d << " has " << to.getDimSize(d);
  return success(); // C2
}

OpFoldResult BroadcastOp::fold(FoldAdaptor adaptor) {
  if (getOperand().getType() == getType())
    return getOperand();
  if (Attribute splat = foldSplat(adaptor.getOperand(), getType()))
    return splat;
  auto inner = getOperand().getDefiningOp<BroadcastOp>();
  if (!inner)
    return {};
  SmallVector<int64_t> dims;
  for (int64_t d : inner.getDims())
    dims.push_back(getDims()[d]);
  setDims(dims);
  setOperand(inner.getOperand());
  return getResult();
}

void BroadcastOp::evaluate(ArrayRef<RefTensor> inputs,
                           MutableArrayRef<RefTensor> results) {
  fillFrom(inputs[0], results[0],
           [&](ArrayRef<int64_t> index, SmallVectorImpl<int64_t> &from) {
             for (int64_t d : getDims())
               from.push_back(index[d]);
           });
}

Value BroadcastOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  Coords coords;
  for (int64_t d : getDims())
    coords.push_back(at[d]);
  return e.at(getOperand(), coords);
}

FailureOr<Coords> BroadcastOp::mapForward(ElementEmitter &, ArrayRef<Coord>) {
  llvm_unreachable("an operand element lands in many places");
}

FailureOr<StridedView> BroadcastOp::viewOf(const StridedView &x) {
  StridedView result{x.base, x.offset, llvm::to_vector(shapeOf(getResult())),
                     SmallVector<int64_t>(shapeOf(getResult()).size(), 0)};
  for (auto [i, d] : llvm::enumerate(getDims()))
    result.strides[d] = x.strides[i];
  return result;
}

//===----------------------------------------------------------------------===//
// slice
//===----------------------------------------------------------------------===//

LogicalResult SliceOp::inferReturnTypes(MLIRContext *,
                                        std::optional<Location> loc,
                                        SliceOp::Adaptor adaptor,
                                        SmallVectorImpl<Type> &types) {
  auto type = tensorType(adaptor.getOperand());
  size_t rank = type.getRank();
  auto starts = adaptor.getStarts(), sizes = adaptor.getSizes(),
       steps = adaptor.getSteps();
  if (starts.size() != rank || sizes.size() != rank || steps.size() != rank)
    return emitOptionalError(loc, "starts, sizes and steps need ", rank,
                             " entries each"); // C1
  for (size_t d = 0; d < rank; ++d) {
    if (steps[d] < 1 || sizes[d] < 0)
      return emitOptionalError(loc, "dimension ", d,
                               " has a step below 1 or a negative size"); // C2
    int64_t last(starts[d] + (Size(sizes[d]) - 1) * steps[d]);
    if (starts[d] < 0 || (sizes[d] > 0 && last >= type.getDimSize(d)))
      return emitOptionalError(loc, "dimension ", d, " of size ",
                               type.getDimSize(d), " does not hold elements ",
                               starts[d], " to ", last); // C3
  }
  types.push_back(RankedTensorType::get(sizes, type.getElementType()));
  return success();
}

/// Of another slice: one slice.
OpFoldResult SliceOp::fold(FoldAdaptor adaptor) {
  if (getOperand().getType() == getType())
    return getOperand();
  auto inner = getOperand().getDefiningOp<SliceOp>();
  if (!inner)
    return foldSplat(adaptor.getOperand(), getType());
  SmallVector<int64_t> starts(getStarts()), steps(getSteps());
  for (size_t d = 0; d < starts.size(); ++d) {
    starts[d] = inner.getStarts()[d] + starts[d] * inner.getSteps()[d];
    steps[d] = getSizes()[d] > 1 ? steps[d] * inner.getSteps()[d] : 1;
  }
  setStarts(starts);
  setSteps(steps);
  getOperandMutable().assign(inner.getOperand());
  return getResult();
}

/// True if the slice is one run of its operand's memory.
static bool isContiguous(SliceOp op) {
  ArrayRef<int64_t> from = shapeOf(op.getOperand()), sizes = op.getSizes();
  size_t d = 0;
  while (d < sizes.size() && sizes[d] == 1)
    ++d;
  if (d < sizes.size() && op.getSteps()[d] != 1)
    return false;
  for (++d; d < sizes.size(); ++d)
    if (sizes[d] != from[d])
      return false;
  return true;
}

std::optional<MemoryPlace> SliceOp::aliasOf(unsigned) {
  if (!isContiguous(*this))
    return std::nullopt;
  auto type = tensorType(getOperand());
  return MemoryPlace{0, positionOf(getStarts(), stridesOf(type.getShape())) *
                            elementBytes(type.getElementType())};
}

void SliceOp::evaluate(ArrayRef<RefTensor> inputs,
                       MutableArrayRef<RefTensor> results) {
  fillFrom(inputs[0], results[0],
           [&](ArrayRef<int64_t> index, SmallVectorImpl<int64_t> &from) {
             for (auto [d, i] : llvm::enumerate(index))
               from.push_back(getStarts()[d] + i * getSteps()[d]);
           });
}

Value SliceOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  Coords coords;
  for (auto [d, i] : llvm::enumerate(at))
    coords.push_back(e.addTo(e.scale(i, getSteps()[d]), getStarts()[d]));
  return e.at(getOperand(), coords);
}

/// Only for elements that the slice keeps.
FailureOr<Coords> SliceOp::mapForward(ElementEmitter &e, ArrayRef<Coord> at) {
  Coords coords;
  for (auto [d, i] : llvm::enumerate(at)) {
    assert(getSteps()[d] == 1 && "only slices without steps map forward");
    coords.push_back(e.addTo(i, -getStarts()[d]));
  }
  return coords;
}

FailureOr<StridedView> SliceOp::viewOf(const StridedView &x) {
  StridedView result = x;
  result.shape = llvm::to_vector(shapeOf(getResult()));
  for (size_t d = 0; d < result.shape.size(); ++d) {
    result.offset += getStarts()[d] * x.strides[d];
    result.strides[d] = x.strides[d] * getSteps()[d];
  }
  return result;
}

//===----------------------------------------------------------------------===//
// pad
//===----------------------------------------------------------------------===//

LogicalResult PadOp::inferReturnTypes(MLIRContext *,
                                      std::optional<Location> loc,
                                      PadOp::Adaptor adaptor,
                                      SmallVectorImpl<Type> &types) {
  auto type = tensorType(adaptor.getOperand());
  size_t rank = type.getRank();
  auto low = adaptor.getLow(), high = adaptor.getHigh(),
       interior = adaptor.getInterior();
  if (low.size() != rank || high.size() != rank || interior.size() != rank)
    return emitOptionalError(loc, "low, high and interior need ", rank,
                             " entries each"); // C1
  SmallVector<int64_t> shape;
  for (size_t d = 0; d < rank; ++d) {
    if (low[d] < 0 || high[d] < 0 || interior[d] < 0)
      return emitOptionalError(loc, "dimension ", d,
                               " has negative padding"); // C2
    int64_t size = type.getDimSize(d);
    shape.push_back(
        int64_t(Size(low[d]) + high[d] + size +
                Size(std::max<int64_t>(size - 1, 0)) * interior[d]));
  }
  types.push_back(RankedTensorType::get(shape, type.getElementType()));
  return success();
}

/// Of another pad by the same value around it: one pad.
OpFoldResult PadOp::fold(FoldAdaptor) {
  if (getOperand().getType() == getType())
    return getOperand();
  auto inner = getOperand().getDefiningOp<PadOp>();
  auto isAround = [](PadOp pad) {
    return llvm::all_of(pad.getInterior(), [](int64_t i) { return i == 0; });
  };
  if (!inner || !isAround(*this) || !isAround(inner) ||
      inner.getValueAttr() != getValueAttr())
    return {};
  SmallVector<int64_t> low(getLow()), high(getHigh());
  for (size_t d = 0; d < low.size(); ++d) {
    low[d] += inner.getLow()[d];
    high[d] += inner.getHigh()[d];
  }
  setLow(low);
  setHigh(high);
  getOperandMutable().assign(inner.getOperand());
  return getResult();
}

void PadOp::evaluate(ArrayRef<RefTensor> inputs,
                     MutableArrayRef<RefTensor> results) {
  RefTensor &y = results[0];
  for (int64_t i = 0, n = y.size(); i < n; ++i)
    y.set(i, Number::of(getValueAttr()));
  SmallVector<int64_t> strides = y.strides(), to;
  int64_t position = 0;
  forEachIndex(inputs[0].shape(), [&](ArrayRef<int64_t> index) {
    to.clear();
    for (auto [d, i] : llvm::enumerate(index))
      to.push_back(getLow()[d] + i * (1 + getInterior()[d]));
    y.copyFrom(inputs[0], position++, positionOf(to, strides));
  });
}

Value PadOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  Coords coords;
  SmallVector<Value> conditions;
  for (auto [d, i] : llvm::enumerate(at)) {
    Coord x = e.addTo(i, -getLow()[d]);
    int64_t size = shapeOf(getOperand())[d], step = 1 + getInterior()[d];
    bool padded = getLow()[d] || getHigh()[d] || step > 1;
    if (x.lane != 0 && padded && !(step == 1 && e.isInRange(x, 0, size)))
      return e.perLane(getResult(), at);
    if (step > 1) {
      // Shifted to stay non-negative; whole steps do not change the remainder.
      int64_t shift = (getLow()[d] + step - 1) / step;
      Coord shifted = e.addTo(x, shift * step);
      conditions.push_back(e.inRange(e.remainder(shifted, step), 0, 1));
      x = e.addTo(e.divide(shifted, step), -shift);
    }
    if (padded && !e.isInRange(x, 0, size))
      conditions.push_back(e.inRange(x, 0, size));
    coords.push_back(x);
  }
  if (conditions.empty())
    return e.at(getOperand(), coords);
  return e.guarded(conditions, getOperand(), coords,
                   Number::of(getValueAttr()));
}

FailureOr<Coords> PadOp::mapForward(ElementEmitter &e, ArrayRef<Coord> at) {
  Coords coords;
  for (auto [d, i] : llvm::enumerate(at))
    coords.push_back(e.addTo(e.scale(i, 1 + getInterior()[d]), getLow()[d]));
  return coords;
}

FailureOr<StridedView> PadOp::viewOf(const StridedView &) { return failure(); }

//===----------------------------------------------------------------------===//
// reverse
//===----------------------------------------------------------------------===//

LogicalResult ReverseOp::verify() {
  if (!areDims(getDims(), tensorType(getOperand()).getRank()))
    return emitOpError("dims must be increasing dimensions of ")
           << getOperand().getType(); // C1
  return success();
}

void ReverseOp::evaluate(ArrayRef<RefTensor> inputs,
                         MutableArrayRef<RefTensor> results) {
  fillFrom(inputs[0], results[0],
           [&](ArrayRef<int64_t> index, SmallVectorImpl<int64_t> &from) {
             from.append(index.begin(), index.end());
             for (int64_t d : getDims())
               from[d] = inputs[0].shape()[d] - 1 - index[d];
           });
}

FailureOr<Coords> ReverseOp::mapForward(ElementEmitter &e, ArrayRef<Coord> at) {
  Coords coords(at.begin(), at.end());
  for (int64_t d : getDims())
    coords[d] = e.addTo(e.scale(at[d], -1), shapeOf(getOperand())[d] - 1);
  return coords;
}

Value ReverseOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  return e.at(getOperand(), *mapForward(e, at)); // its own inverse
}

FailureOr<StridedView> ReverseOp::viewOf(const StridedView &x) {
  StridedView result = x;
  for (int64_t d : getDims()) {
    result.offset += (x.shape[d] - 1) * x.strides[d];
    result.strides[d] = -x.strides[d];
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Gradients: each view's is a view back
//===----------------------------------------------------------------------===//

void ReshapeOp::gradient(Gradient &g) {
  g.give(0, reshape(g.of, g.operand(0).shape()));
}

void TransposeOp::gradient(Gradient &g) {
  SmallVector<int64_t> inverse(getPerm().size());
  for (auto [i, d] : llvm::enumerate(getPerm()))
    inverse[d] = int64_t(i);
  g.give(0, transpose(g.of, inverse));
}

/// The one place where broadcasting is undone.
void BroadcastOp::gradient(Gradient &g) {
  g.give(0, sum(g.of, otherDims(getDims(), g.of.rank())));
}

void SliceOp::gradient(Gradient &g) {
  SmallVector<int64_t> low(getStarts()), high, interior, cut;
  for (auto [d, size] : llvm::enumerate(g.operand(0).shape())) {
    int64_t count = getSizes()[d], step = getSteps()[d];
    if (count != size)
      cut.push_back(step == 1 || count == 1 ? int64_t(d) : -1);
    int64_t reach = count ? (count - 1) * step + 1 : 0;
    high.push_back(size - getStarts()[d] - reach);
    interior.push_back(step - 1);
  }
  if (cut.size() == 1 && cut[0] >= 0)
    return g.givePart(0, cut[0], low[cut[0]], g.of);
  g.give(0, pad(g.of, low, high, 0, interior));
}

void PadOp::gradient(Gradient &g) {
  Expr dx = g.of;
  for (auto [d, size] : llvm::enumerate(g.operand(0).shape()))
    dx = slice(dx, int64_t(d), getLow()[d], size, getInterior()[d] + 1);
  g.give(0, dx);
}

void ReverseOp::gradient(Gradient &g) { g.give(0, reverse(g.of, getDims())); }

void ConcatOp::gradient(Gradient &g) {
  int64_t dim = getDim(), start = 0;
  for (unsigned i = 0; i < getNumOperands(); ++i) {
    int64_t size = g.operand(i).dim(dim);
    g.give(i, slice(g.of, dim, start, size));
    start += size;
  }
}

} // namespace nncc
