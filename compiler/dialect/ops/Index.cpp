//===- Index.cpp - reading at computed places -----------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

LogicalResult GatherOp::inferReturnTypes(MLIRContext *,
                                         std::optional<Location> loc,
                                         GatherOp::Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  auto type = tensorType(adaptor.getOperand());
  int64_t dim = adaptor.getDim();
  if (dim < 0 || dim >= type.getRank() || type.getDimSize(dim) == 0)
    return emitOptionalError(loc, "dim ", dim,
                             " is not a non-empty dimension of ", type); // C1
  SmallVector<int64_t> shape(type.getShape().take_front(dim));
  llvm::append_range(shape, shapeOf(adaptor.getIndices()));
  llvm::append_range(shape, type.getShape().drop_front(dim + 1));
  types.push_back(RankedTensorType::get(shape, type.getElementType()));
  return success();
}

void GatherOp::evaluate(ArrayRef<RefTensor> inputs,
                        MutableArrayRef<RefTensor> results) {
  const RefTensor &x = inputs[0], &indices = inputs[1];
  size_t dim = getDim(), rank = indices.shape().size();
  SmallVector<int64_t> xStrides = x.strides(), iStrides = indices.strides();
  int64_t position = 0, last = x.shape()[dim] - 1;
  forEachIndex(results[0].shape(), [&](ArrayRef<int64_t> index) {
    int64_t row = indices.ints[positionOf(index.slice(dim, rank), iStrides)];
    int64_t from = std::clamp<int64_t>(row, 0, last) * xStrides[dim];
    for (size_t d = 0; d < dim; ++d)
      from += index[d] * xStrides[d];
    for (size_t d = dim + 1; d < xStrides.size(); ++d)
      from += index[d + rank - 1] * xStrides[d];
    results[0].copyFrom(x, from, position++);
  });
}

Value GatherOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  size_t dim = getDim(), rank = shapeOf(getIndices()).size();
  ArrayRef<Coord> indexAt = at.slice(dim, rank);
  // Different rows in one vector have no common stride.
  if (llvm::any_of(indexAt, [](const Coord &c) { return c.lane != 0; }))
    return e.perLane(getResult(), at);
  Coord row = e.loadIndex(getIndices(), indexAt, shapeOf(getOperand())[dim]);
  Coords coords(at.take_front(dim));
  coords.push_back(row);
  llvm::append_range(coords, at.drop_front(dim + rank));
  return e.at(getOperand(), coords);
}

/// Rows of the table get the sum of the gradients of their copies.
void GatherOp::gradient(Gradient &g) {
  Expr table = g.operand(0), indices = g.operand(1), dy = g.of;
  int64_t dim = getDim(), count = 1, before = 1, after = 1;
  for (int64_t size : indices.shape())
    count *= size;
  for (int64_t d = 0; d < table.rank(); ++d)
    (d < dim ? before : after) *= d == dim ? 1 : table.dim(d);
  int64_t rows = table.dim(dim), columns = before * after;
  auto rowsFirst = [&](Expr x, int64_t first, int64_t second) {
    return before == 1
               ? x
               : transpose(reshape(x, {first, second, after}), {1, 0, 2});
  };
  Type element = computeType(table.element()); // a sum in memory
  Expr flat = reshape(rowsFirst(dy, before, count), {count, columns});
  Expr sums = scatterAdd(full(g.c, element, {rows, columns}, 0),
                         reshape(indices, {count}), convert(flat, element));
  sums = reshape(rowsFirst(sums, rows, before), table.shape());
  g.give(0, convert(sums, table.element()));
}

//===----------------------------------------------------------------------===//
// scatter_add
//===----------------------------------------------------------------------===//

LogicalResult ScatterAddOp::inferReturnTypes(MLIRContext *,
                                             std::optional<Location> loc,
                                             ScatterAddOp::Adaptor adaptor,
                                             SmallVectorImpl<Type> &types) {
  auto base = tensorType(adaptor.getBase());
  auto indices = tensorType(adaptor.getIndices());
  auto updates = tensorType(adaptor.getUpdates());
  if (base.getRank() != 2 || base.getDimSize(0) == 0 ||
      indices.getRank() != 1 ||
      updates !=
          RankedTensorType::get({indices.getDimSize(0), base.getDimSize(1)},
                                base.getElementType()))
    return emitOptionalError(loc, base, ", ", indices, " and ", updates,
                             " do not fit"); // C1
  types.push_back(base);
  return success();
}

void ScatterAddOp::evaluate(ArrayRef<RefTensor> inputs,
                            MutableArrayRef<RefTensor> results) {
  results[0] = inputs[0];
  int64_t columns = results[0].shape()[1], last = results[0].shape()[0] - 1;
  for (int64_t i = 0, n = inputs[1].size(); i < n; ++i) {
    int64_t row = std::clamp<int64_t>(inputs[1].ints[i], 0, last);
    for (int64_t c = 0; c < columns; ++c)
      results[0].set(row * columns + c, results[0].get(row * columns + c) +
                                            inputs[2].get(i * columns + c));
  }
}

void ScatterAddOp::gradient(Gradient &g) {
  g.give(0, g.of);
  g.give(2, gather(g.of, g.operand(1), 0));
}

} // namespace nncc
