//===- ScatterEmitter.cpp - rows added to a table -------------------------===//
//
// Blocks of columns are tiles of their own; within one the updates come in
// order, so sums do not depend on threads. Where the result lies on the base,
// nothing is copied.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/KernelEmitters.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;

namespace nncc {

/// True at run time unless two buffers are the same.
static Value isElsewhere(BufferEmitter &e, const Buffer &x, const Buffer &y) {
  auto address = [&](const Buffer &buffer) -> Value {
    return memref::ExtractAlignedPointerAsIndexOp::create(e.b, e.loc,
                                                          buffer.memory);
  };
  return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, address(x),
                               address(y));
}

int64_t emitScatter(KernelCode &code) {
  BufferEmitter &e = code.e;
  Operation *ret = code.kernel.getBody().front().getTerminator();
  auto op = ret->getOperand(0).getDefiningOp<ScatterAddOp>();
  ArrayRef<int64_t> shape = shapeOf(op.getResult());
  int64_t rows = shape[0], columns = shape[1];
  int64_t count = shapeOf(op.getIndices())[0];
  int64_t block = 4 * e.target.loopLanes(), blocks = columns / block;
  Buffer out = code.outputs.front();
  SmallVector<int64_t> strides = stridesOf(shape);

  auto run = [&](const Coord &start, int64_t length) {
    auto place = [&](const Coord &row, const Coord &column) {
      return e.linear({row, column}, strides);
    };
    auto along = [&](function_ref<void(const Coord &)> body) {
      alongLanes(e, length,
                 [&](const Coord &lane) { body(e.add(start, lane)); });
    };
    auto copy = [&] {
      e.forEach(0, rows, 1, [&](const Coord &row) {
        along([&](const Coord &column) {
          e.store(out, place(row, column), e.at(op.getBase(), {row, column}));
        });
      });
    };
    if (Buffer base = e.buffers.lookup(op.getBase()))
      e.ifThen(isElsewhere(e, base, out), copy);
    else
      copy();
    e.forEach(0, count, 1, [&](const Coord &i) {
      Coord row = e.loadIndex(op.getIndices(), {i}, rows);
      along([&](const Coord &column) {
        Coord at = place(row, column);
        Value sum = e.add(e.load(out, at), e.at(op.getUpdates(), {i, column}));
        e.store(out, at, sum);
      });
    });
  };
  int64_t rest = columns % block, units = blocks + (rest ? 1 : 0);
  int64_t tiles = std::clamp<int64_t>(code.schedule("tiles"), 1,
                                      std::max<int64_t>(units, 1));
  e.forEach(firstUnit(e, code.begin, units, tiles),
            firstUnit(e, code.end, units, tiles), 1, [&](const Coord &unit) {
              auto is = [&](arith::CmpIPredicate how) -> Value {
                return arith::CmpIOp::create(e.b, e.loc, how,
                                             e.materialize(unit),
                                             e.indexConstant(blocks));
              };
              if (blocks)
                e.ifThen(is(arith::CmpIPredicate::slt),
                         [&] { run(e.scale(unit, block), block); });
              if (rest)
                e.ifThen(is(arith::CmpIPredicate::eq),
                         [&] { run(Coord::constant(blocks * block), rest); });
            });
  return tiles;
}

} // namespace nncc
