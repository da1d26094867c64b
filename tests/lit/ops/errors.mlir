// RUN: nncc-opt %s -split-input-file -verify-diagnostics

// One function per labelled constraint.

func.func @iota_c1() {
  // expected-error @+1 {{dim 2 is not a dimension of}}
  %0 = nncc.iota {dim = 2, start = 0, step = 1} : tensor<4x2xi64>
  return
}

// -----

func.func @reshape_c1(%x: tensor<6xf32>) {
  // expected-error @+1 {{cannot turn 'tensor<6xf32>' into 'tensor<4xf32>'}}
  %0 = nncc.reshape %x : tensor<6xf32> to tensor<4xf32>
  return
}

// -----

func.func @transpose_c1(%x: tensor<2x3xf32>) {
  // expected-error @+2 {{perm is not a permutation of 2 dimensions}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.transpose %x [0, 0] : tensor<2x3xf32> to tensor<2x2xf32>
  return
}

// -----

func.func @broadcast_c1(%x: tensor<3xf32>) {
  // expected-error @+1 {{dims must give each operand dimension an increasing dimension}}
  %0 = nncc.broadcast %x [2] : tensor<3xf32> to tensor<2x3xf32>
  return
}

// -----

func.func @broadcast_c2(%x: tensor<3xf32>) {
  // expected-error @+1 {{operand dimension 0 has size 3, result dimension 0 has 2}}
  %0 = nncc.broadcast %x [0] : tensor<3xf32> to tensor<2x3xf32>
  return
}

// -----

func.func @slice_c1(%x: tensor<4x4xf32>) {
  // expected-error @+2 {{starts, sizes and steps need 2 entries each}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.slice %x [0] [2] [1] : tensor<4x4xf32> to tensor<2xf32>
  return
}

// -----

func.func @slice_c2(%x: tensor<4xf32>) {
  // expected-error @+2 {{dimension 0 has a step below 1 or a negative size}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.slice %x [0] [2] [0] : tensor<4xf32> to tensor<2xf32>
  return
}

// -----

func.func @slice_c3(%x: tensor<4xf32>) {
  // expected-error @+2 {{dimension 0 of size 4 does not hold elements 1 to 5}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.slice %x [1] [3] [2] : tensor<4xf32> to tensor<3xf32>
  return
}

// -----

func.func @pad_c1(%x: tensor<4xf32>) {
  // expected-error @+2 {{low, high and interior need 1 entries each}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.pad %x [1, 1] [0] [0] {value = 0.0 : f64} : tensor<4xf32> to tensor<5xf32>
  return
}

// -----

func.func @pad_c2(%x: tensor<4xf32>) {
  // expected-error @+2 {{dimension 0 has negative padding}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.pad %x [-1] [0] [0] {value = 0.0 : f64} : tensor<4xf32> to tensor<3xf32>
  return
}

// -----

func.func @reverse_c1(%x: tensor<4xf32>) {
  // expected-error @+1 {{dims must be increasing dimensions of 'tensor<4xf32>'}}
  %0 = nncc.reverse %x [1] : tensor<4xf32>
  return
}

// -----

func.func @patches_c1(%x: tensor<4xf32>) {
  // expected-error @+2 {{dims must be increasing dimensions of 'tensor<4xf32>'}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.patches %x [1] [2] [1] [1] : tensor<4xf32> to tensor<3x2xf32>
  return
}

// -----

func.func @patches_c2(%x: tensor<4xf32>) {
  // expected-error @+2 {{sizes, strides and dilations must be positive}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.patches %x [0] [2] [0] [1] : tensor<4xf32> to tensor<3x2xf32>
  return
}

// -----

func.func @patches_c3(%x: tensor<4xf32>) {
  // expected-error @+2 {{a window of 3 elements with dilation 2 does not fit into 4}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.patches %x [0] [3] [1] [2] : tensor<4xf32> to tensor<1x3xf32>
  return
}

// -----

func.func @concat_c1(%x: tensor<4xf32>) {
  // expected-error @+2 {{dim 1 is not a dimension of}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.concat %x, %x dim 1 : (tensor<4xf32>, tensor<4xf32>) -> tensor<8xf32>
  return
}

// -----

