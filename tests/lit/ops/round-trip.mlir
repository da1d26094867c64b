// RUN: nncc-opt %s | nncc-opt | FileCheck %s

// Every op of the dialect reads what it prints.

// CHECK-LABEL: @elementwise
func.func @elementwise(%x: tensor<2x3xf32>, %i: tensor<2x3xi64>) -> tensor<2x3xf32> {
  // CHECK: nncc.exp %{{.*}} : tensor<2x3xf32>
  %0 = nncc.exp %x : tensor<2x3xf32>
  // CHECK: nncc.add %{{.*}}, %{{.*}} : tensor<2x3xf32>
  %1 = nncc.add %0, %x : tensor<2x3xf32>
  // CHECK: nncc.compare lt %{{.*}}, %{{.*}} : tensor<2x3xf32> to tensor<2x3xi1>
  %2 = nncc.compare lt %0, %1 : tensor<2x3xf32> to tensor<2x3xi1>
  // CHECK: nncc.select %{{.*}}, %{{.*}}, %{{.*}} : tensor<2x3xi1>, tensor<2x3xf32>
  %3 = nncc.select %2, %0, %1 : tensor<2x3xi1>, tensor<2x3xf32>
  // CHECK: nncc.convert %{{.*}} : tensor<2x3xi64> to tensor<2x3xf32>
  %4 = nncc.convert %i : tensor<2x3xi64> to tensor<2x3xf32>
  %5 = nncc.mul %3, %4 : tensor<2x3xf32>
  return %5 : tensor<2x3xf32>
}

// CHECK-LABEL: @integers
func.func @integers(%x: tensor<4xi8>, %b: tensor<4xi1>) -> (tensor<4xi8>, tensor<4xi1>) {
  // CHECK: nncc.floor_div
  %0 = nncc.floor_div %x, %x : tensor<4xi8>
  // CHECK: nncc.remainder
  %1 = nncc.remainder %0, %x : tensor<4xi8>
  // CHECK: nncc.shift_left
  %2 = nncc.shift_left %1, %x : tensor<4xi8>
  // CHECK: nncc.shift_right
  %3 = nncc.shift_right %2, %x : tensor<4xi8>
  // CHECK: nncc.xor %{{.*}}, %{{.*}} : tensor<4xi8>
  %4 = nncc.xor %3, %x : tensor<4xi8>
  // CHECK: nncc.not %{{.*}} : tensor<4xi8>
  %5 = nncc.not %4 : tensor<4xi8>
  // CHECK: nncc.xor %{{.*}}, %{{.*}} : tensor<4xi1>
  %6 = nncc.xor %b, %b : tensor<4xi1>
  return %5, %6 : tensor<4xi8>, tensor<4xi1>
}

// CHECK-LABEL: @create
func.func @create() -> (tensor<4xf32>, tensor<4x2xi64>, tensor<3xf32>) {
  // CHECK: nncc.constant dense<2.000000e+00> : tensor<4xf32>
  %0 = nncc.constant dense<2.0> : tensor<4xf32>
  // CHECK: nncc.iota {dim = 0 : i64, start = 1 : i64, step = 3 : i64} : tensor<4x2xi64>
  %1 = nncc.iota {dim = 0, start = 1, step = 3} : tensor<4x2xi64>
  // CHECK: nncc.weight "a.bias" : tensor<3xf32>
  %2 = nncc.weight "a.bias" : tensor<3xf32>
  return %0, %1, %2 : tensor<4xf32>, tensor<4x2xi64>, tensor<3xf32>
}

