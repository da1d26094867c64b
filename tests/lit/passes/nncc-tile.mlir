// RUN: nncc-opt --nncc-tile=cpu=x86-64-v4 %s | FileCheck %s
// RUN: nncc-opt --nncc-tile=cpu=x86-64-v4 --nncc-tile=cpu=x86-64-v4 %s | FileCheck %s
// RUN: nncc-opt --nncc-tile=cpu=x86-64-v3 %s | FileCheck %s --check-prefix=AVX2

// Register tiles follow the number and width of registers.
// CHECK-LABEL: @product
// CHECK-SAME: nncc.kind = "product", nncc.schedule = {block = {{[0-9]+}} : i64, panels = 1 : i64, rows = 6 : i64, splits = {{[0-9]+}} : i64}
func.func private @product(%x: tensor<60x32xf32>, %w: tensor<4x32x64xf32>) -> tensor<60x4x64xf32> {
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<60x32xf32>, tensor<4x32x64xf32>) -> tensor<60x4x64xf32>
  return %y : tensor<60x4x64xf32>
}

// CHECK-LABEL: @narrow
// CHECK-SAME: rows = 12 : i64
// AVX2-LABEL: @narrow
// AVX2-SAME: rows = 6 : i64
func.func private @narrow(%x: tensor<60x32xf32>, %w: tensor<4x32x16xf32>) -> tensor<60x4x16xf32> {
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<60x32xf32>, tensor<4x32x16xf32>) -> tensor<60x4x16xf32>
  return %y : tensor<60x4x16xf32>
}

// One row takes several panels at once.
// CHECK-LABEL: @vector
// CHECK-SAME: panels = 2 : i64, rows = 1 : i64
func.func private @vector(%x: tensor<1x32xf32>, %w: tensor<4x32x64xf32>) -> tensor<1x4x64xf32> {
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<1x32xf32>, tensor<4x32x64xf32>) -> tensor<1x4x64xf32>
  return %y : tensor<1x4x64xf32>
}

// A number that is given stays, the others are chosen.
// CHECK-LABEL: @by_hand
// CHECK-SAME: nncc.schedule = {block = {{[0-9]+}} : i64, panels = 1 : i64, rows = 3 : i64
func.func private @by_hand(%x: tensor<60x32xf32>, %w: tensor<4x32x64xf32>) -> tensor<60x4x64xf32> attributes {nncc.schedule = {rows = 3 : i64}} {
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<60x32xf32>, tensor<4x32x64xf32>) -> tensor<60x4x64xf32>
  return %y : tensor<60x4x64xf32>
}

// Long rows of attention are cut into blocks of keys, short ones are not.
// CHECK-LABEL: @short_rows
// CHECK-SAME: nncc.kind = "attention"
// CHECK-SAME: keys = 128 : i64
func.func private @short_rows(%q: tensor<4x128x64xf32>) -> tensor<4x128x64xf32> {
  %y = nncc.attention %q, %q, %q {scale = 1.0 : f64} : (tensor<4x128x64xf32>, tensor<4x128x64xf32>, tensor<4x128x64xf32>) -> tensor<4x128x64xf32>
  return %y : tensor<4x128x64xf32>
}
// CHECK-LABEL: @long_rows
// CHECK-SAME: keys = 512 : i64
func.func private @long_rows(%q: tensor<4x4096x64xf32>) -> tensor<4x4096x64xf32> {
  %y = nncc.attention %q, %q, %q {scale = 1.0 : f64} : (tensor<4x4096x64xf32>, tensor<4x4096x64xf32>, tensor<4x4096x64xf32>) -> tensor<4x4096x64xf32>
  return %y : tensor<4x4096x64xf32>
}

// Of the gradient, keys too, and the rows whose scores fit the cache.
// CHECK-LABEL: @backward
// CHECK-SAME: nncc.kind = "attention_backward", nncc.schedule = {block = {{[0-9]+}} : i64, chunk = {{[0-9]+}} : i64, keys = 128 : i64, rows = {{[0-9]+}} : i64}
func.func private @backward(%q: tensor<4x128x64xf32>) -> (tensor<4x128x64xf32>, tensor<4x128x64xf32>, tensor<4x128x64xf32>) {
  %y:3 = nncc.attention_backward %q, %q, %q, %q {scale = 1.0 : f64} : (tensor<4x128x64xf32>, tensor<4x128x64xf32>, tensor<4x128x64xf32>, tensor<4x128x64xf32>) -> (tensor<4x128x64xf32>, tensor<4x128x64xf32>, tensor<4x128x64xf32>)
  return %y#0, %y#1, %y#2 : tensor<4x128x64xf32>, tensor<4x128x64xf32>, tensor<4x128x64xf32>
}

// Of a deep head a panel of keys and fewer rows: scratch memory is 1.5 MiB.
// CHECK-LABEL: @deep_backward
// CHECK-SAME: nncc.schedule = {block = 76 : i64, chunk = 4096 : i64, keys = 64 : i64, rows = 6 : i64}
func.func private @deep_backward(%q: tensor<9000x2900xf32>, %k: tensor<128x2900xf32>) -> (tensor<9000x2900xf32>, tensor<128x2900xf32>, tensor<128x2900xf32>) {
  %y:3 = nncc.attention_backward %q, %k, %k, %q {scale = 1.0 : f64} : (tensor<9000x2900xf32>, tensor<128x2900xf32>, tensor<128x2900xf32>, tensor<9000x2900xf32>) -> (tensor<9000x2900xf32>, tensor<128x2900xf32>, tensor<128x2900xf32>)
  return %y#0, %y#1, %y#2 : tensor<9000x2900xf32>, tensor<128x2900xf32>, tensor<128x2900xf32>
}

// Small loops are one tile.
// CHECK-LABEL: @loops
// CHECK-SAME: nncc.kind = "loops", nncc.schedule = {tiles = 1 : i64}
func.func private @loops(%x: tensor<64xf32>) -> tensor<64xf32> {
  %y = nncc.exp %x : tensor<64xf32>
  return %y : tensor<64xf32>
}

// A product of integers has no register tiles: it is a loop.
// CHECK-LABEL: @integers
// CHECK-SAME: nncc.kind = "loops"
func.func private @integers(%x: tensor<4x8xi64>, %w: tensor<16x8xi64>) -> tensor<4x16xi64> {
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<4x8xi64>, tensor<16x8xi64>) -> tensor<4x16xi64>
  return %y : tensor<4x16xi64>
}

// Loops around a transpose of at least a vector each way are a kind, small ones
// are not.
// CHECK-LABEL: @transpose
// CHECK-SAME: nncc.kind = "transpose"
func.func private @transpose(%x: tensor<32x64xf32>) -> tensor<64x32xf32> {
  %y = nncc.transpose %x [1, 0] : tensor<32x64xf32> to tensor<64x32xf32>
  return %y : tensor<64x32xf32>
}
// CHECK-LABEL: @narrow_transpose
// CHECK-SAME: nncc.kind = "loops"
func.func private @narrow_transpose(%x: tensor<4x64xf32>) -> tensor<64x4xf32> {
  %y = nncc.transpose %x [1, 0] : tensor<4x64xf32> to tensor<64x4xf32>
  return %y : tensor<64x4xf32>
}

// An entry has no schedule.
// CHECK-LABEL: @forward
// CHECK-NOT: nncc.schedule
func.func @forward(%x: tensor<64xf32>) -> tensor<64xf32> {
  return %x : tensor<64xf32>
}
