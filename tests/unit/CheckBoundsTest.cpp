// Kernels that watch their buffers: what is compared with what.
#include "tests/bounds/CheckBounds.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Parser/Parser.h"
#include <gtest/gtest.h>

using namespace mlir;

TEST(CheckBounds, ComparesThePositionWithTheBuffer) {
  MLIRContext context(MLIRContext::Threading::DISABLED);
  context.loadDialect<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect,
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
  auto kernel = *module->getOps<func::FuncOp>().begin();
  nncc::checkBounds(kernel);
  // Position + width must not exceed the buffer: 20 - 1 + 1, ..., none at all.
  std::vector<int64_t> limits;
  for (auto compare : kernel.getOps<arith::CmpIOp>()) {
    EXPECT_EQ(compare.getPredicate(), arith::CmpIPredicate::uge);
    EXPECT_EQ(compare.getLhs(), kernel.getArgument(2));
    limits.push_back(
        compare.getRhs().getDefiningOp<arith::ConstantIndexOp>().value());
    auto check = cast<scf::IfOp>(*compare->user_begin());
    EXPECT_TRUE(isa<LLVM::Trap>(check.thenBlock()->front()));
  }
  EXPECT_EQ(limits, (std::vector<int64_t>{20, 3, 13, 0}));
}
