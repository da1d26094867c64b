//===- LoopNest.cpp - kernels as loops over result elements ---------------===//
//
// Three shapes of loop nest, all around `BufferEmitter::at`:
//  * flat: elementwise kernels on equal shapes and scalars, one loop;
//  * general: rows outside, vectors along the last dimension inside; kernels
//    over windows compute a block of neighbouring pixels at once, so that
//    loads are shared (depthwise convolution, pooling);
//  * rows, where the last dimension is reduced (softmax, layer norm): per row
//    first the reductions, then the row itself.
//
//===----------------------------------------------------------------------===//
#include "codegen/kernels/LoopNest.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace nncc {

Value firstUnit(BufferEmitter &e, Value tile, int64_t count, int64_t tiles) {
  if (count == tiles)
    return tile;
  Value scaled = e.indexOp('*', tile, e.indexConstant(count));
  return e.indexOp('/', scaled, e.indexConstant(tiles));
}

/// Rows from which threads have enough to share out.
static constexpr int64_t fewRows = 16;

SmallVector<LoopOutput> loopOutputs(func::FuncOp kernel) {
  SmallVector<LoopOutput> outputs;
  for (Value value : kernel.getBody().front().getTerminator()->getOperands()) {
    LoopOutput output{value, {}};
    if (auto pad = value.getDefiningOp<PadOp>())
      if (tensorType(pad.getOperand()).getNumElements() &&
          llvm::all_of(pad.getInterior(), [](int64_t i) { return i == 0; }))
        output = {pad.getOperand(), pad};
    outputs.push_back(output);
  }
  return outputs;
}

bool isFlat(func::FuncOp kernel) {
  SmallVector<LoopOutput> outputs = loopOutputs(kernel);
  ArrayRef<int64_t> shape = shapeOf(outputs.front().value);
  for (LoopOutput &output : outputs)
    if (output.pad || shapeOf(output.value) != shape)
      return false;
  auto fits = [&](Value value) { // scalars are broadcast
    return shapeOf(value) == shape || shapeOf(value).empty();
  };
  if (!llvm::all_of(kernel.getArguments(), fits))
    return false;
  for (Operation &op : kernel.getBody().front().without_terminator()) {
    auto constant = dyn_cast<ConstantOp>(op);
    auto broadcast = dyn_cast<BroadcastOp>(op);
    bool isSame = (constant && constant.getValue().isSplat()) ||
                  (broadcast && shapeOf(broadcast.getOperand()).empty());
    if (!fits(op.getResult(0)) ||
        (!isSame && !op.hasTrait<OpTrait::Elementwise>()))
      return false;
  }
  return true;
}

ReduceOp rowReduction(func::FuncOp kernel, const TargetInfo &target) {
  ReduceOp found;
  kernel.walk([&](ReduceOp op) {
    int64_t last = int64_t(shapeOf(op.getOperand()).size()) - 1;
    if (!found && !op.getDims().empty() && op.getDims().back() == last &&
        shapeOf(op.getOperand()).back() >= target.loopLanes())
      found = op;
  });
  return found;
}

int64_t LoopNest::emit() {
  if (tensorType(outputs.front().value).getNumElements() == 0)
    return 1;
  if (ReduceOp reduction = rowReduction(code.kernel, e.target))
    return emitRows(reduction);
  return isFlat(code.kernel) ? emitFlat() : emitGeneral();
}

int64_t LoopNest::tilesFor(int64_t units) {
  return std::clamp<int64_t>(units, 1,
                             std::max<int64_t>(1, code.schedule("tiles")));
}

int64_t LoopNest::overUnits(int64_t units,
                            function_ref<void(const Coord &)> unit) {
  int64_t tiles = tilesFor(units);
  e.forEach(firstUnit(e, code.begin, units, tiles),
            firstUnit(e, code.end, units, tiles), 1, unit);
  return tiles;
}

