//===- LoopEmitter.cpp - kernels as loops over result elements ------------===//
//
// Four shapes of loop nest, all around `CpuEmitter::at`:
//  * elementwise kernels on equal shapes and scalars: one flat loop;
//  * general: rows outside, vectors along the last dimension inside; kernels
//    over windows compute a block of neighbouring pixels at once, so that
//    loads are shared (depthwise convolution, pooling);
//  * crossing: an operand is contiguous along another dimension than the
//    result (a transpose): squares of vectors are transposed in registers;
//  * row kernels, where the last dimension is reduced (softmax, layer norm):
//    per row first the reductions, then the row itself.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/KernelEmitters.h"
#include "dialect/Names.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace nncc {

Value firstUnit(CpuEmitter &e, Value tile, int64_t count, int64_t tiles) {
  if (count == tiles)
    return tile;
  Value scaled = e.indexOp('*', tile, e.indexConstant(count));
  return e.indexOp('/', scaled, e.indexConstant(tiles));
}

namespace {

/// Rows from which threads have enough to share out.
constexpr int64_t fewRows = 16;

class LoopNest {
public:
  explicit LoopNest(KernelCode &code) : code(code), e(code.e) {
    auto ret =
        cast<func::ReturnOp>(code.kernel.getBody().front().getTerminator());
    for (auto [value, buffer] :
         llvm::zip_equal(ret.getOperands(), code.outputs))
      outputs.push_back({value, buffer, {}});
    // A result that only pads another value is stored into its interior.
    for (Output &output : outputs)
      if (auto pad = output.value.getDefiningOp<PadOp>())
        if (tensorType(pad.getOperand()).getNumElements() &&
            llvm::all_of(pad.getInterior(), [](int64_t i) { return i == 0; })) {
          output.pad = pad;
          output.value = pad.getOperand();
        }
  }

  int64_t emit() {
    if (tensorType(outputs.front().value).getNumElements() == 0)
      return 1;
    if (ReduceOp reduction = rowReduction())
      return emitRows(reduction);
    if (isElementwise())
      return emitFlat();
    if (auto found = crossing())
      return emitCrossing(*found);
    return emitGeneral();
  }

private:
  struct Output {
    Value value, buffer;
    PadOp pad;
  };

  /// The schedule's tiles, but no more than there is to share out.
  int64_t tilesFor(int64_t units) {
    return std::clamp<int64_t>(units, 1,
                               std::max<int64_t>(1, code.schedule("tiles")));
  }

  ReduceOp rowReduction() {
    ReduceOp found;
    code.kernel.walk([&](ReduceOp op) {
      int64_t last = shapeOf(op.getOperand()).size() - 1;
      if (!found && !op.getDims().empty() && op.getDims().back() == last &&
          shapeOf(op.getOperand()).back() >= e.target.lanes)
        found = op;
    });
    return found;
  }

