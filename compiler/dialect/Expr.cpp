//===- Expr.cpp - the vocabulary of compositions --------------------------===//
#include "dialect/Expr.h"
#include "support/Size.h"
#include "dialect/Nncc.h"
#include "support/Diagnostics.h"
#include <limits>

using namespace mlir;

namespace nncc {

static Expr failedValue(ExprBuilder &c, const Twine &text) {
  c.fail(text);
  return Expr(c, Value());
}

/// An op of the given type; or, without one, of the type that follows.
template <typename OpTy, typename... Args>
static Expr makeOf(ExprBuilder &c, Type type, Args &&...args) {
  OperationState state(c.loc, OpTy::getOperationName());
  OpTy::build(c.b, state, type, std::forward<Args>(args)...);
  Operation *op = buildChecked(c, state);
  return Expr(c, op ? op->getResult(0) : Value());
}
template <typename OpTy, typename... Args>
static Expr make(ExprBuilder &c, Args &&...args) {
  return makeOf<OpTy>(c, Type(), std::forward<Args>(args)...);
}
/// An op of this shape, if there are such tensors.
template <typename OpTy, typename... Args>
static Expr makeOf(ExprBuilder &c, Ints shape, Type element, Args &&...args) {
  if (std::string text = shapeProblem(shape, c.most); !text.empty())
    return failedValue(c, text);
  return makeOf<OpTy>(c, RankedTensorType::get(shape, element),
                      std::forward<Args>(args)...);
}

static bool hasDim(Expr x, int64_t d) { return d >= 0 && d < x.rank(); }
static Expr noSuchDim(Expr x, int64_t d) {
  return failedValue(x.context(), "a tensor of shape " + shapeText(x.shape()) +
                                      " has no dimension " + Twine(d));
}

static DenseI64ArrayAttr ints(ExprBuilder &c, Ints values) {
  return c.b.getDenseI64ArrayAttr(values);
}

std::optional<SmallVector<int64_t>> broadcastShape(Ints x, Ints y) {
  if (x.size() < y.size())
    std::swap(x, y);
  SmallVector<int64_t> shape(x);
  size_t shift = x.size() - y.size();
  for (size_t d = 0; d < y.size(); ++d) {
    if (shape[d + shift] == 1)
      shape[d + shift] = y[d];
    else if (y[d] != 1 && y[d] != shape[d + shift])
      return std::nullopt;
  }
  return shape;
}

//===----------------------------------------------------------------------===//
// Creation
//===----------------------------------------------------------------------===//

Expr full(ExprBuilder &c, Type element, Ints shape, Number value) {
  if (std::string text = shapeProblem(shape, c.most); !text.empty())
    return failedValue(c, text);
  auto type = RankedTensorType::get(shape, element);
  Attribute attr = value.toAttr(element);
  return makeOf<ConstantOp>(
      c, type, cast<ElementsAttr>(DenseElementsAttr::get(type, attr)));
}

Expr scalar(ExprBuilder &c, Type element, Number value) {
  return full(c, element, {}, value);
}

Expr random(Expr key, Type element, Ints shape, int64_t stream) {
  return makeOf<RandomOp>(key.context(), shape, element, key.value(),
                          uint64_t(stream));
}

Expr iota(ExprBuilder &c, Type element, Ints shape, int64_t dim, int64_t start,
          int64_t step) {
  return makeOf<IotaOp>(c, shape, element, uint64_t(dim), uint64_t(start),
                        uint64_t(step));
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

template <typename OpTy> static Expr unary(Expr x) {
  return makeOf<OpTy>(x.context(), x.type(), x.value());
}
Expr neg(Expr x) { return unary<NegOp>(x); }
Expr abs(Expr x) {
  return isUnsignedElement(x.element()) ? x : unary<AbsOp>(x);
}
Expr detach(Expr x) { return unary<DetachOp>(x); }
Expr withSlope(Expr value, Expr x, Expr slope) {
  return makeOf<WithSlopeOp>(x.context(), value.type(), value.value(),
                             x.value(), slope.value());
}
Expr sqrt(Expr x) { return unary<SqrtOp>(x); }
Expr rsqrt(Expr x) { return unary<RsqrtOp>(x); }
Expr exp(Expr x) { return unary<ExpOp>(x); }
Expr exp2(Expr x) { return unary<Exp2Op>(x); }
Expr expm1(Expr x) { return unary<Expm1Op>(x); }
Expr log(Expr x) { return unary<LogOp>(x); }
Expr log2(Expr x) { return unary<Log2Op>(x); }
Expr log10(Expr x) { return unary<Log10Op>(x); }
Expr log1p(Expr x) { return unary<Log1pOp>(x); }
Expr sin(Expr x) { return unary<SinOp>(x); }
Expr cos(Expr x) { return unary<CosOp>(x); }
Expr tan(Expr x) { return unary<TanOp>(x); }
Expr asin(Expr x) { return unary<AsinOp>(x); }
Expr acos(Expr x) { return unary<AcosOp>(x); }
Expr atan(Expr x) { return unary<AtanOp>(x); }
Expr sinh(Expr x) { return unary<SinhOp>(x); }
Expr cosh(Expr x) { return unary<CoshOp>(x); }
Expr tanh(Expr x) { return unary<TanhOp>(x); }
Expr asinh(Expr x) { return unary<AsinhOp>(x); }
Expr acosh(Expr x) { return unary<AcoshOp>(x); }
Expr atanh(Expr x) { return unary<AtanhOp>(x); }
Expr sigmoid(Expr x) { return unary<SigmoidOp>(x); }
Expr erf(Expr x) { return unary<ErfOp>(x); }
Expr erfc(Expr x) { return unary<ErfcOp>(x); }
Expr floor(Expr x) { return x.isFloat() ? unary<FloorOp>(x) : x; }
Expr ceil(Expr x) { return x.isFloat() ? unary<CeilOp>(x) : x; }
Expr logicalNot(Expr x) { return unary<NotOp>(x); }

Expr convert(Expr x, Type element) {
  if (x.element() == element)
    return x;
  return makeOf<ConvertOp>(x.context(), x.shape(), element, x.value());
}

Type promotedType(Type x, Type y) {
  if (x == y)
    return x;
  bool xFloat = isa<FloatType>(x), yFloat = isa<FloatType>(y);
  unsigned xBits = x.getIntOrFloatBitWidth(), yBits = y.getIntOrFloatBitWidth();
  if (xFloat != yFloat)
    return xFloat ? x : y;
  if (xBits != yBits)
    return xBits > yBits ? x : y;
  // f16 and bf16; i8 and u8.
  Builder b(x.getContext());
  return xFloat ? Type(b.getF32Type()) : Type(b.getIntegerType(16));
}

Kind kindOf(Type type) {
  return type.isInteger(1)      ? Kind::boolean
         : isa<FloatType>(type) ? Kind::floating
                                : Kind::integer;
}

bool isHalf(Type type) { return type.isF16() || type.isBF16(); }

Type promotedType(Expr x, Expr y) {
  if (x.rank() == 0 && y.rank() > 0)
    std::swap(x, y);
  if (x.rank() > 0 && y.rank() == 0 &&
      kindOf(x.element()) >= kindOf(y.element()))
    return x.element();
  return promotedType(x.element(), y.element());
}

/// Converts both to the type of their arithmetic, and to one shape.
static void unify(Expr &x, Expr &y) {
  Type wide = promotedType(x, y);
  x = convert(x, wide);
  y = convert(y, wide);
  auto shape = broadcastShape(x.shape(), y.shape());
  if (!shape) {
    x = y = failedValue(x.context(), "shapes " + shapeText(x.shape()) +
                                         " and " + shapeText(y.shape()) +
                                         " do not broadcast");
    return;
  }
  x = broadcastTo(x, *shape);
  y = broadcastTo(y, *shape);
}

template <typename OpTy> static Expr binary(Expr x, Expr y) {
  unify(x, y);
  return make<OpTy>(x.context(), x.value(), y.value());
}
/// A number as an operand beside x.
static Expr like(Expr x, Number value) {
  return full(x.context(), x.element(), x.shape(), value);
}
Expr operator+(Expr x, Expr y) {
  bool areBools = x.element().isInteger(1) && y.element().isInteger(1);
  return areBools ? binary<OrOp>(x, y) : binary<AddOp>(x, y);
}
Expr operator-(Expr x, Expr y) { return binary<SubOp>(x, y); }
Expr operator*(Expr x, Expr y) { return binary<MulOp>(x, y); }
Expr operator/(Expr x, Expr y) { return binary<DivOp>(x, y); }
Expr operator+(Expr x, Number y) { return x + like(x, y); }
Expr operator-(Expr x, Number y) { return x - like(x, y); }
Expr operator*(Expr x, Number y) { return x * like(x, y); }
Expr operator/(Expr x, Number y) { return x / like(x, y); }
Expr pow(Expr x, Expr y) {
  Type type = promotedType(x, y), wide = x.context().b.getIntegerType(16);
  if (!type.isUnsignedInteger())
    return binary<PowOp>(x, y);
  // The lowering's exponents are signed; the low bits are the same.
  return convert(binary<PowOp>(convert(x, wide), convert(y, wide)), type);
}
/// x^exponent by products and roots, where there are few; else null.
static Expr shortPower(Expr x, double exponent) {
  if (exponent == 1)
    return x;
  if (exponent == 2)
    return x * x;
  if (exponent == 3)
    return x * x * x;
  if (exponent == 0.5)
    return sqrt(x);
  if (exponent == -0.5)
    return rsqrt(x);
  if (exponent == -1.5) { // the slope of rsqrt
    Expr isEnd = compare(Predicate::eq, x,
                         like(x, -std::numeric_limits<double>::infinity()));
    return select(isEnd, like(x, 0), rsqrt(x) / x);
  }
  if (exponent == -1 || exponent == -2 || exponent == -3)
    return like(x, 1) / shortPower(x, -exponent);
  return Expr();
}

static Expr power(Expr x, double exponent) {
  Expr y = shortPower(x, exponent);
  return y ? y : pow(x, scalar(x.context(), x.element(), exponent));
}

Expr pow(Expr x, double exponent) {
  if (!x.isFloat() || exponent == 1)
    return power(x, exponent);
  Expr slope = like(x, 0);
  if (exponent != 0)
    slope = power(x, exponent - 1) * exponent;
  return withSlope(power(detach(x), exponent), x, slope);
}

Expr floorDiv(Expr x, Expr y) { return binary<FloorDivOp>(x, y); }
Expr remainder(Expr x, Expr y) { return binary<RemainderOp>(x, y); }
Expr bitAnd(Expr x, Expr y) { return binary<AndOp>(x, y); }
Expr bitOr(Expr x, Expr y) { return binary<OrOp>(x, y); }
Expr bitXor(Expr x, Expr y) { return binary<XorOp>(x, y); }
Expr shiftLeft(Expr x, Expr y) { return binary<ShiftLeftOp>(x, y); }
Expr shiftRight(Expr x, Expr y) { return binary<ShiftRightOp>(x, y); }
Expr max(Expr x, Expr y) { return binary<MaxOp>(x, y); }
Expr min(Expr x, Expr y) { return binary<MinOp>(x, y); }
Expr max(Expr x, Number y, Ties ties) {
  return makeOf<MaxOp>(x.context(), x.type(), x.value(), like(x, y).value(),
                       ties);
}
Expr min(Expr x, Number y, Ties ties) {
  return makeOf<MinOp>(x.context(), x.type(), x.value(), like(x, y).value(),
                       ties);
}

Expr compare(Predicate predicate, Expr x, Expr y) {
  unify(x, y);
  return make<CompareOp>(x.context(), predicate, x.value(), y.value());
}

Expr sign(Expr x) {
  Expr zero = like(x, 0);
  Expr negative = select(compare(Predicate::lt, x, zero), like(x, -1), zero);
  return select(compare(Predicate::gt, x, zero), like(x, 1), negative);
}

Expr select(Expr condition, Expr x, Expr y) {
  unify(x, y);
  auto shape = broadcastShape(condition.shape(), x.shape());
  if (!shape)
    return failedValue(x.context(), "shapes " + shapeText(condition.shape()) +
                                        " and " + shapeText(x.shape()) +
                                        " do not broadcast");
  x = broadcastTo(x, *shape);
  return makeOf<SelectOp>(x.context(), x.type(),
                          broadcastTo(condition, *shape).value(), x.value(),
                          broadcastTo(y, *shape).value());
}

//===----------------------------------------------------------------------===//
// Shape
//===----------------------------------------------------------------------===//

Expr reshape(Expr x, Ints shape) {
  if (x.shape() == shape)
    return x;
  return makeOf<ReshapeOp>(x.context(), shape, x.element(), x.value());
}

Expr transpose(Expr x, Ints perm) {
  if (llvm::is_sorted(perm))
    return x;
  return make<TransposeOp>(x.context(), x.value(), ints(x.context(), perm));
}

Expr swapDims(Expr x, int64_t d, int64_t e) {
  if (!hasDim(x, d) || !hasDim(x, e))
    return noSuchDim(x, hasDim(x, d) ? e : d);
  auto perm = llvm::to_vector(llvm::seq<int64_t>(0, x.rank()));
  std::swap(perm[d], perm[e]);
  return transpose(x, perm);
}

Expr broadcastTo(Expr x, Ints shape) {
  if (x.shape() == shape)
    return x;
  // Dimensions of size 1 that grow are dropped first.
  SmallVector<int64_t> kept, dims;
  int64_t shift = int64_t(shape.size()) - x.rank();
  if (shift < 0)
    return failedValue(x.context(), "cannot broadcast " + shapeText(x.shape()) +
                                        " to " + shapeText(shape));
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (x.dim(d) == 1 && shape[d + shift] != 1)
      continue;
    kept.push_back(x.dim(d));
    dims.push_back(d + shift);
  }
  x = reshape(x, kept);
  if (x.shape() == shape)
    return x;
  return makeOf<BroadcastOp>(x.context(), shape, x.element(), x.value(),
                             ints(x.context(), dims));
}

Expr alongDim(Expr vector, Ints shape, int64_t dim) {
  return makeOf<BroadcastOp>(vector.context(), shape, vector.element(),
                             vector.value(), ints(vector.context(), {dim}));
}

Expr slice(Expr x, int64_t dim, int64_t start, int64_t size, int64_t step) {
  if (!hasDim(x, dim))
    return noSuchDim(x, dim);
  SmallVector<int64_t> starts(x.rank(), 0), sizes(x.shape()),
      steps(x.rank(), 1);
  starts[dim] = start;
  sizes[dim] = size;
  steps[dim] = step;
  if (ArrayRef<int64_t>(sizes) == x.shape())
    return x;
  ExprBuilder &c = x.context();
  return make<SliceOp>(c, x.value(), ints(c, starts), ints(c, sizes),
                       ints(c, steps));
}

Expr pad(Expr x, Ints low, Ints high, Number value, Ints interior) {
  SmallVector<int64_t> none(x.rank(), 0);
  if (interior.empty())
    interior = none;
  auto isZero = [](int64_t v) { return v == 0; };
  if (llvm::all_of(low, isZero) && llvm::all_of(high, isZero) &&
      llvm::all_of(interior, isZero))
    return x;
  ExprBuilder &c = x.context();
  Attribute attr = value.toAttr(value.isInteger() ? Type(c.b.getI64Type())
                                                  : c.b.getF64Type());
  return make<PadOp>(c, x.value(), attr, ints(c, low), ints(c, high),
                     ints(c, interior));
}

Expr reverse(Expr x, Ints dims) {
  return makeOf<ReverseOp>(x.context(), x.type(), x.value(),
                           ints(x.context(), dims));
}

Expr concat(ArrayRef<Expr> xs, int64_t dim) {
  if (xs.size() == 1)
    return xs.front();
  // A kernel has a bounded number of operands: long lists are joined in parts.
  constexpr size_t most = 32;
  if (xs.size() > most) {
    SmallVector<Expr> parts;
    for (; !xs.empty(); xs = xs.drop_front(std::min(most, xs.size())))
      parts.push_back(concat(xs.take_front(most), dim));
    return concat(parts, dim);
  }
  SmallVector<Value> values;
  for (const Expr &x : xs)
    values.push_back(x.value());
  return make<ConcatOp>(xs.front().context(), values, uint64_t(dim));
}

Expr fold(Expr x, Ints shape, Ints dims, Ints sizes, Ints strides,
          Ints dilations) {
  ExprBuilder &c = x.context();
  return makeOf<FoldOp>(c, shape, x.element(), x.value(), ints(c, dims),
                        ints(c, sizes), ints(c, strides), ints(c, dilations));
}

/// Steps of windows that are not taken say nothing, and nothing bounds them:
/// here they end with the tensor.
static void boundIdleSteps(Size length, int64_t size, int64_t &stride,
                           int64_t &dilation) {
  if (size == 1)
    dilation = 1;
  Size room = length - (Size(size) - 1) * dilation; // and the first window
  if (room < stride)
    stride = std::max<int64_t>(int64_t(room), 1);
}

Expr patches(Expr x, Ints dims, Ints sizes, Ints strides, Ints dilations) {
  ExprBuilder &c = x.context();
  SmallVector<int64_t> stride(strides), dilation(dilations);
  for (auto [i, d] : llvm::enumerate(dims)) {
    if (!hasDim(x, d))
      return noSuchDim(x, d);
    boundIdleSteps(x.dim(d), sizes[i], stride[i], dilation[i]);
  }
  return make<PatchesOp>(c, x.value(), ints(c, dims), ints(c, sizes),
                         ints(c, stride), ints(c, dilation));
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

Expr reduce(Combiner combiner, Expr x, Ints dims, bool keepDims, bool first) {
  SmallVector<int64_t> shape(x.shape());
  for (int64_t d : dims) {
    if (!hasDim(x, d))
      return noSuchDim(x, d);
    shape[d] = 1;
  }
  Expr y = x;
  if (!dims.empty())
    y = make<ReduceOp>(x.context(), combiner, x.value(),
                       ints(x.context(), dims), first);
  return keepDims ? reshape(y, shape) : y;
}

Expr sum(Expr x, Ints dims, bool keepDims) {
  return reduce(Combiner::sum, x, dims, keepDims);
}

Expr sumAll(Expr x) {
  return sum(x, llvm::to_vector(llvm::seq<int64_t>(0, x.rank())));
}

Expr mean(Expr x, Ints dims, bool keepDims) {
  double count = 1;
  for (int64_t d : dims)
    count *= double(x.dim(d));
  return sum(x, dims, keepDims) * (1 / count);
}

Expr reduceMax(Expr x, Ints dims, bool keepDims) {
  return reduce(Combiner::max, x, dims, keepDims);
}

Expr logSoftmax(Expr x, int64_t dim) {
  Type wide = computeType(x.element());
  if (wide != x.element()) // else a difference of roundings
    return convert(logSoftmax(convert(x, wide), dim), x.element());
  // The maximum only scales; its gradient would cancel.
  Expr shifted = x - detach(reduceMax(x, {dim}, true));
  return shifted - log(sum(exp(shifted), {dim}, true));
}

Expr maskedSoftmax(Expr x, int64_t dim) {
  Type wide = computeType(x.element());
  if (wide != x.element())
    return convert(maskedSoftmax(convert(x, wide), dim), x.element());
  Expr top = detach(reduceMax(x, {dim}, true));
  Expr none = like(top, -std::numeric_limits<double>::infinity());
  Expr zero = like(top, 0), one = like(top, 1);
  top = select(compare(Predicate::eq, top, none), zero, top);
  Expr e = exp(x - top), total = sum(e, {dim}, true);
  // At least exp(0) if there is anything.
  return e / select(compare(Predicate::eq, total, zero), one, total);
}

//===----------------------------------------------------------------------===//
// Contractions and the rest
//===----------------------------------------------------------------------===//

Expr contract(Expr x, Expr y, Ints xBatch, Ints yBatch, Ints xSum, Ints ySum,
              Type element) {
  ExprBuilder &c = x.context();
  bool isOwn = !element || element == x.element();
  return make<ContractOp>(c, x.value(), y.value(), ints(c, xBatch),
                          ints(c, yBatch), ints(c, xSum), ints(c, ySum),
                          isOwn ? TypeAttr() : TypeAttr::get(element));
}

Expr linear(Expr x, Expr y, Type element) {
  return contract(x, y, {}, {}, {x.rank() - 1}, {1}, element);
}

Expr convolution(Expr x, Expr kernel, const ConvolutionShape &shape) {
  ExprBuilder &c = x.context();
  ConvolutionShape s = shape;
  for (int64_t i = 0; i + 2 < x.rank() && i + 2 < kernel.rank(); ++i) {
    int64_t size = x.dim(i + 2);
    if (size == 1)
      s.inputDilations[i] = 1;
    Size length =
        (Size(size) - 1) * s.inputDilations[i] + 1 + s.low[i] + s.high[i];
    boundIdleSteps(length, kernel.dim(i + 2), s.strides[i], s.dilations[i]);
  }
  return make<ConvolutionOp>(c, x.value(), kernel.value(), ints(c, s.strides),
                             ints(c, s.low), ints(c, s.high),
                             ints(c, s.inputDilations), ints(c, s.dilations),
                             c.b.getI64IntegerAttr(s.groups));
}

Expr scatterAdd(Expr base, Expr indices, Expr updates) {
  return make<ScatterAddOp>(base.context(), base.value(), indices.value(),
                            updates.value());
}

Expr gather(Expr x, Expr indices, int64_t dim) {
  return make<GatherOp>(x.context(), x.value(), indices.value(), uint64_t(dim));
}

Expr attention(Expr q, Expr k, Expr v, Expr mask, double scale, bool causal) {
  ExprBuilder &c = q.context();
  UnitAttr isCausal = causal ? c.b.getUnitAttr() : UnitAttr();
  return make<AttentionOp>(c, q.value(), k.value(), v.value(), mask.value(),
                           c.b.getF64FloatAttr(scale), isCausal);
}

std::array<Expr, 3> attentionBackward(Expr q, Expr k, Expr v, Expr dResult,
                                      Expr mask, double scale, bool causal) {
  ExprBuilder &c = q.context();
  UnitAttr isCausal = causal ? c.b.getUnitAttr() : UnitAttr();
  OperationState state(c.loc, AttentionBackwardOp::getOperationName());
  AttentionBackwardOp::build(
      c.b, state, Type(), Type(), Type(), q.value(), k.value(), v.value(),
      dResult.value(), mask.value(), c.b.getF64FloatAttr(scale), isCausal);
  Operation *op = buildChecked(c, state);
  auto result = [&](unsigned i) {
    return Expr(c, op ? op->getResult(i) : Value());
  };
  return {result(0), result(1), result(2)};
}

Scanned scan(ArrayRef<Expr> inits, ArrayRef<Expr> sequences,
             ArrayRef<Expr> invariants, bool reverse, ScanStep step) {
  ExprBuilder &c = sequences.front().context();
  int64_t steps = sequences.front().dim(0);
  for (Expr sequence : sequences)
    if (!hasDim(sequence, 0))
      c.fail("a sequence needs a dimension of steps");
  auto values = [](ArrayRef<Expr> exprs) {
    return llvm::map_to_vector(exprs, [](Expr x) { return x.value(); });
  };
  auto body = std::make_unique<Block>();
  auto arguments = [&](ArrayRef<Expr> operands, bool isElement) {
    std::vector<Expr> list;
    for (Expr x : operands) {
      Type type = isElement ? ScanOp::elementType(x.type()) : x.type();
      list.push_back(Expr(c, body->addArgument(type, c.loc)));
    }
    return list;
  };
  std::vector<Expr> state = arguments(inits, false);
  std::vector<Expr> now = arguments(sequences, true);
  std::vector<Expr> fixed = arguments(invariants, false), elements;
  {
    OpBuilder::InsertionGuard guard(c.b);
    c.b.setInsertionPointToEnd(body.get());
    elements = step(state, now, fixed);
    if (!c.problem.empty()) // the body is thrown away
      return {std::vector<Expr>(inits.size(), Expr(c, Value())),
              std::vector<Expr>(elements.size(), Expr(c, Value()))};
    SmallVector<Value> yielded = values(state);
    llvm::append_range(yielded, values(elements));
    YieldOp::create(c.b, c.loc, yielded);
  }
  SmallVector<Type> types(ValueRange(values(inits)).getTypes());
  for (Expr element : elements)
    types.push_back(ScanOp::stackType(element.type(), steps));
  OperationState scan(c.loc, ScanOp::getOperationName());
  ScanOp::build(c.b, scan, types, c.b.getI64IntegerAttr(steps), values(inits),
                values(sequences), values(invariants),
                reverse ? c.b.getUnitAttr() : UnitAttr(), DenseI64ArrayAttr());
  scan.regions.front()->push_back(body.release());
  Operation *op = buildChecked(c, scan);
  Scanned result;
  for (size_t i = 0; i < types.size(); ++i)
    (i < inits.size() ? result.finals : result.stacks)
        .push_back(Expr(c, op ? op->getResult(i) : Value()));
  return result;
}

} // namespace nncc
