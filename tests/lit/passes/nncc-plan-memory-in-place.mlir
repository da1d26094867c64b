// RUN: nncc-opt --nncc-plan-memory %s | FileCheck %s
// RUN: nncc-opt --nncc-plan-memory --nncc-plan-memory %s | FileCheck %s

// An operand that dies with a call gives its place to the result, where the
// kernel allows it.
// CHECK-LABEL: func.func @in_place
// CHECK-SAME: nncc.arena = 64
func.func @in_place(%x: tensor<16xf32>) -> tensor<16xf32> {
  // CHECK: nncc.call @step(%arg0) at [0]
  // CHECK: nncc.call @step(%{{.*}}) at [0]
  // CHECK: nncc.call @step(%{{.*}}) at [-1]
  %a = nncc.call @step(%x) : (tensor<16xf32>) -> tensor<16xf32>
  %b = nncc.call @step(%a) : (tensor<16xf32>) -> tensor<16xf32>
  %c = nncc.call @step(%b) : (tensor<16xf32>) -> tensor<16xf32>
  return %c : tensor<16xf32>
}

// Not where something still needs it.
// CHECK-LABEL: func.func @still_needed
// CHECK-SAME: nncc.arena = 128
func.func @still_needed(%x: tensor<16xf32>) -> (tensor<16xf32>, tensor<16xf32>) {
  %a = nncc.call @step(%x) : (tensor<16xf32>) -> tensor<16xf32>
  %b = nncc.call @step(%a) : (tensor<16xf32>) -> tensor<16xf32>
  %c = nncc.call @step(%b) : (tensor<16xf32>) -> tensor<16xf32>
  %d = nncc.call @step(%a) : (tensor<16xf32>) -> tensor<16xf32>
  return %c, %d : tensor<16xf32>, tensor<16xf32>
}

func.func private @step(%x: tensor<16xf32> {nncc.in_place}) -> tensor<16xf32> {
  %y = nncc.exp %x : tensor<16xf32>
  return %y : tensor<16xf32>
}
