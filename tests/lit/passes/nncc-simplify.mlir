// RUN: nncc-opt --nncc-simplify %s | FileCheck %s
// RUN: nncc-opt --nncc-simplify --nncc-simplify %s | FileCheck %s

// A factor per channel moves into the convolution's weights.
// CHECK-LABEL: @scale_weights
func.func @scale_weights(%x: tensor<1x2x4x4xf32>) -> tensor<1x3x4x4xf32> {
  %w = nncc.weight "w" : tensor<3x2x1x1xf32>
  %s = nncc.weight "s" : tensor<3xf32>
  %y = nncc.convolution %x, %w {strides = array<i64: 1, 1>, low = array<i64: 0, 0>, high = array<i64: 0, 0>, inputDilations = array<i64: 1, 1>, dilations = array<i64: 1, 1>, groups = 1 : i64} : (tensor<1x2x4x4xf32>, tensor<3x2x1x1xf32>) -> tensor<1x3x4x4xf32>
  %b = nncc.broadcast %s [1] : tensor<3xf32> to tensor<1x3x4x4xf32>
  // CHECK: %[[W:.*]] = nncc.mul %{{.*}}, %{{.*}} : tensor<3x2x1x1xf32>
  // CHECK: %[[Y:.*]] = nncc.convolution %{{.*}}, %[[W]]
  // CHECK: return %[[Y]]
  %z = nncc.mul %y, %b : tensor<1x3x4x4xf32>
  return %z : tensor<1x3x4x4xf32>
}

// A factor that is computed at run time stays where it is.
// CHECK-LABEL: @keep_runtime_factor
func.func @keep_runtime_factor(%x: tensor<4x2xf32>, %s: tensor<3xf32>) -> tensor<4x3xf32> {
  %w = nncc.weight "w" : tensor<3x2xf32>
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<4x2xf32>, tensor<3x2xf32>) -> tensor<4x3xf32>
  %b = nncc.broadcast %s [1] : tensor<3xf32> to tensor<4x3xf32>
  // CHECK: %[[Y:.*]] = nncc.contract
  // CHECK: nncc.mul %[[Y]]
  %z = nncc.mul %y, %b : tensor<4x3xf32>
  return %z : tensor<4x3xf32>
}

// Ops on constants become constants, by their reference meaning.
// CHECK-LABEL: @fold
func.func @fold() -> tensor<2xf32> {
  // CHECK: %[[C:.*]] = nncc.constant dense<[3.000000e+00, 5.000000e+00]> : tensor<2xf32>
  // CHECK-NEXT: return %[[C]]
  %a = nncc.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %b = nncc.constant dense<[2.0, 3.0]> : tensor<2xf32>
  %c = nncc.add %a, %b : tensor<2xf32>
  return %c : tensor<2xf32>
}

// Two biases per channel become one.
// CHECK-LABEL: @merge_biases
func.func @merge_biases(%x: tensor<4x3xf32>) -> tensor<4x3xf32> {
  %a = nncc.weight "a" : tensor<3xf32>
  %b = nncc.weight "b" : tensor<3xf32>
  %p = nncc.broadcast %a [1] : tensor<3xf32> to tensor<4x3xf32>
  %q = nncc.broadcast %b [1] : tensor<3xf32> to tensor<4x3xf32>
  // CHECK: nncc.add %{{.*}}, %{{.*}} : tensor<3xf32>
  // CHECK: nncc.add %{{.*}}, %{{.*}} : tensor<4x3xf32>
  // CHECK-NOT: nncc.add
  %y = nncc.add %x, %p : tensor<4x3xf32>
  %z = nncc.add %y, %q : tensor<4x3xf32>
  return %z : tensor<4x3xf32>
}

