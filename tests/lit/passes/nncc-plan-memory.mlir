// RUN: nncc-opt --nncc-form-kernels --nncc-plan-memory %s | FileCheck %s

// The third tensor takes the place of the first, which is dead by then.
// CHECK-LABEL: func.func @forward
// CHECK-SAME: nncc.arena = 512
func.func @forward(%x: tensor<8x8xf32>, %w: tensor<8x8xf32>) -> tensor<8x8xf32> {
  // CHECK: nncc.call {{.*}} at [0]
  // CHECK: nncc.call {{.*}} at [256]
  // CHECK: nncc.call {{.*}} at [0]
  // CHECK: nncc.call {{.*}} at [-1]
  %a = nncc.contract %x, %w batch [] x [] sum [1] x [0] : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %b = nncc.contract %a, %w batch [] x [] sum [1] x [0] : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %c = nncc.contract %b, %w batch [] x [] sum [1] x [0] : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %d = nncc.contract %c, %w batch [] x [] sum [1] x [0] : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  return %d : tensor<8x8xf32>
}

// A scan: the state that is an output's last element lies there (-1), the other
// has two places in turn; the body's own arena lives as long as the loop.
// CHECK-LABEL: func.func @loop
// CHECK-SAME: nncc.arena = 256
// CHECK: nncc.call {{.*}} at [128]
// CHECK: nncc.scan 4 {{.*}} {offsets = array<i64: -1, 0, -1, 192>}
// CHECK: nncc.call {{.*}} at [0]
// CHECK: nncc.call {{.*}} at [-1, -1]
func.func @loop(%x: tensor<4x2x3xf32>, %w: tensor<3x3xf32>) -> (tensor<4x2x3xf32>, tensor<2x3xf32>) {
  %zero = nncc.constant dense<0.0> : tensor<2x3xf32>
  %h, %c, %y = nncc.scan 4 from (%zero, %zero) over (%x) with (%w)
      : (tensor<2x3xf32>, tensor<2x3xf32>, tensor<4x2x3xf32>, tensor<3x3xf32>)
      -> (tensor<2x3xf32>, tensor<2x3xf32>, tensor<4x2x3xf32>) {
  ^bb0(%h0: tensor<2x3xf32>, %c0: tensor<2x3xf32>, %e: tensor<2x3xf32>, %v: tensor<3x3xf32>):
    %p = nncc.contract %h0, %v batch [] x [] sum [1] x [0] : (tensor<2x3xf32>, tensor<3x3xf32>) -> tensor<2x3xf32>
    %g = nncc.add %p, %e : tensor<2x3xf32>
    %s = nncc.tanh %g : tensor<2x3xf32>
    %c1 = nncc.mul %c0, %s : tensor<2x3xf32>
    %h1 = nncc.add %c1, %g : tensor<2x3xf32>
    nncc.yield %h1, %c1, %h1 : tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>
  }
  return %y, %c : tensor<4x2x3xf32>, tensor<2x3xf32>
}