  bool isElementwise() {
    ArrayRef<int64_t> shape = shapeOf(outputs.front().value);
    for (Output &output : outputs)
      if (output.pad || shapeOf(output.value) != shape)
        return false;
    auto fits = [&](Value value) { // scalars are broadcast
      return shapeOf(value) == shape || shapeOf(value).empty();
    };
    for (Value operand : code.kernel.getArguments())
      if (!fits(operand))
        return false;
    for (Operation &op : code.kernel.getBody().front().without_terminator()) {
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

  void storeOutput(Output &output, ArrayRef<Coord> at, Value element) {
    Coords coords(at.begin(), at.end());
    Value target = output.value;
    if (output.pad) {
      coords = *output.pad.mapForward(e, at);
      target = output.pad.getResult();
    }
    e.store(output.buffer, e.linear(coords, stridesOf(shapeOf(target))),
            element);
  }

  /// All outputs at all points of `block`: first computed, then stored, so
  /// that neighbours share loads.
  void emitPoints(ArrayRef<Coords> block) {
    SmallVector<Value> elements;
    for (const Coords &at : block)
      for (Output &output : outputs)
        elements.push_back(e.at(output.value, at));
    size_t i = 0;
    for (const Coords &at : block)
      for (Output &output : outputs)
        storeOutput(output, at, elements[i++]);
  }

  int64_t emitFlat() {
    int64_t total = tensorType(outputs.front().value).getNumElements();
    int64_t vl = e.target.lanes, vectors = total / vl;
    int64_t tiles = tilesFor(vectors);
    // Flat coordinates: every tensor here has the same shape or is a scalar, so
    // position is all that counts.
    auto point = [&](const Coord &i) {
      SmallVector<int64_t> shape(shapeOf(outputs.front().value));
      Coords at(shape.size(), Coord::constant(0));
      if (!at.empty())
        at.back() = i;
      emitPoints({at});
    };
    Value lo = firstUnit(e, code.begin, vectors, tiles);
    Value hi = firstUnit(e, code.end, vectors, tiles);
    Value step = e.indexConstant(vl);
    e.forEach(e.indexOp('*', lo, step), e.indexOp('*', hi, step), vl,
              [&](Coord i) {
                CpuEmitter::WithWidth wide(e, vl);
                i.lane = 1;
                point(i);
              });
    if (total % vl == 0)
      return tiles;
    Value isLast = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq,
                                         code.end, e.indexConstant(tiles));
    e.ifThen(isLast, [&] {
      for (int64_t at = vectors * vl, width = vl / 2; width; width /= 2)
        if (total - at >= width) {
          CpuEmitter::WithWidth scope(e, width);
          Coord i = Coord::constant(at);
          i.lane = width > 1 ? 1 : 0;
          point(i);
          at += width;
        }
    });
    return tiles;
  }

  int64_t emitGeneral() {
    SmallVector<int64_t> shape(shapeOf(outputs.front().value));
    emitHalos(code);
    int64_t length = shape.empty() ? 1 : shape.pop_back_val();
    // Pixels per block along the two dimensions before the lanes.
    bool windows = false;
    code.kernel.walk([&](PatchesOp) { windows = true; });
    int64_t across = windows && !shape.empty() ? 4 : 1;
    int64_t down =
        windows && shape.size() > 1 && shape[shape.size() - 2] % 2 == 0 ? 2 : 1;
    int64_t columns = 1;
    if (windows && !shape.empty())
      columns = shape.pop_back_val();
    if (down == 2)
      shape.back() /= 2;
    int64_t rows = 1;
    for (int64_t size : shape)
      rows *= size;
    // Few rows are shared out in pieces.
    int64_t lanes = e.target.lanes, vectors = length / lanes, pieces = 1;
    int64_t wanted = std::min(code.schedule("tiles"), fewRows);
    if (length % lanes == 0 && rows < wanted)
      pieces = std::min<int64_t>(vectors, llvm::divideCeil(wanted, rows));

    auto unit = [&](const Coord &number) {
      Coord piece = e.remainder(number, pieces);
      auto overPiece = [&](function_ref<void(const Coord &)> body) {
        if (pieces == 1)
          return alongLanes(e, length, body);
        CpuEmitter::WithWidth wide(e, lanes);
        auto start = [&](const Coord &p) {
          return firstUnit(e, e.materialize(p), vectors, pieces);
        };
        e.forEach(start(piece), start(e.addTo(piece, 1)), 1,
                  [&](const Coord &vector) {
                    Coord lane = e.scale(vector, lanes);
                    lane.lane = 1;
                    body(lane);
                  });
      };
      auto outer = e.reshape({e.divide(number, pieces)}, {rows}, shape);
      assert(succeeded(outer) && "rows have no lanes");
      if (down == 2)
        outer->back() = e.scale(outer->back(), 2);
      auto pixels = [&](const Coord &column, int64_t count) {
        overPiece([&](const Coord &lane) {
          SmallVector<Coords> block;
          for (int64_t y = 0; y < down; ++y)
            for (int64_t x = 0; x < count; ++x) {
              Coords at = *outer;
              if (down == 2)
                at.back() = e.addTo(at.back(), y);
              if (windows && at.size() + 1 < rank())
                at.push_back(e.addTo(column, x));
              if (at.size() < rank())
                at.push_back(lane);
              block.push_back(at);
            }
          emitPoints(block);
        });
      };
      int64_t whole = columns / across * across;
      e.forEach(0, whole, across, [&](const Coord &c) { pixels(c, across); });
      if (columns > whole)
        pixels(Coord::constant(whole), columns - whole);
    };
    int64_t units = rows * pieces, tiles = tilesFor(units);
    e.forEach(firstUnit(e, code.begin, units, tiles),
              firstUnit(e, code.end, units, tiles), 1, unit);
    return tiles;
  }

  /// A value of the result's shape that is a view of an operand, contiguous
  /// along `dim`, which is not the last one.
  struct Crossing {
    Value value;
    StridedView view;
    int64_t dim;
  };

  std::optional<Crossing> crossing() {
    ArrayRef<int64_t> shape = shapeOf(outputs.front().value);
    int64_t lanes = e.target.lanes, last = int64_t(shape.size()) - 1;
    if (outputs.size() != 1 || last < 1 || shape[last] < lanes)
      return std::nullopt;
    for (unsigned i = 0; i < code.kernel.getNumArguments(); ++i)
      if (code.kernel.getArgAttr(i, inPlaceAttr))
        return std::nullopt; // some elements are computed twice
    std::optional<Crossing> found;
    auto consider = [&](Value value) {
      if (found || shapeOf(value) != shape)
        return;
      auto view = operandView(value);
      if (failed(view) || view->strides[last] <= 1 ||
          tensorType(value).getElementType().isInteger(1))
        return;
      for (int64_t d = 0; d < last; ++d)
        if (view->strides[d] == 1 && shape[d] >= lanes)
          found = Crossing{value, *view, d};
    };
    code.kernel.walk([&](Operation *op) {
      if (isa<PatchesOp, ReduceOp>(op))
        return WalkResult::interrupt();
      for (Value operand : op->getOperands())
        consider(operand);
      return WalkResult::advance();
    });
    return found;
  }

  /// Squares of lanes x lanes elements. The last ones along a dimension are
  /// moved back to be whole: they compute some elements again.
  int64_t emitCrossing(const Crossing &crossing) {
    emitHalos(code);
    SmallVector<int64_t> shape(shapeOf(crossing.value));
    int64_t lanes = e.target.lanes, length = shape.back();
    auto squares = [&](int64_t size) { return (size + lanes - 1) / lanes; };
    SmallVector<int64_t> units(shape);
    units.pop_back();
    units[crossing.dim] = squares(shape[crossing.dim]);
    int64_t count = 1;
    for (int64_t size : units)
      count *= size;
    auto start = [&](const Coord &square, int64_t size) -> Coord {
      if (size % lanes == 0)
        return e.scale(square, lanes);
      return {arith::MinSIOp::create(e.b, e.loc,
                                     e.materialize(e.scale(square, lanes)),
                                     e.indexConstant(size - lanes))};
    };
    auto unit = [&](const Coord &number) {
      Coords at = *e.reshape({number}, {count}, units);
      at[crossing.dim] = start(at[crossing.dim], shape[crossing.dim]);
      e.forEach(0, squares(length), 1, [&](const Coord &square) {
        CpuEmitter::WithWidth wide(e, lanes);
        Coords first = at;
        first.push_back(start(square, length));
        first.back().lane = 1;
        Coord position = e.addTo(e.linear(first, crossing.view.strides),
                                 crossing.view.offset);
        SmallVector<Value> rows =
            e.loadTransposed(e.buffers.lookup(crossing.view.base), position);
        SmallVector<Coords> block;
        for (auto [i, row] : llvm::enumerate(rows)) {
          Coords point = first;
          point[crossing.dim] = e.addTo(point[crossing.dim], int64_t(i));
          e.know(crossing.value, point, row);
          block.push_back(point);
        }
        emitPoints(block);
      });
    };
    int64_t tiles = tilesFor(count);
    e.forEach(firstUnit(e, code.begin, count, tiles),
              firstUnit(e, code.end, count, tiles), 1, unit);
    return tiles;
  }

  size_t rank() { return shapeOf(outputs.front().value).size(); }

  int64_t emitRows(ReduceOp reduction) {
    emitHalos(code);
    ArrayRef<int64_t> full = shapeOf(reduction.getOperand());
    SmallVector<int64_t> kept = otherDims(reduction.getDims(), full.size());
    SmallVector<int64_t> rowShape(shapeOf(reduction.getResult()));
    int64_t rows = tensorType(reduction.getResult()).getNumElements();
    int64_t tiles = tilesFor(rows);
    e.forEach(firstUnit(e, code.begin, rows, tiles),
              firstUnit(e, code.end, rows, tiles), 1, [&](const Coord &r) {
                auto at = e.reshape({r}, {rows}, rowShape);
                assert(succeeded(at) && "rows have no lanes");
                code.kernel.walk([&](ReduceOp op) {
                  if (shapeOf(op.getResult()) == ArrayRef<int64_t>(rowShape))
                    e.at(op.getResult(), *at);
                });
                emitRow(*at, full, kept, reduction.getDims());
              });
    return tiles;
  }

  void emitRow(ArrayRef<Coord> at, ArrayRef<int64_t> full,
               ArrayRef<int64_t> kept, ArrayRef<int64_t> reduced) {
    for (Output &output : outputs) {
      if (shapeOf(output.value) != full) {
        storeOutput(output, at, e.at(output.value, at));
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
            storeOutput(output, coords, e.at(output.value, coords));
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

  KernelCode &code;
  CpuEmitter &e;
  SmallVector<Output> outputs;
};

} // namespace

int64_t emitLoops(KernelCode &code) { return LoopNest(code).emit(); }

} // namespace nncc
