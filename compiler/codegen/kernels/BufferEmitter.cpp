//===- BufferEmitter.cpp - elements as vector code on buffers -------------===//
//
// Reuse, elements in memory, loops. Reductions.cpp has sums along lanes.
//
//===----------------------------------------------------------------------===//
#include "codegen/kernels/BufferEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"
#include <cmath>
#include <numeric>

using namespace mlir;

namespace nncc {

Type storageType(Type elementType) {
  auto integer = dyn_cast<IntegerType>(elementType);
  if (integer)
    return IntegerType::get(integer.getContext(),
                            std::max(8u, integer.getWidth()));
  if (computeType(elementType) != elementType)
    return IntegerType::get(elementType.getContext(), 16);
  return elementType;
}

//===----------------------------------------------------------------------===//
// Reuse
//===----------------------------------------------------------------------===//

Value BufferEmitter::lookup(const Key &key) const {
  for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope)
    if (auto it = scope->find(key); it != scope->end())
      return it->second;
  return {};
}

Value BufferEmitter::indexOp(char op, Value x, Value y) {
  Key key = keyOf(op, x, y);
  if (Value known = lookup(key))
    return known;
  auto nsw = arith::IntegerOverflowFlags::nsw;
  Value result;
  switch (op) {
  case '+':
    result = arith::AddIOp::create(b, loc, x, y, nsw);
    break;
  case '-':
    result = arith::SubIOp::create(b, loc, x, y, nsw);
    break;
  case '*':
    result = arith::MulIOp::create(b, loc, x, y, nsw);
    break;
  case '/':
    result = arith::DivUIOp::create(b, loc, x, y);
    break;
  case '%':
    result = arith::RemUIOp::create(b, loc, x, y);
    break;
  default:
    llvm_unreachable("unknown index op");
  }
  remember(std::move(key), result);
  return result;
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

void BufferEmitter::know(Value tensor, ArrayRef<Coord> coords, Value element) {
  remember(keyOf(tensor, coords), element);
}

Value BufferEmitter::at(Value tensor, ArrayRef<Coord> coords) {
  if (Value value = bound.lookup(tensor))
    return value;
  bool uniform = llvm::all_of(coords, [](const Coord &c) { return !c.lane; });
  if (uniform && width > 1) {
    Value scalar;
    {
      WithWidth one(*this, 1);
      scalar = at(tensor, coords);
    }
    return spread(scalar);
  }
  Key key = keyOf(tensor, coords);
  if (Value known = lookup(key))
    return known;
  Value result;
  if (Buffer buffer = buffers.lookup(tensor))
    result = load(buffer, linear(coords, stridesOf(shapeOf(tensor))));
  else
    result = cast<LowersToElements>(tensor.getDefiningOp())
                 .emitElement(*this, coords);
  remember(std::move(key), result);
  return result;
}

/// The type itself if it is f16 or bf16, else null.
static FloatType halfOf(Type elementType) {
  return computeType(elementType) != elementType ? cast<FloatType>(elementType)
                                                 : FloatType();
}

Value BufferEmitter::load(const Buffer &buffer, const Coord &position) {
  Type stored = storageType(buffer.elementType);
  Value loaded;
  if (width == 1 || position.lane == 1) {
    loaded = loadAt(buffer.memory, stored, position);
  } else {
    SmallVector<Value> lanes;
    int64_t count = width;
    WithWidth one(*this, 1);
    for (int64_t i = 0; i < count; ++i)
      lanes.push_back(
          loadAt(buffer.memory, stored,
                 {position.base, position.offset + i * position.lane}));
    loaded = fromLanes(lanes);
  }
  if (buffer.elementType.isInteger(1))
    return compare(Predicate::ne, loaded, splat(stored, 0), true);
  if (FloatType half = halfOf(buffer.elementType))
    return widen(loaded, half);
  return loaded;
}

Value BufferEmitter::loadScalar(const Buffer &buffer, const Coord &position) {
  WithWidth one(*this, 1);
  return load(buffer, position);
}

Buffer BufferEmitter::scratch(Type elementType, Size elements) {
  Type stored = storageType(elementType);
  scratchUsed = scratchUsed + elements * elementBytes(stored);
  return {scratchMemory(stored, int64_t(elements)), elementType};
}

void BufferEmitter::store(const Buffer &buffer, const Coord &position,
                          Value element) {
  if (buffer.elementType.isInteger(1))
    element = arith::ExtUIOp::create(b, loc, typeOf(b.getI8Type()), element);
  if (FloatType half = halfOf(buffer.elementType))
    element = narrow(element, half);
  if (width == 1 || position.lane == 1)
    return storeAt(buffer.memory, position, element);
  int64_t count = width;
  WithWidth one(*this, 1);
  for (int64_t i = 0; i < count; ++i) {
    Value lane = vector::ExtractOp::create(b, loc, element, i);
    storeAt(buffer.memory, {position.base, position.offset + i * position.lane},
            lane);
  }
}

Value BufferEmitter::perLane(Value tensor, ArrayRef<Coord> coords) {
  assert(width > 1 && "a single lane always has strides");
  SmallVector<Value> lanes;
  int64_t count = width;
  {
    WithWidth one(*this, 1);
    for (int64_t i = 0; i < count; ++i) {
      Coords lane(coords.begin(), coords.end());
      for (Coord &c : lane) {
        c.offset += i * c.lane;
        c.lane = 0;
      }
      lanes.push_back(at(tensor, lane));
    }
  }
  return fromLanes(lanes);
}

Value BufferEmitter::fromLanes(ArrayRef<Value> lanes) {
  auto type = VectorType::get({int64_t(lanes.size())}, lanes[0].getType());
  return vector::FromElementsOp::create(b, loc, type, lanes);
}

/// A constant as memory holds it.
static DenseElementsAttr storedData(DenseElementsAttr value) {
  Type element = value.getElementType(), stored = storageType(element);
  auto flat = [&](Type type) {
    return RankedTensorType::get({value.getNumElements()}, type);
  };
  if (!element.isInteger(1))
    return value.reshape(flat(element)).bitcast(stored);
  SmallVector<int8_t> bytes;
  for (bool bit : value.getValues<bool>())
    bytes.push_back(bit);
  return DenseElementsAttr::get(flat(stored), ArrayRef<int8_t>(bytes));
}

Value BufferEmitter::constantAt(DenseElementsAttr value,
                                ArrayRef<Coord> coords) {
  Buffer buffer{constantMemory(storedData(value)), value.getElementType()};
  return load(buffer, linear(coords, stridesOf(value.getType().getShape())));
}

Value BufferEmitter::guarded(ArrayRef<Value> conditions, Value tensor,
                             ArrayRef<Coord> coords, Number otherwise) {
  Value inside = conditions.front();
  for (Value condition : conditions.drop_front())
    inside = arith::AndIOp::create(b, loc, inside, condition);
  Type elementType = tensorType(tensor).getElementType();
  auto branch = [&](bool take) {
    return [&, take](OpBuilder &, Location) {
      scopes.emplace_back();
      Value result = take ? at(tensor, coords) : splat(elementType, otherwise);
      scf::YieldOp::create(b, loc, result);
      scopes.pop_back();
    };
  };
  OpBuilder::InsertionGuard guard(b);
  auto op = scf::IfOp::create(b, loc, typeOf(elementType), inside, true);
  b.setInsertionPointToStart(op.thenBlock());
  branch(true)(b, loc);
  b.setInsertionPointToStart(op.elseBlock());
  branch(false)(b, loc);
  return op.getResult(0);
}

Value BufferEmitter::choose(const Coord &along,
                            ArrayRef<std::pair<int64_t, Value>> parts,
                            int64_t dim, ArrayRef<Coord> coords) {
  auto part = [&](size_t i) {
    Coords shifted(coords.begin(), coords.end());
    shifted[dim] = addTo(shifted[dim], -parts[i].first);
    return at(parts[i].second, shifted);
  };
  if (!along.base) {
    size_t i = parts.size() - 1;
    while (parts[i].first > along.offset)
      --i;
    return part(i);
  }
  if (parts.size() == 1)
    return part(0);
  // Halving keeps the depth of the branches logarithmic.
  size_t half = parts.size() / 2;
  Type type = typeOf(tensorType(parts[0].second).getElementType());
  Value isFirst =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                            materialize(along), index(parts[half].first));
  OpBuilder::InsertionGuard guard(b);
  auto op = scf::IfOp::create(b, loc, type, isFirst, true);
  for (bool first : {true, false}) {
    b.setInsertionPointToStart(first ? op.thenBlock() : op.elseBlock());
    scopes.emplace_back();
    Value result =
        choose(along, first ? parts.take_front(half) : parts.drop_front(half),
               dim, coords);
    scf::YieldOp::create(b, loc, result);
    scopes.pop_back();
  }
  return op.getResult(0);
}

