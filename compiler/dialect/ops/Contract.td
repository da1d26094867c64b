// The general dot product.

def Nncc_ContractOp : Nncc_Op<"contract", !listconcat(Nncc_Infer,
    [DeclareOpInterfaceMethods<KernelRootInterface, ["copyOrder"]>])> {
  let summary = "sum of products over contracted dimensions";
  let description = [{
    Result dimensions: the batch dimensions, then lhs's free ones, then rhs's,
    each in order.
    ```mlir
    %y = nncc.contract %x, %w batch [] x [] sum [1] x [1]
        : (tensor<4x8xf32>, tensor<16x8xf32>) -> tensor<4x16xf32>
    ```
    C1: batch and contracted dimensions are distinct, inside the operand, as
    many on both sides. C2: paired sizes agree. C3: equal types.
  }];
  let arguments = (ins Nncc_Tensor:$lhs, Nncc_Tensor:$rhs,
      DenseI64ArrayAttr:$lhsBatch, DenseI64ArrayAttr:$rhsBatch,
      DenseI64ArrayAttr:$lhsContract, DenseI64ArrayAttr:$rhsContract);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = [{$lhs `,` $rhs `batch` $lhsBatch `x` $rhsBatch
      `sum` $lhsContract `x` $rhsContract attr-dict `:`
      functional-type(operands, results)}];
  let extraClassDeclaration = [{
    /// Dimensions that are neither batch nor contracted, in order.
    ::llvm::SmallVector<int64_t> lhsFree();
    ::llvm::SmallVector<int64_t> rhsFree();
  }];
}
