//===- OverflowTest.cpp - arithmetic that does not fit --------------------===//
#include "compiler/Compiler.h"
#include "codegen/kernels/KernelCode.h"
#include "codegen/kernels/KernelKind.h"
#include "dialect/Nncc.h"
#include "dialect/Place.h"
#include "frontend/Entries.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "gtest/gtest.h"

using namespace mlir;

namespace nncc {

/// In the compiler's own code: the bytes of more elements than there can be.
static void overflow(MLIRContext &context) {
  Builder b(&context);
  byteSize(RankedTensorType::get({int64_t(1) << 62}, b.getF64Type()));
}

static void overflow() {
  MLIRContext context;
  overflow(context);
}

static std::string ending(const std::string &begin) {
  return begin + " to sizes beyond 64 bits "
                 "\\(.*NnccDialect.cpp:[0-9]+ of the compiler\\)\n$";
}

TEST(Overflow, EndsInASentence) {
  EXPECT_EXIT(overflow(), testing::ExitedWithCode(6),
              ending("^nncc: the model comes"));
}

TEST(Overflow, IsInTheFile) {
  WorkingAt model("m.json");
  EXPECT_EXIT(overflow(), testing::ExitedWithCode(6),
              ending("^m.json:1:1: error: this comes"));
}

TEST(Overflow, IsAtTheInnermostPlace) {
  WorkingAt model("m.json"), node("m.json", {3, 7});
  {
    WorkingAt past("m.json", {4, 9});
  }
  EXPECT_EXIT(overflow(), testing::ExitedWithCode(6),
              ending("^m.json:3:7: error: this comes"));
}

TEST(Overflow, CutsALongName) {
  std::string file(2000, 'm');
  WorkingAt model(file);
  EXPECT_EXIT(overflow(), testing::ExitedWithCode(6),
              ending("^" + std::string(600, 'm') + ":1:1: error: this comes"));
}

TEST(Overflow, IsAtTheFirstPlaceOfAKernel) {
  MLIRContext context;
  Builder b(&context);
  Location none = b.getUnknownLoc();
  Location first = FileLineColLoc::get(&context, "m.json", 5, 2);
  Location second = FileLineColLoc::get(&context, "m.json", 6, 3);
  Location op = NameLoc::get(b.getStringAttr("fc: nn.Linear"), first);
  WorkingOn kernel(FusedLoc::get(&context, {none, op, second}));
  WorkingOn nowhere(none);
  EXPECT_EXIT(overflow(context), testing::ExitedWithCode(6),
              ending("^m.json:5:2: error: this comes"));
}

/// Imports a model that may use what does not fit: as a function when it is
/// called, as a module when it is declared.
static void import(const std::string &text) {
  MLIRContext context;
  context.loadDialect<NnccDialect, func::FuncDialect>();
  Registry registry;
  define(registry, "").function("F.beyond").emit([](Call &call) {
    overflow(*call.builder->b.getContext());
    return Result();
  });
  define(registry, "")
      .module("nn.Beyond")
      .declare([&](Call &, std::vector<StateDef> &) { overflow(context); })
      .emit([](Call &) { return Result(); });
  Diagnostics diagnostics("m.json", text);
  std::optional<Json> root = parseJson(text, diagnostics);
  Dims dims(*root, {}, &context, diagnostics);
  ModuleTree tree = declareModules(*root, dims, dims.first(), registry,
                                   &context, diagnostics);
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  Model model{*root, registry, tree, dims, diagnostics, *module, true};
  addEntry(model, "forward", dims.first(), 0);
}

TEST(Overflow, IsAtTheNode) {
  EXPECT_EXIT(import(R"({"inputs": {"x": {"shape": [2], "dtype": "f32"}},
 "nodes": [{"name": "y", "op": "F.relu", "inputs": ["x"]},
  {"name": "z", "op": "F.beyond", "inputs": ["y"]}]})"),
              testing::ExitedWithCode(6),
              ending("^m.json:3:23: error: this comes"));
}

TEST(Overflow, IsAtTheModule) {
  EXPECT_EXIT(import(R"({"modules": {"a": {"type": "nn.ReLU"},
  "b": {"type": "nn.Beyond"}}})"),
              testing::ExitedWithCode(6),
              ending("^m.json:2:3: error: this comes"));
}

/// Compiles a model for a target whose kernels do not fit: their schedules, or
/// their code.
static void compile(const KernelKind &kind) {
  KernelTarget target = cpuTarget();
  target.kinds = kind;
  CompileOptions options;
  options.kernels = &target;
  compileModel("m.json", R"({"format": "nncc-model/1",
 "inputs": {"x": {"shape": [2], "dtype": "f32"}},
 "nodes": [{"name": "y", "op": "F.relu", "inputs": ["x"]}], "outputs": ["y"]})",
               options, Stage::linalg);
}

static bool matches(func::FuncOp, const TargetInfo &) { return true; }

TEST(Overflow, IsAtTheKernelThatIsTiled) {
  auto choose = [](func::FuncOp kernel, const TargetInfo &) {
    overflow(*kernel.getContext());
    return SmallVector<int64_t>();
  };
  EXPECT_EXIT(compile({"beyond", {}, matches, choose, nullptr}),
              testing::ExitedWithCode(6),
              ending("^m.json:3:32: error: this comes"));
}

TEST(Overflow, IsAtTheKernelThatIsWritten) {
  auto choose = [](func::FuncOp, const TargetInfo &) {
    return SmallVector<int64_t>();
  };
  auto emit = [](KernelCode &code) {
    overflow(*code.kernel.getContext());
    return int64_t(1);
  };
  EXPECT_EXIT(compile({"beyond", {}, matches, choose, emit}),
              testing::ExitedWithCode(6),
              ending("^m.json:3:32: error: this comes"));
}

} // namespace nncc
