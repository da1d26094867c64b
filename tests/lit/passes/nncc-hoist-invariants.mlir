// RUN: nncc-opt --nncc-hoist-invariants --canonicalize %s | FileCheck %s
// RUN: nncc-opt --nncc-hoist-invariants --canonicalize --nncc-hoist-invariants --canonicalize %s | FileCheck %s

// A weight is transposed once, not in each step. A broadcast costs nothing and
// stays, and so does what depends on the state.
// CHECK-LABEL: func.func @weights
// CHECK: %[[T:.*]] = nncc.transpose %arg2
// CHECK: %[[E:.*]] = nncc.exp %arg3
// CHECK: nncc.scan 4 from(%arg0) over(%arg1) with(%[[T]], %[[E]])
// CHECK-NEXT: ^bb0(%[[H:.*]]: tensor<2x3xf32>, %{{.*}}: tensor<2x3xf32>, %[[W:.*]]: tensor<3x3xf32>, %[[B:.*]]: tensor<3xf32>):
// CHECK-DAG: nncc.contract %[[H]], %[[W]]
// CHECK-DAG: nncc.broadcast %[[B]]
// CHECK-DAG: nncc.transpose %[[H]]
func.func @weights(%h0: tensor<2x3xf32>, %x: tensor<4x2x3xf32>, %w: tensor<3x3xf32>, %b: tensor<3xf32>) -> tensor<2x3xf32> {
  %f = nncc.scan 4 from (%h0) over (%x) with (%w, %b)
      : (tensor<2x3xf32>, tensor<4x2x3xf32>, tensor<3x3xf32>, tensor<3xf32>) -> tensor<2x3xf32> {
  ^bb0(%h: tensor<2x3xf32>, %e: tensor<2x3xf32>, %v: tensor<3x3xf32>, %c: tensor<3xf32>):
    %vt = nncc.transpose %v [1, 0] : tensor<3x3xf32> to tensor<3x3xf32>
    %p = nncc.contract %h, %vt batch [] x [] sum [1] x [0] : (tensor<2x3xf32>, tensor<3x3xf32>) -> tensor<2x3xf32>
    %ce = nncc.exp %c : tensor<3xf32>
    %cb = nncc.broadcast %ce [1] : tensor<3xf32> to tensor<2x3xf32>
    %ht = nncc.transpose %h [1, 0] : tensor<2x3xf32> to tensor<3x2xf32>
    %hr = nncc.reshape %ht : tensor<3x2xf32> to tensor<2x3xf32>
    %s = nncc.add %p, %cb : tensor<2x3xf32>
    %t = nncc.add %s, %hr : tensor<2x3xf32>
    %u = nncc.add %t, %e : tensor<2x3xf32>
    nncc.yield %u : tensor<2x3xf32>
  }
  return %f : tensor<2x3xf32>
}

// What is hoisted for one user and part of what is hoisted for another.
// CHECK-LABEL: func.func @nested
// CHECK: %[[E:.*]] = nncc.exp %arg1
// CHECK: %[[N:.*]] = nncc.neg %[[E]]
// CHECK: nncc.scan 4 from(%arg0) over() with(%[[E]], %[[N]])
func.func @nested(%h0: tensor<3xf32>, %b: tensor<3xf32>) -> tensor<3xf32> {
  %f = nncc.scan 4 from (%h0) over () with (%b) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32> {
  ^bb0(%h: tensor<3xf32>, %c: tensor<3xf32>):
    %e = nncc.exp %c : tensor<3xf32>
    %n = nncc.neg %e : tensor<3xf32>
    %s = nncc.add %h, %e : tensor<3xf32>
    %t = nncc.mul %s, %n : tensor<3xf32>
    nncc.yield %t : tensor<3xf32>
  }
  return %f : tensor<3xf32>
}

// Constants and counting need no operand.
// CHECK-LABEL: func.func @nothing
// CHECK-NEXT: nncc.scan 4 from(%arg0) over() with()
func.func @nothing(%h0: tensor<3xf32>) -> tensor<3xf32> {
  %f = nncc.scan 4 from (%h0) over () with () : (tensor<3xf32>) -> tensor<3xf32> {
  ^bb0(%h: tensor<3xf32>):
    %i = nncc.iota {dim = 0, start = 0, step = 1} : tensor<3xf32>
    %n = nncc.neg %i : tensor<3xf32>
    %s = nncc.add %h, %n : tensor<3xf32>
    nncc.yield %s : tensor<3xf32>
  }
  return %f : tensor<3xf32>
}