// CHECK-LABEL: @views
func.func @views(%x: tensor<2x6x6x4xf32>) -> tensor<2x4x4x36xf32> {
  // CHECK: nncc.patches %{{.*}} [1, 2] [3, 3] [1, 1] [1, 1] : tensor<2x6x6x4xf32> to tensor<2x4x4x3x3x4xf32>
  %0 = nncc.patches %x [1, 2] [3, 3] [1, 1] [1, 1] : tensor<2x6x6x4xf32> to tensor<2x4x4x3x3x4xf32>
  // CHECK: nncc.reshape
  %1 = nncc.reshape %0 : tensor<2x4x4x3x3x4xf32> to tensor<2x4x4x36xf32>
  // CHECK: nncc.transpose %{{.*}} [0, 2, 1, 3]
  %2 = nncc.transpose %1 [0, 2, 1, 3] : tensor<2x4x4x36xf32> to tensor<2x4x4x36xf32>
  // CHECK: nncc.pad %{{.*}} [0, 1, 0, 0] [0, 1, 0, 0] [0, 0, 0, 0] {value = 1.000000e+00 : f64}
  %3 = nncc.pad %2 [0, 1, 0, 0] [0, 1, 0, 0] [0, 0, 0, 0] {value = 1.0 : f64} : tensor<2x4x4x36xf32> to tensor<2x6x4x36xf32>
  // CHECK: nncc.slice %{{.*}} [0, 1, 0, 0] [2, 4, 4, 36] [1, 1, 1, 1]
  %4 = nncc.slice %3 [0, 1, 0, 0] [2, 4, 4, 36] [1, 1, 1, 1] : tensor<2x6x4x36xf32> to tensor<2x4x4x36xf32>
  // CHECK: nncc.reverse %{{.*}} [1] : tensor<2x4x4x36xf32>
  %5 = nncc.reverse %4 [1] : tensor<2x4x4x36xf32>
  return %5 : tensor<2x4x4x36xf32>
}

// CHECK-LABEL: @wide_product
func.func @wide_product(%x: tensor<4x8xi8>, %w: tensor<16x8xi8>) -> tensor<4x16xi32> {
  // CHECK: nncc.contract %{{.*}}, %{{.*}} batch [] x [] sum [1] x [1] in i32 :
  %0 = nncc.contract %x, %w batch [] x [] sum [1] x [1] in i32 : (tensor<4x8xi8>, tensor<16x8xi8>) -> tensor<4x16xi32>
  return %0 : tensor<4x16xi32>
}

// CHECK-LABEL: @products
func.func @products(%x: tensor<4x8xf32>, %w: tensor<16x8xf32>, %i: tensor<1x2x5x5xf32>, %k: tensor<3x2x3x3xf32>) -> (tensor<4x16xf32>, tensor<1x3x3x3xf32>) {
  // CHECK: nncc.contract %{{.*}}, %{{.*}} batch [] x [] sum [1] x [1]
  %0 = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
  // CHECK: nncc.convolution
  %1 = nncc.convolution %i, %k {strides = array<i64: 1, 1>, low = array<i64: 0, 0>, high = array<i64: 0, 0>, inputDilations = array<i64: 1, 1>, dilations = array<i64: 1, 1>, groups = 1 : i64} : (tensor<1x2x5x5xf32>, tensor<3x2x3x3xf32>) -> tensor<1x3x3x3xf32>
  return %0, %1 : tensor<4x16xf32>, tensor<1x3x3x3xf32>
}

// CHECK-LABEL: @gradient
func.func @gradient(%x: tensor<4xf32>, %s: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK: nncc.detach %{{.*}} : tensor<4xf32>
  %d = nncc.detach %x : tensor<4xf32>
  // CHECK: nncc.with_slope %{{.*}} by %{{.*}} slope %{{.*}} : tensor<4xf32>
  %l = nncc.with_slope %d by %x slope %x : tensor<4xf32>
  // CHECK: nncc.max %{{.*}}, %{{.*}} {ties = 2 : i32} : tensor<4xf32>
  %m = nncc.max %d, %x {ties = 2 : i32} : tensor<4xf32>
  // CHECK: nncc.reduce max %{{.*}} [0] {first} : tensor<4xf32> to tensor<f32>
  %r = nncc.reduce max %m [0] {first} : tensor<4xf32> to tensor<f32>
  // CHECK: nncc.gradient %{{.*}} * %{{.*}} by %{{.*}} : tensor<4xf32> by tensor<4xf32> to tensor<4xf32>
  %g = nncc.gradient %m * %s by %x : tensor<4xf32> by tensor<4xf32> to tensor<4xf32>
  return %g : tensor<4xf32>
}

