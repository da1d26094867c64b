// Reverse mode as an op, until nncc-autodiff replaces it.

def Nncc_GradientOp : Nncc_Base<"gradient", [
    AllTypesMatch<["value", "seed"]>]> {
  let summary = "gradients of `value`, times `seed`, by each of `of`";
  let description = [{
    The sum over elements of seed * value, differentiated by each value in
    `of`; zeros where it does not depend on one.
    ```mlir
    %g:2 = nncc.gradient %loss * %one by %w, %b
        : tensor<f32> by tensor<4x8xf32>, tensor<4xf32>
        to tensor<4x8xf32>, tensor<4xf32>
    ```
    C1: one result per value, of its type. C2: everything stands before the op in
    one block.
  }];
  let arguments = (ins Nncc_FloatTensor:$value, Nncc_FloatTensor:$seed,
                       Variadic<Nncc_FloatTensor>:$of);
  let results = (outs Variadic<Nncc_FloatTensor>:$results);
  let assemblyFormat = [{$value `*` $seed `by` $of attr-dict `:` type($value)
                         `by` type($of) `to` type($results)}];
  let hasVerifier = 1;
}
