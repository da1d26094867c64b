//===- CpuEmitter.cpp - buffers that are memrefs --------------------------===//
#include "codegen/cpu/CpuEmitter.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace nncc {

Value CpuEmitter::loadAt(Value memory, Type stored, const Coord &position) {
  if (width == 1)
    return memref::LoadOp::create(b, loc, memory, materialize(position));
  return vector::LoadOp::create(b, loc, VectorType::get({width}, stored),
                                memory, materialize(position));
}

void CpuEmitter::storeAt(Value memory, const Coord &position, Value element) {
  if (width == 1)
    memref::StoreOp::create(b, loc, element, memory, materialize(position));
  else
    vector::StoreOp::create(b, loc, element, memory, materialize(position));
}

/// One global per constant and kernel module.
Value CpuEmitter::constantMemory(DenseElementsAttr stored) {
  auto module = b.getBlock()->getParentOp()->getParentOfType<ModuleOp>();
  auto type =
      MemRefType::get({stored.getNumElements()}, stored.getElementType());
  memref::GlobalOp global;
  for (auto other : module.getOps<memref::GlobalOp>())
    if (other.getInitialValueAttr() == stored)
      global = other;
  if (!global) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    auto count = llvm::range_size(module.getOps<memref::GlobalOp>());
    global = memref::GlobalOp::create(
        b, loc, b.getStringAttr("c" + Twine(count)), b.getStringAttr("private"),
        TypeAttr::get(type), stored, b.getUnitAttr(), IntegerAttr());
  }
  return memref::GetGlobalOp::create(b, loc, type, global.getSymName());
}

Value CpuEmitter::scratchMemory(Type stored, int64_t elements) {
  return memref::AllocaOp::create(b, loc, MemRefType::get({elements}, stored),
                                  b.getI64IntegerAttr(64));
}

Value CpuEmitter::fma(Value x, Value y, Value z) {
  if (target.hasFma && width > 1)
    return vector::FMAOp::create(b, loc, x, y, z);
  return BufferEmitter::fma(x, y, z);
}

SmallVector<Value> CpuEmitter::transpose(SmallVector<Value> rows) {
  int64_t count = rows.size();
  assert(llvm::isPowerOf2_64(count) && "a square of lanes");
  // Swap the off-diagonal quarters of ever smaller squares.
  for (int64_t half = count / 2; half > 0; half /= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < count; ++i) {
      bool second = i & half;
      low.push_back(second ? count + i - half : i);
      high.push_back(second ? count + i : i + half);
    }
    for (int64_t i = 0; i < count; ++i)
      if (!(i & half)) {
        Value x = rows[i], y = rows[i + half];
        rows[i] = vector::ShuffleOp::create(b, loc, x, y, low);
        rows[i + half] = vector::ShuffleOp::create(b, loc, x, y, high);
      }
  }
  return rows;
}

SmallVector<Value> CpuEmitter::loadTransposed(const Buffer &buffer,
                                              const Coord &position) {
  SmallVector<Value> rows;
  for (int64_t j = 0; j < width; ++j) {
    Coord start = addTo(position, j * position.lane);
    start.lane = 1;
    rows.push_back(load(buffer, start));
  }
  return transpose(std::move(rows));
}

} // namespace nncc
