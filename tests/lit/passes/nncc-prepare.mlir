// RUN: nncc-opt --nncc-prepare %s | FileCheck %s
// RUN: nncc-opt --nncc-prepare --nncc-prepare %s | FileCheck %s

// What depends on weights alone moves; the broadcast stays in the kernel.
// CHECK-LABEL: @forward
// CHECK-SAME: (%[[X:.*]]: tensor<4x3xf32>)
func.func @forward(%x: tensor<4x3xf32>) -> tensor<4x3xf32> {
  // CHECK: %[[P:.*]] = nncc.weight "0" prepared : tensor<3xf32>
  // CHECK: %[[B:.*]] = nncc.broadcast %[[P]]
  // CHECK: nncc.add %[[X]], %[[B]]
  %a = nncc.weight "a" : tensor<3xf32>
  %e = nncc.exp %a : tensor<3xf32>
  %b = nncc.broadcast %e [1] : tensor<3xf32> to tensor<4x3xf32>
  %y = nncc.add %x, %b : tensor<4x3xf32>
  return %y : tensor<4x3xf32>
}

// A mean over all processes is no weight's alone, nor one of this run's.
// CHECK-LABEL: @gradients
func.func @gradients() -> (tensor<3xf32>, tensor<3xf32>) {
  // CHECK: %[[P:.*]] = nncc.weight "1" prepared : tensor<3xf32>
  // CHECK: %[[R:.*]]:2 = nncc.all_reduce %[[P]], %[[P]]
  // CHECK: return %[[R]]#0, %[[R]]#1
  %a = nncc.weight "a" : tensor<3xf32>
  %g = nncc.neg %a : tensor<3xf32>
  %m:2 = nncc.all_reduce %g, %g {names = ["a", "b"]} : (tensor<3xf32>, tensor<3xf32>) -> (tensor<3xf32>, tensor<3xf32>)
  return %m#0, %m#1 : tensor<3xf32>, tensor<3xf32>
}

// CHECK-LABEL: @prepare
// CHECK: nncc.exp
