//===- AttentionEmitter.cpp - scaled dot-product attention ----------------===//
//
// One tile is one head and a block of query rows. K is packed transposed into
// panels; scores of the block live in a scratch buffer that fits the L2 cache;
// softmax runs row by row in it; then the product with V, scaled by the row's
// sum on the way out. q, k and v may be any strided views.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/KernelEmitters.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include <limits>

using namespace mlir;

namespace nncc {

namespace {

/// Scratch that a tile may take from the stack.
constexpr int64_t maxScratchBytes = 2 << 20;

class Attention {
public:
  Attention(KernelCode &code, AttentionOp op, StridedView q, StridedView k,
            StridedView v)
      : code(code), e(code.e), op(op), q(q), k(k), v(v),
        element(tensorType(op.getResult()).getElementType()),
        rank(q.shape.size()), rows(q.shape[rank - 2]), depth(q.shape[rank - 1]),
        columns(k.shape[rank - 2]), width(v.shape[rank - 1]),
        lanes(e.target.lanes), panel(e.target.maxPanel()),
        padded((columns + lanes - 1) / lanes * lanes) {}

  FailureOr<int64_t> emit() {
    if (width % lanes || v.strides[rank - 1] != 1)
      return failure();
    for (int64_t d = 0; d < rank - 2; ++d)
      batches *= q.shape[d];
    // Rows per tile: scores within a quarter of the L2 cache.
    blockRows = std::clamp<int64_t>(e.target.l2Bytes / 4 / (padded * 4), 1, rows);
    int64_t blocks = (rows + blockRows - 1) / blockRows;
    blockRows = (rows + blocks - 1) / blocks;
    int64_t panels = (padded + panel - 1) / panel;
    if ((panels * panel * depth + blockRows * padded) * 4 > maxScratchBytes)
      return failure();
    packed = scratch(panels * panel * depth);
    scores = scratch(blockRows * padded);
    factors = scratch(blockRows);
    emitHalos(code);
    e.forEach(code.begin, code.end, 1, [&](const Coord &tile) {
      Coord block = e.remainder(tile, blocks);
      SmallVector<int64_t> batchShape(ArrayRef<int64_t>(q.shape).drop_back(2));
      auto at = e.reshape({e.divide(tile, blocks)}, {batches}, batchShape);
      batch = *at;
      packKeys();
      // The last block is moved up to be whole; its rows are computed twice by
      // the same arithmetic.
      Value start = arith::MinSIOp::create(
          e.b, e.loc, e.materialize(e.scale(block, blockRows)),
          e.indexConstant(rows - blockRows));
      firstRow = {start};
      emitScores();
      emitSoftmax();
      emitOutput();
    });
    return batches * blocks;
  }

private:
  Value scratch(int64_t elements) {
    return memref::AllocaOp::create(e.b, e.loc,
                                    MemRefType::get({elements}, element),
                                    e.b.getI64IntegerAttr(64));
  }
  Coord base(const StridedView &view) {
    auto strides = ArrayRef<int64_t>(view.strides).drop_back(2);
    return e.addTo(e.linear(batch, strides), view.offset);
  }
  static Coord wide(Coord x) {
    x.lane = 1;
    return x;
  }

  /// packed[p][d][j] = k[p * panel + j][d]
  void packKeys() {
    Value memory = e.buffers.lookup(k.base);
    Coord start = base(k);
    e.forEach(0, columns, 1, [&](const Coord &s) {
      Coord from = e.add(start, e.scale(s, k.strides[rank - 2]));
      Coord to = e.add(e.scale(e.divide(s, panel), panel * depth),
                       e.remainder(s, panel));
      e.forEach(0, depth, 1, [&](const Coord &d) {
        Value x = e.load(memory, element,
                         e.add(from, e.scale(d, k.strides[rank - 1])));
        e.store(packed, e.add(to, e.scale(d, panel)), x);
      });
    });
  }

