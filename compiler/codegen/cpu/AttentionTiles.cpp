//===- AttentionTiles.cpp - scores of attention, tile by tile -------------===//
#include "codegen/cpu/AttentionTiles.h"
#include "dialect/VectorMath.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace nncc {

// form-kernels has seen to strides, and lowerKernels has made sure of it.
AttentionTiles::AttentionTiles(KernelCode &code, Value q, Value k, Value v,
                               Value mask, double scale, bool causal)
    : code(code), e(cpuEmitter(code)), q(*operandView(q)), k(*operandView(k)),
      v(*operandView(v)), mask(mask), scale(scale), causal(causal),
      element(computeType(tensorType(q).getElementType())),
      rank(this->q.shape.size()), rows(this->q.shape[rank - 2]),
      depth(this->q.shape[rank - 1]), columns(this->k.shape[rank - 2]),
      width(this->v.shape[rank - 1]), lanes(e.target.lanes(element)),
      panel(e.target.panel(element)) {
  for (int64_t d = 0; d < rank - 2; ++d)
    batches *= this->q.shape[d];
  keyBlock = std::clamp<int64_t>(code.schedule("keys"), 1, columns);
  if (isBlocked()) // whole panels
    keyBlock = std::min(columns, (keyBlock + panel - 1) / panel * panel);
  scoreLength = (keyBlock + lanes - 1) / lanes * lanes;
  tileRows = std::clamp<int64_t>(code.schedule("rows"), 1, rows);
  tileCount = (rows + tileRows - 1) / tileRows;
}

Buffer AttentionTiles::scratchForPacked(int64_t length) {
  return scratch(Size((keyBlock + panel - 1) / panel * panel) * length);
}

Coord AttentionTiles::base(const StridedView &view) {
  auto strides = ArrayRef<int64_t>(view.strides).drop_back(2);
  return e.addTo(e.linear(batch, strides), view.offset);
}

Value AttentionTiles::minimum(Value x, Value y) {
  return arith::MinSIOp::create(e.b, e.loc, x, y);
}

Value AttentionTiles::roundUp(Value x, int64_t multiple) {
  Value more = e.indexOp('+', x, e.indexConstant(multiple - 1));
  Value count = e.indexOp('/', more, e.indexConstant(multiple));
  return e.indexOp('*', count, e.indexConstant(multiple));
}

Coord AttentionTiles::inGroup(const Coord &row) {
  return e.add(row, {e.indexOp('-', e.indexConstant(0), groupStart)});
}

void AttentionTiles::enterHead(const Coord &head) {
  SmallVector<int64_t> shape(ArrayRef<int64_t>(q.shape).drop_back(2));
  batch = *e.reshape({head}, {batches}, shape);
}

void AttentionTiles::enterGroup(const Coord &group, int64_t groups) {
  firstTile = firstUnit(e, e.materialize(group), tileCount, groups);
  lastTile = firstUnit(e, e.materialize(e.addTo(group, 1)), tileCount, groups);
  auto firstRow = [&](Value tile) {
    return e.materialize(e.add(e.scale({tile}, smallTile()),
                               {minimum(tile, e.indexConstant(bigTiles()))}));
  };
  groupStart = firstRow(firstTile);
  groupEnd = firstRow(lastTile);
}

void AttentionTiles::enterKeys(const Coord &start) {
  keyStart = start;
  Value rest = e.indexOp('-', e.indexConstant(columns), e.materialize(start));
  keyCount = minimum(e.indexConstant(keyBlock), rest);
}

void AttentionTiles::overKeyBlocks(function_ref<void()> body) {
  e.forEach(0, columns, keyBlock, [&](const Coord &start) {
    enterKeys(start);
    body();
  });
}

void AttentionTiles::rowTiles(function_ref<void(const Coord &, int64_t)> body) {
  int64_t small = smallTile(), big = bigTiles();
  Value bound = e.indexConstant(big);
  if (big)
    e.forEach(firstTile, minimum(lastTile, bound), 1,
              [&](const Coord &t) { body(e.scale(t, small + 1), small + 1); });
  Value lo = arith::MaxSIOp::create(e.b, e.loc, firstTile, bound);
  e.forEach(lo, lastTile, 1, [&](const Coord &t) {
    body(e.addTo(e.scale(t, small), big), small);
  });
}