func.func @concat_c2(%x: tensor<4x2xf32>, %y: tensor<4x3xf32>) {
  // expected-error @+2 {{'tensor<4x3xf32>' does not match 'tensor<4x2xf32>' outside dim 0}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.concat %x, %y dim 0 : (tensor<4x2xf32>, tensor<4x3xf32>) -> tensor<8x2xf32>
  return
}

// -----

func.func @reduce_c1(%x: tensor<4x2xf32>) {
  // expected-error @+2 {{dims must be increasing dimensions of}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.reduce sum %x [1, 0] : tensor<4x2xf32> to tensor<f32>
  return
}

// -----

func.func @contract_c1(%x: tensor<4x2xf32>, %y: tensor<2x4xf32>) {
  // expected-error @+2 {{batch and contracted dimensions must be distinct and as many on both sides}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.contract %x, %y batch [] x [] sum [1] x [] : (tensor<4x2xf32>, tensor<2x4xf32>) -> tensor<4x4xf32>
  return
}

// -----

func.func @contract_c2(%x: tensor<4x2xf32>, %y: tensor<3x4xf32>) {
  // expected-error @+2 {{paired dimensions of 'tensor<4x2xf32>' and 'tensor<3x4xf32>' differ in size}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.contract %x, %y batch [] x [] sum [1] x [0] : (tensor<4x2xf32>, tensor<3x4xf32>) -> tensor<4x4xf32>
  return
}

// -----

func.func @contract_c3(%x: tensor<4x2xf32>, %y: tensor<2x4xf64>) {
  // expected-error @+2 {{element types of 'tensor<4x2xf32>' and 'tensor<2x4xf64>' differ}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.contract %x, %y batch [] x [] sum [1] x [0] : (tensor<4x2xf32>, tensor<2x4xf64>) -> tensor<4x4xf32>
  return
}

// -----

func.func @contract_c4(%x: tensor<4x2xf32>, %y: tensor<2x4xf32>) {
  // expected-error @+2 {{products of 'f32' do not fit into 'i64'}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.contract %x, %y batch [] x [] sum [1] x [0] in i64 : (tensor<4x2xf32>, tensor<2x4xf32>) -> tensor<4x4xi64>
  return
}

// -----

func.func @gather_c1(%x: tensor<4x2xf32>, %i: tensor<3xi64>) {
  // expected-error @+2 {{dim 2 is not a non-empty dimension of 'tensor<4x2xf32>'}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.gather %x, %i dim 2 : (tensor<4x2xf32>, tensor<3xi64>) -> tensor<4x2x3xf32>
  return
}

// -----

func.func @attention_c1(%q: tensor<2x4x8xf32>, %k: tensor<2x4x6xf32>) {
  // expected-error @+2 {{do not fit}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.attention %q, %k, %k {scale = 1.0} : (tensor<2x4x8xf32>, tensor<2x4x6xf32>, tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  return
}

// -----

