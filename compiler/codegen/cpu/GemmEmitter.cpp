//===- GemmEmitter.cpp - contractions by register tiles -------------------===//
//
// One structure for GEMM, convolution (over patches), grouped and batched
// products: rows are lhs's free dimensions flattened and split into balanced
// tiles, columns are panels of rhs, the sum runs over strided dimensions whose
// innermost are merged. Loops: batch > block of panels > row tile > panel >
// sum. The epilogue runs on the accumulators. Figures: docs/cpu.md.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/KernelEmitters.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace nncc {

namespace {

/// Where the rows and columns of a register tile are in a loop over `dims`, and
/// the iteration of the innermost.
using TileBody = llvm::function_ref<SmallVector<Value>(
    ArrayRef<Coord> rows, ArrayRef<Coord> columns, const Coord &innermost,
    ValueRange carried)>;

} // namespace

/// Loops over `dims`, outermost first, that carry values.
static SmallVector<Value> overSums(BufferEmitter &e, ArrayRef<Coord> rowStarts,
                                   ArrayRef<Coord> columnStarts,
                                   ArrayRef<SumDim> dims, ValueRange initial,
                                   TileBody body) {
  const SumDim &dim = dims.front();
  auto step = [&](const Coord &k, ValueRange carried) {
    Coords rows, columns;
    for (const Coord &start : rowStarts)
      rows.push_back(e.add(start, e.scale(k, dim.lhsStride)));
    for (const Coord &start : columnStarts)
      columns.push_back(e.add(start, e.scale(k, dim.rhsStride)));
    if (dims.size() == 1)
      return body(rows, columns, k, carried);
    return overSums(e, rows, columns, dims.drop_front(), carried, body);
  };
  if (dim.count)
    return e.loop(e.indexConstant(0), dim.count, 1, initial, step);
  return e.loop(0, dim.size, 1, initial, step);
}

SmallVector<Value>
emitRegisterTile(BufferEmitter &e, const Buffer &lhs, const Buffer &rhs,
                 ArrayRef<Coord> rowStarts, ArrayRef<Coord> columnStarts,
                 ArrayRef<SumDim> dims, ArrayRef<Value> accumulators) {
  return overSums(e, rowStarts, columnStarts, dims, accumulators,
                  [&](ArrayRef<Coord> rows, ArrayRef<Coord> columns,
                      const Coord &, ValueRange carried) {
                    SmallVector<Value> acc(carried), panel;
                    for (Coord column : columns) {
                      column.lane = e.width > 1 ? 1 : 0;
                      panel.push_back(e.load(rhs, column));
                    }
                    for (auto [r, row] : llvm::enumerate(rows)) {
                      Value x = e.spread(e.loadScalar(lhs, row));
                      for (auto [v, w] : llvm::enumerate(panel)) {
                        Value &sum = acc[r * panel.size() + v];
                        sum = e.fma(x, w, sum);
                      }
                    }
                    return acc;
                  });
}

namespace {

class Gemm : GemmShape {
public:
  Gemm(KernelCode &code, const GemmShape &shape)
      : GemmShape(shape), code(code), e(code.e),
        element(computeType(tensorType(op.getResult()).getElementType())) {}

  int64_t emit();

private:
  void emitBlock(const Coord &firstPanel, int64_t panels, Value firstTile,
                 Value lastTile);
  void emitTile(const Coord &row, int64_t rowCount, const Coord &panel,
                int64_t panelCount, const Segment &segment);
  SmallVector<Value> emitSum(ArrayRef<Coord> rows, ArrayRef<Coord> columns);
  void emitEpilogue(ArrayRef<Value> acc, const Coord &firstRow,
                    ArrayRef<Coords> rows, ArrayRef<Coords> panels,
                    const Segment &segment);
  void emitElements(Value acc, const Coords &row, const Coords &panel,
                    int64_t start, int64_t width);
  bool isHeavy();
  bool isScattered();
  void emitPanels(const Coord &row, int64_t rowCount, const Coord &first,
                  int64_t panels);

