// Reductions over dimensions.

def Nncc_Combiner : I32EnumAttr<"Combiner", "how two elements combine", [
    I32EnumAttrCase<"sum", 0>, I32EnumAttrCase<"prod", 1>,
    I32EnumAttrCase<"max", 2>, I32EnumAttrCase<"min", 3>]> {
  let cppNamespace = "::nncc";
}

def Nncc_ReduceOp : Nncc_Op<"reduce", !listconcat(Nncc_Infer,
    [DeclareOpInterfaceMethods<PermutableInterface>])> {
  let summary = "combines all elements along `dims`, which disappear";
  let description = [{
    An empty reduction gives the combiner's identity. `max` and `min` keep NaN.
    ```mlir
    %s = nncc.reduce sum %x [1] : tensor<4x8xf32> to tensor<4xf32>
    ```
    The gradient of `max` and `min` goes to the first of equal elements (the
    last of NaNs, as in PyTorch's pooling), if `first`, else each gets its
    share.
    C1: `dims` strictly increasing and inside the operand.
  }];
  let arguments = (ins Nncc_Combiner:$combiner, Nncc_Tensor:$operand,
                       DenseI64ArrayAttr:$dims, UnitAttr:$first);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = [{$combiner $operand $dims attr-dict `:` type($operand)
                         `to` type($result)}];
}
