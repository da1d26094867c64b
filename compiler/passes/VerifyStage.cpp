//===- VerifyStage.cpp - what a stage has left behind ---------------------===//
//
// Runs between the passes, so that a broken promise is told where it breaks and
// not by what a later pass makes of it.
//
//===----------------------------------------------------------------------===//
#include "dialect/Names.h"
#include "passes/Passes.h"
#include "passes/Utils.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCVERIFYSTAGE
#include "passes/Passes.h.inc"

namespace {

/// What an entry, or the body of a scan, holds once kernels are formed: calls,
/// what they read and views of memory.
bool isInBody(Operation *op) {
  return isa<CallOp, ScanOp, YieldOp, AllReduceOp, WeightOp, ConstantOp,
             ReshapeOp, SliceOp, func::ReturnOp>(op);
}

bool isKernel(func::FuncOp function) { return function.isPrivate(); }

/// From a stage on, ops that break its promise.
struct Promise {
  const char *stage, *text;
  bool (*isBroken)(Operation *op, func::FuncOp function);
};

const Promise promises[] = {
    {"differentiated", "has to be gone after nncc-autodiff",
     [](Operation *op, func::FuncOp) {
       return isa<GradientOp, DetachOp, WithSlopeOp>(op);
     }},
    {"laid-out", "has to be gone after nncc-layout",
     [](Operation *op, func::FuncOp) { return isa<ConvolutionOp>(op); }},
    {"kernels", "belongs into a kernel after nncc-form-kernels",
     [](Operation *op, func::FuncOp function) {
       return !isKernel(function) && !isInBody(op);
     }},
    {"kernels", "is in a kernel",
     [](Operation *op, func::FuncOp function) {
       return isKernel(function) && isa<CallOp, ScanOp, WeightOp>(op);
     }},
    {"planned", "has no place after nncc-plan-memory",
     [](Operation *op, func::FuncOp) {
       auto call = dyn_cast<CallOp>(op);
       auto scan = dyn_cast<ScanOp>(op);
       return (call && !call.getOffsets()) || (scan && !scan.getOffsets());
     }},
    {"tiled", "is in a kernel without a schedule after nncc-tile",
     [](Operation *op, func::FuncOp function) {
       return isKernel(function) && isa<func::ReturnOp>(op) &&
              !(function->hasAttr(kindAttr) && function->hasAttr(scheduleAttr));
     }},
};

struct VerifyStage : impl::NnccVerifyStageBase<VerifyStage> {
  using NnccVerifyStageBase::NnccVerifyStageBase;

  void runOnOperation() override {
    const Promise *end = llvm::find_if(llvm::reverse(promises), [&](auto &p) {
                           return p.stage == stage;
                         }).base();
    if (end == std::begin(promises)) {
      getOperation().emitError("there is no stage ") << stage;
      return signalPassFailure();
    }
    for (auto function : getOperation().getOps<func::FuncOp>())
      function.walk([&](Operation *op) {
        for (const Promise &promise : llvm::make_range(promises, end))
          if (op != function && promise.isBroken(op, function)) {
            op->emitOpError(promise.text);
            signalPassFailure();
          }
      });
  }
};

} // namespace
} // namespace nncc