  KernelCode &code;
  BufferEmitter &e;
  Type element;
  /// Rows and panels of a register tile.
  int64_t tileRows = 0, tilePanels = 1;
  Coord batch;
  Buffer scratch;
  bool heavy = false;
};

int64_t Gemm::emit() {
  int64_t panelCount = panels.count(), rowCount = rows.count();
  int64_t batches = lhsBatch.count();
  auto upTo = [](int64_t value, int64_t most) {
    return std::clamp<int64_t>(value, 1, std::max<int64_t>(most, 1));
  };
  tileRows = upTo(code.schedule("rows"), rowCount);
  tilePanels = upTo(code.schedule("panels"), wholePanels());
  int64_t perBlock = upTo(code.schedule("block"), panelCount);
  perBlock = (perBlock + tilePanels - 1) / tilePanels * tilePanels;
  int64_t blocks = (panelCount + perBlock - 1) / perBlock;
  int64_t rowTiles = (rowCount + tileRows - 1) / tileRows;
  int64_t rowBlocks = upTo(code.schedule("splits"), rowTiles);
  int64_t units = batches * blocks * rowBlocks;

  emitHalos(code);
  heavy = isHeavy();
  if (heavy || isScattered())
    scratch = e.scratch(element, Size(tileRows) * tilePanels * panelWidth);
  e.forEach(code.begin, code.end, 1, [&](const Coord &unit) {
    Coord rowBlock = e.remainder(unit, rowBlocks);
    Coord rest = e.divide(unit, rowBlocks);
    Coord block = e.remainder(rest, blocks);
    batch = e.divide(rest, blocks);
    auto tileAt = [&](const Coord &b) {
      return firstUnit(e, e.materialize(b), rowTiles, rowBlocks);
    };
    Value firstTile = tileAt(rowBlock), lastTile = tileAt(e.addTo(rowBlock, 1));
    Coord firstPanel = e.scale(block, perBlock);
    int64_t lastCount = panelCount - (blocks - 1) * perBlock;
    bool uneven = lastCount != perBlock || lastWidth != panelWidth;
    if (!uneven || blocks == 1) {
      emitBlock(firstPanel, blocks == 1 ? lastCount : perBlock, firstTile,
                lastTile);
      return;
    }
    // The last block has its own shape.
    Value isLast = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq,
                                         e.materialize(block),
                                         e.indexConstant(blocks - 1));
    Value isOther = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne,
                                          e.materialize(block),
                                          e.indexConstant(blocks - 1));
    e.ifThen(isOther,
             [&] { emitBlock(firstPanel, perBlock, firstTile, lastTile); });
    e.ifThen(isLast, [&] {
      emitBlock(Coord::constant((blocks - 1) * perBlock), lastCount, firstTile,
                lastTile);
    });
  });
  return units;
}

/// Row tiles [firstTile, lastTile) of a block of panels. The first tiles have
/// one row more than the others, so that no tile is a poor remainder.
void Gemm::emitBlock(const Coord &firstPanel, int64_t panelCount,
                     Value firstTile, Value lastTile) {
  int64_t count = rows.count(), tiles = (count + tileRows - 1) / tileRows;
  int64_t small = count / tiles, bigTiles = count - small * tiles;
  Value bound = e.indexConstant(bigTiles);
  if (bigTiles) {
    Value hi = arith::MinSIOp::create(e.b, e.loc, lastTile, bound);
    e.forEach(firstTile, hi, 1, [&](const Coord &t) {
      emitPanels(e.scale(t, small + 1), small + 1, firstPanel, panelCount);
    });
  }
  Value lo = arith::MaxSIOp::create(e.b, e.loc, firstTile, bound);
  e.forEach(lo, lastTile, 1, [&](const Coord &t) {
    emitPanels(e.addTo(e.scale(t, small), bigTiles), small, firstPanel,
               panelCount);
  });
}

void Gemm::emitPanels(const Coord &row, int64_t rowCount, const Coord &first,
                      int64_t count) {
  bool holdsLast = lastWidth != panelWidth &&
                   (!first.base && first.offset + count == panels.count());
  int64_t whole = holdsLast ? count - 1 : count;
  int64_t grouped = whole / tilePanels * tilePanels;
  auto run = [&](int64_t lo, int64_t hi, int64_t step,
                 ArrayRef<Segment> segments) {
    e.forEach(lo, hi, step, [&](const Coord &p) {
      for (const Segment &segment : segments)
        emitTile(row, rowCount, e.add(first, p), step, segment);
    });
  };
  run(0, grouped, tilePanels, wholePanel);
  run(grouped, whole, 1, wholePanel);
  if (holdsLast)
    run(whole, count, 1, lastPanel);
}