  /// Register tiles of `count` rows over [0, blockRows).
  void rowTiles(int64_t most, function_ref<void(const Coord &, int64_t)> body) {
    int64_t tiles = (blockRows + most - 1) / most;
    int64_t small = blockRows / tiles, big = blockRows - small * tiles;
    int64_t split = big * (small + 1);
    e.forEach(0, split, small + 1,
              [&](const Coord &r) { body(r, small + 1); });
    e.forEach(split, blockRows, small,
              [&](const Coord &r) { body(r, small); });
  }

  void emitScores() {
    CpuEmitter::WithWidth scope(e, lanes);
    rowTiles(mostTileRows(e.target, panel / lanes), [&](const Coord &r, int64_t count) {
      int64_t whole = padded / panel * panel;
      e.forEach(0, whole, panel, [&](const Coord &s) {
        emitScoreTile(r, count, s, panel / lanes);
      });
      if (whole < padded)
        emitScoreTile(r, count, Coord::constant(whole),
                      (padded - whole) / lanes);
    });
  }

  void emitScoreTile(const Coord &r, int64_t count, const Coord &s,
                     int64_t vectors) {
    Coords rowStarts, columnStarts;
    Coord start = base(q);
    for (int64_t i = 0; i < count; ++i)
      rowStarts.push_back(
          e.add(start, e.scale(e.add(firstRow, e.addTo(r, i)),
                               q.strides[rank - 2])));
    for (int64_t j = 0; j < vectors; ++j)
      columnStarts.push_back(e.addTo(e.scale(s, depth), j * lanes));
    SumDim sum{depth, q.strides[rank - 1], panel};
    SmallVector<Value> zeros(count * vectors, e.splat(element, 0));
    SmallVector<Value> acc =
        emitRegisterTile(e, e.buffers.lookup(q.base), packed, rowStarts,
                         columnStarts, sum, zeros);
    Value scale = e.splat(element, op.getScale().convertToDouble());
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < vectors; ++j) {
        Coord row = e.addTo(r, i), column = wide(e.addTo(s, j * lanes));
        Value score = e.mul(acc[i * vectors + j], scale);
        score = masked(score, e.add(firstRow, row), column);
        e.store(scores, e.add(e.scale(row, padded), column), score);
      }
  }

  /// Adds the mask; -inf for columns that the row may not see or that are
  /// padding.
  Value masked(Value score, const Coord &row, const Coord &column) {
    Type i32 = e.b.getI32Type();
    Value hidden =
        e.splat(element, -std::numeric_limits<double>::infinity());
    if (op.getMask()) {
      // Reading the mask's row beyond its end is kept inside by lanes.
      Coords at = batch;
      at.push_back(row);
      at.push_back(column);
      if (columns % lanes == 0)
        score = e.add(score, e.at(op.getMask(), at));
      else
        score = e.add(score, safeMask(at));
    }
    if (op.getCausal()) {
      Value j = e.coordElement(column, i32);
      Value i = e.coordElement(row, i32);
      score = e.select(e.compare(Predicate::le, j, i, false), score, hidden);
    }
    if (columns % lanes) {
      Value j = e.coordElement(column, i32);
      Value inside = e.compare(Predicate::lt, j, e.splat(i32, columns), false);
      score = e.select(inside, score, hidden);
    }
    return score;
  }

  /// Mask elements lane by lane with the column clamped to the last one.
  Value safeMask(ArrayRef<Coord> at) {
    SmallVector<Value> elements;
    for (int64_t i = 0; i < lanes; ++i) {
      CpuEmitter::WithWidth one(e, 1);
      Coords lane(at.begin(), at.end());
      lane.back().lane = 0;
      Value column = arith::MinSIOp::create(
          e.b, e.loc, e.materialize(e.addTo(lane.back(), i)),
          e.indexConstant(columns - 1));
      lane.back() = {column};
      elements.push_back(e.at(op.getMask(), lane));
    }
    return e.fromLanes(elements);
  }