Coord BufferEmitter::loadIndex(Value indices, ArrayRef<Coord> coords,
                               int64_t size) {
  WithWidth one(*this, 1);
  Value element = at(indices, coords);
  Value position;
  if (tensorType(indices).getElementType().isUnsignedInteger())
    position = arith::IndexCastUIOp::create(b, loc, b.getIndexType(), element);
  else
    position = arith::IndexCastOp::create(b, loc, b.getIndexType(), element);
  Value low = arith::MaxSIOp::create(b, loc, position, index(0));
  return {arith::MinSIOp::create(b, loc, low, index(size - 1))};
}

Value BufferEmitter::fma(Value x, Value y, Value z) {
  if (target.hasFma)
    return math::FmaOp::create(b, loc, x, y, z);
  return add(mul(x, y), z);
}

Value BufferEmitter::truncate(Value x, Type integer) {
  // What no integer holds is poison, of which LLVM makes anything, also for a
  // CPU whose instruction gives the least one.
  Value truncated = arith::FPToSIOp::create(b, loc, typeOf(integer), x);
  unsigned bits = integer.getIntOrFloatBitWidth();
  double end = std::ldexp(1.0, bits - 1);
  Type type = getElementTypeOrSelf(x.getType());
  // Where -end - 1 is no number of the type it is -end, which gives the least.
  Value above = compare(Predicate::gt, x, splat(type, -end - 1), false);
  Value below = compare(Predicate::lt, x, splat(type, end), false);
  Value least = splat(integer, llvm::minIntN(bits));
  return select(bitAnd(above, below), truncated, least);
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

SmallVector<Value> BufferEmitter::loop(Value lo, Value hi, int64_t step,
                                       ValueRange initial, LoopBody body,
                                       int64_t align) {
  OpBuilder::InsertionGuard guard(b);
  auto op = scf::ForOp::create(b, loc, lo, hi, index(step), initial);
  b.setInsertionPointToStart(op.getBody());
  scopes.emplace_back();
  Coord iv{op.getInductionVar(), 0, 0, std::gcd(step, align)};
  SmallVector<Value> next = body(iv, op.getRegionIterArgs());
  if (!initial.empty())
    scf::YieldOp::create(b, loc, next);
  scopes.pop_back();
  return llvm::to_vector(
      llvm::map_range(op.getResults(), [](OpResult r) { return Value(r); }));
}

SmallVector<Value> BufferEmitter::loop(int64_t lo, int64_t hi, int64_t step,
                                       ValueRange initial, LoopBody body) {
  if (lo >= hi)
    return llvm::to_vector(initial);
  if (lo + step >= hi)
    return body(Coord::constant(lo), initial);
  return loop(index(lo), index(hi), step, initial, body, lo ? lo : step);
}

void BufferEmitter::forEach(int64_t lo, int64_t hi, int64_t step,
                            function_ref<void(const Coord &)> body) {
  loop(lo, hi, step, {}, [&](const Coord &iv, ValueRange) {
    body(iv);
    return SmallVector<Value>();
  });
}

void BufferEmitter::forEach(Value lo, Value hi, int64_t step,
                            function_ref<void(const Coord &)> body,
                            int64_t align) {
  loop(
      lo, hi, step, {},
      [&](const Coord &iv, ValueRange) {
        body(iv);
        return SmallVector<Value>();
      },
      align);
}

Value BufferEmitter::isAny(Value condition) {
  if (width == 1)
    return condition;
  return vector::ReductionOp::create(b, loc, vector::CombiningKind::OR,
                                     condition);
}

SmallVector<Value>
BufferEmitter::rarely(Value condition, ValueRange usual,
                      function_ref<SmallVector<Value>()> body) {
  OpBuilder::InsertionGuard guard(b);
  auto op = scf::IfOp::create(b, loc, usual.getTypes(), isAny(condition), true);
  b.setInsertionPointToStart(op.elseBlock());
  scf::YieldOp::create(b, loc, usual);
  b.setInsertionPointToStart(op.thenBlock());
  scopes.emplace_back();
  SmallVector<Value> special = body();
  for (auto [x, otherwise] : llvm::zip_equal(special, usual))
    x = select(condition, x, otherwise);
  scf::YieldOp::create(b, loc, special);
  scopes.pop_back();
  return llvm::to_vector_of<Value>(op.getResults());
}

void BufferEmitter::ifThen(Value condition, function_ref<void()> body) {
  OpBuilder::InsertionGuard guard(b);
  auto op = scf::IfOp::create(b, loc, condition, false);
  b.setInsertionPointToStart(op.thenBlock());
  scopes.emplace_back();
  body();
  scopes.pop_back();
}

} // namespace nncc
