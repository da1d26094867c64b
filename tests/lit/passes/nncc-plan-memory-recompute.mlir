// RUN: nncc-opt --nncc-plan-memory=max-arena=128 %s | FileCheck %s

// Three tensors are in the arena while %c is computed, and only there: outputs
// are not in it, so the end needs less, though %a is read there. %a is made
// again for that.
// CHECK-LABEL: func.func @outputs
// CHECK-SAME: nncc.arena = 128
// CHECK: %[[A:.*]] = nncc.call @k(%arg0) at [
// CHECK: %[[B:.*]] = nncc.call @k(%[[A]]) at [
// CHECK: %[[C:.*]] = nncc.call @k(%[[B]]) at [
// CHECK: %[[D:.*]] = nncc.call @k(%[[C]]) at [
// CHECK: %[[P:.*]] = nncc.call @k(%[[D]]) at [-1]
// CHECK: %[[AGAIN:.*]] = nncc.call @k(%arg0) at [{{[0-9]+}}] {nncc.recomputed}
// CHECK: nncc.call @two(%[[AGAIN]], %[[D]]) at [-1]
func.func @outputs(%x: tensor<16xf32>) -> (tensor<16xf32>, tensor<16xf32>) {
  %a = nncc.call @k(%x) : (tensor<16xf32>) -> tensor<16xf32>
  %b = nncc.call @k(%a) : (tensor<16xf32>) -> tensor<16xf32>
  %c = nncc.call @k(%b) : (tensor<16xf32>) -> tensor<16xf32>
  %d = nncc.call @k(%c) : (tensor<16xf32>) -> tensor<16xf32>
  %p = nncc.call @k(%d) : (tensor<16xf32>) -> tensor<16xf32>
  %q = nncc.call @two(%a, %d) : (tensor<16xf32>, tensor<16xf32>) -> tensor<16xf32>
  return %p, %q : tensor<16xf32>, tensor<16xf32>
}

// Tensors of one element take 64 bytes each: while %c is computed more is in use
// than while %o is, though their elements are less.
// CHECK-LABEL: func.func @rounded
// CHECK-SAME: nncc.arena = 128
// CHECK: nncc.call @k1({{.*}} {nncc.recomputed}
func.func @rounded(%x: tensor<1xf32>, %y: tensor<24xf32>) -> (tensor<24xf32>, tensor<1xf32>) {
  %e = nncc.call @k24(%y) : (tensor<24xf32>) -> tensor<24xf32>
  %o = nncc.call @k24(%e) : (tensor<24xf32>) -> tensor<24xf32>
  %a = nncc.call @k1(%x) : (tensor<1xf32>) -> tensor<1xf32>
  %b = nncc.call @k1(%a) : (tensor<1xf32>) -> tensor<1xf32>
  %c = nncc.call @k1(%b) : (tensor<1xf32>) -> tensor<1xf32>
  %d = nncc.call @k1(%c) : (tensor<1xf32>) -> tensor<1xf32>
  %q = nncc.call @two1(%a, %d) : (tensor<1xf32>, tensor<1xf32>) -> tensor<1xf32>
  return %o, %q : tensor<24xf32>, tensor<1xf32>
}

func.func private @k(%x: tensor<16xf32>) -> tensor<16xf32> {
  %y = nncc.exp %x : tensor<16xf32>
  return %y : tensor<16xf32>
}
func.func private @two(%x: tensor<16xf32>, %y: tensor<16xf32>) -> tensor<16xf32> {
  %z = nncc.add %x, %y : tensor<16xf32>
  return %z : tensor<16xf32>
}
func.func private @k1(%x: tensor<1xf32>) -> tensor<1xf32> {
  %y = nncc.exp %x : tensor<1xf32>
  return %y : tensor<1xf32>
}
func.func private @two1(%x: tensor<1xf32>, %y: tensor<1xf32>) -> tensor<1xf32> {
  %z = nncc.add %x, %y : tensor<1xf32>
  return %z : tensor<1xf32>
}
func.func private @k24(%x: tensor<24xf32>) -> tensor<24xf32> {
  %y = nncc.exp %x : tensor<24xf32>
  return %y : tensor<24xf32>
}
