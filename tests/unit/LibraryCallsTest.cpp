// Kernels that call what is not theirs are refused: not every target has a
// library.
#include "codegen/Object.h"
#include "codegen/Pipelines.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Parser/Parser.h"
#include <gtest/gtest.h>

using namespace mlir;

namespace {

/// What is said of a kernel with this code: x is an f32 of it.
std::string errorOf(const std::string &code) {
  MLIRContext context(MLIRContext::Threading::DISABLED);
  context.loadDialect<func::FuncDialect, LLVM::LLVMDialect>();
  std::string error;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    error += diagnostic.str();
    return success();
  });
  auto kernels = parseSourceString<ModuleOp>(
      "llvm.func @sinf(f32) -> f32\n"
      "llvm.func @k7(%p: !llvm.ptr, %begin: i64, %end: i64) {\n"
      "%x = llvm.load %p : !llvm.ptr -> f32\n" +
          code +
          "llvm.store %y, %p : f32, !llvm.ptr\n"
          "llvm.return\n}",
      &context);
  nncc::TargetInfo target;
  EXPECT_TRUE(kernels && nncc::cpuTarget().lookup("x86-64", target, error))
      << error;
  llvm::LLVMContext own;
  bool isBuilt(nncc::buildLlvmModule(own, *kernels, target, nncc::cpuTarget()));
  EXPECT_EQ(isBuilt, error.empty());
  return error;
}

} // namespace

TEST(LibraryCalls, Function) {
  EXPECT_EQ(errorOf("%y = llvm.call @sinf(%x) : (f32) -> f32\n"),
            "kernel k7 calls sinf");
}

TEST(LibraryCalls, Intrinsic) {
  EXPECT_EQ(errorOf("%y = llvm.intr.exp(%x) : (f32) -> f32\n"),
            "kernel k7 calls llvm.exp.f32");
}

TEST(LibraryCalls, Remainder) {
  EXPECT_EQ(errorOf("%y = llvm.frem %x, %x : f32\n"), "kernel k7 calls fmod");
}

TEST(LibraryCalls, InstructionsAreNone) {
  EXPECT_EQ(errorOf("%y = llvm.intr.sqrt(%x) : (f32) -> f32\n"), "");
}
