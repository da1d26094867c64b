// RUN: nncc-opt --nncc-form-kernels %s | FileCheck %s

// Bias and relu join the product; both calls share one kernel.
// CHECK-LABEL: func.func @forward
func.func @forward(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %w = nncc.weight "w" : tensor<8x8xf32>
  %v = nncc.weight "v" : tensor<8x8xf32>
  %zero = nncc.constant dense<0.0> : tensor<4x8xf32>
  // CHECK: nncc.call @k0
  // CHECK: nncc.call @k0
  // CHECK-NOT: nncc.call
  %a = nncc.contract %x, %w batch [] x [] sum [1] x [0] : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %b = nncc.max %a, %zero : tensor<4x8xf32>
  %c = nncc.contract %b, %v batch [] x [] sum [1] x [0] : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %d = nncc.max %c, %zero : tensor<4x8xf32>
  return %d : tensor<4x8xf32>
}

// A value that is used elsewhere too ends the epilogue.
// CHECK-LABEL: func.func @two_users
func.func @two_users(%x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %w = nncc.weight "w" : tensor<8x8xf32>
  // CHECK: nncc.call @k1
  // CHECK: nncc.call @k2
  %a = nncc.contract %x, %w batch [] x [] sum [1] x [0] : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  %b = nncc.exp %a : tensor<4x8xf32>
  return %a, %b : tensor<4x8xf32>, tensor<4x8xf32>
}

// Softmax over rows is one kernel.
// CHECK-LABEL: func.func @softmax
func.func @softmax(%x: tensor<4x64xf32>) -> tensor<4x64xf32> {
  // CHECK: nncc.call @k3
  // CHECK-NEXT: return
  %m = nncc.reduce max %x [1] : tensor<4x64xf32> to tensor<4xf32>
  %mb = nncc.broadcast %m [0] : tensor<4xf32> to tensor<4x64xf32>
  %c = nncc.sub %x, %mb : tensor<4x64xf32>
  %e = nncc.exp %c : tensor<4x64xf32>
  %s = nncc.reduce sum %e [1] : tensor<4x64xf32> to tensor<4xf32>
  %sb = nncc.broadcast %s [0] : tensor<4xf32> to tensor<4x64xf32>
  %y = nncc.div %e, %sb : tensor<4x64xf32>
  return %y : tensor<4x64xf32>
}

// The right side of a product is copied into the order that vectors read.
// CHECK-LABEL: func.func @strided_columns
func.func @strided_columns(%x: tensor<4x8xf32>, %w: tensor<16x8xf32>) -> tensor<4x16xf32> {
  // CHECK: %[[COPY:.*]] = nncc.call @k4(%arg1)
  // CHECK: nncc.call @k5(%arg0, %[[COPY]])
  %t = nncc.transpose %w [1, 0] : tensor<16x8xf32> to tensor<8x16xf32>
  %y = nncc.contract %x, %t batch [] x [] sum [1] x [0] : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  return %y : tensor<4x16xf32>
}

// A tensor that is spread out by zeros is a kernel of its own; a plain border
// joins its reader.
// CHECK-LABEL: func.func @spread
func.func @spread(%x: tensor<4xf32>, %y: tensor<7xf32>) -> tensor<7xf32> {
  // CHECK: %[[S:.*]] = nncc.call @k{{.*}}(%arg0) {{.*}} : (tensor<4xf32>) -> tensor<7xf32>
  // CHECK: nncc.call @k{{.*}}(%[[S]], %arg1)
  %s = nncc.pad %x [0] [0] [1] {value = 0.0 : f64} : tensor<4xf32> to tensor<7xf32>
  %z = nncc.add %s, %y : tensor<7xf32>
  return %z : tensor<7xf32>
}

