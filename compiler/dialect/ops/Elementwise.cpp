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
  const RefTensor &x = inputs[0];
  RefTensor &y = results[0];
  if (!x.isFloat() && !y.isFloat() && !y.type.getElementType().isInteger(1))
    y.ints = x.ints; // exact for every i64
  else
    mapElements(x, y, [](double v) { return v; });
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
// Gradients that tables name
//===----------------------------------------------------------------------===//

void giveExtremum(Gradient &g, Ties ties) {
  Expr x = g.operand(0), y = g.operand(1), z = g.result, dz = g.of;
  Expr zero = full(g.c, dz.element(), dz.shape(), 0);
  auto part = [&](Expr mine, bool winsTies, Expr other) {
    Expr hit = compare(Predicate::eq, mine, z);
    Expr all = select(hit, dz, zero);
    if (ties == Ties::even)
      return select(compare(Predicate::eq, mine, other), all * 0.5, all);
    return winsTies ? all
                    : select(compare(Predicate::eq, mine, other), zero, all);
  };
  g.give(0, part(x, ties == Ties::lhs, y));
  g.give(1, part(y, ties == Ties::rhs, x));
}

Expr powerByBase(Expr x, Expr y) {
  Expr zero = full(x.context(), x.element(), x.shape(), 0);
  return select(compare(Predicate::eq, y, zero), zero, y * pow(x, y - 1.0));
}

Expr powerByExponent(Expr x, Expr y, Expr z) {
  Expr zero = full(x.context(), x.element(), x.shape(), 0);
  Expr slope = select(compare(Predicate::eq, x, zero), zero, z * log(x));
  return select(compare(Predicate::lt, y, zero), z * log(x), slope);
}

} // namespace nncc
