// Kernels that watch their buffers: what is compared with what.
#include "codegen/CheckBounds.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringExtras.h"
#include <gtest/gtest.h>

using namespace mlir;

TEST(CheckBounds, ComparesThePositionWithTheBuffer) {
  MLIRContext context(MLIRContext::Threading::DISABLED);
  context.loadDialect<arith::ArithDialect, func::FuncDialect,
                      memref::MemRefDialect, scf::SCFDialect,
                      vector::VectorDialect>();
  auto module = parseSourceString<ModuleOp>(R"(
    func.func @k7(%x: memref<20xf32>, %small: memref<3xf32>, %i: index) {
      %a = memref.load %x[%i] : memref<20xf32>
      memref.store %a, %small[%i] : memref<3xf32>
      %v = vector.load %x[%i] : memref<20xf32>, vector<8xf32>
      vector.store %v, %small[%i] : memref<3xf32>, vector<8xf32>
      return
    })",
                                            &context);
  ASSERT_TRUE(module);
  nncc::checkBounds(*module);
  // Position + width must not exceed the buffer: 20 - 1 + 1, ..., none at all.
  std::vector<int64_t> limits, reported;
  module->walk([&](arith::CmpIOp compare) {
    EXPECT_EQ(compare.getPredicate(), arith::CmpIPredicate::uge);
    limits.push_back(
        compare.getRhs().getDefiningOp<arith::ConstantIndexOp>().value());
  });
  module->walk([&](func::CallOp call) {
    EXPECT_TRUE(isa<scf::IfOp>(call->getParentOp()));
    for (unsigned i : {0, 2})
      reported.push_back(call.getOperand(i)
                             .getDefiningOp<arith::ConstantIndexOp>()
                             .value());
  });
  EXPECT_EQ(limits, (std::vector<int64_t>{20, 3, 13, 0}));
  EXPECT_EQ(reported, (std::vector<int64_t>{7, 20, 7, 3, 7, 20, 7, 3}));
}
