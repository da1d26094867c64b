//===- CpuEmitter.cpp - elements as vector code on buffers ----------------===//
#include "codegen/cpu/CpuEmitter.h"
#include "passes/Emission.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"
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

Value CpuEmitter::lookup(const Key &key) const {
  for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope)
    if (auto it = scope->find(key); it != scope->end())
      return it->second;
  return {};
}

Value CpuEmitter::indexOp(char op, Value x, Value y) {
  APInt constant;
  Key key{uintptr_t(op), uintptr_t(x.getAsOpaquePointer())};
  // Constants are made anew each time; their value is the key.
  if (matchPattern(y, m_ConstantInt(&constant)))
    key.insert(key.end(), {1, uintptr_t(constant.getSExtValue())});
  else
    key.insert(key.end(), {0, uintptr_t(y.getAsOpaquePointer())});
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

CpuEmitter::Key CpuEmitter::keyOf(Value tensor, ArrayRef<Coord> coords) const {
  Key key{0, uintptr_t(tensor.getAsOpaquePointer()), uintptr_t(width)};
  for (const Coord &c : coords)
    key.insert(key.end(), {uintptr_t(c.base.getAsOpaquePointer()),
                           uintptr_t(c.offset), uintptr_t(c.lane)});
  return key;
}

void CpuEmitter::know(Value tensor, ArrayRef<Coord> coords, Value element) {
  remember(keyOf(tensor, coords), element);
}

Value CpuEmitter::at(Value tensor, ArrayRef<Coord> coords) {
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
  if (Value buffer = buffers.lookup(tensor))
    result = load(buffer, tensorType(tensor).getElementType(),
                  linear(coords, stridesOf(shapeOf(tensor))));
  else
    result = cast<LowersToElements>(tensor.getDefiningOp())
                 .emitElement(*this, coords);
  remember(std::move(key), result);
  return result;
}

void CpuEmitter::declare(Value buffer, Type elementType) {
  if (computeType(elementType) != elementType)
    halves[buffer] = cast<FloatType>(elementType);
}

Value CpuEmitter::load(Value buffer, Type elementType, const Coord &position) {
  Type stored = cast<MemRefType>(buffer.getType()).getElementType();
  Value loaded;
  if (width == 1) {
    loaded = memref::LoadOp::create(b, loc, buffer, materialize(position));
  } else if (position.lane == 1) {
    loaded = vector::LoadOp::create(b, loc, VectorType::get({width}, stored),
                                    buffer, materialize(position));
  } else {
    SmallVector<Value> lanes;
    for (int64_t i = 0; i < width; ++i)
      lanes.push_back(memref::LoadOp::create(
          b, loc, buffer,
          materialize({position.base, position.offset + i * position.lane})));
    loaded = fromLanes(lanes);
  }
  if (elementType.isInteger(1))
    return compare(Predicate::ne, loaded, splat(stored, 0), true);
  if (FloatType half = halves.lookup(buffer))
    return widen(loaded, half);
  return loaded;
}

void CpuEmitter::store(Value buffer, const Coord &position, Value element) {
  if (getElementTypeOrSelf(element.getType()).isInteger(1))
    element = arith::ExtUIOp::create(b, loc, typeOf(b.getI8Type()), element);
  if (FloatType half = halves.lookup(buffer))
    element = narrow(element, half);
  if (width == 1) {
    memref::StoreOp::create(b, loc, element, buffer, materialize(position));
    return;
  }
  if (position.lane == 1) {
    vector::StoreOp::create(b, loc, element, buffer, materialize(position));
    return;
  }
  for (int64_t i = 0; i < width; ++i) {
    Value lane = vector::ExtractOp::create(b, loc, element, i);
    memref::StoreOp::create(
        b, loc, lane, buffer,
        materialize({position.base, position.offset + i * position.lane}));
  }
}

SmallVector<Value> CpuEmitter::transpose(SmallVector<Value> rows) {
  int64_t count = rows.size();
  assert(llvm::isPowerOf2_64(count) && "a square of lanes");
  // Swap the off-diagonal quarters of ever smaller squares.
  for (int64_t half = count / 2; half > 0; half /= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < count; ++i) {
      bool second = i & half;
      low.push_back(second ? count + i - half : i);
      high.push_back(second ? count + i : i + half);
    }
    for (int64_t i = 0; i < count; ++i)
      if (!(i & half)) {
        Value x = rows[i], y = rows[i + half];
        rows[i] = vector::ShuffleOp::create(b, loc, x, y, low);
        rows[i + half] = vector::ShuffleOp::create(b, loc, x, y, high);
      }
  }
  return rows;
}

SmallVector<Value> CpuEmitter::loadTransposed(Value buffer,
                                              const Coord &position) {
  Type element = cast<MemRefType>(buffer.getType()).getElementType();
  SmallVector<Value> rows;
  for (int64_t j = 0; j < width; ++j) {
    Coord start = addTo(position, j * position.lane);
    start.lane = 1;
    rows.push_back(load(buffer, element, start));
  }
  return transpose(std::move(rows));
}