/// Coordinates of a flattened position within a group.
static Coords split(BufferEmitter &e, const Coord &position,
                    const DimGroup &group) {
  auto coords = e.reshape({position}, {group.count()}, group.sizes);
  assert(succeeded(coords) && "positions have no lanes");
  return *coords;
}

void Gemm::emitTile(const Coord &row, int64_t rowCount, const Coord &panel,
                    int64_t panelCount, const Segment &segment) {
  BufferEmitter::WithWidth scope(e, segment.width);
  Coord lhsBase = e.addTo(e.linear(split(e, batch, lhsBatch), lhsBatch.strides),
                          lhs.offset);
  Coord rhsBase = e.addTo(e.linear(split(e, batch, rhsBatch), rhsBatch.strides),
                          rhs.offset);
  SmallVector<Coords> rowCoords = e.splitRun(row, rowCount, rows.sizes);
  SmallVector<Coords> panelCoords;
  Coords rowStarts, columnStarts;
  for (const Coords &coords : rowCoords)
    rowStarts.push_back(e.add(lhsBase, e.linear(coords, rows.strides)));
  for (int64_t p = 0; p < panelCount; ++p) {
    Coord position = e.addTo(panel, p);
    panelCoords.push_back(split(e, position, panels));
    Coord start = e.add(rhsBase, e.linear(panelCoords.back(), panels.strides));
    for (int64_t v = 0; v < segment.vectors; ++v)
      columnStarts.push_back(e.addTo(start, segment.start + v * segment.width));
  }
  emitEpilogue(emitSum(rowStarts, columnStarts), row, rowCoords, panelCoords,
               segment);
}

/// Long sums are sums of balanced parts of about `chain` products: the rounding
/// error of a chain of n grows with sqrt(n), so this is what keeps deep
/// convolutions as near to f64 as short ones. A part costs as much as six
/// products; parts of 192 have more error than PyTorch's sums, those of 144
/// nine tenths of it.
SmallVector<Value> Gemm::emitSum(ArrayRef<Coord> rows,
                                 ArrayRef<Coord> columns) {
  constexpr int64_t chain = 144, longest = chain * 3 / 2 - 1;
  Buffer lhsBuffer = e.buffers.lookup(lhs.base),
         rhsBuffer = e.buffers.lookup(rhs.base);
  SmallVector<Value> zeros(rows.size() * columns.size(), e.splat(element, 0));
  // dims[at...] are whole within a part, dims[at - 1] is split.
  int64_t inPart = 1;
  size_t at = sums.size();
  while (at > 0 && inPart * sums[at - 1].size <= longest)
    inPart *= sums[--at].size;
  if (at == 0)
    return emitRegisterTile(e, lhsBuffer, rhsBuffer, rows, columns, sums,
                            zeros);
  const SumDim &dim = sums[at - 1];
  int64_t parts = (dim.size * inPart + chain / 2) / chain;
  int64_t length = llvm::divideCeil(dim.size, parts);
  parts = llvm::divideCeil(dim.size, length);
  SmallVector<SumDim> outer(sums.begin(), sums.begin() + at),
      inner(sums.begin() + at - 1, sums.end());
  outer.back() = {parts, length * dim.lhsStride, length * dim.rhsStride};
  inner.front().size = length;
  return overSums(
      e, rows, columns, outer, zeros,
      [&](ArrayRef<Coord> rows, ArrayRef<Coord> columns, const Coord &part,
          ValueRange totals) {
        if (dim.size % length)
          inner.front().count = arith::MinSIOp::create(
              e.b, e.loc, e.indexConstant(length),
              e.materialize(e.addTo(e.scale(part, -length), dim.size)));
        SmallVector<Value> acc = emitRegisterTile(e, lhsBuffer, rhsBuffer, rows,
                                                  columns, inner, zeros);
        for (auto [sum, total] : llvm::zip_equal(acc, totals))
          sum = e.add(total, sum);
        return acc;
      });
}

