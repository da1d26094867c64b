//===- Create.cpp - constants, counting, state ----------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

//===----------------------------------------------------------------------===//
// constant
//===----------------------------------------------------------------------===//

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

void ConstantOp::evaluate(ArrayRef<RefTensor>,
                          MutableArrayRef<RefTensor> results) {
  results[0] = RefTensor(cast<DenseElementsAttr>(getValue()));
}

Value ConstantOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  auto value = cast<DenseElementsAttr>(getValue());
  if (value.isSplat()) {
    auto one =
        value.resizeSplat(RankedTensorType::get({}, value.getElementType()));
    return e.splat(value.getElementType(), RefTensor(one).get(0));
  }
  return e.constantAt(value, at);
}

//===----------------------------------------------------------------------===//
// iota
//===----------------------------------------------------------------------===//

LogicalResult IotaOp::verify() {
  int64_t dim = getDim();
  if (dim < 0 || dim >= tensorType(getResult()).getRank())
    return emitOpError("dim ")
           << dim << " is not a dimension of " << getType(); // C1
  return success();
}

void IotaOp::evaluate(ArrayRef<RefTensor>, MutableArrayRef<RefTensor> results) {
  int64_t position = 0;
  forEachIndex(results[0].shape(), [&](ArrayRef<int64_t> index) {
    results[0].set(position++, getStart() + getStep() * index[getDim()]);
  });
}

Value IotaOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  Coord value = e.addTo(e.scale(at[getDim()], getStep()), getStart());
  return e.coordElement(value, tensorType(getResult()).getElementType());
}

//===----------------------------------------------------------------------===//
// weight
//===----------------------------------------------------------------------===//

void WeightOp::evaluate(ArrayRef<RefTensor>, MutableArrayRef<RefTensor>) {
  llvm_unreachable("the interpreter binds weights itself");
}

Value WeightOp::emitElement(ElementEmitter &, ArrayRef<Coord>) {
  llvm_unreachable("weights are kernel operands");
}

// Without operands there is nothing to give.
void ConstantOp::gradient(Gradient &g) { g.none(); }
void IotaOp::gradient(Gradient &g) { g.none(); }
void WeightOp::gradient(Gradient &g) { g.none(); }

} // namespace nncc
