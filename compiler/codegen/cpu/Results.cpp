//===- Results.cpp - from a kernel's root to its stores -------------------===//
//
// What all kernel emitters do with finished elements: epilogue, views of the
// result, halos.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/KernelEmitters.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace nncc {

void alongLanes(CpuEmitter &e, int64_t length,
                function_ref<void(const Coord &)> body) {
  int64_t vl = e.target.lanes, whole = length / vl * vl;
  auto piece = [&](Coord i, int64_t width) {
    CpuEmitter::WithWidth scope(e, width);
    i.lane = width > 1 ? 1 : 0;
    body(i);
  };
  e.forEach(0, whole, vl, [&](const Coord &i) { piece(i, vl); });
  for (int64_t at = whole, width = vl / 2; width > 0; width /= 2)
    if (length - at >= width) {
      piece(Coord::constant(at), width);
      at += width;
    }
}

void emitResult(KernelCode &code, Value root, Value element, Coords at) {
  CpuEmitter &e = code.e;
  Operation *terminator = code.kernel.getBody().front().getTerminator();
  Value result = terminator->getOperand(0);
  DenseSet<Value> derived{root};
  SmallVector<Value> bindings{root};
  e.bound[root] = element;
  for (Operation &op :
       llvm::make_range(std::next(root.getDefiningOp()->getIterator()),
                        terminator->getIterator())) {
    if (llvm::none_of(op.getOperands(),
                      [&](Value v) { return derived.contains(v); }))
      continue;
    derived.insert(op.getResult(0));
    auto view = dyn_cast<View>(op);
    if (!view)
      continue;
    Value moved = e.at(op.getOperand(0), at);
    at = view.mapForward(e, at);
    e.bound[op.getResult(0)] = moved;
    bindings.push_back(op.getResult(0));
  }
  Value stored = e.at(result, at);
  e.store(code.outputs.front(), e.linear(at, stridesOf(shapeOf(result))),
          stored);
  for (Value binding : bindings)
    e.bound.erase(binding);
}

/// Stores the padding value into a box of the padded tensor.
static void fillBox(CpuEmitter &e, PadOp pad, Value buffer,
                    ArrayRef<std::pair<int64_t, int64_t>> box) {
  ArrayRef<int64_t> shape = shapeOf(pad.getResult());
  Type element = tensorType(pad.getResult()).getElementType();
  Coords at;
  auto nest = [&](auto &self) -> void {
    auto [lo, hi] = box[at.size()];
    if (at.size() + 1 < shape.size()) {
      e.forEach(lo, hi, 1, [&](const Coord &i) {
        at.push_back(i);
        self(self);
        at.pop_back();
      });
      return;
    }
    alongLanes(e, hi - lo, [&, start = lo](const Coord &i) {
      at.push_back(e.addTo(i, start));
      e.store(buffer, e.linear(at, stridesOf(shape)),
              e.splat(element, pad.getValue().convertToDouble()));
      at.pop_back();
    });
  };
  nest(nest);
}

/// The boxes around the interior: per dimension a slab before and one behind.
static void fillHalo(CpuEmitter &e, PadOp pad, Value buffer) {
  ArrayRef<int64_t> shape = shapeOf(pad.getResult());
  SmallVector<std::pair<int64_t, int64_t>> box;
  for (int64_t size : shape)
    box.push_back({0, size});
  for (size_t d = 0; d < shape.size(); ++d) {
    int64_t low = pad.getLow()[d], high = shape[d] - pad.getHigh()[d];
    if (low > 0) {
      box[d] = {0, low};
      fillBox(e, pad, buffer, box);
    }
    if (high < shape[d]) {
      box[d] = {high, shape[d]};
      fillBox(e, pad, buffer, box);
    }
    box[d] = {low, high};
  }
}

void emitHalos(KernelCode &code) {
  CpuEmitter &e = code.e;
  Operation *terminator = code.kernel.getBody().front().getTerminator();
  for (auto [value, buffer] :
       llvm::zip_equal(terminator->getOperands(), code.outputs)) {
    auto pad = value.getDefiningOp<PadOp>();
    if (!pad)
      continue;
    Value isFirst =
        arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, code.begin,
                              e.indexConstant(0));
    e.ifThen(isFirst, [&, buffer = buffer] { fillHalo(e, pad, buffer); });
  }
}

} // namespace nncc
