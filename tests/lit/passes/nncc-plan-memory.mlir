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
