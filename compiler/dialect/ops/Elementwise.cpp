//===- Elementwise.cpp - conversion, comparison, selection ----------------===//
//
// What the tables in Unary.td and Binary.td do not generate.
//
//===----------------------------------------------------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

//===----------------------------------------------------------------------===//
// convert
//===----------------------------------------------------------------------===//

void ConvertOp::evaluate(ArrayRef<RefTensor> inputs,
                         MutableArrayRef<RefTensor> results) {
  for (int64_t i = 0, n = results[0].size(); i < n; ++i)
    results[0].set(i, inputs[0].number(i));
}

Value ConvertOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  return e.convert(e.at(getOperand(), at),
                   tensorType(getOperand()).getElementType(),
                   tensorType(getResult()).getElementType());
}

//===----------------------------------------------------------------------===//
// compare
//===----------------------------------------------------------------------===//

LogicalResult CompareOp::inferReturnTypes(MLIRContext *context,
                                          std::optional<Location>,
                                          CompareOp::Adaptor adaptor,
                                          SmallVectorImpl<Type> &types) {
  types.push_back(RankedTensorType::get(shapeOf(adaptor.getLhs()),
                                        IntegerType::get(context, 1)));
  return success();
}

template <typename T> static bool holds(Predicate predicate, T x, T y) {
  switch (predicate) {
  case Predicate::eq:
    return x == y;
  case Predicate::ne:
    return x != y;
  case Predicate::lt:
    return x < y;
  case Predicate::le:
    return x <= y;
  case Predicate::gt:
    return x > y;
  case Predicate::ge:
    return x >= y;
  }
  llvm_unreachable("unknown predicate");
}

void CompareOp::evaluate(ArrayRef<RefTensor> inputs,
                         MutableArrayRef<RefTensor> results) {
  const RefTensor &x = inputs[0], &y = inputs[1];
  for (int64_t i = 0, n = x.size(); i < n; ++i)
    results[0].ints[i] = x.isFloat()
                             ? holds(getPredicate(), x.floats[i], y.floats[i])
                             : holds(getPredicate(), x.ints[i], y.ints[i]);
}

Value CompareOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  Type element = tensorType(getLhs()).getElementType();
  Value x = e.at(getLhs(), at);
  return e.compare(getPredicate(), x, e.at(getRhs(), at),
                   isUnsignedElement(element));
}

//===----------------------------------------------------------------------===//
// select
//===----------------------------------------------------------------------===//

void SelectOp::evaluate(ArrayRef<RefTensor> inputs,
                        MutableArrayRef<RefTensor> results) {
  for (int64_t i = 0, n = results[0].size(); i < n; ++i)
    results[0].copyFrom(inputs[0].ints[i] ? inputs[1] : inputs[2], i, i);
}

Value SelectOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  Value condition = e.at(getCondition(), at);
  Value x = e.at(getOnTrue(), at);
  return e.select(condition, x, e.at(getOnFalse(), at));
}

void ConvertOp::gradient(Gradient &g) {
  // Integers are not differentiable.
  if (g.operand(0).isFloat() && g.result.isFloat())
    g.give(0, convert(g.of, g.operand(0).element()));
}

void CompareOp::gradient(Gradient &g) { g.none(); }

void SelectOp::gradient(Gradient &g) {
  Expr zero = full(g.c, g.of.element(), g.of.shape(), 0);
  g.give(1, select(g.operand(0), g.of, zero));
  g.give(2, select(g.operand(0), zero, g.of));
}

//===----------------------------------------------------------------------===//
// detach
//===----------------------------------------------------------------------===//

void DetachOp::evaluate(ArrayRef<RefTensor> inputs,
                        MutableArrayRef<RefTensor> results) {
  results[0] = inputs[0];
}

Value DetachOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  return e.at(getOperand(), at);
}

void DetachOp::gradient(Gradient &g) { g.none(); }

//===----------------------------------------------------------------------===//
// with_slope
//===----------------------------------------------------------------------===//

void WithSlopeOp::evaluate(ArrayRef<RefTensor> inputs,
                           MutableArrayRef<RefTensor> results) {
  results[0] = inputs[0];
}

Value WithSlopeOp::emitElement(ElementEmitter &e, ArrayRef<Coord> at) {
  return e.at(getValue(), at);
}

void WithSlopeOp::gradient(Gradient &g) {
  g.give(0, g.of);
  if (g.wants(1))
    g.give(1, g.of * g.operand(2));
}

//===----------------------------------------------------------------------===//
// Gradients that tables name
//===----------------------------------------------------------------------===//

/// A NaN is on both sides: PyTorch's maximum and relu give both the gradient,
/// clamp neither.
void giveExtremum(Gradient &g, Ties ties, bool isMax) {
  Expr x = g.operand(0), y = g.operand(1), dz = g.of;
  Expr zero = full(g.c, dz.element(), dz.shape(), 0);
  Predicate loses = isMax ? Predicate::lt : Predicate::gt,
            losesOrTies = isMax ? Predicate::le : Predicate::ge;
  switch (ties) {
  case Ties::even: {
    Expr tied = compare(Predicate::eq, x, y);
    Expr share = select(tied, dz * 0.5, dz);
    g.give(0, select(compare(loses, x, y), zero, share));
    g.give(1, select(compare(loses, y, x), zero, share));
    return;
  }
  case Ties::lhs:
    g.give(0, select(compare(losesOrTies, y, x), dz, zero));
    g.give(1, select(compare(loses, x, y), dz, zero));
    return;
  case Ties::rhs:
    g.give(0, select(compare(losesOrTies, x, y), zero, dz));
    g.give(1, select(compare(losesOrTies, x, y), dz, zero));
    return;
  }
}

Expr powerByBase(Expr x, Expr y) {
  Expr zero = full(x.context(), x.element(), x.shape(), 0);
  return select(compare(Predicate::eq, y, zero), zero, y * pow(x, y - 1.0));
}

Expr powerByExponent(Expr x, Expr y, Expr z) {
  Expr zero = full(x.context(), x.element(), x.shape(), 0), slope = z * log(x);
  Expr ofZero = select(compare(Predicate::ge, y, zero), zero, slope);
  return select(compare(Predicate::eq, x, zero), ofZero, slope);
}

} // namespace nncc
