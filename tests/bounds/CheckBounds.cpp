//===- CheckBounds.cpp - kernels that watch their buffers -----------------===//
//
// Behind the kernel emitters and before everything that turns memrefs into
// pointers, so whatever an emitter got wrong is seen. The function that traps
// is the kernel's own: a debugger names it.
//
//===----------------------------------------------------------------------===//
#include "CheckBounds.h"
#include "dialect/Names.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace nncc {

namespace {
struct Access {
  Value memory, position;
  int64_t width = 1;
};
} // namespace

static Access accessOf(Operation *op) {
  auto width = [](VectorType type) { return type.getNumElements(); };
  if (auto load = dyn_cast<memref::LoadOp>(op))
    return {load.getMemRef(), load.getIndices()[0]};
  if (auto store = dyn_cast<memref::StoreOp>(op))
    return {store.getMemRef(), store.getIndices()[0]};
  if (auto load = dyn_cast<vector::LoadOp>(op))
    return {load.getBase(), load.getIndices()[0], width(load.getVectorType())};
  if (auto store = dyn_cast<vector::StoreOp>(op))
    return {store.getBase(), store.getIndices()[0],
            width(store.getVectorType())};
  return {};
}

/// An emitter that reaches memory in another way must be made known above.
static bool isKnown(Operation *op) {
  if (isa<memref::AllocaOp, memref::GetGlobalOp,
          memref::ExtractAlignedPointerAsIndexOp>(op))
    return true;
  return accessOf(op).memory ||
         llvm::none_of(op->getOperandTypes(),
                       [](Type t) { return isa<MemRefType>(t); });
}

void checkBounds(func::FuncOp kernel) {
  OpBuilder b(kernel.getContext());
  kernel.walk([&](Operation *op) {
    if (!isKnown(op))
      llvm::report_fatal_error("bounds: an access that is not known");
    Access access = accessOf(op);
    if (!access.memory)
      return;
    int64_t count = cast<MemRefType>(access.memory.getType()).getDimSize(0);
    b.setInsertionPoint(op);
    // A negative position is a large one.
    Value limit = arith::ConstantIndexOp::create(
        b, op->getLoc(), std::max<int64_t>(0, count - access.width + 1));
    Value outside = arith::CmpIOp::create(
        b, op->getLoc(), arith::CmpIPredicate::uge, access.position, limit);
    auto check = scf::IfOp::create(b, op->getLoc(), outside, false);
    b.setInsertionPointToStart(check.thenBlock());
    LLVM::Trap::create(b, op->getLoc());
  });
}

static int64_t emitChecked(KernelCode &code) {
  auto kind = code.kernel->getAttrOfType<StringAttr>(kindAttr);
  int64_t tiles = cpuTarget().kind(kind).emit(code);
  checkBounds(code.begin.getParentBlock()
                  ->getParent()
                  ->getParentOfType<func::FuncOp>());
  return tiles;
}

const KernelTarget &checkedTarget() {
  static const auto kinds = [] {
    SmallVector<KernelKind> kinds(cpuTarget().kinds);
    for (KernelKind &kind : kinds)
      kind.emit = emitChecked;
    return kinds;
  }();
  static const KernelTarget target = [] {
    KernelTarget target = cpuTarget();
    target.kinds = kinds;
    return target;
  }();
  return target;
}

} // namespace nncc
