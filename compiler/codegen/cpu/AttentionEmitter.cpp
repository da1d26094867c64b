//===- AttentionEmitter.cpp - scaled dot-product attention ----------------===//
//
// One tile is one head and a group of query rows. Keys go in blocks that fit
// the L2 cache, packed transposed into panels; a register tile of rows gets its
// scores in scratch memory, softmax in place, then the product with V. Rows of
// several blocks are rescaled from block to block (Milakov and Gimelshein,
// "Online normalizer calculation for softmax", 2018). q and k may be any
// strided views; v's last dimension is contiguous. Figures: docs/cpu.md.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/KernelEmitters.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include <limits>

using namespace mlir;

namespace nncc {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

class Attention {
public:
  Attention(KernelCode &code, AttentionOp op, StridedView q, StridedView k,
            StridedView v)
      : code(code), e(code.e), op(op), q(q), k(k), v(v),
        element(tensorType(op.getResult()).getElementType()),
        rank(q.shape.size()), rows(q.shape[rank - 2]), depth(q.shape[rank - 1]),
        columns(k.shape[rank - 2]), width(v.shape[rank - 1]),
        lanes(e.target.lanes), panel(e.target.maxPanel()) {}

  int64_t emit();

private:
  void choose();
  void emitGroup(const Coord &group);
  void packKeys();
  void emitScores(const Coord &row, int64_t count, Value visible);
  void emitScoreTile(const Coord &row, int64_t count, const Coord &s,
                     int64_t vectors);
  Value masked(Value score, const Coord &row, const Coord &column);
  Value maskAt(Coords at);
  void emitSoftmax(const Coord &row, int64_t count, Value visible);
  void emitProduct(const Coord &row, int64_t count, Value visible);
  void emitProductTile(const Coord &row, int64_t count, Value visible,
                       const Coord &c, const Segment &segment);
  void emitScaled();

  /// Rows of a small tile; how many tiles have one more.
  int64_t smallTile() const { return rows / tileCount; }
  int64_t bigTiles() const { return rows - smallTile() * tileCount; }
  bool isBlocked() const { return keyBlock < columns; }
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
  Value minimum(Value x, Value y) {
    return arith::MinSIOp::create(e.b, e.loc, x, y);
  }
  /// x rounded up to a multiple.
  Value roundUp(Value x, int64_t multiple) {
    Value more = e.indexOp('+', x, e.indexConstant(multiple - 1));
    Value count = e.indexOp('/', more, e.indexConstant(multiple));
    return e.indexOp('*', count, e.indexConstant(multiple));
  }
  Value loadScalar(Value memory, const Coord &at) {
    CpuEmitter::WithWidth one(e, 1);
    return e.load(memory, element, at);
  }
  Coord inGroup(const Coord &row) {
    return e.add(row, {e.indexOp('-', e.indexConstant(0), groupStart)});
  }
  void rowTiles(function_ref<void(const Coord &, int64_t)> body);
  void columnTiles(function_ref<void(const Coord &, const Segment &)> body);

  KernelCode &code;
  CpuEmitter &e;
  AttentionOp op;
  StridedView q, k, v;
  Type element;
  int64_t rank, rows, depth, columns, width, lanes, panel;
  int64_t batches = 1, groups = 1, tileRows = 1, tileCount = 1;
  /// Keys per block, and the length of a row of scores.
  int64_t keyBlock = 0, scoreLength = 0;
  /// [panel][depth][key in panel], [row of a tile][key], [row of a tile].
  Value packed, scores, factors;
  /// Per row of a group, when rows are blocked: running maximum and sum of
  /// exponentials, and the product so far.
  Value maxima, sums, products;

