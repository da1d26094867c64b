//===- CheckBounds.cpp - kernels that watch their buffers -----------------===//
//
// Behind the kernel emitters and before everything that turns memrefs into
// pointers, so whatever an emitter got wrong is seen.
//
//===----------------------------------------------------------------------===//
#include "codegen/CheckBounds.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/IR/IRBuilder.h"

using namespace mlir;

namespace nncc {

/// report(kernel's number, position, elements of the buffer)
static constexpr const char *reportName = "nncc_out_of_bounds";

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

void checkBounds(ModuleOp kernels) {
  OpBuilder b(kernels.getContext());
  Type index = b.getIndexType();
  SmallVector<func::FuncOp> functions(kernels.getOps<func::FuncOp>());
  b.setInsertionPointToStart(kernels.getBody());
  auto report = func::FuncOp::create(
      b, kernels.getLoc(), reportName,
      b.getFunctionType({index, index, index}, {}));
  report.setPrivate();
  for (func::FuncOp kernel : functions) {
    int64_t number = 0;
    kernel.getName().drop_front().getAsInteger(10, number);
    kernel.walk([&](Operation *op) {
      Access access = accessOf(op);
      if (!access.memory)
        return;
      int64_t count = cast<MemRefType>(access.memory.getType()).getDimSize(0);
      b.setInsertionPoint(op);
      auto constant = [&](int64_t value) -> Value {
        return arith::ConstantIndexOp::create(b, op->getLoc(), value);
      };
      // A negative position is a large one.
      Value outside = arith::CmpIOp::create(
          b, op->getLoc(), arith::CmpIPredicate::uge, access.position,
          constant(std::max<int64_t>(0, count - access.width + 1)));
      auto check = scf::IfOp::create(b, op->getLoc(), outside, false);
      b.setInsertionPointToStart(check.thenBlock());
      func::CallOp::create(
          b, op->getLoc(), report,
          ValueRange{constant(number), access.position, constant(count)});
    });
  }
}

void defineBoundsReport(llvm::Module &module) {
  llvm::Function *report = module.getFunction(reportName);
  if (!report)
    return;
  llvm::LLVMContext &context = module.getContext();
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "", report));
  auto print = module.getOrInsertFunction(
      "dprintf", llvm::FunctionType::get(b.getInt32Ty(),
                                         {b.getInt32Ty(), b.getPtrTy()}, true));
  auto abort = module.getOrInsertFunction(
      "abort", llvm::FunctionType::get(b.getVoidTy(), false));
  llvm::Value *text = b.CreateGlobalString(
      "nncc: kernel k%ld uses element %ld of a buffer of %ld\n");
  b.CreateCall(print, {b.getInt32(2), text, report->getArg(0),
                       report->getArg(1), report->getArg(2)});
  b.CreateCall(abort);
  b.CreateRetVoid();
  report->setVisibility(llvm::GlobalValue::HiddenVisibility);
}

} // namespace nncc
