//===- Contract.cpp - the general dot product -----------------------------===//
//
// `emitElement` is the plain lowering, right for every contraction; the GEMM
// emitter takes those that have strides (codegen/cpu/GemmEmitter.cpp).
//
//===----------------------------------------------------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

/// True if both lists together are distinct dimensions of a tensor.
static bool areDistinct(ArrayRef<int64_t> x, ArrayRef<int64_t> y,
                        int64_t rank) {
  SmallVector<int64_t> all(x);
  llvm::append_range(all, y);
  llvm::sort(all);
  return areDims(all, rank);
}

/// True if `wide` has every value of `narrow`.
static bool holds(Type wide, Type narrow) {
  if (wide == narrow)
    return true;
  return isa<FloatType>(wide) == isa<FloatType>(narrow) &&
         isa<IntegerType>(wide) == isa<IntegerType>(narrow) &&
         !isUnsignedElement(wide) &&
         wide.getIntOrFloatBitWidth() > narrow.getIntOrFloatBitWidth();
}

LogicalResult ContractOp::inferReturnTypes(MLIRContext *,
                                           std::optional<Location> loc,
                                           ContractOp::Adaptor adaptor,
                                           SmallVectorImpl<Type> &types) {
  auto lhs = tensorType(adaptor.getLhs()), rhs = tensorType(adaptor.getRhs());
  auto lhsBatch = adaptor.getLhsBatch(), rhsBatch = adaptor.getRhsBatch(),
       lhsSum = adaptor.getLhsContract(), rhsSum = adaptor.getRhsContract();
  if (lhsBatch.size() != rhsBatch.size() || lhsSum.size() != rhsSum.size() ||
      !areDistinct(lhsBatch, lhsSum, lhs.getRank()) ||
      !areDistinct(rhsBatch, rhsSum, rhs.getRank()))
    return emitOptionalError(loc, "batch and contracted dimensions must be "
                                  "distinct and as many on both sides"); // C1
  auto agree = [&](ArrayRef<int64_t> x, ArrayRef<int64_t> y) {
    for (auto [i, j] : llvm::zip_equal(x, y))
      if (lhs.getDimSize(i) != rhs.getDimSize(j))
        return false;
    return true;
  };
  if (!agree(lhsBatch, rhsBatch) || !agree(lhsSum, rhsSum))
    return emitOptionalError(loc, "paired dimensions of ", lhs, " and ", rhs,
                             " differ in size"); // C2
  if (lhs.getElementType() != rhs.getElementType())
    return emitOptionalError(loc, "element types of ", lhs, " and ", rhs,
                             " differ"); // C3
  Type element = adaptor.getElement().value_or(lhs.getElementType());
  if (!holds(element, lhs.getElementType()))
    return emitOptionalError(loc, "products of ", lhs.getElementType(),
                             " do not fit into ", element); // C4
  SmallVector<int64_t> shape;
  for (int64_t d : lhsBatch)
    shape.push_back(lhs.getDimSize(d));
  auto appendFree = [&](RankedTensorType type, ArrayRef<int64_t> x,
                        ArrayRef<int64_t> y) {
    for (int64_t d = 0; d < type.getRank(); ++d)
      if (!llvm::is_contained(x, d) && !llvm::is_contained(y, d))
        shape.push_back(type.getDimSize(d));
  };
  appendFree(lhs, lhsBatch, lhsSum);
  appendFree(rhs, rhsBatch, rhsSum);
  types.push_back(RankedTensorType::get(shape, element));
  return success();
}

static SmallVector<int64_t> freeDims(Value tensor, ArrayRef<int64_t> batch,
                                     ArrayRef<int64_t> sum) {
  SmallVector<int64_t> taken(batch);
  llvm::append_range(taken, sum);
  return otherDims(taken, tensorType(tensor).getRank());
}

SmallVector<int64_t> ContractOp::lhsFree() {
  return freeDims(getLhs(), getLhsBatch(), getLhsContract());
}
SmallVector<int64_t> ContractOp::rhsFree() {
  return freeDims(getRhs(), getRhsBatch(), getRhsContract());
}

unsigned ContractOp::productOperands() { return 2; }

bool ContractOp::sumsNothing() {
  return llvm::any_of(getOperands(), [](Value operand) {
    return tensorType(operand).getNumElements() == 0;
  });
}

Size ContractOp::flops() {
  Size depth = 1;
  for (int64_t d : getLhsContract())
    depth = depth * shapeOf(getLhs())[d];
  return depth * 2 * tensorType(getResult()).getNumElements();
}

/// The left side with sums innermost: they run along memory.
SmallVector<int64_t> ContractOp::copyOrder(unsigned operand) {
  int64_t rank = shapeOf(getOperand(operand)).size();
  if (operand == 1)
    return llvm::to_vector(llvm::seq<int64_t>(0, rank));
  SmallVector<int64_t> order = otherDims(getLhsContract(), rank);
  llvm::append_range(order, getLhsContract());
  return order;
}

