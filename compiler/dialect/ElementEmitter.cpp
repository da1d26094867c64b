//===- ElementEmitter.cpp - code for the elements of a tensor -------------===//
//
// The parts that are the same for every emitter: arithmetic on elements and on
// coordinates.
//
//===----------------------------------------------------------------------===//
#include "dialect/Float.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"
#include <numeric>

using namespace mlir;

namespace nncc {

ElementEmitter::~ElementEmitter() = default;

static bool isFloatElement(Value x) {
  return isa<FloatType>(getElementTypeOrSelf(x.getType()));
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

bool isUnsignedElement(Type elementType) {
  return elementType.isInteger(1) || elementType.isUnsignedInteger();
}

static FloatType asHalf(Type elementType) {
  return elementType.isF16() || elementType.isBF16()
             ? cast<FloatType>(elementType)
             : FloatType();
}

Type computeType(Type elementType) {
  return asHalf(elementType) ? Float32Type::get(elementType.getContext())
                             : elementType;
}

Type ElementEmitter::typeOf(Type elementType) const {
  elementType = computeType(elementType);
  // Integers are signless in generated code; ops know their signedness.
  if (auto integer = dyn_cast<IntegerType>(elementType))
    elementType = IntegerType::get(integer.getContext(), integer.getWidth());
  if (width == 1)
    return elementType;
  return VectorType::get({width}, elementType);
}

Value ElementEmitter::splat(Type elementType, Number value) {
  Type type = typeOf(elementType);
  TypedAttr attr = value.toAttr(getElementTypeOrSelf(type));
  if (auto vector = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(vector, attr);
  return arith::ConstantOp::create(b, loc, attr);
}

Value ElementEmitter::spread(Value scalar) {
  if (width == 1)
    return scalar;
  return vector::BroadcastOp::create(
      b, loc, VectorType::get({width}, scalar.getType()), scalar);
}

Value ElementEmitter::neg(Value x) {
  if (isFloatElement(x))
    return arith::NegFOp::create(b, loc, x);
  Type element = getElementTypeOrSelf(x.getType());
  return arith::SubIOp::create(b, loc, splat(element, 0), x);
}
Value ElementEmitter::abs(Value x) {
  if (isFloatElement(x))
    return math::AbsFOp::create(b, loc, x);
  return math::AbsIOp::create(b, loc, x);
}
Value ElementEmitter::sqrt(Value x) { return math::SqrtOp::create(b, loc, x); }
Value ElementEmitter::rsqrt(Value x) {
  Type element = getElementTypeOrSelf(x.getType());
  return arith::DivFOp::create(b, loc, splat(element, 1), sqrt(x));
}
Value ElementEmitter::floor(Value x) {
  if (hasFloor())
    return math::FloorOp::create(b, loc, x);
  // To the nearest integer by adding one so large that it has no fraction.
  Float from(*this, x), magnitude = from.abs();
  double large = from.type().isF32() ? 0x1p23 : 0x1p52;
  Float nearest = ((magnitude + large) - large).copySign(from);
  Value isAbove = nearest.is(Predicate::gt, from);
  Float below = (nearest - 1).where(isAbove, nearest);
  return below.where(magnitude.is(Predicate::lt, large), from).value;
}
Value ElementEmitter::ceil(Value x) {
  if (hasFloor())
    return math::CeilOp::create(b, loc, x);
  return neg(floor(neg(x)));
}
Value ElementEmitter::bitNot(Value x) {
  Type element = getElementTypeOrSelf(x.getType());
  return bitXor(x, splat(element, element.isInteger(1) ? 1 : -1));
}

template <typename FloatOp, typename IntOp>
static Value floatOrInt(OpBuilder &b, Location loc, Value x, Value y) {
  if (isFloatElement(x))
    return FloatOp::create(b, loc, x, y);
  return IntOp::create(b, loc, x, y);
}

Value ElementEmitter::add(Value x, Value y) {
  return floatOrInt<arith::AddFOp, arith::AddIOp>(b, loc, x, y);
}
Value ElementEmitter::sub(Value x, Value y) {
  return floatOrInt<arith::SubFOp, arith::SubIOp>(b, loc, x, y);
}
Value ElementEmitter::mul(Value x, Value y) {
  return floatOrInt<arith::MulFOp, arith::MulIOp>(b, loc, x, y);
}
Value ElementEmitter::bitAnd(Value x, Value y) {
  return arith::AndIOp::create(b, loc, x, y);
}
Value ElementEmitter::bitOr(Value x, Value y) {
  return arith::OrIOp::create(b, loc, x, y);
}
Value ElementEmitter::bitXor(Value x, Value y) {
  return arith::XOrIOp::create(b, loc, x, y);
}

/// LLVM has no meaning for amounts outside [0, bits).
Value ElementEmitter::shiftLeft(Value x, Value y) {
  Type element = getElementTypeOrSelf(x.getType());
  Value bits = splat(element, element.getIntOrFloatBitWidth());
  Value inside = compare(Predicate::lt, y, bits, true);
  Value zero = splat(element, 0);
  Value shifted = arith::ShLIOp::create(b, loc, x, select(inside, y, zero));
  return select(inside, shifted, zero);
}

Value ElementEmitter::shiftRight(Value x, Value y, bool isUnsigned) {
  Type element = getElementTypeOrSelf(x.getType());
  unsigned bits = element.getIntOrFloatBitWidth();
  Value inside = compare(Predicate::lt, y, splat(element, bits), true);
  y = select(inside, y, splat(element, bits - 1));
  if (!isUnsigned)
    return arith::ShRSIOp::create(b, loc, x, y);
  Value shifted = arith::ShRUIOp::create(b, loc, x, y);
  return select(inside, shifted, splat(element, 0));
}

/// x op y for integers. y = 0 is undefined in LLVM, as is the least number by
/// -1: there y is 1.
template <typename SignedOp, typename UnsignedOp>
static Value divided(ElementEmitter &e, Value x, Value y, bool isUnsigned) {
  Type element = getElementTypeOrSelf(x.getType());
  Value one = e.splat(element, 1);
  Value wrong = e.compare(Predicate::eq, y, e.splat(element, 0), false);
  if (isUnsigned)
    return UnsignedOp::create(e.b, e.loc, x, e.select(wrong, one, y));
  Value isMinusOne = e.compare(Predicate::eq, y, e.splat(element, -1), false);
  Value divisor = e.select(e.bitOr(wrong, isMinusOne), one, y);
  return SignedOp::create(e.b, e.loc, x, divisor);
}

Value ElementEmitter::div(Value x, Value y, bool isUnsigned) {
  if (isFloatElement(x))
    return arith::DivFOp::create(b, loc, x, y);
  Type element = getElementTypeOrSelf(x.getType());
  Value zero = splat(element, 0);
  Value z = divided<arith::DivSIOp, arith::DivUIOp>(*this, x, y, isUnsigned);
  if (!isUnsigned)
    z = select(compare(Predicate::eq, y, splat(element, -1), false), neg(x), z);
  return select(compare(Predicate::eq, y, zero, false), zero, z);
}

/// True if the rest of a division by y towards zero is not 0 and has another
/// sign than y: the multiple below is one further.
static Value isBelow(ElementEmitter &e, Value rest, Value y) {
  Value zero = e.splat(getElementTypeOrSelf(y.getType()), 0);
  Value isNegative = e.compare(Predicate::lt, rest, zero, false);
  Value differs =
      e.bitXor(isNegative, e.compare(Predicate::lt, y, zero, false));
  return e.bitAnd(e.compare(Predicate::ne, rest, zero, false), differs);
}

Value ElementEmitter::remainder(Value x, Value y, bool isUnsigned) {
  Value rest;
  if (isFloatElement(x))
    rest = fmod(x, y);
  else
    rest = divided<arith::RemSIOp, arith::RemUIOp>(*this, x, y, isUnsigned);
  if (isUnsigned)
    return rest;
  return select(isBelow(*this, rest, y), add(rest, y), rest);
}

Value ElementEmitter::floorDiv(Value x, Value y, bool isUnsigned) {
  Type element = getElementTypeOrSelf(x.getType());
  Value zero = splat(element, 0);
  if (!isFloatElement(x)) {
    Value z = div(x, y, isUnsigned);
    if (isUnsigned)
      return z;
    Value below = isBelow(*this, sub(x, mul(z, y)), y);
    below = bitAnd(below, compare(Predicate::ne, y, zero, false));
    return select(below, sub(z, splat(element, 1)), z);
  }
  // As PyTorch's div_floor_floating: rounded from a multiple that is nearly
  // one, x / y where y is 0.
  Value ratio = div(x, y), rest = fmod(x, y);
  Value whole = div(sub(x, rest), y);
  whole = select(isBelow(*this, rest, y), sub(whole, splat(element, 1)), whole);
  Value below = floor(whole);
  Value isAbove =
      compare(Predicate::gt, sub(whole, below), splat(element, 0.5), false);
  below = select(isAbove, add(below, splat(element, 1)), below);
  Value nothing = math::CopySignOp::create(b, loc, zero, ratio);
  Value some = compare(Predicate::ne, whole, zero, false);
  Value isZero = compare(Predicate::eq, y, zero, false);
  return select(isZero, ratio, select(some, below, nothing));
}

/// A constant, the same in all lanes, that is not NaN.
static bool isNumber(Value x) {
  Attribute constant;
  if (!matchPattern(x, m_Constant(&constant)))
    return false;
  if (auto elements = dyn_cast<DenseFPElementsAttr>(constant))
    return elements.isSplat() && !elements.getSplatValue<APFloat>().isNaN();
  auto one = dyn_cast<FloatAttr>(constant);
  return one && !one.getValue().isNaN();
}

/// max and min keep NaN from either side. `cmp x, y ? x : y` gives y if one is
/// NaN, which is one instruction; so the operand that can be NaN goes second.
static Value extremum(ElementEmitter &e, Value x, Value y, bool isMax,
                      bool isUnsigned) {
  OpBuilder &b = e.b;
  if (!isFloatElement(x)) {
    Predicate better = isMax ? Predicate::gt : Predicate::lt;
    return e.select(e.compare(better, x, y, isUnsigned), x, y);
  }
  if (isNumber(y))
    std::swap(x, y);
  if (isNumber(x)) {
    auto predicate =
        isMax ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OLT;
    Value better = arith::CmpFOp::create(b, e.loc, predicate, x, y);
    return arith::SelectOp::create(b, e.loc, better, x, y);
  }
  if (isMax)
    return arith::MaximumFOp::create(b, e.loc, x, y);
  return arith::MinimumFOp::create(b, e.loc, x, y);
}
Value ElementEmitter::max(Value x, Value y, bool isUnsigned) {
  return extremum(*this, x, y, true, isUnsigned);
}
Value ElementEmitter::min(Value x, Value y, bool isUnsigned) {
  return extremum(*this, x, y, false, isUnsigned);
}

Value ElementEmitter::compare(Predicate predicate, Value x, Value y,
                              bool isUnsigned) {
  if (isFloatElement(x)) {
    constexpr arith::CmpFPredicate table[] = {
        arith::CmpFPredicate::OEQ, arith::CmpFPredicate::UNE,
        arith::CmpFPredicate::OLT, arith::CmpFPredicate::OLE,
        arith::CmpFPredicate::OGT, arith::CmpFPredicate::OGE};
    return arith::CmpFOp::create(b, loc, table[unsigned(predicate)], x, y);
  }
  constexpr arith::CmpIPredicate signedTable[] = {
      arith::CmpIPredicate::eq,  arith::CmpIPredicate::ne,
      arith::CmpIPredicate::slt, arith::CmpIPredicate::sle,
      arith::CmpIPredicate::sgt, arith::CmpIPredicate::sge};
  constexpr arith::CmpIPredicate unsignedTable[] = {
      arith::CmpIPredicate::eq,  arith::CmpIPredicate::ne,
      arith::CmpIPredicate::ult, arith::CmpIPredicate::ule,
      arith::CmpIPredicate::ugt, arith::CmpIPredicate::uge};
  auto chosen = (isUnsigned ? unsignedTable : signedTable)[unsigned(predicate)];
  return arith::CmpIOp::create(b, loc, chosen, x, y);
}

Value ElementEmitter::select(Value condition, Value x, Value y) {
  return arith::SelectOp::create(b, loc, condition, x, y);
}

/// From float to float; f16 and bf16 are f32 that was rounded.
static Value convertFloat(ElementEmitter &e, Value x, FloatType to) {
  FloatType half = asHalf(to), type = half ? e.b.getF32Type() : to;
  unsigned bits = getElementTypeOrSelf(x.getType()).getIntOrFloatBitWidth();
  if (bits < type.getWidth())
    x = arith::ExtFOp::create(e.b, e.loc, e.typeOf(type), x);
  else if (bits > type.getWidth())
    x = arith::TruncFOp::create(e.b, e.loc, e.typeOf(type), x);
  return half ? e.widen(e.narrow(x, half), half) : x;
}

Value ElementEmitter::convert(Value x, Type from, Type to) {
  if (from == to)
    return x;
  Type type = typeOf(to);
  bool fromUnsigned = isUnsignedElement(from);
  if (to.isInteger(1))
    return compare(Predicate::ne, x, splat(from, 0), fromUnsigned);
  if (auto toFloat = dyn_cast<FloatType>(to)) {
    if (isa<FloatType>(from))
      return convertFloat(*this, x, toFloat);
    if (fromUnsigned)
      x = arith::UIToFPOp::create(b, loc, type, x);
    else
      x = arith::SIToFPOp::create(b, loc, type, x);
    return convertFloat(*this, x, toFloat);
  }
  if (isa<FloatType>(from)) {
    // Narrow integers wrap, as they do in PyTorch.
    from = to.getIntOrFloatBitWidth() < 32 ? b.getI32Type() : to;
    x = truncate(x, from);
  }
  unsigned fromBits = from.getIntOrFloatBitWidth(),
           toBits = to.getIntOrFloatBitWidth();
  if (fromBits > toBits)
    return arith::TruncIOp::create(b, loc, type, x);
  if (fromBits == toBits)
    return x;
  if (fromUnsigned)
    return arith::ExtUIOp::create(b, loc, type, x);
  return arith::ExtSIOp::create(b, loc, type, x);
}

Value ElementEmitter::combine(Combiner combiner, Value x, Value y,
                              bool isUnsigned) {
  switch (combiner) {
  case Combiner::sum:
    return add(x, y);
  case Combiner::prod:
    return mul(x, y);
  case Combiner::max:
    return max(x, y, isUnsigned);
  case Combiner::min:
    return min(x, y, isUnsigned);
  }
  llvm_unreachable("unknown combiner");
}

//===----------------------------------------------------------------------===//
// Coordinates
//===----------------------------------------------------------------------===//

Value ElementEmitter::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, loc, value);
}

Coord ElementEmitter::addTo(const Coord &x, int64_t value) {
  Coord result = x;
  result.offset += value;
  return result;
}

Coord ElementEmitter::add(const Coord &x, const Coord &y) {
  Coord result;
  result.offset = x.offset + y.offset;
  result.lane = x.lane + y.lane;
  if (!x.base || !y.base) {
    result.base = x.base ? x.base : y.base;
    result.align = x.base ? x.align : y.align;
    return result;
  }
  result.base = indexOp('+', x.base, y.base);
  result.align = std::gcd(x.align, y.align);
  return result;
}

ElementEmitter::Key ElementEmitter::keyOf(char op, Value x, Value y) {
  APInt constant;
  Key key{uintptr_t(op), uintptr_t(x.getAsOpaquePointer())};
  if (matchPattern(y, m_ConstantInt(&constant)))
    key.insert(key.end(), {1, uintptr_t(constant.getSExtValue())});
  else
    key.insert(key.end(), {0, uintptr_t(y.getAsOpaquePointer())});
  return key;
}

ElementEmitter::Key ElementEmitter::keyOf(Value tensor,
                                          ArrayRef<Coord> at) const {
  Key key{0, uintptr_t(tensor.getAsOpaquePointer()), uintptr_t(width)};
  for (const Coord &c : at)
    key.insert(key.end(), {uintptr_t(c.base.getAsOpaquePointer()),
                           uintptr_t(c.offset), uintptr_t(c.lane)});
  return key;
}

Coord ElementEmitter::scale(const Coord &x, int64_t factor) {
  Coord result{Value(), x.offset * factor, x.lane * factor, 1};
  if (!x.base || factor == 0)
    return result;
  result.base = factor == 1 ? x.base : indexOp('*', x.base, index(factor));
  result.align = x.align * std::abs(factor);
  return result;
}

Coord ElementEmitter::divide(const Coord &x, int64_t divisor) {
  assert(x.lane == 0 && "division of a lane coordinate");
  if (divisor == 1)
    return x;
  if (!x.base)
    return Coord::constant(x.offset / divisor);
  return {indexOp('/', materialize(x), index(divisor)), 0, 0, 1};
}

Coord ElementEmitter::remainder(const Coord &x, int64_t divisor) {
  assert(x.lane == 0 && "remainder of a lane coordinate");
  if (divisor == 1)
    return Coord::constant(0);
  if (!x.base)
    return Coord::constant(x.offset % divisor);
  int64_t align = std::gcd(std::gcd(x.align, std::abs(x.offset)), divisor);
  return {indexOp('%', materialize(x), index(divisor)), 0, 0, align};
}

/// x if `high` and `low` are quotient and remainder of an x by `size`.
std::optional<Coord> ElementEmitter::joined(const Coord &high, const Coord &low,
                                            int64_t size) const {
  auto found = low.base ? divisions.find(low.base) : divisions.end();
  if (found == divisions.end() || found->second.quotient != high.base ||
      found->second.divisor != size || high.lane)
    return std::nullopt;
  Coord x = found->second.dividend;
  x.offset += high.offset * size + low.offset;
  x.lane = low.lane;
  return x;
}

Coord ElementEmitter::linear(ArrayRef<Coord> at, ArrayRef<int64_t> strides) {
  // From the outermost on, so that digits of a number become the number again.
  Coord sum = Coord::constant(0), pending = Coord::constant(0);
  int64_t pendingStride = 0;
  for (auto [digit, stride] : llvm::zip_equal(at, strides)) {
    if (!digit.base && !digit.offset && !digit.lane)
      continue;
    std::optional<Coord> whole;
    if (stride && pendingStride % stride == 0)
      whole = joined(pending, digit, pendingStride / stride);
    if (!whole)
      sum = add(sum, scale(pending, pendingStride));
    pending = whole ? *whole : digit;
    pendingStride = stride;
  }
  return add(sum, scale(pending, pendingStride));
}

/// Splits one coordinate over row-major `shape`. Lanes must stay inside the
/// last dimension, which holds if rows are whole multiples of the lanes' reach
/// and the first lane is aligned to it.
FailureOr<Coords> ElementEmitter::split(Coord x, ArrayRef<int64_t> shape) {
  Coords result(shape.size(), Coord::constant(0));
  // A single dimension takes everything.
  if (llvm::count_if(shape, [](int64_t s) { return s != 1; }) <= 1) {
    for (size_t d = 0; d < shape.size(); ++d)
      if (shape[d] != 1)
        result[d] = x;
    return result;
  }
  int64_t lane = x.lane;
  if (lane != 0 && !shape.empty()) {
    int64_t reach = lane * width;
    int64_t align = x.base ? std::gcd(x.align, std::abs(x.offset)) : x.offset;
    bool inside = reach > 0 && shape.back() % reach == 0 && align % reach == 0;
    // A constant start inside one row needs no alignment.
    if (!x.base && reach > 0)
      inside |= x.offset % shape.back() + (width - 1) * lane < shape.back();
    if (!inside)
      return failure();
    x.lane = 0;
  }
  int64_t first =
      llvm::find_if(shape, [](int64_t s) { return s != 1; }) - shape.begin();
  for (int64_t d = int64_t(shape.size()) - 1; d > first; --d) {
    result[d] = remainder(x, shape[d]);
    Coord quotient = divide(x, shape[d]);
    if (result[d].base)
      divisions[result[d].base] = {x, quotient.base, shape[d]};
    x = quotient;
  }
  result[first] = x;
  result.back().lane = lane;
  return result;
}

SmallVector<Coords> ElementEmitter::splitRun(const Coord &x, int64_t count,
                                             ArrayRef<int64_t> shape) {
  SmallVector<Coords> run;
  int64_t outermost =
      llvm::find_if(shape, [](int64_t s) { return s != 1; }) - shape.begin();
  for (int64_t i = 0; i < count; ++i) {
    // Beyond one row, or with nothing to divide.
    if (i == 0 || !x.base || shape.empty() || shape.back() < count) {
      auto coords = split(addTo(x, i), shape);
      assert(succeeded(coords) && "positions have no lanes");
      run.push_back(*coords);
      continue;
    }
    // The first one's digits with carries.
    Coords coords = run.front();
    Coord whole = addTo(x, i), carry = Coord::constant(i);
    for (int64_t d = int64_t(shape.size()) - 1; d >= 0; --d) {
      Coord digit = add(coords[d], carry);
      if (d == outermost) {
        coords[d] = digit;
        break;
      }
      if (shape[d] == 1)
        continue;
      Value sum = materialize(digit), size = index(shape[d]);
      Value wraps =
          arith::CmpIOp::create(b, loc, arith::CmpIPredicate::uge, sum, size);
      Value rest = indexOp('-', sum, size);
      coords[d] = {arith::SelectOp::create(b, loc, wraps, rest, sum)};
      carry = {arith::SelectOp::create(b, loc, wraps, index(1), index(0))};
      Value quotient = divisions.lookup(run.front()[d].base).quotient;
      Coord next = add({quotient}, carry);
      divisions[coords[d].base] = {whole, next.base, shape[d]};
      whole = next;
    }
    run.push_back(coords);
  }
  return run;
}

FailureOr<Coords> ElementEmitter::reshape(ArrayRef<Coord> at,
                                          ArrayRef<int64_t> from,
                                          ArrayRef<int64_t> to) {
  Coords result;
  size_t i = 0, j = 0;
  // Groups of dimensions with equal products map to each other independently.
  while (i < from.size() || j < to.size()) {
    size_t i0 = i, j0 = j;
    int64_t fromCount = i < from.size() ? from[i++] : 1;
    int64_t toCount = j < to.size() ? to[j++] : 1;
    while (fromCount != toCount) {
      if (fromCount < toCount)
        fromCount *= from[i++];
      else
        toCount *= to[j++];
    }
    auto fromGroup = from.slice(i0, i - i0), toGroup = to.slice(j0, j - j0);
    Coord flat = linear(at.slice(i0, i - i0), stridesOf(fromGroup));
    auto coords = split(flat, toGroup);
    if (failed(coords))
      return failure();
    llvm::append_range(result, *coords);
  }
  return result;
}

Value ElementEmitter::materialize(const Coord &x) {
  if (!x.base)
    return index(x.offset);
  return x.offset ? indexOp('+', x.base, index(x.offset)) : x.base;
}

Value ElementEmitter::coordElement(const Coord &x, Type elementType) {
  Type integer = isa<FloatType>(elementType) ? b.getI64Type() : elementType;
  Value scalar = arith::IndexCastOp::create(
      b, loc, IntegerType::get(b.getContext(), integer.getIntOrFloatBitWidth()),
      materialize(x));
  Value element = spread(scalar);
  if (width > 1 && x.lane != 0) {
    SmallVector<Attribute> steps;
    Type signless = getElementTypeOrSelf(element.getType());
    for (int64_t i = 0; i < width; ++i)
      steps.push_back(b.getIntegerAttr(signless, i * x.lane));
    auto attr =
        DenseElementsAttr::get(cast<ShapedType>(element.getType()), steps);
    element = arith::AddIOp::create(b, loc, element,
                                    arith::ConstantOp::create(b, loc, attr));
  }
  return convert(element, integer, elementType);
}

bool ElementEmitter::isInRange(const Coord &x, int64_t lo, int64_t hi) const {
  int64_t last = x.offset + (width - 1) * x.lane;
  return !x.base && std::min(x.offset, last) >= lo &&
         std::max(x.offset, last) < hi;
}

Value ElementEmitter::inRange(const Coord &x, int64_t lo, int64_t hi) {
  assert(x.lane == 0 && "lanes may differ");
  // One unsigned comparison decides both sides.
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult,
                               materialize(addTo(x, -lo)), index(hi - lo));
}

} // namespace nncc
