// The passes on the nncc dialect. One entry, one .cpp, one lit file each. The
// example in a description runs: tests/lit/passes/descriptions.test.
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

    ```mlir
    func.func @f(%x: tensor<4xf32>, %w: tensor<4xf32>, %seed: tensor<4xf32>)
        -> tensor<4xf32> {
      %y = nncc.mul %x, %w : tensor<4xf32>
      // CHECK: %[[G:.*]] = nncc.mul %arg2, %arg1
      // CHECK: return %[[G]]
      %g = nncc.gradient %y * %seed by %x
          : tensor<4xf32> by tensor<4xf32> to tensor<4xf32>
      return %g : tensor<4xf32>
    }
    ```
  }];
  let statistics = [
    Statistic<"gradients", "gradients", "gradient ops replaced">,
    Statistic<"steps", "steps", "ops differentiated">];
}

def NnccSimplify : Pass<"nncc-simplify", "::mlir::ModuleOp"> {
  let summary = "canonical forms, constant folding, batch norm into weights";
  let description = [{
    Folds constants through `evaluate`, and what has no elements; removes common
    subexpressions and dead code, what a scan has twice or for nothing, and moves
    a factor that depends on weights alone from the result of a convolution or
    contraction into its weights: `conv(x, w) * s` becomes `conv(x, w * s)`. Sums of like products become one
    product over the joined operands.

    ```mlir
    func.func @f(%x: tensor<4x2xf32>) -> tensor<4x3xf32> {
      %w = nncc.weight "w" : tensor<3x2xf32>
      %s = nncc.weight "s" : tensor<3xf32>
      // CHECK: %[[W:.*]] = nncc.mul {{.*}} : tensor<3x2xf32>
      // CHECK: nncc.contract %arg0, %[[W]]
      %y = nncc.contract %x, %w batch [] x [] sum [1] x [1]
          : (tensor<4x2xf32>, tensor<3x2xf32>) -> tensor<4x3xf32>
      %b = nncc.broadcast %s [1] : tensor<3xf32> to tensor<4x3xf32>
      %z = nncc.mul %y, %b : tensor<4x3xf32>
      return %z : tensor<4x3xf32>
    }
    ```
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

    ```mlir
    func.func @f(%x: tensor<4x8xf32>) -> tensor<4x128xf32> {
      // CHECK: %[[P:.*]] = nncc.transpose {{.*}} to tensor<2x8x64xf32>
      // CHECK: nncc.contract %arg0, %[[P]]
      %w = nncc.weight "w" : tensor<128x8xf32>
      %y = nncc.contract %x, %w batch [] x [] sum [1] x [1]
          : (tensor<4x8xf32>, tensor<128x8xf32>) -> tensor<4x128xf32>
      return %y : tensor<4x128xf32>
    }
    ```
  }];
  let options = [
    Option<"panel", "panel", "int64_t", "64", "widest panel in elements of 4 bytes">,
    Option<"lanes", "lanes", "int64_t", "16", "elements of 4 bytes of one vector">];
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

    ```mlir
    func.func @f(%h: tensor<3xf32>, %b: tensor<3xf32>) -> tensor<3xf32> {
      // CHECK: %[[E:.*]] = nncc.exp %arg1
      // CHECK: nncc.scan 4 from(%arg0) over() with(%[[E]])
      %f = nncc.scan 4 from (%h) over () with (%b)
          : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32> {
      ^bb0(%s: tensor<3xf32>, %c: tensor<3xf32>):
        %e = nncc.exp %c : tensor<3xf32>
        %t = nncc.mul %s, %e : tensor<3xf32>
        nncc.yield %t : tensor<3xf32>
      }
      return %f : tensor<3xf32>
    }
    ```
  }];
  let statistics = [Statistic<"hoisted", "hoisted", "values moved">];
}

def NnccPrepare : Pass<"nncc-prepare", "::mlir::ModuleOp"> {
  let summary = "moves what depends on weights alone into @prepare";
  let description = [{
    Each maximal expression over weights and constants becomes a result of the
    function `@prepare`, shared by all entries, and a prepared weight in its
    place.

    ```mlir
    func.func @f(%x: tensor<3xf32>) -> tensor<3xf32> {
      // CHECK-LABEL: @f
      // CHECK: nncc.weight "0" prepared : tensor<3xf32>
      // CHECK-LABEL: @prepare
      // CHECK: nncc.exp
      %a = nncc.weight "a" : tensor<3xf32>
      %e = nncc.exp %a : tensor<3xf32>
      %y = nncc.add %x, %e : tensor<3xf32>
      return %y : tensor<3xf32>
    }
    ```
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

    ```mlir
    func.func @f(%x: tensor<4x8xf32>, %zero: tensor<4x8xf32>)
        -> tensor<4x8xf32> {
      // CHECK: nncc.call @k0(%arg0, {{.*}}, %arg1)
      // CHECK-NEXT: return
      // CHECK: func.func private @k0
      %w = nncc.weight "w" : tensor<8x8xf32>
      %y = nncc.contract %x, %w batch [] x [] sum [1] x [0]
          : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
      %z = nncc.max %y, %zero : tensor<4x8xf32>
      return %z : tensor<4x8xf32>
    }
    ```
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

    ```mlir
    func.func @f(%x: tensor<16xf32>) -> tensor<16xf32> {
      // CHECK: nncc.arena = 128
      // CHECK: nncc.call @k(%arg0) at [0]
      // CHECK: nncc.call @k({{.*}}) at [64]
      // CHECK: nncc.call @k({{.*}}) at [-1]
      %a = nncc.call @k(%x) : (tensor<16xf32>) -> tensor<16xf32>
      %b = nncc.call @k(%a) : (tensor<16xf32>) -> tensor<16xf32>
      %c = nncc.call @k(%b) : (tensor<16xf32>) -> tensor<16xf32>
      return %c : tensor<16xf32>
    }
    func.func private @k(%x: tensor<16xf32>) -> tensor<16xf32> {
      %y = nncc.exp %x : tensor<16xf32>
      return %y : tensor<16xf32>
    }
    ```
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

    ```mlir
    // CHECK: nncc.kind = "loops", nncc.schedule = {tiles = {{[0-9]+}} : i64}
    func.func private @k(%x: tensor<16xf32>) -> tensor<16xf32> {
      %y = nncc.exp %x : tensor<16xf32>
      return %y : tensor<16xf32>
    }
    ```
  }];
  let options = [Option<"cpu", "cpu", "std::string", "\"native\"",
                        "CPU to choose for">];
  let statistics = [Statistic<"scheduled", "scheduled", "kernels scheduled">];
}

def NnccVerifyStage : Pass<"nncc-verify-stage", "::mlir::ModuleOp"> {
  let summary = "checks what the passes so far have promised";
  let description = [{
    Stages in order: `differentiated` (no gradients left), `laid-out` (no
    convolutions), `kernels` (entries hold calls and views, kernels no calls),
    `planned` (each call has its place), `tiled` (each kernel its kind and
    schedule). A stage keeps what those before it promised.

    ```mlir
    // CHECK: nncc.exp
    func.func @f(%x: tensor<16xf32>) -> tensor<16xf32> {
      %y = nncc.exp %x : tensor<16xf32>
      return %y : tensor<16xf32>
    }
    ```
  }];
  let options = [Option<"stage", "stage", "std::string", "\"laid-out\"",
                        "the last stage that has run">];
}

#endif // NNCC_PASSES
