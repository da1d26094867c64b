// Reading at computed places.

def Nncc_GatherOp : Nncc_Op<"gather", Nncc_Infer> {
  let summary = "rows of `operand` along `dim` at `indices`";
  let description = [{
    Result shape: operand dims before `dim`, the shape of `indices`, operand
    dims after. Indices are clamped into the valid range (memory safety; the
    runtime checks index inputs of an entry and reports the bad one).
    ```mlir
    %e = nncc.gather %table, %ids dim 0
        : (tensor<100x8xf32>, tensor<2x3xi64>) -> tensor<2x3x8xf32>
    ```
    C1: `dim` is a dimension of the operand and is not empty.
  }];
  let arguments = (ins Nncc_Tensor:$operand, Nncc_IntTensor:$indices,
                       I64Attr:$dim);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = [{$operand `,` $indices `dim` $dim attr-dict `:`
                         functional-type(operands, results)}];
}

def Nncc_ScatterAddOp : Nncc_Base<"scatter_add", Nncc_Infer> {
  let summary = "rows of `base` plus the rows of `updates` at `indices`";
  let description = [{
    `result = base`, then `result[indices[i]] += updates[i]` for each i in order:
    the gradient of a gather, the same bits for any number of threads. Indices
    are clamped into the valid range, as gather does.
    ```mlir
    %t = nncc.scatter_add %zeros, %ids, %dy
        : (tensor<100x8xf32>, tensor<6xi64>, tensor<6x8xf32>) -> tensor<100x8xf32>
    ```
    C1: base (rows, columns) with at least one row, indices (n), updates
    (n, columns) of its element type.
  }];
  let arguments = (ins Nncc_FloatTensor:$base, Nncc_IntTensor:$indices,
                       Nncc_FloatTensor:$updates);
  let results = (outs Nncc_FloatTensor:$result);
  let assemblyFormat = [{$base `,` $indices `,` $updates attr-dict `:`
                         functional-type(operands, results)}];
}