// CHECK-LABEL: func.func @border
func.func @border(%x: tensor<4xf32>, %y: tensor<7xf32>) -> tensor<7xf32> {
  // CHECK: nncc.call @k{{.*}}(%arg0, %arg1)
  // CHECK-NEXT: return
  %s = nncc.pad %x [1] [2] [0] {value = 0.0 : f64} : tensor<4xf32> to tensor<7xf32>
  %z = nncc.add %s, %y : tensor<7xf32>
  return %z : tensor<7xf32>
}

// What belongs to one parameter is one kernel, over the state that it reads.
// CHECK-LABEL: func.func @updates
func.func @updates(%g: tensor<4x8xf32>) -> (tensor<4x8xf32> {nncc.name = "w", nncc.update = 0}, tensor<4x8xf32> {nncc.name = "m", nncc.update = 0}) {
  // CHECK: %{{.*}}:2 = nncc.call @[[UPDATE:k[0-9]+]](%{{.*}}, %{{.*}}, %arg0) {{.*}} -> (tensor<4x8xf32>, tensor<4x8xf32>)
  // CHECK-NEXT: return
  %w = nncc.weight "w" : tensor<4x8xf32>
  %m = nncc.weight "m" : tensor<4x8xf32>
  %n = nncc.add %m, %g : tensor<4x8xf32>
  %v = nncc.sub %w, %n : tensor<4x8xf32>
  return %v, %n : tensor<4x8xf32>, tensor<4x8xf32>
}

// A kernel that reads the weight at other elements does not write over it.
// CHECK-LABEL: func.func @crossing_update
func.func @crossing_update(%g: tensor<8x8xf32>) -> (tensor<8x8xf32> {nncc.name = "w", nncc.update = 0}) {
  // CHECK: %[[NEW:.*]] = nncc.call
  // CHECK-NEXT: %[[COPY:.*]] = nncc.call @k{{.*}}(%[[NEW]])
  // CHECK-NEXT: return %[[COPY]]
  %w = nncc.weight "w" : tensor<8x8xf32>
  %t = nncc.transpose %w [1, 0] : tensor<8x8xf32> to tensor<8x8xf32>
  %v = nncc.sub %t, %g : tensor<8x8xf32>
  return %v : tensor<8x8xf32>
}

// The old value is read before the new one is written; gradients leave as soon
// as they are there.
// CHECK-LABEL: func.func @order
func.func @order(%g: tensor<8x8xf32>, %x: tensor<8x8xf32>) -> (tensor<8x8xf32> {nncc.name = "w", nncc.update = 0}, tensor<8x8xf32>) {
  // CHECK: nncc.call @k{{.*}}(%arg0)
  // CHECK-NEXT: %[[MEAN:.*]] = nncc.all_reduce
  // CHECK: %[[READ:.*]] = nncc.call @k{{.*}}(%arg1, %[[W:[0-9]+]])
  // CHECK-NEXT: %[[NEW:.*]] = nncc.call @k{{.*}}(%[[W]], %[[MEAN]])
  // CHECK-NEXT: return %[[NEW]], %[[READ]]
  %w = nncc.weight "w" : tensor<8x8xf32>
  %e = nncc.exp %g : tensor<8x8xf32>
  %m = nncc.all_reduce %e {names = ["w"]} : (tensor<8x8xf32>) -> tensor<8x8xf32>
  %v = nncc.sub %w, %m : tensor<8x8xf32>
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [1] : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  return %v, %y : tensor<8x8xf32>, tensor<8x8xf32>
}