void LoopNest::store(unsigned i, ArrayRef<Coord> at, Value element) {
  LoopOutput &output = outputs[i];
  Coords coords(at.begin(), at.end());
  Value target = output.value;
  if (output.pad) {
    coords = *output.pad.mapForward(e, at);
    target = output.pad.getResult();
  }
  e.store(code.outputs[i], e.linear(coords, stridesOf(shapeOf(target))),
          element);
}

void LoopNest::emitPoints(ArrayRef<Coords> block) {
  SmallVector<Value> elements;
  for (const Coords &at : block)
    for (LoopOutput &output : outputs)
      elements.push_back(e.at(output.value, at));
  size_t next = 0;
  for (const Coords &at : block)
    for (unsigned i = 0; i < outputs.size(); ++i)
      store(i, at, elements[next++]);
}

//===----------------------------------------------------------------------===//
// Flat
//===----------------------------------------------------------------------===//

int64_t LoopNest::emitFlat() {
  int64_t total = tensorType(outputs.front().value).getNumElements();
  int64_t vl = e.target.loopLanes(), vectors = total / vl;
  int64_t tiles = tilesFor(vectors);
  // Flat coordinates: every tensor here has the same shape or is a scalar, so
  // position is all that counts.
  auto point = [&](const Coord &i) {
    Coords at(shape().size(), Coord::constant(0));
    if (!at.empty())
      at.back() = i;
    emitPoints({at});
  };
  Value lo = firstUnit(e, code.begin, vectors, tiles);
  Value hi = firstUnit(e, code.end, vectors, tiles);
  Value step = e.indexConstant(vl);
  e.forEach(e.indexOp('*', lo, step), e.indexOp('*', hi, step), vl,
            [&](Coord i) {
              BufferEmitter::WithWidth wide(e, vl);
              i.lane = vl > 1 ? 1 : 0;
              point(i);
            });
  if (total % vl == 0)
    return tiles;
  Value isLast = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq,
                                       code.end, e.indexConstant(tiles));
  e.ifThen(isLast, [&] {
    for (int64_t at = vectors * vl, width = vl / 2; width; width /= 2)
      if (total - at >= width) {
        BufferEmitter::WithWidth scope(e, width);
        Coord i = Coord::constant(at);
        i.lane = width > 1 ? 1 : 0;
        point(i);
        at += width;
      }
  });
  return tiles;
}

//===----------------------------------------------------------------------===//
// General
//===----------------------------------------------------------------------===//

namespace {

/// How a result is walked: rows outside, then blocks of pixels, then lanes.
struct Walk {
  SmallVector<int64_t> outer; // of the result's dimensions, those of rows
  int64_t rows = 1, columns = 1, length = 1;
  /// Pixels per block along the two dimensions before the lanes.
  int64_t down = 1, across = 1;
  bool hasColumns = false;
  /// Parts of a row's vectors that are units of their own.
  int64_t pieces = 1;
};

} // namespace

static Walk walkOf(ArrayRef<int64_t> shape, bool windows) {
  Walk walk;
  walk.outer = llvm::to_vector(shape);
  if (!walk.outer.empty())
    walk.length = walk.outer.pop_back_val();
  if (windows && !walk.outer.empty()) {
    walk.across = 4;
    if (walk.outer.size() > 1 && walk.outer[walk.outer.size() - 2] % 2 == 0)
      walk.down = 2;
    walk.columns = walk.outer.pop_back_val();
    walk.hasColumns = true;
  }
  if (walk.down == 2)
    walk.outer.back() /= 2;
  for (int64_t size : walk.outer)
    walk.rows *= size;
  return walk;
}