// Products that are added up become one.
// CHECK-LABEL: @merge_products
func.func @merge_products(%a: tensor<2x8xf32>, %b: tensor<2x16xf32>, %c: tensor<2x8xf32>, %d: tensor<2x16xf32>) -> tensor<8x16xf32> {
  // CHECK-DAG: %[[L:.*]] = nncc.concat %arg0, %arg2 dim 0
  // CHECK-DAG: %[[R:.*]] = nncc.concat %arg1, %arg3 dim 0
  // CHECK: %[[Y:.*]] = nncc.contract %[[L]], %[[R]] {{.*}} sum [0] x [0]
  // CHECK-NEXT: return %[[Y]]
  %x = nncc.contract %a, %b batch [] x [] sum [0] x [0] : (tensor<2x8xf32>, tensor<2x16xf32>) -> tensor<8x16xf32>
  %y = nncc.contract %c, %d batch [] x [] sum [0] x [0] : (tensor<2x8xf32>, tensor<2x16xf32>) -> tensor<8x16xf32>
  %z = nncc.add %x, %y : tensor<8x16xf32>
  return %z : tensor<8x16xf32>
}

// Not where joining would move more than adding does.
// CHECK-LABEL: @keep_products
func.func @keep_products(%a: tensor<64x2xf32>, %b: tensor<64x3xf32>, %c: tensor<64x2xf32>, %d: tensor<64x3xf32>) -> tensor<2x3xf32> {
  // CHECK-COUNT-2: nncc.contract
  // CHECK: nncc.add
  %x = nncc.contract %a, %b batch [] x [] sum [0] x [0] : (tensor<64x2xf32>, tensor<64x3xf32>) -> tensor<2x3xf32>
  %y = nncc.contract %c, %d batch [] x [] sum [0] x [0] : (tensor<64x2xf32>, tensor<64x3xf32>) -> tensor<2x3xf32>
  %z = nncc.add %x, %y : tensor<2x3xf32>
  return %z : tensor<2x3xf32>
}

// A sum that a scatter is added to is what it starts from.
// CHECK-LABEL: @scatter_into
func.func @scatter_into(%x: tensor<4x2xf32>, %i: tensor<3xi64>, %u: tensor<3x2xf32>) -> tensor<4x2xf32> {
  // CHECK: %[[Y:.*]] = nncc.scatter_add %arg0, %arg1, %arg2
  // CHECK-NEXT: return %[[Y]]
  %zero = nncc.constant dense<0.0> : tensor<4x2xf32>
  %s = nncc.scatter_add %zero, %i, %u : (tensor<4x2xf32>, tensor<3xi64>, tensor<3x2xf32>) -> tensor<4x2xf32>
  %y = nncc.add %x, %s : tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}

// A scan without what nothing needs, equal operands and stacks once; a final
// state that is in a stack is read from there.
// CHECK-LABEL: @drop
// CHECK: %[[R:.*]]:2 = nncc.scan 4 reverse from(%arg3) over(%arg0) with(%arg2)
// CHECK-NEXT: ^bb0(%[[S:.*]]: tensor<3xf32>, %[[E:.*]]: tensor<3xf32>, %[[C:.*]]: tensor<3xf32>):
// CHECK-NEXT: nncc.mul %[[E]], %[[E]]
// CHECK: nncc.mul %[[C]], %[[C]]
// CHECK-NOT: nncc.exp
// CHECK: nncc.yield %[[N:.*]], %[[N]] :
// CHECK: %[[L:.*]] = nncc.slice %[[R]]#1 [0, 0] [1, 3]
// CHECK: %[[F:.*]] = nncc.reshape %[[L]]
// CHECK: return %[[F]], %[[R]]#1, %[[R]]#1
func.func @drop(%x: tensor<4x3xf32>, %z: tensor<4x3xf32>, %b: tensor<3xf32>, %h: tensor<3xf32>) -> (tensor<3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) {
  %f, %g, %y, %u, %v = nncc.scan 4 reverse from (%h, %h) over (%x, %z, %x) with (%b, %b)
      : (tensor<3xf32>, tensor<3xf32>, tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>, tensor<3xf32>, tensor<3xf32>)
      -> (tensor<3xf32>, tensor<3xf32>, tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>) {
  ^bb0(%s: tensor<3xf32>, %t: tensor<3xf32>, %e: tensor<3xf32>, %unused: tensor<3xf32>, %same: tensor<3xf32>, %c: tensor<3xf32>, %d: tensor<3xf32>):
    %0 = nncc.mul %e, %same : tensor<3xf32>
    %1 = nncc.add %s, %0 : tensor<3xf32>
    %2 = nncc.mul %c, %d : tensor<3xf32>
    %3 = nncc.add %1, %2 : tensor<3xf32>
    %4 = nncc.exp %3 : tensor<3xf32>
    nncc.yield %3, %4, %3, %4, %3 : tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>
  }
  return %f, %y, %v : tensor<3xf32>, tensor<4x3xf32>, tensor<4x3xf32>
}

