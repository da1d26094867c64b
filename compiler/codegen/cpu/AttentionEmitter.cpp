//===- AttentionEmitter.cpp - scaled dot-product attention ----------------===//
//
// One tile is one head and a group of query rows. A register tile of rows gets
// its scores in scratch memory, softmax in place, then the product with V. Rows
// of several blocks of keys are rescaled from block to block (Milakov and
// Gimelshein, "Online normalizer calculation for softmax", 2018). q and k may
// be any strided views; v's last dimension is contiguous. Figures: docs/cpu.md.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/AttentionTiles.h"
#include "dialect/VectorMath.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace nncc {

namespace {

class Attention : AttentionTiles {
public:
  Attention(KernelCode &code, AttentionOp op)
      : AttentionTiles(code, op), op(op),
        groups(std::clamp<int64_t>(code.schedule("groups"), 1, tileCount)) {}

  int64_t emit();

private:
  void emitGroup();
  void emitBlock(const Coord &row, int64_t count, Value visible);
  void emitSoftmax(const Coord &row, int64_t count, Value visible);
  void emitProductTile(const Coord &row, int64_t count, Value visible,
                       const Coord &c, const Segment &segment);
  void emitScaled();

  AttentionOp op;
  int64_t groups;
  /// [panel][depth][key in panel], [row of a tile][key], [row of a tile].
  Buffer packed, scores, factors;
  /// Per row of a group, when rows are blocked: running maximum and sum of
  /// exponentials, and the product so far.
  Buffer maxima, sums, products;
};

int64_t Attention::emit() {
  packed = scratchForPacked(depth);
  scores = scratch(Size(tileRows) * scoreLength);
  factors = scratch(tileRows);
  if (isBlocked()) {
    int64_t groupRows = (tileCount + groups - 1) / groups * tileRows;
    maxima = scratch(groupRows);
    sums = scratch(groupRows);
    products = scratch(Size(groupRows) * width);
  }
  emitHalos(code);
  e.forEach(code.begin, code.end, 1, [&](const Coord &tile) {
    enterHead(e.divide(tile, groups));
    enterGroup(e.remainder(tile, groups), groups);
    emitGroup();
  });
  return batches * groups;
}

void Attention::emitGroup() {
  if (!isBlocked()) {
    enterKeys(Coord::constant(0));
    pack(k, packed);
    rowTiles([&](const Coord &row, int64_t count) {
      emitBlock(row, count, visibleKeys(row, count));
    });
    return;
  }
  rowTiles([&](const Coord &row, int64_t count) {
    e.forEach(0, count, 1, [&](const Coord &r) {
      Coord at = inGroup(e.add(row, r));
      CpuEmitter::WithWidth one(e, 1);
      e.store(maxima, at, e.splat(element, -infinity));
      e.store(sums, at, e.splat(element, 0));
      e.forEach(0, width, 1, [&](const Coord &c) {
        e.store(products, e.add(e.scale(at, width), c), e.splat(element, 0));
      });
    });
  });
  overKeyBlocks([&] {
    pack(k, packed);
    rowTiles([&](const Coord &row, int64_t count) {
      Value visible = visibleKeys(row, count);
      if (!causal)
        return emitBlock(row, count, visible);
      ifSeen(visible, [&] { emitBlock(row, count, visible); });
    });
  });
  emitScaled();
}

void Attention::emitBlock(const Coord &row, int64_t count, Value visible) {
  emitScores(q, packed, row, count, visible,
             [&](int64_t i, const Coord &key, Value product) {
               Value score =
                   scoreOf(product, e.addTo(row, i), e.add(keyStart, key));
               e.store(scores, e.addTo(key, i * scoreLength), score);
             });
  emitSoftmax(row, count, visible);
  columnTiles(width, [&](const Coord &c, const Segment &segment) {
    emitProductTile(row, count, visible, c, segment);
  });
}

/// exp(score - maximum) in place. factors[row] is what the row's product is
/// multiplied with: 1 / sum for whole rows, after the product; else
/// exp(old maximum - maximum), before more is added to it.
void Attention::emitSoftmax(const Coord &row, int64_t count, Value visible) {
  Value end = roundUp(visible, lanes), zero = e.indexConstant(0);
  e.forEach(0, count, 1, [&](const Coord &r) {
    Coord start = e.scale(r, scoreLength);
    Coord at = isBlocked() ? inGroup(e.add(row, r)) : Coord();
    CpuEmitter::WithWidth scope(e, lanes);
    Value top = maximumOf(scores, start, end), rescale;
    if (isBlocked()) {
      Running running = updateMaximum(maxima, at, top);
      top = running.top;
      rescale = running.rescale;
      CpuEmitter::WithWidth one(e, 1);
      e.store(factors, r, rescale);
    } else {
      CpuEmitter::WithWidth one(e, 1);
      top = finite(top);
    }
    Value spreadTop = e.spread(top);
    Value sum = e.loop(zero, end, lanes, e.splat(element, 0),
                       [&](const Coord &s, ValueRange acc) {
                         Coord position = wide(e.add(start, s));
                         Value x = e.load(scores, position);
                         Value y = vectorMath::exp(e, e.sub(x, spreadTop));
                         e.store(scores, position, y);
                         return SmallVector<Value>{e.add(acc[0], y)};
                       })[0];
    Value total = e.combineLanes(Combiner::sum, sum);
    CpuEmitter::WithWidth one(e, 1);
    if (isBlocked()) {
      Value before = e.load(sums, at);
      e.store(sums, at, e.add(e.mul(before, rescale), total));
    } else {
      e.store(factors, r, inverse(total));
    }
  });
}

void Attention::emitProductTile(const Coord &row, int64_t count, Value visible,
                                const Coord &c, const Segment &segment) {
  Coords rowStarts, columnStarts;
  for (int64_t i = 0; i < count; ++i)
    rowStarts.push_back(Coord::constant(i * scoreLength));
  int64_t keyStride = v.strides[rank - 2];
  Coord start = e.add(e.add(base(v), c), e.scale(keyStart, keyStride));
  for (int64_t j = 0; j < segment.vectors; ++j)
    columnStarts.push_back(e.addTo(start, j * segment.width));
  auto columnOf = [&](int64_t j) {
    Coord column = e.addTo(c, j * segment.width);
    column.lane = segment.width > 1 ? 1 : 0;
    return column;
  };
  auto productAt = [&](int64_t i, int64_t j) {
    return e.add(e.scale(inGroup(e.addTo(row, i)), width), columnOf(j));
  };
  SmallVector<Value> acc, scales;
  for (int64_t i = 0; i < count; ++i)
    scales.push_back(e.spread(e.loadScalar(factors, Coord::constant(i))));
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < segment.vectors; ++j)
      acc.push_back(isBlocked()
                        ? e.mul(e.load(products, productAt(i, j)), scales[i])
                        : e.splat(element, 0));
  SumDim sum{columns, 1, keyStride, visible};
  acc = emitRegisterTile(e, scores, e.buffers.lookup(v.base), rowStarts,
                         columnStarts, sum, acc);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < segment.vectors; ++j) {
      Value value = acc[i * segment.vectors + j];
      if (isBlocked()) {
        e.store(products, productAt(i, j), value);
        continue;
      }
      Coords at = batch;
      at.push_back(e.addTo(row, i));
      at.push_back(columnOf(j));
      emitResult(code, op.getResult(), e.mul(value, scales[i]), at);
    }
}

/// The result of blocked rows: product / sum.
void Attention::emitScaled() {
  rowTiles([&](const Coord &first, int64_t count) {
    e.forEach(0, count, 1, [&](const Coord &r) {
      Coord row = e.add(first, r), inRows = inGroup(row);
      Value factor;
      {
        CpuEmitter::WithWidth one(e, 1);
        factor = inverse(e.load(sums, inRows));
      }
      columnTiles(width, [&](const Coord &c, const Segment &segment) {
        for (int64_t j = 0; j < segment.vectors; ++j) {
          Coord column = e.addTo(c, j * segment.width);
          column.lane = segment.width > 1 ? 1 : 0;
          Value value = e.load(products, e.add(e.scale(inRows, width), column));
          Coords at = batch;
          at.push_back(row);
          at.push_back(column);
          emitResult(code, op.getResult(), e.mul(value, e.spread(factor)), at);
        }
      });
    });
  });
}

} // namespace

int64_t emitAttention(KernelCode &code) {
  AttentionOp op;
  code.kernel.walk([&](AttentionOp found) { op = found; });
  return Attention(code, op).emit();
}

} // namespace nncc
