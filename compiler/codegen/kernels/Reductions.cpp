//===- Reductions.cpp - many elements to one ------------------------------===//
//
// The order of a sum is fixed by shapes and vector width: written out, in four
// chains along the innermost dimension, or in vectors along it.
//
//===----------------------------------------------------------------------===//
#include "codegen/kernels/BufferEmitter.h"
#include "passes/Emission.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace nncc {

Value BufferEmitter::combineLanes(Combiner combiner, Value vector,
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

/// The elements of all points, written out.
static Value writtenOut(ArrayRef<int64_t> extents,
                        function_ref<Value(Value, Value)> merge,
                        function_ref<Value(ArrayRef<Coord>)> body) {
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

/// A run of the innermost dimension, in four chains: short chains add up less
/// error, and do not wait for each other.
static Value inChains(BufferEmitter &e, int64_t length, Value identity,
                      function_ref<Value(Value, Coord)> into,
                      function_ref<Value(Value, Value)> merge) {
  int64_t blocked = length / chains * chains;
  SmallVector<Value> carried(chains, identity);
  carried =
      e.loop(0, blocked, chains, carried, [&](const Coord &i, ValueRange acc) {
        SmallVector<Value> next;
        for (int64_t c = 0; c < chains; ++c)
          next.push_back(into(acc[c], e.addTo(i, c)));
        return next;
      });
  for (int64_t i = blocked; i < length; ++i)
    carried[i - blocked] = into(carried[i - blocked], Coord::constant(i));
  return merge(merge(carried[0], carried[1]), merge(carried[2], carried[3]));
}

Value BufferEmitter::reduce(Combiner combiner, Type elementType,
                            ArrayRef<int64_t> extents, int64_t together,
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
  if (points <= unrollLimit)
    return writtenOut(extents, merge, body);
  if (int64_t lanes = target.loopLanes();
      width == 1 && lanes > 1 && takesLanes(extents.back(), together, lanes))
    return reduceAlongLanes(combiner, elementType, extents, body);
  Coords iv;
  auto into = [&](Value acc, Coord i) {
    iv.push_back(i);
    Value next = merge(acc, body(iv));
    iv.pop_back();
    return next;
  };
  // Sums of f32 runs are added up in f64: free beside the runs.
  Type f64 = b.getF64Type();
  bool widens = combiner == Combiner::sum && elementType.isF32() &&
                extents.size() > 1 && extents.back() >= 4;
  Type outer = widens ? f64 : elementType;
  Value start = splat(outer, identityOf(combiner, outer));
  auto nest = [&](auto &self) -> Value {
    if (iv.size() + 1 == extents.size()) {
      Value sum = inChains(*this, extents.back(), identity, into, merge);
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

/// All lanes of vectors of `width` combined.
static Value combineChains(BufferEmitter &e, Combiner combiner,
                           ArrayRef<Value> chains, int64_t width,
                           bool isUnsigned) {
  Value total = chains.front();
  {
    BufferEmitter::WithWidth wide(e, width);
    for (Value other : chains.drop_front())
      total = e.combine(combiner, total, other, isUnsigned);
  }
  return e.combineLanes(combiner, total, isUnsigned);
}

/// Vectors along the innermost extent, in four independent chains so that the
/// latency of the combining instruction does not limit.
Value BufferEmitter::reduceAlongLanes(
    Combiner combiner, Type elementType, ArrayRef<int64_t> extents,
    function_ref<Value(ArrayRef<Coord>)> body) {
  int64_t length = extents.back(), vl = target.loopLanes();
  int64_t count = std::min(chains, length / vl), block = count * vl;
  int64_t blocked = length / block * block, vectorised = length / vl * vl;
  bool isUnsigned = isUnsignedElement(elementType);
  Number neutral = identityOf(combiner, elementType);
  SmallVector<Value> carried;
  {
    WithWidth wide(*this, vl);
    carried.assign(count, splat(elementType, neutral));
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
        for (int64_t c = 0; c < count; ++c)
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
  Value total = combineChains(*this, combiner, sums, vl, isUnsigned);
  return combine(combiner, total, odd, isUnsigned);
}

} // namespace nncc
