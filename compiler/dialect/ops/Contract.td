// The general dot product.

def Nncc_ContractOp : Nncc_Op<"contract", !listconcat(Nncc_Infer,
    [DeclareOpInterfaceMethods<KernelRootInterface, ["copyOrder"]>])> {
  let summary = "sum of products over contracted dimensions";
  let description = [{
    Result dimensions: the batch dimensions, then lhs's free ones, then rhs's,
    each in order. Elements are converted to `element`, the result's (that of
    the operands if it is left out), then multiplied and added.
    ```mlir
    %y = nncc.contract %x, %w batch [] x [] sum [1] x [1]
        : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
    %z = nncc.contract %i, %j batch [] x [] sum [1] x [1] in i32
        : (tensor<4x8xi8>, tensor<16x8xi8>) -> tensor<4x16xi32>
    ```
    C1: batch and contracted dimensions are distinct, inside the operand, as
    many on both sides. C2: paired sizes agree. C3: equal types of the operands.
    C4: `element` holds all values of theirs.
  }];
  let arguments = (ins Nncc_Tensor:$lhs, Nncc_Tensor:$rhs,
      DenseI64ArrayAttr:$lhsBatch, DenseI64ArrayAttr:$rhsBatch,
      DenseI64ArrayAttr:$lhsContract, DenseI64ArrayAttr:$rhsContract,
      OptionalAttr<TypeAttr>:$element);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = [{$lhs `,` $rhs `batch` $lhsBatch `x` $rhsBatch
      `sum` $lhsContract `x` $rhsContract (`in` $element^)? attr-dict `:`
      functional-type(operands, results)}];
  let extraClassDeclaration = [{
    /// Dimensions that are neither batch nor contracted, in order.
    ::llvm::SmallVector<int64_t> lhsFree();
    ::llvm::SmallVector<int64_t> rhsFree();
  }];
}
