// Between processes that train together.

def Nncc_AllReduceOp : Nncc_Base<"all_reduce",
    [DeclareOpInterfaceMethods<MemoryAliasInterface, ["writesInPlace"]>]> {
  let summary = "the mean of each tensor over all processes";
  let description = [{
    A bucket of gradients on its way from backward to where they are used: one
    call of the context's `all_reduce`, in place; the identity without one.
    `names` are what the host is told.
    ```mlir
    %m:2 = nncc.all_reduce %w, %b {names = ["fc.weight", "fc.bias"]}
        : (tensor<4x8xf32>, tensor<4xf32>)
        -> (tensor<4x8xf32>, tensor<4xf32>)
    ```
    C1: one result per tensor, of its type. C2: one name per tensor.
  }];
  let arguments = (ins Variadic<Nncc_FloatTensor>:$operands, StrArrayAttr:$names);
  let results = (outs Variadic<Nncc_FloatTensor>:$results);
  let assemblyFormat =
      "$operands attr-dict `:` functional-type($operands, results)";
  let hasVerifier = 1;
}
