// RUN: nncc-opt --split-input-file --nncc-verify-stage=stage=tiled --verify-diagnostics %s

// What is left of differentiation.
func.func @detached(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+2 {{has to be gone after nncc-autodiff}}
  // expected-error @+1 {{belongs into a kernel after nncc-form-kernels}}
  %y = nncc.detach %x : tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// A call without a place, of a kernel without a schedule.
func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{has no place after nncc-plan-memory}}
  %y = nncc.call @k(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}
func.func private @k(%x: tensor<4xf32>) -> tensor<4xf32> {
  %w = nncc.weight "w" : tensor<4xf32> // expected-error {{is in a kernel}}
  %y = nncc.add %x, %w : tensor<4xf32>
  // expected-error @+1 {{is in a kernel without a schedule after nncc-tile}}
  return %y : tensor<4xf32>
}
