//===- Pipelines.cpp - the compiler's stages, in order --------------------===//
//
// The only place that knows the order of passes.
//
//===----------------------------------------------------------------------===//
#include "codegen/Pipelines.h"
#include "passes/Passes.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/LLVMIR/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace nncc {

/// After a stage: its promise, which is cheap to check.
static void verifyStage(OpPassManager &pm, const char *stage) {
  NnccVerifyStageOptions options;
  options.stage = stage;
  pm.addPass(createNnccVerifyStage(options));
}

void populateCommonPipeline(OpPassManager &pm) {
  pm.addPass(createNnccAutodiff()); // before anything specialises ops
  verifyStage(pm, "differentiated");
  pm.addPass(createNnccSimplify());
}

void populateKernelPipeline(OpPassManager &pm, const TargetInfo &target,
                            const KernelTarget &how,
                            const ScheduleTable &schedules, int64_t maxArena) {
  NnccLayoutOptions layout;
  layout.lanes = target.loopLanes();
  layout.panel = target.panelVectors * layout.lanes;
  pm.addPass(createNnccLayout(layout));
  pm.addPass(createNnccHoistInvariants());
  // Layout leaves pairs of transposes and reshapes behind.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  verifyStage(pm, "laid-out");
  // Before kernels are formed: weights become plain operands.
  pm.addPass(createNnccPrepare());
  pm.addPass(createFormKernelsPass(how.facts(target)));
  verifyStage(pm, "kernels");
  NnccPlanMemoryOptions memory;
  memory.maxArena = maxArena;
  pm.addPass(createNnccPlanMemory(memory));
  verifyStage(pm, "planned");
  // Last: nothing before it depends on how a kernel runs.
  pm.addPass(createTilePass(target, how, schedules));
  verifyStage(pm, "tiled");
}

std::unique_ptr<Pass> createFormKernelsPass() {
  return createFormKernelsPass(cpuTarget().facts({}));
}

void populateLlvmPipeline(OpPassManager &pm, bool debugLines) {
  // No canonicalizer: whenever it changes an op it looks again at all regions
  // around it, with all they hold, so one long loop takes quadratic time. LLVM
  // does that work.
  pm.addPass(createCSEPass());
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertToLlvm());
  if (debugLines)
    pm.addPass(LLVM::createDIScopeForLLVMFuncOpPass());
}

} // namespace nncc