bool Gemm::isHeavy() {
  bool heavy = false;
  code.kernel.walk([&](Operation *child) {
    heavy |= child->hasTrait<OpTrait::nncc::Costly>();
  });
  return heavy;
}

/// True if the columns of the first vector are no neighbours in the result.
bool Gemm::isScattered() {
  int64_t width = wholePanel.front().width;
  if (width == 1 || op.rhsFree().empty())
    return false;
  BufferEmitter::WithWidth scope(e, width);
  Coords at(shapeOf(op.getResult()).size(), Coord::constant(0));
  at.back().lane = 1;
  return !isContiguous(code, op.getResult(), at);
}

/// Cheap epilogues run on the registers. Heavy ones (exp and the like) would
/// spill them all and blow up the code, as would stores of single elements, so
/// the tile goes through a scratch buffer in L1 and a loop over its rows.
void Gemm::emitEpilogue(ArrayRef<Value> acc, const Coord &firstRow,
                        ArrayRef<Coords> rowCoords,
                        ArrayRef<Coords> panelCoords, const Segment &segment) {
  int64_t vectors = segment.vectors, width = segment.width;
  auto columns = [&](auto body) {
    for (size_t p = 0; p < panelCoords.size(); ++p)
      for (int64_t v = 0; v < vectors; ++v)
        body(p, v, segment.start + v * width,
             std::min(width, segment.valid - v * width));
  };
  if (!scratch) {
    for (size_t r = 0; r < rowCoords.size(); ++r)
      columns([&](size_t p, int64_t v, int64_t start, int64_t valid) {
        Value element = acc[(r * panelCoords.size() + p) * vectors + v];
        emitElements(element, rowCoords[r], panelCoords[p], start, valid);
      });
    return;
  }
  int64_t perRow = panelCoords.size() * vectors;
  for (auto [i, element] : llvm::enumerate(acc)) {
    Coord position = Coord::constant(i * width);
    position.lane = width > 1 ? 1 : 0;
    e.store(scratch, position, element);
  }
  e.forEach(0, rowCoords.size(), 1, [&](const Coord &r) {
    Coords row = split(e, e.add(firstRow, r), rows);
    columns([&](size_t p, int64_t v, int64_t start, int64_t valid) {
      Coord position =
          e.addTo(e.scale(r, perRow * width), (p * vectors + v) * width);
      if (heavy) {
        position.lane = width > 1 ? 1 : 0;
        emitElements(e.load(scratch, position), row, panelCoords[p], start,
                     valid);
        return;
      }
      BufferEmitter::WithWidth scope(e, 1);
      for (int64_t i = 0; i < valid; ++i)
        emitElements(e.load(scratch, e.addTo(position, i)), row, panelCoords[p],
                     start + i, 1);
    });
  });
}

/// `valid` columns of one vector of the product. Fewer than its lanes are cut
/// into halving pieces.
void Gemm::emitElements(Value acc, const Coords &row, const Coords &panel,
                        int64_t start, int64_t valid) {
  int64_t lanes = e.width, done = 0;
  for (int64_t width = lanes; width > 0; width /= 2) {
    if (valid - done < width)
      continue;
    Value part = acc;
    if (width == 1 && lanes > 1)
      part = vector::ExtractOp::create(e.b, e.loc, acc, done);
    else if (width < lanes)
      part = vector::ExtractStridedSliceOp::create(e.b, e.loc, acc, {done},
                                                   {width}, {1});
    BufferEmitter::WithWidth scope(e, width);
    Coord column = Coord::constant(start + done);
    column.lane = width > 1 ? 1 : 0;
    Coords at = split(e, batch, lhsBatch);
    llvm::append_range(at, row);
    llvm::append_range(at, panel);
    if (panelsAreColumns) // the run's number is part of the column
      column = e.add(column, e.scale(at.pop_back_val(), panelWidth));
    if (!op.rhsFree().empty())
      at.push_back(column);
    emitResult(code, op.getResult(), part, at);
    done += width;
  }
}

} // namespace

int64_t emitGemm(KernelCode &code) {
  auto shape = GemmShape::of(code.kernel, code.e.target);
  assert(succeeded(shape) && "the kernel is a product");
  return Gemm(code, *shape).emit();
}

} // namespace nncc
