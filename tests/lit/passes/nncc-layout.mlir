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

// A run-time operand is left alone for a few rows.
// CHECK-LABEL: @runtime_few_rows
func.func @runtime_few_rows(%x: tensor<3x8xf32>, %w: tensor<128x8xf32>) -> tensor<3x128xf32> {
  // CHECK-NOT: nncc.transpose
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<3x8xf32>, tensor<128x8xf32>) -> tensor<3x128xf32>
  return %y : tensor<3x128xf32>
}

// For more rows its columns become contiguous.
// CHECK-LABEL: @runtime_columns
func.func @runtime_columns(%x: tensor<4x8xf32>, %w: tensor<128x8xf32>) -> tensor<4x128xf32> {
  // CHECK: nncc.transpose %{{.*}} [1, 0] : tensor<128x8xf32> to tensor<8x128xf32>
  // CHECK: nncc.contract %{{.*}}, %{{.*}} batch [] x [] sum [1] x [0]
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<4x8xf32>, tensor<128x8xf32>) -> tensor<4x128xf32>
  return %y : tensor<4x128xf32>
}

// For many rows it is packed as weights are.
// CHECK-LABEL: @runtime_panels
func.func @runtime_panels(%x: tensor<64x8xf32>, %w: tensor<8x128xf32>) -> tensor<64x128xf32> {
  // CHECK: nncc.transpose %{{.*}} [0, 2, 1] : tensor<2x64x8xf32> to tensor<2x8x64xf32>
  // CHECK: nncc.contract
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [0] : (tensor<64x8xf32>, tensor<8x128xf32>) -> tensor<64x128xf32>
  return %y : tensor<64x128xf32>
}

// Columns that fill no whole panels are not padded at run time.
// CHECK-LABEL: @runtime_uneven
func.func @runtime_uneven(%x: tensor<64x8xf32>, %w: tensor<8x100xf32>) -> tensor<64x100xf32> {
  // CHECK-NOT: nncc.pad
  // CHECK-NOT: nncc.transpose
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [0] : (tensor<64x8xf32>, tensor<8x100xf32>) -> tensor<64x100xf32>
  return %y : tensor<64x100xf32>
}

// Panels of a product in a wide type keep it.
// CHECK-LABEL: @wide_panels
// CHECK: nncc.contract {{.*}} in f32 {nncc.packed}
func.func @wide_panels(%x: tensor<4x8xbf16>) -> tensor<4x16xf32> {
  %w = nncc.weight "w" : tensor<16x8xbf16>
  %a = nncc.contract %x, %w batch [] x [] sum [1] x [1] in f32 : (tensor<4x8xbf16>, tensor<16x8xbf16>) -> tensor<4x16xf32>
  return %a : tensor<4x16xf32>
}

// A vector has half as many f64, and so has a panel.
// CHECK-LABEL: @double_panels
// CHECK: nncc.contract {{.*}} {nncc.packed} : (tensor<4x8xf64>, tensor<2x8x32xf64>) -> tensor<4x2x32xf64>
func.func @double_panels(%x: tensor<4x8xf64>) -> tensor<4x64xf64> {
  %w = nncc.weight "w" : tensor<64x8xf64>
  %a = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<4x8xf64>, tensor<64x8xf64>) -> tensor<4x64xf64>
  return %a : tensor<4x64xf64>
}
