// RUN: nncc-opt --nncc-layout --canonicalize --cse %s | FileCheck %s
// RUN: nncc-opt --nncc-layout --nncc-layout --canonicalize --cse %s | FileCheck %s

// A convolution becomes a contraction over patches; the transposes between two
// of them cancel.
// CHECK-LABEL: @two_convolutions
func.func @two_convolutions(%x: tensor<1x16x8x8xf32>) -> tensor<1x64x8x8xf32> {
  %w = nncc.weight "w" : tensor<64x16x3x3xf32>
  %v = nncc.weight "v" : tensor<64x64x1x1xf32>
  %zero = nncc.constant dense<0.0> : tensor<1x64x8x8xf32>
  // CHECK: nncc.pad
  // CHECK: nncc.patches %{{.*}} [1, 2] [3, 3] [1, 1] [1, 1]
  // CHECK: nncc.contract
  %a = nncc.convolution %x, %w {strides = array<i64: 1, 1>, low = array<i64: 1, 1>, high = array<i64: 1, 1>, inputDilations = array<i64: 1, 1>, dilations = array<i64: 1, 1>, groups = 1 : i64} : (tensor<1x16x8x8xf32>, tensor<64x16x3x3xf32>) -> tensor<1x64x8x8xf32>
  // CHECK: nncc.max %{{.*}}, %{{.*}} : tensor<1x8x8x64xf32>
  %b = nncc.max %a, %zero : tensor<1x64x8x8xf32>
  // CHECK-NOT: nncc.transpose %{{.*}} : tensor<1x64x8x8xf32>
  // CHECK: nncc.contract
  %c = nncc.convolution %b, %v {strides = array<i64: 1, 1>, low = array<i64: 0, 0>, high = array<i64: 0, 0>, inputDilations = array<i64: 1, 1>, dilations = array<i64: 1, 1>, groups = 1 : i64} : (tensor<1x64x8x8xf32>, tensor<64x64x1x1xf32>) -> tensor<1x64x8x8xf32>
  return %c : tensor<1x64x8x8xf32>
}

// Weights of a contraction are cut into panels.
// CHECK-LABEL: @panels
func.func @panels(%x: tensor<4x8xf32>) -> tensor<4x128xf32> {
  %w = nncc.weight "w" : tensor<128x8xf32>
  // CHECK: nncc.transpose %{{.*}} [0, 2, 1] : tensor<2x64x8xf32> to tensor<2x8x64xf32>
  // CHECK: nncc.contract %{{.*}}, %{{.*}} batch [] x [] sum [1] x [1]
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<4x8xf32>, tensor<128x8xf32>) -> tensor<4x128xf32>
  return %y : tensor<4x128xf32>
}

// An operand that is computed at run time is left alone.
// CHECK-LABEL: @runtime_operand
func.func @runtime_operand(%x: tensor<4x8xf32>, %w: tensor<128x8xf32>) -> tensor<4x128xf32> {
  // CHECK-NOT: nncc.transpose
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<4x8xf32>, tensor<128x8xf32>) -> tensor<4x128xf32>
  return %y : tensor<4x128xf32>
}
