// The passes on the nncc dialect. One entry, one .cpp, one lit file each.
#ifndef NNCC_PASSES
#define NNCC_PASSES
include "mlir/Pass/PassBase.td"

def NnccAutodiff : Pass<"nncc-autodiff", "::mlir::ModuleOp"> {
  let summary = "replaces nncc.gradient by reverse mode";
  let description = [{
    Walks the ops between the values asked for and the differentiated one
    backwards and lets each give its operands' gradients (`Differentiable`).
    Ops that no asked-for value depends on are left out. Removes `nncc.detach`
    and `nncc.with_slope`.
  }];
  let statistics = [
    Statistic<"gradients", "gradients", "gradient ops replaced">,
    Statistic<"steps", "steps", "ops differentiated">];
}

def NnccSimplify : Pass<"nncc-simplify", "::mlir::ModuleOp"> {
  let summary = "canonical forms, constant folding, batch norm into weights";
  let description = [{
    Folds constants through `evaluate`, and what has no elements; removes common
    subexpressions and dead code, what a scan has twice or for nothing, and moves a factor that depends on weights alone from the result of a
    convolution or contraction into its weights:
    `conv(x, w) * s` becomes `conv(x, w * s)`. Sums of like products become one
    product over the joined operands.
  }];
  let statistics = [
    Statistic<"folded", "folded", "ops replaced by constants">,
    Statistic<"scaled", "scaled", "factors moved into weights">,
    Statistic<"merged", "merged", "sums of products joined into one">];
}

def NnccLayout : Pass<"nncc-layout", "::mlir::ModuleOp"> {
  let summary = "channels-last convolutions as contractions over patches";
  let description = [{
    Every convolution becomes `contract(patches(pad(x)), w)` with channels
    innermost and weights in panels of the target's width; contractions with
    constant weights get the same panels. The transposes this needs are sunk
    through elementwise ops, reductions, concatenation and pooling, and cancel.
  }];
  let options = [
    Option<"panel", "panel", "int64_t", "64", "widest panel in elements">,
    Option<"lanes", "lanes", "int64_t", "16", "elements of one vector">];
  let statistics = [
    Statistic<"convolutions", "convolutions", "convolutions lowered">,
    Statistic<"packed", "packed", "contractions with packed weights">,
    Statistic<"sunk", "sunk", "transposes moved towards the outputs">];
}

def NnccHoistInvariants
    : Pass<"nncc-hoist-invariants", "::mlir::ModuleOp"> {
  let summary = "moves what is the same in each step of a scan before it";
  let description = [{
    Each maximal expression over the invariants of a scan becomes a further
    invariant: weights are packed once, not in each step.
  }];
  let statistics = [Statistic<"hoisted", "hoisted", "values moved">];
}

def NnccPrepare : Pass<"nncc-prepare", "::mlir::ModuleOp"> {
  let summary = "moves what depends on weights alone into @prepare";
  let description = [{
    Each maximal expression over weights and constants becomes a result of the
    function `@prepare`, shared by all entries, and a prepared weight in its
    place.
  }];
  let statistics = [Statistic<"prepared", "prepared", "tensors prepared">];
}

def NnccFormKernels : Pass<"nncc-form-kernels", "::mlir::ModuleOp"> {
  let summary = "groups ops into kernels and outlines each different one once";
  let description = [{
    A kernel has one root (contraction, attention, or none: a loop nest that may
    reduce) and the element work fused before and after it. Every edge
    between kernels gets a reason, kept in `nncc.reasons` of the call.
    Structurally equal kernels become one function. The body of a scan is formed
    as an entry is. What a target's kernels read through strides, and how, it
    says itself (`KernelFacts`).
  }];
  let constructor = "::nncc::createFormKernelsPass()";
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::vector::VectorDialect"];
  let statistics = [
    Statistic<"kernels", "kernels", "different kernels">,
    Statistic<"calls", "calls", "kernel calls">];
}

def NnccPlanMemory : Pass<"nncc-plan-memory", "::mlir::ModuleOp"> {
  let summary = "gives every intermediate tensor a fixed place in the arena";
  let description = [{
    Lifetimes are intervals of call numbers; each tensor takes the lowest
    64-byte aligned offset that is free for its whole lifetime, largest first.
    A result takes the place of an operand that dies with it, if the kernel
    marks that (`nncc.in_place`). The arena's size becomes `nncc.arena` of the
    function. A scan has room for its body's own arena, and for two steps of each
    state that is in no stack. With a limit, kernels are called again instead of keeping their
    results over the moment that needs most memory: elementwise ones first, then
    those that free most bytes per operation, until the arena fits.
  }];
  let options = [Option<"maxArena", "max-arena", "int64_t", "0",
                        "bytes that an arena should take at most; 0: any">];
  let statistics = [
    Statistic<"shared", "shared", "results in the place of an operand">,
    Statistic<"recomputed", "recomputed", "kernels called again">];
}

def NnccTile : Pass<"nncc-tile", "::mlir::ModuleOp"> {
  let summary = "gives every kernel a schedule";
  let description = [{
    Chooses register tiles, cache blocks and the number of tiles of each kernel
    from shapes and the target's facts, as `nncc.schedule` of the kernel. Numbers
    that are there already stay. A contraction has `rows`, `panels`, `block` and
    `splits`, attention `rows`, `keys` and `groups`, other kernels `tiles`
    (codegen/cpu/Kernels.cpp), which also gives it its kind, `nncc.kind`.
  }];
  let options = [Option<"cpu", "cpu", "std::string", "\"native\"",
                        "CPU to choose for">];
  let statistics = [Statistic<"scheduled", "scheduled", "kernels scheduled">];
}

#endif // NNCC_PASSES