  // Where the code being emitted stands.
  Coords batch;
  Value firstTile, lastTile; // row tiles of the group
  Value groupStart;          // its first row
  Coord keyStart;            // the block's first key
  Value keyCount;            // and its number of keys
};

/// Sizes of blocks and groups.
void Attention::choose() {
  for (int64_t d = 0; d < rank - 2; ++d)
    batches *= q.shape[d];
  auto upTo = [&](const char *name, int64_t most) {
    return std::clamp<int64_t>(code.schedule(name), 1, most);
  };
  keyBlock = upTo("keys", columns);
  if (isBlocked()) // whole panels
    keyBlock = std::min(columns, (keyBlock + panel - 1) / panel * panel);
  scoreLength = (keyBlock + lanes - 1) / lanes * lanes;
  tileRows = upTo("rows", rows);
  tileCount = (rows + tileRows - 1) / tileRows;
  groups = upTo("groups", tileCount);
}

int64_t Attention::emit() {
  choose();
  int64_t panels = (keyBlock + panel - 1) / panel;
  packed = scratch(panels * panel * depth);
  scores = scratch(tileRows * scoreLength);
  factors = scratch(tileRows);
  if (isBlocked()) {
    int64_t groupRows = (tileCount + groups - 1) / groups * tileRows;
    maxima = scratch(groupRows);
    sums = scratch(groupRows);
    products = scratch(groupRows * width);
  }
  emitHalos(code);
  e.forEach(code.begin, code.end, 1, [&](const Coord &tile) {
    SmallVector<int64_t> batchShape(ArrayRef<int64_t>(q.shape).drop_back(2));
    batch = *e.reshape({e.divide(tile, groups)}, {batches}, batchShape);
    emitGroup(e.remainder(tile, groups));
  });
  return batches * groups;
}

void Attention::emitGroup(const Coord &group) {
  firstTile = firstUnit(e, e.materialize(group), tileCount, groups);
  lastTile = firstUnit(e, e.materialize(e.addTo(group, 1)), tileCount, groups);
  if (!isBlocked()) {
    keyStart = Coord::constant(0);
    keyCount = e.indexConstant(columns);
    packKeys();
    rowTiles([&](const Coord &row, int64_t count) {
      Value visible = keyCount;
      if (op.getCausal())
        visible = minimum(keyCount, e.materialize(e.addTo(row, count)));
      emitScores(row, count, visible);
      emitSoftmax(row, count, visible);
      emitProduct(row, count, visible);
    });
    return;
  }
  groupStart =
      e.materialize(e.add(e.scale({firstTile}, smallTile()),
                          {minimum(firstTile, e.indexConstant(bigTiles()))}));
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
  e.forEach(0, columns, keyBlock, [&](const Coord &start) {
    keyStart = start;
    Value rest = e.indexOp('-', e.indexConstant(columns), e.materialize(start));
    keyCount = minimum(e.indexConstant(keyBlock), rest);
    packKeys();
    rowTiles([&](const Coord &row, int64_t count) {
      auto block = [&](Value visible) {
        emitScores(row, count, visible);
        emitSoftmax(row, count, visible);
        emitProduct(row, count, visible);
      };
      if (!op.getCausal())
        return block(keyCount);
      Value seen = e.indexOp('-', e.materialize(e.addTo(row, count)),
                             e.materialize(start));
      Value any = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sgt,
                                        seen, e.indexConstant(0));
      e.ifThen(any, [&] { block(minimum(keyCount, seen)); });
    });
  });
  emitScaled();
}

/// The group's row tiles: the first ones of all have a row more than the
/// others.
void Attention::rowTiles(function_ref<void(const Coord &, int64_t)> body) {
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

/// packed[p][d][j] = k[keyStart + p * panel + j][d]
void Attention::packKeys() {
  Value memory = e.buffers.lookup(k.base);
  int64_t keyStride = k.strides[rank - 2], depthStride = k.strides[rank - 1];
  Coord start = e.add(base(k), e.scale(keyStart, keyStride));
  auto column = [&](const Coord &s, const Coord &d) {
    Coord from =
        e.add(start, e.add(e.scale(s, keyStride), e.scale(d, depthStride)));
    Coord to = e.add(e.add(e.scale(e.divide(s, panel), panel * depth),
                           e.remainder(s, panel)),
                     e.scale(d, panel));
    if (e.width > 1) {
      from.lane = keyStride;
      to.lane = 1;
    }
    return std::pair(from, to);
  };
  bool crosses = depthStride == 1 && keyStride != 1;
  int64_t squares = crosses ? depth / lanes * lanes : 0;
  Value whole = e.indexOp('/', keyCount, e.indexConstant(lanes));
  whole = e.indexOp('*', whole, e.indexConstant(lanes));
  auto vectors = [&](const Coord &s) {
    CpuEmitter::WithWidth scope(e, lanes);
    e.forEach(0, squares, lanes, [&](const Coord &d) {
      auto [from, to] = column(s, d);
      for (auto [i, keys] : llvm::enumerate(e.loadTransposed(memory, from)))
        e.store(packed, e.addTo(to, int64_t(i) * panel), keys);
    });
    e.forEach(squares, depth, 1, [&](const Coord &d) {
      auto [from, to] = column(s, d);
      e.store(packed, to, e.load(memory, element, from));
    });
  };
  e.forEach(e.indexConstant(0), whole, lanes, vectors, lanes);
  e.forEach(whole, keyCount, 1, [&](const Coord &s) {
    e.forEach(0, depth, 1, [&](const Coord &d) {
      auto [from, to] = column(s, d);
      e.store(packed, to, e.load(memory, element, from));
    });
  });
}

/// Panels that hold visible keys. In a whole row the last one is as narrow as
/// its keys allow.
void Attention::emitScores(const Coord &row, int64_t count, Value visible) {
  CpuEmitter::WithWidth scope(e, lanes);
  int64_t whole = scoreLength / panel * panel;
  Value end = minimum(roundUp(visible, panel), e.indexConstant(whole));
  auto tile = [&](const Coord &s) {
    emitScoreTile(row, count, s, panel / lanes);
  };
  e.forEach(e.indexConstant(0), end, panel, tile, panel);
  if (whole == scoreLength)
    return;
  Value reached = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sgt,
                                        visible, e.indexConstant(whole));
  e.ifThen(reached, [&] {
    emitScoreTile(row, count, Coord::constant(whole),
                  (scoreLength - whole) / lanes);
  });
}