Value CpuEmitter::perLane(Value tensor, ArrayRef<Coord> coords) {
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

Value CpuEmitter::fromLanes(ArrayRef<Value> lanes) {
  auto type = VectorType::get({int64_t(lanes.size())}, lanes[0].getType());
  return vector::FromElementsOp::create(b, loc, type, lanes);
}

Value CpuEmitter::constantAt(DenseElementsAttr value, ArrayRef<Coord> coords) {
  // One global per constant and kernel module.
  Type stored = storageType(value.getElementType());
  auto module = b.getBlock()->getParentOp()->getParentOfType<ModuleOp>();
  auto flat = RankedTensorType::get({value.getNumElements()}, stored);
  DenseElementsAttr data;
  if (value.getElementType().isInteger(1)) {
    SmallVector<int8_t> bytes;
    for (bool bit : value.getValues<bool>())
      bytes.push_back(bit);
    data = DenseElementsAttr::get(flat, ArrayRef<int8_t>(bytes));
  } else {
    data = value.reshape(RankedTensorType::get({value.getNumElements()},
                                               value.getElementType()));
    data = data.bitcast(stored);
  }
  auto type = MemRefType::get({value.getNumElements()}, stored);
  memref::GlobalOp global;
  for (auto other : module.getOps<memref::GlobalOp>())
    if (other.getInitialValueAttr() == data)
      global = other;
  if (!global) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    auto count = llvm::range_size(module.getOps<memref::GlobalOp>());
    global = memref::GlobalOp::create(
        b, loc, b.getStringAttr("c" + Twine(count)), b.getStringAttr("private"),
        TypeAttr::get(type), data, b.getUnitAttr(), IntegerAttr());
  }
  Value buffer = memref::GetGlobalOp::create(b, loc, type, global.getSymName());
  declare(buffer, value.getElementType());
  return load(buffer, value.getElementType(),
              linear(coords, stridesOf(value.getType().getShape())));
}