// CHECK-LABEL: @random
func.func @random(%k: tensor<2xi64>) -> (tensor<3x4xf32>, tensor<2xf64>) {
  // CHECK: nncc.random %{{.*}} {stream = 3 : i64} : tensor<3x4xf32>
  %u = nncc.random %k {stream = 3} : tensor<3x4xf32>
  %v = nncc.random %k {stream = 4} : tensor<2xf64>
  // CHECK: nncc.all_reduce %{{.*}}, %{{.*}} {names = ["u", "v"]} : (tensor<3x4xf32>, tensor<2xf64>) -> (tensor<3x4xf32>, tensor<2xf64>)
  %m:2 = nncc.all_reduce %u, %v {names = ["u", "v"]} : (tensor<3x4xf32>, tensor<2xf64>) -> (tensor<3x4xf32>, tensor<2xf64>)
  return %m#0, %m#1 : tensor<3x4xf32>, tensor<2xf64>
}

// CHECK-LABEL: @attention_backward
func.func @attention_backward(%q: tensor<2x5x4xf32>, %k: tensor<2x7x4xf32>, %v: tensor<2x7x3xf32>, %d: tensor<2x5x3xf32>, %m: tensor<2x5x7xf32>) -> tensor<2x7x3xf32> {
  // CHECK: nncc.attention_backward %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} mask %{{.*}} {causal, scale = 1.000000e+00 : f64} :
  %0:3 = nncc.attention_backward %q, %k, %v, %d mask %m {causal, scale = 1.0 : f64} : (tensor<2x5x4xf32>, tensor<2x7x4xf32>, tensor<2x7x3xf32>, tensor<2x5x3xf32>, tensor<2x5x7xf32>) -> (tensor<2x5x4xf32>, tensor<2x7x4xf32>, tensor<2x7x3xf32>)
  return %0#2 : tensor<2x7x3xf32>
}

// CHECK-LABEL: @scatter_add
func.func @scatter_add(%x: tensor<4x2xf32>, %i: tensor<3xi64>, %u: tensor<3x2xf32>) -> tensor<4x2xf32> {
  // CHECK: nncc.scatter_add %{{.*}}, %{{.*}}, %{{.*}} : (tensor<4x2xf32>, tensor<3xi64>, tensor<3x2xf32>) -> tensor<4x2xf32>
  %0 = nncc.scatter_add %x, %i, %u : (tensor<4x2xf32>, tensor<3xi64>, tensor<3x2xf32>) -> tensor<4x2xf32>
  return %0 : tensor<4x2xf32>
}

// CHECK-LABEL: @fold
func.func @fold(%p: tensor<1x2x2x3x3x4xf32>) -> tensor<1x5x5x4xf32> {
  // CHECK: nncc.fold %{{.*}} [1, 2] [3, 3] [2, 2] [1, 1] : tensor<1x2x2x3x3x4xf32> to tensor<1x5x5x4xf32>
  %0 = nncc.fold %p [1, 2] [3, 3] [2, 2] [1, 1] : tensor<1x2x2x3x3x4xf32> to tensor<1x5x5x4xf32>
  return %0 : tensor<1x5x5x4xf32>
}

// CHECK-LABEL: @scan
func.func @scan(%h: tensor<8xf32>, %x: tensor<4x8xf32>, %b: tensor<8xf32>) -> (tensor<8xf32>, tensor<4x8xf32>) {
  // CHECK: nncc.scan 4 reverse from(%{{.*}}) over(%{{.*}}) with(%{{.*}}) : (tensor<8xf32>, tensor<4x8xf32>, tensor<8xf32>) -> (tensor<8xf32>, tensor<4x8xf32>) {
  %last, %sums = nncc.scan 4 reverse from (%h) over (%x) with (%b)
      : (tensor<8xf32>, tensor<4x8xf32>, tensor<8xf32>) -> (tensor<8xf32>, tensor<4x8xf32>) {
  ^bb0(%sum: tensor<8xf32>, %row: tensor<8xf32>, %bias: tensor<8xf32>):
    %next = nncc.add %sum, %row : tensor<8xf32>
    %y = nncc.add %next, %bias : tensor<8xf32>
    // CHECK: nncc.yield %{{.*}}, %{{.*}} : tensor<8xf32>, tensor<8xf32>
    nncc.yield %next, %y : tensor<8xf32>, tensor<8xf32>
  }
  return %last, %sums : tensor<8xf32>, tensor<4x8xf32>
}