  /// exp(score - max) in place; factors[row] = 1 / sum.
  void emitSoftmax() {
    e.forEach(0, blockRows, 1, [&](const Coord &row) {
      Coord start = e.scale(row, padded);
      Value infinity, sum;
      CpuEmitter::WithWidth scope(e, lanes);
      infinity = e.splat(element, -std::numeric_limits<double>::infinity());
      Value maximum =
          e.loop(0, padded, lanes, infinity, [&](const Coord &s, ValueRange m) {
            Value x = e.load(scores, element, wide(e.add(start, s)));
            return SmallVector<Value>{e.combine(Combiner::max, m[0], x)};
          })[0];
      Value top = e.spread(e.combineLanes(Combiner::max, maximum));
      sum = e.loop(0, padded, lanes, e.splat(element, 0),
                   [&](const Coord &s, ValueRange acc) {
                     Coord position = wide(e.add(start, s));
                     Value x = e.load(scores, element, position);
                     Value y = e.exp(e.sub(x, top));
                     e.store(scores, position, y);
                     return SmallVector<Value>{e.add(acc[0], y)};
                   })[0];
      Value total = e.combineLanes(Combiner::sum, sum);
      CpuEmitter::WithWidth one(e, 1);
      e.store(factors, row, e.div(e.splat(element, 1), total));
    });
  }

  void emitOutput() {
    int64_t most = std::min(panel, width);
    CpuEmitter::WithWidth scope(e, lanes);
    rowTiles(mostTileRows(e.target, most / lanes), [&](const Coord &r, int64_t count) {
      int64_t whole = width / most * most;
      e.forEach(0, whole, most, [&](const Coord &c) {
        emitOutputTile(r, count, c, most / lanes);
      });
      if (whole < width)
        emitOutputTile(r, count, Coord::constant(whole),
                       (width - whole) / lanes);
    });
  }

  void emitOutputTile(const Coord &r, int64_t count, const Coord &c,
                      int64_t vectors) {
    Coords rowStarts, columnStarts;
    for (int64_t i = 0; i < count; ++i)
      rowStarts.push_back(e.scale(e.addTo(r, i), padded));
    Coord start = e.add(base(v), c);
    for (int64_t j = 0; j < vectors; ++j)
      columnStarts.push_back(e.addTo(start, j * lanes));
    SumDim sum{columns, 1, v.strides[rank - 2]};
    SmallVector<Value> zeros(count * vectors, e.splat(element, 0));
    SmallVector<Value> acc =
        emitRegisterTile(e, scores, e.buffers.lookup(v.base), rowStarts,
                         columnStarts, sum, zeros);
    for (int64_t i = 0; i < count; ++i) {
      Coord row = e.addTo(r, i);
      Value factor;
      {
        CpuEmitter::WithWidth one(e, 1);
        factor = e.load(factors, element, row);
      }
      factor = e.spread(factor);
      for (int64_t j = 0; j < vectors; ++j) {
        Coords at = batch;
        at.push_back(e.add(firstRow, row));
        at.push_back(wide(e.addTo(c, j * lanes)));
        emitResult(code, op.getResult(), e.mul(acc[i * vectors + j], factor),
                   at);
      }
    }
  }

  KernelCode &code;
  CpuEmitter &e;
  AttentionOp op;
  StridedView q, k, v;
  Type element;
  int64_t rank, rows, depth, columns, width, lanes, panel;
  /// Columns rounded up to whole vectors.
  int64_t padded;
  int64_t batches = 1, blockRows = 1;
  Value packed, scores, factors;
  Coords batch;
  Coord firstRow;
};

} // namespace

FailureOr<int64_t> emitAttention(KernelCode &code) {
  AttentionOp op;
  code.kernel.walk([&](AttentionOp found) { op = found; });
  auto q = stridedView(op.getQ()), k = stridedView(op.getK()),
       v = stridedView(op.getV());
  if (failed(q) || failed(k) || failed(v))
    return failure();
  return Attention(code, op, *q, *k, *v).emit();
}

} // namespace nncc