Value CpuEmitter::guarded(ArrayRef<Value> conditions, Value tensor,
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

Value CpuEmitter::choose(const Coord &along,
                         ArrayRef<std::pair<int64_t, Value>> parts, int64_t dim,
                         ArrayRef<Coord> coords) {
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

Coord CpuEmitter::loadIndex(Value indices, ArrayRef<Coord> coords,
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

Value CpuEmitter::fma(Value x, Value y, Value z) {
  if (target.hasFma && width == 1)
    return math::FmaOp::create(b, loc, x, y, z);
  if (target.hasFma)
    return vector::FMAOp::create(b, loc, x, y, z);
  return add(mul(x, y), z);
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

SmallVector<Value> CpuEmitter::loop(Value lo, Value hi, int64_t step,
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

SmallVector<Value> CpuEmitter::loop(int64_t lo, int64_t hi, int64_t step,
                                    ValueRange initial, LoopBody body) {
  if (lo >= hi)
    return llvm::to_vector(initial);
  if (lo + step >= hi)
    return body(Coord::constant(lo), initial);
  return loop(index(lo), index(hi), step, initial, body, lo ? lo : step);
}

void CpuEmitter::forEach(int64_t lo, int64_t hi, int64_t step,
                         function_ref<void(const Coord &)> body) {
  loop(lo, hi, step, {}, [&](const Coord &iv, ValueRange) {
    body(iv);
    return SmallVector<Value>();
  });
}

void CpuEmitter::forEach(Value lo, Value hi, int64_t step,
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

void CpuEmitter::ifThen(Value condition, function_ref<void()> body) {
  OpBuilder::InsertionGuard guard(b);
  auto op = scf::IfOp::create(b, loc, condition, false);
  b.setInsertionPointToStart(op.thenBlock());
  scopes.emplace_back();
  body();
  scopes.pop_back();
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

Value CpuEmitter::combineLanes(Combiner combiner, Value vector,
                               bool isUnsigned) {
  int64_t count = cast<VectorType>(vector.getType()).getNumElements();
  while (count > 1) {
    count /= 2;
    Value low = vector::ExtractStridedSliceOp::create(b, loc, vector, {0},
                                                      {count}, {1});
    Value high = vector::ExtractStridedSliceOp::create(b, loc, vector, {count},
                                                       {count}, {1});
    WithWidth half(*this, count);
    vector = combine(combiner, low, high, isUnsigned);
  }
  return vector::ExtractOp::create(b, loc, vector, 0);
}

Value CpuEmitter::reduce(Combiner combiner, Type elementType,
                         ArrayRef<int64_t> extents, bool lanes,
                         function_ref<Value(ArrayRef<Coord>)> body) {
  bool isUnsigned = isUnsignedElement(elementType);
  Value identity = splat(elementType, identityOf(combiner, elementType));
  elementType = computeType(elementType);
  auto merge = [&](Value x, Value y) {
    return combine(combiner, x, y, isUnsigned);
  };
  int64_t points = 1;
  for (int64_t extent : extents)
    points *= extent;
  if (points == 0)
    return identity;
  if (points <= unrollLimit) {
    Value result;
    forEachIndex(extents, [&](ArrayRef<int64_t> index) {
      Coords iv;
      for (int64_t i : index)
        iv.push_back(Coord::constant(i));
      Value x = body(iv);
      result = result ? merge(result, x) : x;
    });
    return result;
  }
  if (lanes && width == 1 && extents.back() >= target.lanes)
    return reduceAlongLanes(combiner, elementType, extents, body);
  Coords iv;
  auto into = [&](Value acc, Coord i) {
    iv.push_back(i);
    Value next = merge(acc, body(iv));
    iv.pop_back();
    return next;
  };
  // Each run of the innermost dimension is a sum of its own, in four chains:
  // short chains add up less error, and do not wait for each other.
  auto run = [&](int64_t length) -> Value {
    int64_t chains = 4, blocked = length / chains * chains;
    SmallVector<Value> carried(chains, identity);
    carried =
        loop(0, blocked, chains, carried, [&](const Coord &i, ValueRange acc) {
          SmallVector<Value> next;
          for (int64_t c = 0; c < chains; ++c)
            next.push_back(into(acc[c], addTo(i, c)));
          return next;
        });
    for (int64_t i = blocked; i < length; ++i)
      carried[i - blocked] = into(carried[i - blocked], Coord::constant(i));
    return merge(merge(carried[0], carried[1]), merge(carried[2], carried[3]));
  };
  // Sums of f32 runs are added up in f64: free beside the runs.
  Type f64 = b.getF64Type();
  bool widens = combiner == Combiner::sum && elementType.isF32() &&
                extents.size() > 1 && extents.back() >= 4;
  Type outer = widens ? f64 : elementType;
  Value start = splat(outer, identityOf(combiner, outer));
  auto nest = [&](auto &self) -> Value {
    if (iv.size() + 1 == extents.size()) {
      Value sum = run(extents.back());
      return widens ? convert(sum, elementType, f64) : sum;
    }
    return loop(0, extents[iv.size()], 1, start,
                [&](const Coord &i, ValueRange acc) {
                  iv.push_back(i);
                  Value next = merge(acc[0], self(self));
                  iv.pop_back();
                  return SmallVector<Value>{next};
                })[0];
  };
  Value total = nest(nest);
  return widens ? convert(total, f64, elementType) : total;
}

/// Vectors along the innermost extent, in four independent chains so that the
/// latency of the combining instruction does not limit.
Value CpuEmitter::reduceAlongLanes(Combiner combiner, Type elementType,
                                   ArrayRef<int64_t> extents,
                                   function_ref<Value(ArrayRef<Coord>)> body) {
  int64_t length = extents.back(), vl = target.lanes;
  int64_t chains = std::min<int64_t>(4, length / vl);
  int64_t block = chains * vl, blocked = length / block * block;
  int64_t vectorised = length / vl * vl;
  bool isUnsigned = isUnsignedElement(elementType);
  Number neutral = identityOf(combiner, elementType);
  SmallVector<Value> carried;
  {
    WithWidth wide(*this, vl);
    carried.assign(chains, splat(elementType, neutral));
  }
  carried.push_back(splat(elementType, neutral)); // for the odd elements
  Coords iv;
  auto row = [&](SmallVector<Value> acc) {
    auto point = [&](Coord i, int64_t offset, int64_t lane, Value &into) {
      i.offset += offset;
      i.lane = lane;
      iv.push_back(i);
      Value x = body(iv);
      iv.pop_back();
      into = combine(combiner, into, x, isUnsigned);
    };
    Value odd = acc.pop_back_val();
    {
      WithWidth wide(*this, vl);
      acc = loop(0, blocked, block, acc, [&](const Coord &i, ValueRange in) {
        SmallVector<Value> next(in);
        for (int64_t c = 0; c < chains; ++c)
          point(i, c * vl, 1, next[c]);
        return next;
      });
      for (int64_t i = blocked; i < vectorised; i += vl)
        point(Coord::constant(i), 0, 1, acc[(i - blocked) / vl]);
    }
    odd = loop(vectorised, length, 1, odd, [&](const Coord &i, ValueRange in) {
      Value next = in[0];
      point(i, 0, 0, next);
      return SmallVector<Value>{next};
    })[0];
    acc.push_back(odd);
    return acc;
  };
  auto nest = [&](auto &self, ArrayRef<Value> acc) -> SmallVector<Value> {
    if (iv.size() + 1 == extents.size())
      return row(llvm::to_vector(acc));
    return loop(0, extents[iv.size()], 1, acc,
                [&](const Coord &i, ValueRange in) {
                  iv.push_back(i);
                  SmallVector<Value> next = self(self, llvm::to_vector(in));
                  iv.pop_back();
                  return next;
                });
  };
  SmallVector<Value> sums = nest(nest, carried);
  Value odd = sums.pop_back_val();
  Value total = sums[0];
  {
    WithWidth wide(*this, vl);
    for (Value other : ArrayRef<Value>(sums).drop_front())
      total = combine(combiner, total, other, isUnsigned);
  }
  return combine(combiner, combineLanes(combiner, total, isUnsigned), odd,
                 isUnsigned);
}

} // namespace nncc
