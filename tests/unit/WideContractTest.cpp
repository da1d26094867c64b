// Products whose sums are wider than their operands, as machine code. Recurrent
// layers and attention of halves make them; other types only the dialect
// itself.
#include "codegen/Object.h"
#include "codegen/Pipelines.h"
#include "codegen/kernels/LowerKernels.h"
#include "dialect/Names.h"
#include "dialect/Nncc.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include <cstring>
#include <gtest/gtest.h>

using namespace mlir;

namespace {

constexpr int64_t rows = 5, depth = 300, columns = 21;

/// sum_k x[i][k] w[k][j] in `to`, by the kernel for this CPU; its kind.
template <typename In, typename Out>
std::string product(StringRef from, StringRef to, ArrayRef<In> x,
                    ArrayRef<In> w, std::vector<Out> &y) {
  MLIRContext context(MLIRContext::Threading::DISABLED);
  context.loadDialect<
      nncc::NnccDialect, arith::ArithDialect, cf::ControlFlowDialect,
      func::FuncDialect, LLVM::LLVMDialect, math::MathDialect,
      memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect>();
  std::string in = from.str(), out = "tensor<5x21x" + to.str() + ">";
  std::string types =
      "(tensor<5x300x" + in + ">, tensor<300x21x" + in + ">) -> " + out;
  auto model = parseSourceString<ModuleOp>(
      "func.func private @k(%x: tensor<5x300x" + in + ">, %w: tensor<300x21x" +
          in + ">) -> " + out +
          " {\n%y = nncc.contract %x, %w batch [] x [] sum [1] x [0] in " +
          to.str() + " : " + types + "\nreturn %y : " + out + "\n}",
      &context);
  nncc::TargetInfo target;
  std::string error;
  EXPECT_TRUE(model && nncc::cpuTarget().lookup("native", target, error))
      << error;
  PassManager tile(&context), lower(&context);
  tile.addPass(nncc::createTilePass(target, nncc::cpuTarget(), {}));
  EXPECT_TRUE(succeeded(tile.run(*model)));
  auto kernels = nncc::lowerKernels(*model, target, nncc::cpuTarget());
  nncc::populateLlvmPipeline(lower, false);
  EXPECT_TRUE(succeeded(kernels) && succeeded(lower.run(**kernels)));

  auto own = std::make_unique<llvm::LLVMContext>();
  auto code = nncc::buildLlvmModule(*own, **kernels, target, nncc::cpuTarget());
  for (llvm::Function &function : *code)
    if (!function.isDeclaration())
      function.setLinkage(llvm::GlobalValue::ExternalLinkage);
  auto jit = llvm::cantFail(llvm::orc::LLJITBuilder().create());
  llvm::cantFail(jit->addIRModule({std::move(code), std::move(own)}));
  auto run = llvm::cantFail(jit->lookup("k"))
                 .toPtr<void (*)(void *const *, int64_t, int64_t)>();
  y.assign(rows * columns, Out());
  const void *buffers[] = {x.data(), w.data(), y.data()};
  auto kernel = *model->getOps<func::FuncOp>().begin();
  run(const_cast<void *const *>(buffers), 0,
      kernel->getAttrOfType<IntegerAttr>(nncc::tilesAttr).getInt());
  return kernel->getAttrOfType<StringAttr>(nncc::kindAttr).str();
}

/// Checks it on elements that `store` makes of small numbers whose sums the
/// narrow type does not hold.
template <typename In, typename Out>
void check(StringRef from, StringRef to, StringRef kind, In (*store)(int64_t),
           Out (*value)(int64_t)) {
  auto xAt = [](int64_t i) { return 1 + i * 5 % 7; };
  auto wAt = [](int64_t i) { return 1 + i * 3 % 11; };
  std::vector<In> x, w;
  for (int64_t i = 0; i < rows * depth; ++i)
    x.push_back(store(xAt(i)));
  for (int64_t i = 0; i < depth * columns; ++i)
    w.push_back(store(wAt(i)));
  std::vector<Out> y;
  EXPECT_EQ((product<In, Out>(from, to, x, w, y)), kind);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      Out sum = 0;
      for (int64_t k = 0; k < depth; ++k)
        sum += value(xAt(i * depth + k)) * value(wAt(k * columns + j));
      EXPECT_EQ(y[i * columns + j], sum) << i << ", " << j;
    }
}

} // namespace

TEST(WideContract, HalvesInF32) {
  check<uint16_t, float>(
      "bf16", "f32", "product",
      [](int64_t n) {
        float x = n;
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        return uint16_t(bits >> 16);
      },
      [](int64_t n) { return float(n); });
}

TEST(WideContract, BytesInI32) {
  check<int8_t, int32_t>(
      "i8", "i32", "loops", [](int64_t n) { return int8_t(n - 4); },
      [](int64_t n) { return int32_t(n - 4); });
}

TEST(WideContract, F32InF64) {
  check<float, double>(
      "f32", "f64", "loops", [](int64_t n) { return 1 + float(n) / (1 << 20); },
      [](int64_t n) { return 1 + double(n) / (1 << 20); });
}
