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

// CHECK-LABEL: @prepare
// CHECK: nncc.exp
