// RUN: nncc-opt --nncc-autodiff --verify-diagnostics %s

func.func @f(%q: tensor<2x4x8xf32>, %s: tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
  // expected-error @+1 {{has no derivative of its own}}
  %y:3 = nncc.attention_backward %q, %q, %q, %q {scale = 1.0 : f64} : (tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> (tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>)
  %g = nncc.gradient %y#1 * %s by %q : tensor<2x4x8xf32> by tensor<2x4x8xf32> to tensor<2x4x8xf32>
  return %g : tensor<2x4x8xf32>
}