// A root with several results is a kernel by itself: nothing joins it, and its
// operands are memory.
// CHECK-LABEL: func.func @backward
func.func @backward(%q: tensor<2x4x8xf32>, %d: tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
  // CHECK: nncc.call
  // CHECK: %[[Y:.*]]:3 = nncc.call
  // CHECK-NEXT: nncc.call @{{.*}}(%[[Y]]#0) {nncc.reasons = ["the kernel before has several results"]}
  %e = nncc.exp %d : tensor<2x4x8xf32>
  %y:3 = nncc.attention_backward %q, %q, %q, %e {scale = 1.0 : f64} : (tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> (tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>)
  %z = nncc.exp %y#0 : tensor<2x4x8xf32>
  return %z : tensor<2x4x8xf32>
}

// What several kernels use and costs less to compute than to read is computed
// in each: nothing but the product and the sums goes through memory.
// CHECK-LABEL: func.func @repeated
func.func @repeated(%x: tensor<256x512xf32>, %m: tensor<256xf32>) -> (tensor<256xf32>, tensor<256x512xf32>) {
  // CHECK-NEXT: %[[S:.*]] = nncc.call @{{.*}}(%arg0, %arg1)
  // CHECK-NEXT: %[[Y:.*]] = nncc.call @{{.*}}(%arg0, %arg1)
  // CHECK-NEXT: return %[[S]], %[[Y]]
  %b = nncc.broadcast %m [0] : tensor<256xf32> to tensor<256x512xf32>
  %d = nncc.sub %x, %b : tensor<256x512xf32>
  %q = nncc.mul %d, %d : tensor<256x512xf32>
  %s = nncc.reduce sum %q [0] : tensor<256x512xf32> to tensor<512xf32>
  %p = nncc.slice %s [0] [256] [1] : tensor<512xf32> to tensor<256xf32>
  %r = nncc.neg %p : tensor<256xf32>
  %y = nncc.tanh %d : tensor<256x512xf32>
  return %r, %y : tensor<256xf32>, tensor<256x512xf32>
}

// A product's own epilogue is better: nothing else needs the product.
// CHECK-LABEL: func.func @not_repeated
func.func @not_repeated(%x: tensor<256x512xf32>, %w: tensor<512x512xf32>) -> (tensor<256x512xf32>, tensor<256x512xf32>) {
  // CHECK: %[[Z:.*]] = nncc.call @{{.*}}(%arg0, %arg1)
  // CHECK-NEXT: nncc.call @{{.*}}(%[[Z]])
  // CHECK-NEXT: nncc.call @{{.*}}(%[[Z]])
  %y = nncc.contract %x, %w batch [] x [] sum [1] x [0] : (tensor<256x512xf32>, tensor<512x512xf32>) -> tensor<256x512xf32>
  %z = nncc.neg %y : tensor<256x512xf32>
  %s = nncc.tanh %z : tensor<256x512xf32>
  %t = nncc.exp %z : tensor<256x512xf32>
  return %s, %t : tensor<256x512xf32>, tensor<256x512xf32>
}

// The body of a scan has kernels of its own; what it yields of one shape is
// computed together. The initial state lies in memory, once; a final one is
// copied when it is returned.
// CHECK-LABEL: func.func @loop
// CHECK: %[[ZERO:.*]] = nncc.call
// CHECK-NEXT: %[[R:.*]]:3 = nncc.scan 4 from(%[[ZERO]], %[[ZERO]]) over(%arg0) with(%arg1)
// CHECK-NEXT: ^bb0(%[[H:.*]]: tensor<2x3xf32>, %[[C:.*]]: tensor<2x3xf32>, %[[E:.*]]: tensor<2x3xf32>, %[[W:.*]]: tensor<3x3xf32>):
// CHECK-NEXT: %[[G:.*]] = nncc.call @{{.*}}(%[[H]], %[[W]], %[[E]]) {nncc.reasons = ["comes with each step", "the same in each step", "comes with each step"]}
// CHECK-NEXT: %[[Y:.*]]:2 = nncc.call @{{.*}}(%[[C]], %[[G]])
// CHECK-NEXT: nncc.yield %[[Y]]#0, %[[Y]]#1, %[[Y]]#0
// CHECK: %[[LAST:.*]] = nncc.call @{{.*}}(%[[R]]#1) {nncc.reasons = ["a loop gives it"]}
// CHECK-NEXT: return %[[R]]#2, %[[LAST]]
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

// CHECK: func.func private @[[UPDATE]](%{{.*}}: tensor<4x8xf32> {nncc.in_place}, %{{.*}}: tensor<4x8xf32> {nncc.in_place}, %{{.*}}: tensor<4x8xf32>)