func.func @call_c1(%x: tensor<4xf32>) {
  // expected-error @+1 {{@nowhere is no kernel of this type}}
  %0 = nncc.call @nowhere(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @attention_c2(%q: tensor<4x8xf32>, %m: tensor<4x5xf32>) {
  // expected-error @+2 {{mask must have the scores' shape}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.attention %q, %q, %q mask %m {scale = 1.0} : (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x5xf32>) -> tensor<4x8xf32>
  return
}

// -----

func.func @attention_c3(%q: tensor<4x8xf32>, %k: tensor<4x8xf64>) {
  // expected-error @+2 {{element types of q, k and v differ}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.attention %q, %k, %k {scale = 1.0} : (tensor<4x8xf32>, tensor<4x8xf64>, tensor<4x8xf64>) -> tensor<4x8xf32>
  return
}

// -----

func.func @convolution_c1(%x: tensor<1x2x5xf32>, %w: tensor<3x2x3x3xf32>) {
  // expected-error @+2 {{input and kernel need equal ranks of at least 3}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.convolution %x, %w {strides = array<i64: 1>, low = array<i64: 0>, high = array<i64: 0>, inputDilations = array<i64: 1>, dilations = array<i64: 1>, groups = 1 : i64} : (tensor<1x2x5xf32>, tensor<3x2x3x3xf32>) -> tensor<1x3x3xf32>
  return
}

// -----

func.func @convolution_c2(%x: tensor<1x4x5xf32>, %w: tensor<3x2x3xf32>) {
  // expected-error @+2 {{groups = 2 does not fit 4 input channels}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.convolution %x, %w {strides = array<i64: 1>, low = array<i64: 0>, high = array<i64: 0>, inputDilations = array<i64: 1>, dilations = array<i64: 1>, groups = 2 : i64} : (tensor<1x4x5xf32>, tensor<3x2x3xf32>) -> tensor<1x3x3xf32>
  return
}

// -----

func.func @convolution_c3(%x: tensor<1x2x5xf32>, %w: tensor<3x2x3xf32>) {
  // expected-error @+2 {{a kernel that reaches over 7 elements does not fit into 5}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.convolution %x, %w {strides = array<i64: 1>, low = array<i64: 0>, high = array<i64: 0>, inputDilations = array<i64: 1>, dilations = array<i64: 3>, groups = 1 : i64} : (tensor<1x2x5xf32>, tensor<3x2x3xf32>) -> tensor<1x3x3xf32>
  return
}

// -----

func.func @convolution_c4(%x: tensor<1x2x5xf32>, %w: tensor<3x2x3xf64>) {
  // expected-error @+2 {{element types of 'tensor<1x2x5xf32>' and 'tensor<3x2x3xf64>' differ}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.convolution %x, %w {strides = array<i64: 1>, low = array<i64: 0>, high = array<i64: 0>, inputDilations = array<i64: 1>, dilations = array<i64: 1>, groups = 1 : i64} : (tensor<1x2x5xf32>, tensor<3x2x3xf64>) -> tensor<1x3x3xf32>
  return
}

// -----

func.func @gradient_c1(%x: tensor<4xf32>, %s: tensor<4xf32>) {
  // expected-error @+1 {{needs one result per value, of its type}}
  %0 = nncc.gradient %x * %s by %x : tensor<4xf32> by tensor<4xf32> to tensor<3xf32>
  return
}

// -----

func.func @gradient_c2(%x: tensor<4xf32>, %s: tensor<4xf32>) {
  return
^unreachable:
  // expected-error @+1 {{operands must stand in its block}}
  %0 = nncc.gradient %x * %s by %x : tensor<4xf32> by tensor<4xf32> to tensor<4xf32>
  return
}

// -----

func.func @random_c1(%k: tensor<2xi64>) {
  // expected-error @+1 {{gives too many elements}}
  %0 = nncc.random %k {stream = 0} : tensor<65536x65537xf32>
  return
}

// -----

func.func @all_reduce_c1(%x: tensor<4xf32>) {
  // expected-error @+1 {{needs one result per tensor, of its type}}
  %0 = nncc.all_reduce %x {names = ["x"]} : (tensor<4xf32>) -> tensor<3xf32>
  return
}

// -----

func.func @all_reduce_c2(%x: tensor<4xf32>) {
  // expected-error @+1 {{needs one name per tensor}}
  %0 = nncc.all_reduce %x {names = []} : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @scatter_add_c1(%x: tensor<4x2xf32>, %i: tensor<3xi64>, %u: tensor<3x3xf32>) {
  // expected-error @+2 {{'tensor<4x2xf32>', 'tensor<3xi64>' and 'tensor<3x3xf32>' do not fit}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = nncc.scatter_add %x, %i, %u : (tensor<4x2xf32>, tensor<3xi64>, tensor<3x3xf32>) -> tensor<4x2xf32>
  return
}

// -----

func.func @fold_c1(%p: tensor<1x4x4x3x3x4xf32>) {
  // expected-error @+1 {{operand 'tensor<1x4x4x3x3x4xf32>' is not what patches of 'tensor<1x7x6x4xf32>' gives}}
  %0 = nncc.fold %p [1, 2] [3, 3] [1, 1] [1, 1] : tensor<1x4x4x3x3x4xf32> to tensor<1x7x6x4xf32>
  return
}

// -----

func.func @attention_backward_c1(%q: tensor<2x4x8xf32>, %k: tensor<2x4x6xf32>) {
  // expected-error @+2 {{do not fit}}
  // expected-error @+1 {{failed to infer returned types}}
  %0:3 = nncc.attention_backward %q, %k, %k, %k {scale = 1.0} : (tensor<2x4x8xf32>, tensor<2x4x6xf32>, tensor<2x4x6xf32>, tensor<2x4x6xf32>) -> (tensor<2x4x8xf32>, tensor<2x4x6xf32>, tensor<2x4x6xf32>)
  return
}

// -----

func.func @attention_backward_c2(%q: tensor<4x8xf32>, %m: tensor<4x5xf32>) {
  // expected-error @+2 {{mask must have the scores' shape}}
  // expected-error @+1 {{failed to infer returned types}}
  %0:3 = nncc.attention_backward %q, %q, %q, %q mask %m {scale = 1.0} : (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x5xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>)
  return
}

// -----

func.func @attention_backward_c3(%q: tensor<4x8xf32>, %k: tensor<4x8xf64>) {
  // expected-error @+2 {{element types of q, k and v differ}}
  // expected-error @+1 {{failed to infer returned types}}
  %0:3 = nncc.attention_backward %q, %k, %k, %q {scale = 1.0} : (tensor<4x8xf32>, tensor<4x8xf64>, tensor<4x8xf64>, tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf64>, tensor<4x8xf64>)
  return
}

// -----

func.func @attention_backward_c4(%q: tensor<4x8xf32>, %d: tensor<4x7xf32>) {
  // expected-error @+2 {{d_result must be 'tensor<4x8xf32>'}}
  // expected-error @+1 {{failed to infer returned types}}
  %0:3 = nncc.attention_backward %q, %q, %q, %d {scale = 1.0} : (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x7xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>)
  return
}

// -----

func.func @scan_c1(%h: tensor<8xf32>, %x: tensor<3x8xf32>) {
  // expected-error @+1 {{needs sequences and stacks of 4 elements}}
  %0 = nncc.scan 4 from (%h) over (%x) with () : (tensor<8xf32>, tensor<3x8xf32>) -> tensor<8xf32> {
  ^bb0(%sum: tensor<8xf32>, %row: tensor<8xf32>):
    nncc.yield %row : tensor<8xf32>
  }
  return
}

// -----

func.func @scan_c1_steps(%h: tensor<8xf32>) {
  // expected-error @+1 {{attribute 'steps' failed to satisfy constraint: 64-bit signless integer attribute whose value is positive}}
  %0 = nncc.scan 0 from (%h) over () with () : (tensor<8xf32>) -> tensor<8xf32> {
  ^bb0(%sum: tensor<8xf32>):
    nncc.yield %sum : tensor<8xf32>
  }
  return
}

// -----

func.func @scan_c2(%h: tensor<8xf32>, %x: tensor<4x8xf32>) {
  // expected-error @+1 {{needs a body whose arguments have its operands' types}}
  %0 = nncc.scan 4 from (%h) over (%x) with () : (tensor<8xf32>, tensor<4x8xf32>) -> tensor<8xf32> {
  ^bb0(%sum: tensor<8xf32>, %row: tensor<4x8xf32>):
    nncc.yield %sum : tensor<8xf32>
  }
  return
}

// -----

func.func @scan_c3(%h: tensor<8xf32>, %x: tensor<4x8xf32>) {
  // expected-error @+1 {{needs a body that yields the types of the state and of the stacks' elements}}
  %0, %1 = nncc.scan 4 from (%h) over (%x) with () : (tensor<8xf32>, tensor<4x8xf32>) -> (tensor<8xf32>, tensor<4x8xf32>) {
  ^bb0(%sum: tensor<8xf32>, %row: tensor<8xf32>):
    nncc.yield %sum : tensor<8xf32>
  }
  return
}

// -----

func.func @scan_c4(%h: tensor<8xf32>, %x: tensor<4x2x8xf32>) {
  %0 = nncc.scan 4 from (%h) over (%x) with () : (tensor<8xf32>, tensor<4x2x8xf32>) -> tensor<8xf32> {
  ^bb0(%sum: tensor<8xf32>, %rows: tensor<2x8xf32>):
    // expected-error @+1 {{must not stand in a scan}}
    %1 = nncc.scan 2 from (%sum) over (%rows) with () : (tensor<8xf32>, tensor<2x8xf32>) -> tensor<8xf32> {
    ^bb1(%s: tensor<8xf32>, %row: tensor<8xf32>):
      nncc.yield %row : tensor<8xf32>
    }
    nncc.yield %1 : tensor<8xf32>
  }
  return
}
