// Ops that move elements. All but `concat` are views: one operand, and every
// result element is an operand element (`pad`: or the padding value).

def Nncc_ReshapeOp : Nncc_View<"reshape",
    [DeclareOpInterfaceMethods<MemoryAliasInterface>]> {
  let summary = "same elements in row-major order, another shape";
  let description = "C1: the number of elements is unchanged.";
  let arguments = (ins Nncc_Tensor:$operand);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($operand) `to` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let extraClassDeclaration = [{
    bool landsOnce() { return true; }
  }];
}

def Nncc_TransposeOp : Nncc_View<"transpose", Nncc_Infer> {
  let summary = "permutes dimensions: result dim i is operand dim perm[i]";
  let description = "C1: `perm` is a permutation of the operand's dimensions.";
  let arguments = (ins Nncc_Tensor:$operand, DenseI64ArrayAttr:$perm);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = "$operand $perm attr-dict `:` type($operand) `to` type($result)";
  let hasFolder = 1;
  let extraClassDeclaration = [{
    bool landsOnce() { return true; }
  }];
}

def Nncc_BroadcastOp : Nncc_View<"broadcast",
    [DeclareOpInterfaceMethods<PermutableInterface>]> {
  let summary = "repeats a tensor along new dimensions";
  let description = [{
    Operand dimension i becomes result dimension dims[i]; all other result
    dimensions repeat.
    ```mlir
    %b = nncc.broadcast %bias [1] : tensor<8xf32> to tensor<2x8x4x4xf32>
    ```
    C1: one strictly increasing entry per operand dimension, inside the result.
    C2: sizes agree.
  }];
  let arguments = (ins Nncc_Tensor:$operand, DenseI64ArrayAttr:$dims);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = "$operand $dims attr-dict `:` type($operand) `to` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let extraClassDeclaration = [{
    bool repeats() { return true; }
  }];
}

def Nncc_SliceOp : Nncc_View<"slice", !listconcat(Nncc_Infer,
    [DeclareOpInterfaceMethods<MemoryAliasInterface>,
     DeclareOpInterfaceMethods<PermutableInterface>])> {
  let summary = "result[i] = operand[starts + i * steps], `sizes` of them";
  let description = [{
    C1: one entry per dimension. C2: steps are positive, sizes not negative.
    C3: the slice lies inside the operand.
  }];
  let arguments = (ins Nncc_Tensor:$operand, DenseI64ArrayAttr:$starts,
                       DenseI64ArrayAttr:$sizes, DenseI64ArrayAttr:$steps);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = [{$operand $starts $sizes $steps attr-dict `:`
                         type($operand) `to` type($result)}];
  let hasFolder = 1;
  let extraClassDeclaration = [{
    bool landsOnce() {
      return ::llvm::all_of(getSteps(), [](int64_t s) { return s == 1; });
    }
  }];
}

def Nncc_Number : AnyAttrOf<[F64Attr, I64Attr]>;

def Nncc_PadOp : Nncc_View<"pad", !listconcat(Nncc_Infer,
    [DeclareOpInterfaceMethods<PermutableInterface>])> {
  let summary = "puts a constant around and between elements";
  let description = [{
    `low` and `high` elements at the ends of each dimension, `interior` ones
    between neighbours. `value` becomes the element type.
    C1: one entry per dimension. C2: none is negative.
  }];
  let arguments = (ins Nncc_Tensor:$operand, Nncc_Number:$value,
                       DenseI64ArrayAttr:$low, DenseI64ArrayAttr:$high,
                       DenseI64ArrayAttr:$interior);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = [{$operand $low $high $interior attr-dict `:`
                         type($operand) `to` type($result)}];
  let hasFolder = 1;
  let extraClassDeclaration = [{
    /// False if elements are pushed apart.
    bool landsOnce() {
      return ::llvm::all_of(getInterior(), [](int64_t i) { return i == 0; });
    }
  }];
}

def Nncc_ReverseOp : Nncc_View<"reverse", [SameOperandsAndResultType]> {
  let summary = "reverses the order along `dims`";
  let description = "C1: `dims` are distinct dimensions of the operand.";
  let arguments = (ins Nncc_Tensor:$operand, DenseI64ArrayAttr:$dims);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = "$operand $dims attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Nncc_PatchesOp : Nncc_View<"patches", !listconcat(Nncc_Infer,
    [DeclareOpInterfaceMethods<PermutableInterface>])> {
  let summary = "sliding windows over some dimensions";
  let description = [{
    For operand dimension d = dims[i], windows of `sizes[i]` elements that lie
    `dilations[i]` apart, one every `strides[i]`. In the result, d counts the
    windows and the window dimensions follow the last entry of `dims`, in
    order. A convolution is a contraction over patches, pooling a reduction.
    ```mlir
    %p = nncc.patches %x [1, 2] [3, 3] [1, 1] [1, 1]
        : tensor<1x6x6x4xf32> to tensor<1x4x4x3x3x4xf32>
    ```
    C1: dims strictly increasing, inside the operand, one entry per attribute.
    C2: sizes, strides and dilations are positive. C3: one window fits.
  }];
  let arguments = (ins Nncc_Tensor:$operand, DenseI64ArrayAttr:$dims,
      DenseI64ArrayAttr:$sizes, DenseI64ArrayAttr:$strides,
      DenseI64ArrayAttr:$dilations);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = [{$operand $dims $sizes $strides $dilations attr-dict
                         `:` type($operand) `to` type($result)}];
  let extraClassDeclaration = [{
    bool repeats() { return true; }
  }];
}

def Nncc_FoldOp : Nncc_Op<"fold",
    [Nncc_Costly, DeclareOpInterfaceMethods<PermutableInterface>]> {
  let summary = "sums of overlapping windows";
  let description = [{
    The adjoint of `patches` with the same attributes: each element of the result
    is the sum of the window elements that `patches` would have taken from it,
    in the order of the places in the window.
    ```mlir
    %x = nncc.fold %p [1, 2] [3, 3] [1, 1] [1, 1]
        : tensor<1x4x4x3x3x4xf32> to tensor<1x6x6x4xf32>
    ```
    C1: the operand has the type of `patches` of the result.
  }];
  let arguments = (ins Nncc_FloatTensor:$operand, DenseI64ArrayAttr:$dims,
      DenseI64ArrayAttr:$sizes, DenseI64ArrayAttr:$strides,
      DenseI64ArrayAttr:$dilations);
  let results = (outs Nncc_FloatTensor:$result);
  let assemblyFormat = [{$operand $dims $sizes $strides $dilations attr-dict
                         `:` type($operand) `to` type($result)}];
  let hasVerifier = 1;
}

def Nncc_ConcatOp : Nncc_Op<"concat", !listconcat(Nncc_Infer,
    [DeclareOpInterfaceMethods<PermutableInterface>])> {
  let summary = "tensors one after the other along `dim`";
  let description = [{
    C1: at least one operand, `dim` is one of their dimensions.
    C2: equal element types and sizes in all other dimensions.
  }];
  let arguments = (ins Variadic<Nncc_Tensor>:$operands, I64Attr:$dim);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = [{$operands `dim` $dim attr-dict `:`
                         functional-type(operands, results)}];
}