int64_t LoopNest::emitGeneral() {
  emitHalos(code);
  bool windows = false;
  code.kernel.walk([&](PatchesOp) { windows = true; });
  Walk walk = walkOf(shape(), windows);
  // Few rows are shared out in pieces.
  int64_t lanes = e.target.loopLanes(), vectors = walk.length / lanes;
  int64_t wanted = std::min(code.schedule("tiles"), fewRows);
  if (walk.length % lanes == 0 && walk.rows < wanted)
    walk.pieces =
        std::min<int64_t>(vectors, llvm::divideCeil(wanted, walk.rows));
  auto overPiece = [&](const Coord &piece,
                       function_ref<void(const Coord &)> body) {
    if (walk.pieces == 1)
      return alongLanes(e, walk.length, body);
    BufferEmitter::WithWidth wide(e, lanes);
    auto start = [&](const Coord &p) {
      return firstUnit(e, e.materialize(p), vectors, walk.pieces);
    };
    e.forEach(start(piece), start(e.addTo(piece, 1)), 1,
              [&](const Coord &vector) {
                Coord lane = e.scale(vector, lanes);
                lane.lane = lanes > 1 ? 1 : 0;
                body(lane);
              });
  };
  return overUnits(walk.rows * walk.pieces, [&](const Coord &number) {
    Coord piece = e.remainder(number, walk.pieces);
    auto outer =
        e.reshape({e.divide(number, walk.pieces)}, {walk.rows}, walk.outer);
    assert(succeeded(outer) && "rows have no lanes");
    if (walk.down == 2)
      outer->back() = e.scale(outer->back(), 2);
    auto pixels = [&](const Coord &column, int64_t count) {
      overPiece(piece, [&](const Coord &lane) {
        SmallVector<Coords> block;
        for (int64_t y = 0; y < walk.down; ++y)
          for (int64_t x = 0; x < count; ++x) {
            Coords at = *outer;
            if (walk.down == 2)
              at.back() = e.addTo(at.back(), y);
            if (walk.hasColumns)
              at.push_back(e.addTo(column, x));
            if (at.size() < shape().size())
              at.push_back(lane);
            block.push_back(at);
          }
        emitPoints(block);
      });
    };
    int64_t whole = walk.columns / walk.across * walk.across;
    e.forEach(0, whole, walk.across,
              [&](const Coord &c) { pixels(c, walk.across); });
    if (walk.columns > whole)
      pixels(Coord::constant(whole), walk.columns - whole);
  });
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

int64_t LoopNest::emitRows(ReduceOp reduction) {
  emitHalos(code);
  SmallVector<int64_t> rowShape(shapeOf(reduction.getResult()));
  int64_t rows = tensorType(reduction.getResult()).getNumElements();
  return overUnits(rows, [&](const Coord &r) {
    auto at = e.reshape({r}, {rows}, rowShape);
    assert(succeeded(at) && "rows have no lanes");
    code.kernel.walk([&](ReduceOp op) {
      if (shapeOf(op.getResult()) == ArrayRef<int64_t>(rowShape))
        e.at(op.getResult(), *at);
    });
    emitRow(*at, reduction);
  });
}

/// What stands at a row: an element of each output of the rows' shape, a row of
/// each that has the reduced dimensions.
void LoopNest::emitRow(ArrayRef<Coord> at, ReduceOp reduction) {
  ArrayRef<int64_t> full = shapeOf(reduction.getOperand());
  ArrayRef<int64_t> reduced = reduction.getDims();
  SmallVector<int64_t> kept = otherDims(reduced, full.size());
  for (unsigned o = 0; o < outputs.size(); ++o) {
    Value value = outputs[o].value;
    if (shapeOf(value) != full) {
      store(o, at, e.at(value, at));
      continue;
    }
    Coords coords(full.size());
    for (auto [i, d] : llvm::enumerate(kept))
      coords[d] = at[i];
    auto nest = [&](auto &self, size_t i) -> void {
      int64_t d = reduced[i];
      auto body = [&](const Coord &iv) {
        coords[d] = iv;
        if (i + 1 == reduced.size())
          store(o, coords, e.at(value, coords));
        else
          self(self, i + 1);
      };
      if (i + 1 == reduced.size())
        alongLanes(e, full[d], body);
      else
        e.forEach(0, full[d], 1, body);
    };
    nest(nest, 0);
  }
}

int64_t emitLoops(KernelCode &code) { return LoopNest(code).emit(); }

} // namespace nncc
