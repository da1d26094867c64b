//===- Results.cpp - from a kernel's root to its stores -------------------===//
//
// What all kernel emitters do with finished elements: epilogue, views of the
// result, halos.
//
//===----------------------------------------------------------------------===//
#include "codegen/kernels/Contraction.h"
#include "codegen/kernels/KernelCode.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace nncc {

void alongLanes(BufferEmitter &e, int64_t length,
                function_ref<void(const Coord &)> body) {
  int64_t vl = e.target.loopLanes(), whole = length / vl * vl;
  auto piece = [&](Coord i, int64_t width) {
    BufferEmitter::WithWidth scope(e, width);
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

/// The condition under which `slice` keeps an element of its operand; null if
/// it keeps all. Fails if lanes differ.
static FailureOr<Value> keeps(BufferEmitter &e, SliceOp slice,
                              ArrayRef<Coord> at) {
  Value all;
  auto require = [&](arith::CmpIPredicate how, const Coord &x, int64_t bound) {
    Value one = arith::CmpIOp::create(e.b, e.loc, how, e.materialize(x),
                                      e.indexConstant(bound));
    all = all ? arith::AndIOp::create(e.b, e.loc, all, one) : one;
  };
  ArrayRef<int64_t> shape = shapeOf(slice.getOperand());
  for (auto [d, x] : llvm::enumerate(at)) {
    int64_t start = slice.getStarts()[d], end = start + slice.getSizes()[d];
    if (start == 0 && (end == shape[d] || cutsOwnColumns(slice, d)))
      continue;
    if (x.lane)
      return failure();
    if (start > 0)
      require(arith::CmpIPredicate::sge, x, start);
    if (end < shape[d])
      require(arith::CmpIPredicate::slt, x, end);
  }
  return all;
}

/// Walks the views behind the root, with `at` at the root's coordinates on the
/// way in and at the result's on the way out. `visit` sees each view with the
/// coordinates in its operand.
static LogicalResult
followViews(KernelCode &code, Value root, Coords &at,
            function_ref<LogicalResult(View, ArrayRef<Coord>)> visit) {
  DenseSet<Value> derived{root};
  for (Operation &op : llvm::make_range(
           std::next(root.getDefiningOp()->getIterator()),
           code.kernel.getBody().front().getTerminator()->getIterator())) {
    if (llvm::none_of(op.getOperands(),
                      [&](Value v) { return derived.contains(v); }))
      continue;
    derived.insert(op.getResult(0));
    auto view = dyn_cast<View>(op);
    if (!view)
      continue;
    if (failed(visit(view, at)))
      return failure();
    auto next = view.mapForward(code.e, at);
    if (failed(next))
      return failure();
    at = *next;
  }
  return success();
}

bool isContiguous(KernelCode &code, Value root, ArrayRef<Coord> at) {
  Coords place(at.begin(), at.end());
  if (failed(followViews(code, root, place,
                         [](View, ArrayRef<Coord>) { return success(); })))
    return false;
  Value result = code.kernel.getBody().front().getTerminator()->getOperand(0);
  return code.e.linear(place, stridesOf(shapeOf(result))).lane == 1;
}

void emitResult(KernelCode &code, Value root, Value element,
                ArrayRef<Coord> at) {
  BufferEmitter &e = code.e;
  Value result = code.kernel.getBody().front().getTerminator()->getOperand(0);
  SmallVector<Value> bindings{root};
  e.bound[root] = element;
  Coords place(at.begin(), at.end());
  Value inside;
  auto visit = [&](View view, ArrayRef<Coord> at) -> LogicalResult {
    Value from = view->getOperand(0), to = view->getResult(0);
    Value moved = e.at(from, at);
    if (auto slice = dyn_cast<SliceOp>(view.getOperation())) {
      auto kept = keeps(e, slice, at);
      if (failed(kept))
        return failure();
      if (*kept)
        inside =
            inside ? arith::AndIOp::create(e.b, e.loc, inside, *kept) : *kept;
    }
    e.bound[to] = moved;
    bindings.push_back(to);
    return success();
  };
  LogicalResult followed = followViews(code, root, place, visit);
  auto store = [&] {
    Value stored = e.at(result, place);
    e.store(code.outputs.front(), e.linear(place, stridesOf(shapeOf(result))),
            stored);
  };
  if (succeeded(followed) && inside)
    e.ifThen(inside, store);
  else if (succeeded(followed))
    store();
  for (Value binding : bindings)
    e.bound.erase(binding);
  if (succeeded(followed))
    return;
  // The lanes part ways: one by one.
  int64_t lanes = e.width;
  BufferEmitter::WithWidth one(e, 1);
  for (int64_t i = 0; i < lanes; ++i) {
    Coords lane(at.begin(), at.end());
    for (Coord &c : lane) {
      c.offset += i * c.lane;
      c.lane = 0;
    }
    emitResult(code, root, vector::ExtractOp::create(e.b, e.loc, element, i),
               lane);
  }
}

/// Stores the padding value into a box of the padded tensor.
static void fillBox(BufferEmitter &e, PadOp pad, const Buffer &buffer,
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
              e.splat(element, Number::of(pad.getValueAttr())));
      at.pop_back();
    });
  };
  nest(nest);
}

/// The boxes around the interior: per dimension a slab before and one behind.
static void fillHalo(BufferEmitter &e, PadOp pad, const Buffer &buffer) {
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
  BufferEmitter &e = code.e;
  Operation *terminator = code.kernel.getBody().front().getTerminator();
  for (auto [value, buffer] :
       llvm::zip_equal(terminator->getOperands(), code.outputs)) {
    auto pad = value.getDefiningOp<PadOp>();
    if (!pad)
      continue;
    Value isFirst = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq,
                                          code.begin, e.indexConstant(0));
    e.ifThen(isFirst, [&, buffer = buffer] { fillHalo(e, pad, buffer); });
  }
}

} // namespace nncc