void AttentionTiles::columnTiles(
    int64_t width, function_ref<void(const Coord &, const Segment &)> body) {
  int64_t whole = width / panel * panel;
  e.forEach(0, whole, panel, [&](const Coord &c) {
    CpuEmitter::WithWidth scope(e, lanes);
    body(c, {0, panel / lanes, lanes, panel});
  });
  for (const Segment &segment : segmentsOf(width - whole, 0, lanes)) {
    CpuEmitter::WithWidth scope(e, segment.width);
    body(Coord::constant(whole + segment.start), segment);
  }
}

Value AttentionTiles::visibleKeys(const Coord &row, int64_t count) {
  if (!causal)
    return keyCount;
  Value end = e.materialize(e.addTo(row, count));
  Value seen = e.indexOp('-', end, e.materialize(keyStart));
  seen = arith::MaxSIOp::create(e.b, e.loc, seen, e.indexConstant(0));
  return minimum(keyCount, seen);
}

void AttentionTiles::ifSeen(Value visible, function_ref<void()> body) {
  Value any = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sgt,
                                    visible, e.indexConstant(0));
  e.ifThen(any, body);
}

Value AttentionTiles::maximumOf(const Buffer &scores, const Coord &start,
                                Value end) {
  Value maximum =
      e.loop(e.indexConstant(0), end, lanes, e.splat(element, -infinity),
             [&](const Coord &s, ValueRange m) {
               Value x = e.load(scores, wide(e.add(start, s)));
               return SmallVector<Value>{e.combine(Combiner::max, m[0], x)};
             })[0];
  return e.combineLanes(Combiner::max, maximum);
}

Value AttentionTiles::finite(Value top) {
  Value none = e.splat(element, -infinity);
  return e.select(e.compare(Predicate::eq, top, none, false),
                  e.splat(element, 0), top);
}

Value AttentionTiles::inverse(Value sum) {
  Value zero = e.splat(element, 0);
  return e.select(e.compare(Predicate::eq, sum, zero, false), zero,
                  e.div(e.splat(element, 1), sum));
}

AttentionTiles::Running AttentionTiles::updateMaximum(const Buffer &maxima,
                                                      const Coord &at,
                                                      Value top) {
  CpuEmitter::WithWidth one(e, 1);
  Value before = e.load(maxima, at);
  top = e.max(before, top);
  e.store(maxima, at, top);
  top = finite(top);
  return {top, vectorMath::exp(e, e.sub(before, top))};
}

void AttentionTiles::pack(const StridedView &view, const Buffer &packed) {
  Buffer memory = e.buffers.lookup(view.base);
  int64_t keyStride = view.strides[rank - 2],
          lengthStride = view.strides[rank - 1];
  int64_t length = view.shape[rank - 1];
  Coord start = e.add(base(view), e.scale(keyStart, keyStride));
  auto target = [&](const Coord &s, const Coord &d) {
    return e.add(e.add(e.scale(e.divide(s, panel), panel * length),
                       e.remainder(s, panel)),
                 e.scale(d, panel));
  };
  auto column = [&](const Coord &s, const Coord &d) {
    Coord from =
        e.add(start, e.add(e.scale(s, keyStride), e.scale(d, lengthStride)));
    Coord to = target(s, d);
    if (e.width > 1) {
      from.lane = keyStride;
      to.lane = 1;
    }
    return std::pair(from, to);
  };
  bool crosses = lengthStride == 1 && keyStride != 1;
  int64_t squares = crosses ? length / lanes * lanes : 0;
  Value whole = e.indexOp('/', keyCount, e.indexConstant(lanes));
  whole = e.indexOp('*', whole, e.indexConstant(lanes));
  auto vectors = [&](const Coord &s) {
    CpuEmitter::WithWidth scope(e, lanes);
    e.forEach(0, squares, lanes, [&](const Coord &d) {
      auto [from, to] = column(s, d);
      for (auto [i, keys] : llvm::enumerate(e.loadTransposed(memory, from)))
        e.store(packed, e.addTo(to, int64_t(i) * panel), keys);
    });
    e.forEach(squares, length, 1, [&](const Coord &d) {
      auto [from, to] = column(s, d);
      e.store(packed, to, e.load(memory, from));
    });
  };
  e.forEach(e.indexConstant(0), whole, lanes, vectors, lanes);
  e.forEach(whole, keyCount, 1, [&](const Coord &s) {
    e.forEach(0, length, 1, [&](const Coord &d) {
      auto [from, to] = column(s, d);
      e.store(packed, to, e.load(memory, from));
    });
  });
  if (columns % lanes)
    e.forEach(keyCount, roundUp(keyCount, lanes), 1, [&](const Coord &s) {
      e.forEach(0, length, 1, [&](const Coord &d) {
        e.store(packed, target(s, d), e.splat(element, 0));
      });
    });
}

