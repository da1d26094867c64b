// RUN: nncc-opt --nncc-autodiff --canonicalize --cse %s | FileCheck %s
// RUN: nncc-opt --nncc-autodiff --nncc-autodiff --canonicalize --cse %s | FileCheck %s

// The gradient of sum(x * w) by x is w, times the seed.
// CHECK-LABEL: @product
// CHECK-SAME: (%[[X:.*]]: tensor<4xf32>, %[[W:.*]]: tensor<4xf32>, %[[SEED:.*]]: tensor<f32>)
func.func @product(%x: tensor<4xf32>, %w: tensor<4xf32>, %seed: tensor<f32>) -> tensor<4xf32> {
  %p = nncc.mul %x, %w : tensor<4xf32>
  %s = nncc.reduce sum %p [0] : tensor<4xf32> to tensor<f32>
  // CHECK: %[[DP:.*]] = nncc.broadcast %[[SEED]]
  // CHECK: %[[DX:.*]] = nncc.mul %[[DP]], %[[W]]
  // CHECK: return %[[DX]]
  %g = nncc.gradient %s * %seed by %x : tensor<f32> by tensor<4xf32> to tensor<4xf32>
  return %g : tensor<4xf32>
}

// A broadcast is undone by a sum.
// CHECK-LABEL: @broadcast
func.func @broadcast(%b: tensor<4xf32>, %seed: tensor<2x4xf32>) -> tensor<4xf32> {
  %y = nncc.broadcast %b [1] : tensor<4xf32> to tensor<2x4xf32>
  // CHECK: nncc.reduce sum %arg1 [0]
  %g = nncc.gradient %y * %seed by %b : tensor<2x4xf32> by tensor<4xf32> to tensor<4xf32>
  return %g : tensor<4xf32>
}

// Two uses add up.
// CHECK-LABEL: @two_uses
func.func @two_uses(%x: tensor<4xf32>, %seed: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK: nncc.add
  %y = nncc.add %x, %x : tensor<4xf32>
  %g = nncc.gradient %y * %seed by %x : tensor<4xf32> by tensor<4xf32> to tensor<4xf32>
  return %g : tensor<4xf32>
}

// What nothing reaches is zeros; what is detached is not reached.
// CHECK-LABEL: @detached
func.func @detached(%x: tensor<4xf32>, %seed: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NOT: nncc.detach
  // CHECK: %[[ZERO:.*]] = nncc.constant dense<0.000000e+00>
  // CHECK: return %[[ZERO]]
  %d = nncc.detach %x : tensor<4xf32>
  %y = nncc.exp %d : tensor<4xf32>
  %g = nncc.gradient %y * %seed by %x : tensor<4xf32> by tensor<4xf32> to tensor<4xf32>
  return %g : tensor<4xf32>
}

// A formula for the derivative replaces that of the ops: 2 for what is 3 x.
// CHECK-LABEL: @with_slope
func.func @with_slope(%x: tensor<4xf32>, %seed: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  // CHECK-NOT: nncc.with_slope
  // CHECK: %[[THREE:.*]] = nncc.constant dense<3.0
  // CHECK: %[[TWO:.*]] = nncc.constant dense<2.0
  // CHECK: %[[Y:.*]] = nncc.mul %arg0, %[[THREE]]
  // CHECK: %[[G:.*]] = nncc.mul %arg1, %[[TWO]]
  // CHECK: return %[[Y]], %[[G]]
  %three = nncc.constant dense<3.0> : tensor<4xf32>
  %two = nncc.constant dense<2.0> : tensor<4xf32>
  %d = nncc.detach %x : tensor<4xf32>
  %v = nncc.mul %d, %three : tensor<4xf32>
  %y = nncc.with_slope %v by %x slope %two : tensor<4xf32>
  %g = nncc.gradient %y * %seed by %x : tensor<4xf32> by tensor<4xf32> to tensor<4xf32>
  return %y, %g : tensor<4xf32>, tensor<4xf32>
}

// Only what was asked for is built: no product for %w.
// CHECK-LABEL: @only_one
func.func @only_one(%x: tensor<4x8xf32>, %w: tensor<8x2xf32>, %seed: tensor<4x2xf32>) -> tensor<4x8xf32> {
  // CHECK: nncc.contract %arg2, %arg1
  // CHECK-NOT: nncc.contract
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [0] : (tensor<4x8xf32>, tensor<8x2xf32>) -> tensor<4x2xf32>
  %g = nncc.gradient %y * %seed by %x : tensor<4x2xf32> by tensor<4x8xf32> to tensor<4x8xf32>
  return %g : tensor<4x8xf32>
}