void Attention::emitScoreTile(const Coord &row, int64_t count, const Coord &s,
                              int64_t vectors) {
  Coords rowStarts, columnStarts;
  Coord start = base(q);
  for (int64_t i = 0; i < count; ++i)
    rowStarts.push_back(
        e.add(start, e.scale(e.addTo(row, i), q.strides[rank - 2])));
  for (int64_t j = 0; j < vectors; ++j)
    columnStarts.push_back(e.addTo(e.scale(s, depth), j * lanes));
  SumDim sum{depth, q.strides[rank - 1], panel};
  SmallVector<Value> zeros(count * vectors, e.splat(element, 0));
  SmallVector<Value> acc = emitRegisterTile(
      e, e.buffers.lookup(q.base), packed, rowStarts, columnStarts, sum, zeros);
  Value scale = e.splat(element, op.getScale().convertToDouble());
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < vectors; ++j) {
      Coord inBlock = wide(e.addTo(s, j * lanes));
      Value score = e.mul(acc[i * vectors + j], scale);
      score = masked(score, e.addTo(row, i), e.add(keyStart, inBlock));
      e.store(scores, e.addTo(inBlock, i * scoreLength), score);
    }
}

/// Adds the mask; -inf for columns that the row may not see or that do not
/// exist.
Value Attention::masked(Value score, const Coord &row, const Coord &column) {
  Type i32 = e.b.getI32Type();
  Value hidden = e.splat(element, -infinity);
  bool exact = columns % (isBlocked() ? panel : lanes) == 0;
  if (op.getMask()) {
    Coords at = batch;
    at.push_back(row);
    at.push_back(column);
    score = e.add(score, exact ? e.at(op.getMask(), at) : maskAt(at));
  }
  Value j = e.coordElement(column, i32);
  if (op.getCausal()) {
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
Value Attention::maskAt(Coords at) {
  SmallVector<Value> elements;
  Coord column = at.back();
  column.lane = 0;
  CpuEmitter::WithWidth one(e, 1);
  for (int64_t i = 0; i < lanes; ++i) {
    at.back() = {minimum(e.materialize(e.addTo(column, i)),
                         e.indexConstant(columns - 1))};
    elements.push_back(e.at(op.getMask(), at));
  }
  return e.fromLanes(elements);
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
    Value maximum =
        e.loop(zero, end, lanes, e.splat(element, -infinity),
               [&](const Coord &s, ValueRange m) {
                 Value x = e.load(scores, element, wide(e.add(start, s)));
                 return SmallVector<Value>{e.combine(Combiner::max, m[0], x)};
               })[0];
    Value top = e.combineLanes(Combiner::max, maximum), rescale;
    if (isBlocked()) {
      CpuEmitter::WithWidth one(e, 1);
      Value before = e.load(maxima, element, at);
      top = e.max(before, top);
      e.store(maxima, at, top);
      // A row that has seen nothing yet: no difference of infinities.
      Value none = e.splat(element, -infinity);
      top = e.select(e.compare(Predicate::eq, top, none, false),
                     e.splat(element, 0), top);
      rescale = e.exp(e.sub(before, top));
      e.store(factors, r, rescale);
    }
    Value spreadTop = e.spread(top);
    Value sum = e.loop(zero, end, lanes, e.splat(element, 0),
                       [&](const Coord &s, ValueRange acc) {
                         Coord position = wide(e.add(start, s));
                         Value x = e.load(scores, element, position);
                         Value y = e.exp(e.sub(x, spreadTop));
                         e.store(scores, position, y);
                         return SmallVector<Value>{e.add(acc[0], y)};
                       })[0];
    Value total = e.combineLanes(Combiner::sum, sum);
    CpuEmitter::WithWidth one(e, 1);
    if (isBlocked()) {
      Value before = e.load(sums, element, at);
      e.store(sums, at, e.add(e.mul(before, rescale), total));
    } else {
      e.store(factors, r, e.div(e.splat(element, 1), total));
    }
  });
}

/// v's columns: panels, then narrower runs.
void Attention::columnTiles(
    function_ref<void(const Coord &, const Segment &)> body) {
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

void Attention::emitProduct(const Coord &row, int64_t count, Value visible) {
  columnTiles([&](const Coord &c, const Segment &segment) {
    emitProductTile(row, count, visible, c, segment);
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
    scales.push_back(e.spread(loadScalar(factors, Coord::constant(i))));
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < segment.vectors; ++j)
      acc.push_back(
          isBlocked()
              ? e.mul(e.load(products, element, productAt(i, j)), scales[i])
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
      Value one = e.splat(element, 1);
      Value factor = e.div(one, loadScalar(sums, inRows));
      columnTiles([&](const Coord &c, const Segment &segment) {
        for (int64_t j = 0; j < segment.vectors; ++j) {
          Coord column = e.addTo(c, j * segment.width);
          column.lane = segment.width > 1 ? 1 : 0;
          Value value =
              e.load(products, element, e.add(e.scale(inRows, width), column));
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
  // form-kernels has seen to strides.
  return Attention(code, op, *stridedView(op.getQ()), *stridedView(op.getK()),
                   *stridedView(op.getV()))
      .emit();
}

} // namespace nncc