// One step is no loop.
// CHECK-LABEL: @one
// CHECK-NOT: nncc.scan
// CHECK: return
func.func @one(%x: tensor<1x3xf32>, %h: tensor<3xf32>) -> (tensor<3xf32>, tensor<1x3xf32>) {
  %f, %y = nncc.scan 1 from (%h) over (%x) with () : (tensor<3xf32>, tensor<1x3xf32>) -> (tensor<3xf32>, tensor<1x3xf32>) {
  ^bb0(%s: tensor<3xf32>, %e: tensor<3xf32>):
    %1 = nncc.add %s, %e : tensor<3xf32>
    nncc.yield %1, %1 : tensor<3xf32>, tensor<3xf32>
  }
  return %f, %y : tensor<3xf32>, tensor<1x3xf32>
}

// What has no elements, and a sum of no products, is a constant.
// CHECK-LABEL: @empty
// CHECK-NOT: nncc.contract
// CHECK: return
func.func @empty(%x: tensor<0x8xf32>, %w: tensor<8x4xf32>, %y: tensor<3x0xf32>, %v: tensor<0x4xf32>) -> (tensor<0x4xf32>, tensor<3x4xf32>) {
  %a = nncc.contract %x, %w batch [] x [] sum [1] x [0] : (tensor<0x8xf32>, tensor<8x4xf32>) -> tensor<0x4xf32>
  %b = nncc.contract %y, %v batch [] x [] sum [1] x [0] : (tensor<3x0xf32>, tensor<0x4xf32>) -> tensor<3x4xf32>
  return %a, %b : tensor<0x4xf32>, tensor<3x4xf32>
}

// A product of narrow integers is summed in the wide type it asks for, and wraps
// without.
// CHECK-LABEL: @wide_sum
// CHECK-DAG: nncc.constant dense<20000> : tensor<1x1xi32>
// CHECK-DAG: nncc.constant dense<32> : tensor<1x1xi8>
func.func @wide_sum() -> (tensor<1x1xi32>, tensor<1x1xi8>) {
  %x = nncc.constant dense<100> : tensor<1x2xi8>
  %y = nncc.constant dense<100> : tensor<2x1xi8>
  %a = nncc.contract %x, %y batch [] x [] sum [1] x [0] in i32 : (tensor<1x2xi8>, tensor<2x1xi8>) -> tensor<1x1xi32>
  %b = nncc.contract %x, %y batch [] x [] sum [1] x [0] : (tensor<1x2xi8>, tensor<2x1xi8>) -> tensor<1x1xi8>
  return %a, %b : tensor<1x1xi32>, tensor<1x1xi8>
}

// A factor of a wide product has another type than its weights.
// CHECK-LABEL: @wide_scale
// CHECK: nncc.contract
// CHECK: nncc.mul
func.func @wide_scale(%x: tensor<4x8xbf16>) -> tensor<4x16xf32> {
  %w = nncc.weight "w" : tensor<16x8xbf16>
  %s = nncc.weight "s" : tensor<16xf32>
  %a = nncc.contract %x, %w batch [] x [] sum [1] x [1] in f32 : (tensor<4x8xbf16>, tensor<16x8xbf16>) -> tensor<4x16xf32>
  %b = nncc.broadcast %s [1] : tensor<16xf32> to tensor<4x16xf32>
  %c = nncc.mul %a, %b : tensor<4x16xf32>
  return %c : tensor<4x16xf32>
}