// Attention has a gradient without a score matrix.
// CHECK-LABEL: @attention
func.func @attention(%q: tensor<2x4x8xf32>, %seed: tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
  // CHECK-NOT: nncc.contract
  // CHECK: %[[DQ:.*]], %{{.*}}, %{{.*}} = nncc.attention_backward %arg0, %arg0, %arg0, %arg1
  %y = nncc.attention %q, %q, %q {scale = 1.0 : f64} : (tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %g = nncc.gradient %y * %seed by %q : tensor<2x4x8xf32> by tensor<2x4x8xf32> to tensor<2x4x8xf32>
  return %g : tensor<2x4x8xf32>
}

// IR without gradients stays as it is.
// CHECK-LABEL: @plain
// CHECK-NEXT: %[[Y:.*]] = nncc.exp %arg0
// CHECK-NEXT: return %[[Y]]
func.func @plain(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = nncc.exp %x : tensor<4xf32>
  return %y : tensor<4xf32>
}

// Who gets the gradient of a maximum is known from the least rank alone: ranks
// (positions of what is largest, NaNs below) are read once and need no memory.
// CHECK-LABEL: @pool
func.func @pool(%x: tensor<8xf32>, %seed: tensor<4xf32>) -> tensor<8xf32> {
  // CHECK: %[[POSITION:.*]] = nncc.iota
  // CHECK: nncc.compare ne
  // CHECK: %[[RANK:.*]] = nncc.select
  // CHECK-NEXT: %[[LEAST:.*]] = nncc.reduce min %[[RANK]]
  // CHECK-NOT: %[[RANK]]
  // CHECK: %[[BELOW:.*]] = nncc.neg %[[LEAST]]
  // CHECK: %[[NAN:.*]] = nncc.sub %[[BELOW]]
  // CHECK: %[[CHOSEN:.*]] = nncc.max %[[LEAST]], %[[NAN]]
  // CHECK: %[[BACK:.*]] = nncc.broadcast %[[CHOSEN]]
  // CHECK: nncc.compare eq %[[POSITION]], %[[BACK]]
  %w = nncc.patches %x [0] [2] [2] [1] : tensor<8xf32> to tensor<4x2xf32>
  %y = nncc.reduce max %w [1] {first} : tensor<4x2xf32> to tensor<4xf32>
  %g = nncc.gradient %y * %seed by %x : tensor<4xf32> by tensor<8xf32> to tensor<8xf32>
  return %g : tensor<8xf32>
}

// Backward through time is a scan in the other direction. It reads the stack of
// states that forward has anyway; the weight's gradient is one product over all
// steps.
// CHECK-LABEL: @through_time
// CHECK: %[[Y:.*]]:2 = nncc.scan 4 from(%arg0) over(%arg1) with(%arg2)
// CHECK: nncc.yield %[[H:.*]], %[[H]]
// CHECK: %[[G:.*]]:2 = nncc.scan 4 reverse from(%{{.*}}) over(%arg3, %[[Y]]#1) with(%arg2)
// CHECK-NEXT: ^bb0(%[[DH:.*]]: tensor<2x3xf64>, %[[DY:.*]]: tensor<2x3xf64>, %[[T:.*]]: tensor<2x3xf64>, %[[W:.*]]: tensor<3x3xf64>):
// CHECK-DAG: nncc.add %[[DH]], %[[DY]]
// CHECK-DAG: nncc.mul %[[T]], %[[T]]
// CHECK: %[[D:.*]] = nncc.contract %[[DX:.*]], %[[W]]
// CHECK-NEXT: nncc.yield %[[D]], %[[DX]]
// CHECK: %[[BEFORE:.*]] = nncc.concat
// CHECK: %[[DW:.*]] = nncc.contract %[[G]]#1, %[[BEFORE]] {{.*}} sum [0, 1] x [0, 1]
// CHECK: return %[[G]]#0, %[[G]]#1, %[[DW]]
func.func @through_time(%h0: tensor<2x3xf64>, %x: tensor<4x2x3xf64>, %w: tensor<3x3xf64>, %one: tensor<4x2x3xf64>) -> (tensor<2x3xf64>, tensor<4x2x3xf64>, tensor<3x3xf64>) {
  %f, %y = nncc.scan 4 from (%h0) over (%x) with (%w) : (tensor<2x3xf64>, tensor<4x2x3xf64>, tensor<3x3xf64>) -> (tensor<2x3xf64>, tensor<4x2x3xf64>) {
  ^bb0(%h: tensor<2x3xf64>, %e: tensor<2x3xf64>, %v: tensor<3x3xf64>):
    %p = nncc.contract %h, %v batch [] x [] sum [1] x [1] : (tensor<2x3xf64>, tensor<3x3xf64>) -> tensor<2x3xf64>
    %s = nncc.add %e, %p : tensor<2x3xf64>
    %t = nncc.tanh %s : tensor<2x3xf64>
    nncc.yield %t, %t : tensor<2x3xf64>, tensor<2x3xf64>
  }
  %g:3 = nncc.gradient %y * %one by %h0, %x, %w : tensor<4x2x3xf64> by tensor<2x3xf64>, tensor<4x2x3xf64>, tensor<3x3xf64> to tensor<2x3xf64>, tensor<4x2x3xf64>, tensor<3x3xf64>
  return %g#0, %g#1, %g#2 : tensor<2x3xf64>, tensor<4x2x3xf64>, tensor<3x3xf64>
}