/// Panels that hold visible keys. In a whole row the last one is as narrow as
/// its keys allow.
void AttentionTiles::emitScores(const StridedView &lhs, const Buffer &packed,
                                const Coord &row, int64_t count, Value visible,
                                Store store) {
  CpuEmitter::WithWidth scope(e, lanes);
  int64_t whole = scoreLength / panel * panel;
  Value end = minimum(roundUp(visible, panel), e.indexConstant(whole));
  auto tile = [&](const Coord &s) {
    emitScoreTile(lhs, packed, row, count, s, panel / lanes, store);
  };
  e.forEach(e.indexConstant(0), end, panel, tile, panel);
  if (whole == scoreLength)
    return;
  Value reached = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sgt,
                                        visible, e.indexConstant(whole));
  e.ifThen(reached, [&] {
    emitScoreTile(lhs, packed, row, count, Coord::constant(whole),
                  (scoreLength - whole) / lanes, store);
  });
}

void AttentionTiles::emitScoreTile(const StridedView &lhs, const Buffer &packed,
                                   const Coord &row, int64_t count,
                                   const Coord &s, int64_t vectors,
                                   Store store) {
  int64_t length = lhs.shape[rank - 1];
  Coords rowStarts, columnStarts;
  Coord start = base(lhs);
  for (int64_t i = 0; i < count; ++i)
    rowStarts.push_back(
        e.add(start, e.scale(e.addTo(row, i), lhs.strides[rank - 2])));
  for (int64_t j = 0; j < vectors; ++j)
    columnStarts.push_back(e.addTo(e.scale(s, length), j * lanes));
  SumDim sum{length, lhs.strides[rank - 1], panel};
  SmallVector<Value> zeros(count * vectors, e.splat(element, 0));
  SmallVector<Value> acc =
      emitRegisterTile(e, e.buffers.lookup(lhs.base), packed, rowStarts,
                       columnStarts, sum, zeros);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < vectors; ++j)
      store(i, wide(e.addTo(s, j * lanes)), acc[i * vectors + j]);
}

Value AttentionTiles::scoreOf(Value product, const Coord &row,
                              const Coord &column) {
  Type i32 = e.b.getI32Type();
  Value score = e.mul(product, e.splat(element, scale));
  Value hidden = e.splat(element, -infinity);
  bool exact = columns % (isBlocked() ? panel : lanes) == 0;
  if (mask) {
    Coords at = batch;
    at.push_back(row);
    at.push_back(column);
    score = e.add(score, exact ? e.at(mask, at) : maskAt(at));
  }
  Value j = e.coordElement(column, i32);
  if (causal) {
    Value i = e.coordElement(row, i32);
    score = e.select(e.compare(Predicate::le, j, i, false), score, hidden);
  }
  if (!exact) {
    Value inside = e.compare(Predicate::lt, j, e.splat(i32, columns), false);
    score = e.select(inside, score, hidden);
  }
  return score;
}

/// Mask elements lane by lane with the column clamped to the last one.
Value AttentionTiles::maskAt(Coords at) {
  SmallVector<Value> elements;
  Coord column = at.back();
  column.lane = 0;
  CpuEmitter::WithWidth one(e, 1);
  for (int64_t i = 0; i < lanes; ++i) {
    at.back() = {minimum(e.materialize(e.addTo(column, i)),
                         e.indexConstant(columns - 1))};
    elements.push_back(e.at(mask, at));
  }
  return e.fromLanes(elements);
}

} // namespace nncc