void ContractOp::evaluate(ArrayRef<RefTensor> inputs,
                          MutableArrayRef<RefTensor> results) {
  const RefTensor &x = inputs[0], &y = inputs[1];
  SmallVector<int64_t> xStrides = x.strides(), yStrides = y.strides();
  SmallVector<int64_t> xFree = lhsFree(), yFree = rhsFree(), extents;
  for (int64_t d : getLhsContract())
    extents.push_back(x.shape()[d]);
  // Element offsets of all contracted points, computed once.
  std::vector<std::pair<int64_t, int64_t>> points;
  forEachIndex(extents, [&](ArrayRef<int64_t> k) {
    int64_t xk = 0, yk = 0;
    for (size_t i = 0; i < k.size(); ++i) {
      xk += k[i] * xStrides[getLhsContract()[i]];
      yk += k[i] * yStrides[getRhsContract()[i]];
    }
    points.push_back({xk, yk});
  });
  int64_t position = 0;
  forEachIndex(results[0].shape(), [&](ArrayRef<int64_t> index) {
    int64_t xBase = 0, yBase = 0;
    size_t i = 0;
    for (auto [dx, dy] : llvm::zip_equal(getLhsBatch(), getRhsBatch())) {
      xBase += index[i] * xStrides[dx];
      yBase += index[i++] * yStrides[dy];
    }
    for (int64_t d : xFree)
      xBase += index[i++] * xStrides[d];
    for (int64_t d : yFree)
      yBase += index[i++] * yStrides[d];
    if (!x.isFloat()) {
      uint64_t sum = 0; // wraps
      for (auto [xk, yk] : points)
        sum += uint64_t(x.ints[xBase + xk]) * uint64_t(y.ints[yBase + yk]);
      results[0].ints[position++] = int64_t(sum);
      return;
    }
    double sum = 0;
    for (auto [xk, yk] : points)
      sum += x.floats[xBase + xk] * y.floats[yBase + yk];
    results[0].floats[position++] = sum;
  });
}

Value ContractOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  auto lhs = tensorType(getLhs()), rhs = tensorType(getRhs());
  Coords x(lhs.getRank()), y(rhs.getRank());
  size_t i = 0;
  for (auto [dx, dy] : llvm::zip_equal(getLhsBatch(), getRhsBatch()))
    x[dx] = y[dy] = at[i++];
  for (int64_t d : lhsFree())
    x[d] = at[i++];
  for (int64_t d : rhsFree())
    y[d] = at[i++];
  SmallVector<int64_t> extents;
  for (int64_t d : getLhsContract())
    extents.push_back(lhs.getDimSize(d));
  Type from = lhs.getElementType(), to = getType().getElementType();
  auto element = [&](Value tensor, const Coords &coords) {
    Value value = e.at(tensor, coords);
    return from == to ? value : e.convert(value, from, to);
  };
  return e.reduce(Combiner::sum, to, extents, 0, [&](ArrayRef<Coord> k) {
    for (size_t j = 0; j < k.size(); ++j)
      x[getLhsContract()[j]] = y[getRhsContract()[j]] = k[j];
    Value product = element(getLhs(), x);
    return e.mul(product, element(getRhs(), y));
  });
}

/// Dimensions of `tensor` as they stand in `order`: batch, then others.
static Expr putBack(Expr product, ArrayRef<int64_t> order) {
  SmallVector<int64_t> perm(order.size());
  for (auto [i, d] : llvm::enumerate(order))
    perm[d] = int64_t(i);
  return transpose(product, perm);
}

/// dx[b, m, k] = sum_n dy[b, m, n] w[b, n, k] and
/// dw[b, n, k] = sum_m dy[b, m, n] x[b, m, k].
void ContractOp::gradient(Gradient &g) {
  Expr x = g.operand(0), w = g.operand(1), dy = g.of;
  int64_t batches = getLhsBatch().size(), rows = lhsFree().size();
  int64_t columns = rhsFree().size();
  auto range = [](int64_t from, int64_t to) {
    return llvm::to_vector(llvm::seq<int64_t>(from, to));
  };
  SmallVector<int64_t> batch = range(0, batches);
  SmallVector<int64_t> rowDims = range(batches, batches + rows);
  SmallVector<int64_t> columnDims =
      range(batches + rows, batches + rows + columns);
  /// The other operand's contracted dimensions, in its order of dimensions, as
  /// dimensions of the one that is differentiated.
  auto paired = [](ArrayRef<int64_t> mine, ArrayRef<int64_t> others) {
    SmallVector<std::pair<int64_t, int64_t>> pairs;
    for (auto [m, o] : llvm::zip_equal(mine, others))
      pairs.push_back({o, m});
    llvm::sort(pairs);
    SmallVector<int64_t> dims;
    for (auto [o, m] : pairs)
      dims.push_back(m);
    return dims;
  };
  auto give = [&](unsigned i, Expr other, ArrayRef<int64_t> otherBatch,
                  ArrayRef<int64_t> otherFree, ArrayRef<int64_t> sumDims,
                  ArrayRef<int64_t> myBatch, ArrayRef<int64_t> myFree,
                  ArrayRef<int64_t> mySums, ArrayRef<int64_t> otherSums) {
    if (!g.wants(i))
      return;
    Expr product = contract(dy, convert(other, dy.element()), batch, otherBatch,
                            sumDims, otherFree);
    SmallVector<int64_t> order(myBatch);
    llvm::append_range(order, myFree);
    llvm::append_range(order, paired(mySums, otherSums));
    g.give(i, convert(putBack(product, order), other.element()));
  };
  give(0, w, getRhsBatch(), rhsFree(), columnDims, getLhsBatch(), lhsFree(),
       getLhsContract(), getRhsContract());
  give(1, x, getLhsBatch(), lhsFree(), rowDims, getRhsBatch(), rhsFree(),
       getRhsContract(), getLhsContract());
}

} // namespace nncc
