//===- TransposeEmitter.cpp - loops around a transpose --------------------===//
//
// An operand is contiguous along another dimension than the result: squares of
// vectors are loaded along memory and transposed in registers.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/KernelEmitters.h"
#include "codegen/kernels/LoopNest.h"
#include "dialect/Names.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace nncc {

namespace {

/// A value of the result's shape that is a view of an operand, contiguous
/// along `dim`, which is not the last one.
struct Crossing {
  Value value;
  StridedView view;
  int64_t dim;
};

} // namespace

static std::optional<Crossing> crossingOf(func::FuncOp kernel,
                                          const TargetInfo &target) {
  SmallVector<LoopOutput> outputs = loopOutputs(kernel);
  ArrayRef<int64_t> shape = shapeOf(outputs.front().value);
  int64_t lanes = target.loopLanes(), last = int64_t(shape.size()) - 1;
  if (outputs.size() != 1 || last < 1 || shape[last] < lanes)
    return std::nullopt;
  for (unsigned i = 0; i < kernel.getNumArguments(); ++i)
    if (kernel.getArgAttr(i, inPlaceAttr))
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
  kernel.walk([&](Operation *op) {
    if (isa<PatchesOp, ReduceOp>(op))
      return WalkResult::interrupt();
    for (Value operand : op->getOperands())
      consider(operand);
    return WalkResult::advance();
  });
  return found;
}

bool isTranspose(func::FuncOp kernel, const TargetInfo &target) {
  SmallVector<LoopOutput> outputs = loopOutputs(kernel);
  return tensorType(outputs.front().value).getNumElements() &&
         !rowReduction(kernel, target) && !isFlat(kernel) &&
         crossingOf(kernel, target);
}

namespace {

class Transpose : LoopNest {
public:
  Transpose(KernelCode &code, Crossing crossing)
      : LoopNest(code), cpu(cpuEmitter(code)), crossing(std::move(crossing)),
        lanes(e.target.loopLanes()) {}

  int64_t emit();

private:
  int64_t squares(int64_t size) { return (size + lanes - 1) / lanes; }
  Coord start(const Coord &square, int64_t size);
  void emitSquare(const Coords &first);

  CpuEmitter &cpu;
  Crossing crossing;
  int64_t lanes;
};

} // namespace

/// Where a square starts along a dimension. The last ones are moved back to be
/// whole: they compute some elements again.
Coord Transpose::start(const Coord &square, int64_t size) {
  if (size % lanes == 0)
    return e.scale(square, lanes);
  return {arith::MinSIOp::create(e.b, e.loc,
                                 e.materialize(e.scale(square, lanes)),
                                 e.indexConstant(size - lanes))};
}

void Transpose::emitSquare(const Coords &first) {
  BufferEmitter::WithWidth wide(e, lanes);
  Coord position =
      e.addTo(e.linear(first, crossing.view.strides), crossing.view.offset);
  SmallVector<Value> rows =
      cpu.loadTransposed(e.buffers.lookup(crossing.view.base), position);
  SmallVector<Coords> block;
  for (auto [i, row] : llvm::enumerate(rows)) {
    Coords point = first;
    point[crossing.dim] = e.addTo(point[crossing.dim], int64_t(i));
    e.know(crossing.value, point, row);
    block.push_back(point);
  }
  emitPoints(block);
}

int64_t Transpose::emit() {
  emitHalos(code);
  SmallVector<int64_t> sizes(shape());
  int64_t length = sizes.back();
  SmallVector<int64_t> units(ArrayRef<int64_t>(sizes).drop_back());
  units[crossing.dim] = squares(sizes[crossing.dim]);
  int64_t count = 1;
  for (int64_t size : units)
    count *= size;
  return overUnits(count, [&](const Coord &number) {
    Coords at = *e.reshape({number}, {count}, units);
    at[crossing.dim] = start(at[crossing.dim], sizes[crossing.dim]);
    e.forEach(0, squares(length), 1, [&](const Coord &square) {
      Coords first = at;
      first.push_back(start(square, length));
      first.back().lane = 1;
      emitSquare(first);
    });
  });
}

int64_t emitTranspose(KernelCode &code) {
  return Transpose(code, *crossingOf(code.kernel, code.e.target)).emit();
}

} // namespace nncc
