// RUN: not nncc-opt --nncc-form-kernels %s 2>&1 | FileCheck %s
// RUN: not nncc-opt --nncc-autodiff %s 2>&1 | FileCheck %s --check-prefix=GRADIENT

// Arithmetic that does not fit ends the compiler at the op that it works on.
// CHECK: {{^}}m.json:3:7: error: this comes to sizes beyond 64 bits ({{.*}} of the compiler)
func.func @forward(%x: tensor<4294967296x2147483648xf64>) -> tensor<2147483648x2147483648xf64> {
  %s = nncc.slice %x [0, 0] [2147483648, 2147483648] [1, 1] : tensor<4294967296x2147483648xf64> to tensor<2147483648x2147483648xf64>
  %w = nncc.exp %s : tensor<2147483648x2147483648xf64> loc("m.json":3:7)
  return %w : tensor<2147483648x2147483648xf64>
}

// Offsets that the gradient would pad by.
// GRADIENT: {{^}}m.json:4:9: error: this comes to sizes beyond 64 bits ({{.*}} of the compiler)
func.func @backward(%x: tensor<1x2x5xf32>, %w: tensor<3x2x1xf32>, %s: tensor<1x3x4xf32>) -> tensor<1x2x5xf32> {
  %y = nncc.convolution %x, %w {strides = array<i64: 1>, low = array<i64: -9223372036854775808>, high = array<i64: 9223372036854775807>, inputDilations = array<i64: 1>, dilations = array<i64: 1>, groups = 1 : i64} : (tensor<1x2x5xf32>, tensor<3x2x1xf32>) -> tensor<1x3x4xf32> loc("m.json":4:9)
  %g = nncc.gradient %y * %s by %x : tensor<1x3x4xf32> by tensor<1x2x5xf32> to tensor<1x2x5xf32>
  return %g : tensor<1x2x5xf32>
}
