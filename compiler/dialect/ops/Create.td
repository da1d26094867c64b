// Tensors from nothing: constants, counting, and the model's state.

def Nncc_ConstantOp : Nncc_Op<"constant", [ConstantLike,
    AllTypesMatch<["value", "result"]>]> {
  let summary = "a tensor known at compile time";
  let arguments = (ins ElementsAttr:$value);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = "attr-dict $value";
  let hasFolder = 1;
  let builders = [OpBuilder<(ins "::mlir::DenseElementsAttr":$value), [{
    build($_builder, $_state, value.getType(), value);
  }]>];
}

def Nncc_IotaOp : Nncc_Op<"iota"> {
  let summary = "the coordinate along one dimension";
  let description = [{
    `result[i0, i1, ...] = start + step * i_dim`.
    ```mlir
    %p = nncc.iota {dim = 0, start = 0, step = 1} : tensor<64xi64>
    ```
    C1: `dim` is a dimension of the result.
  }];
  let arguments = (ins I64Attr:$dim, I64Attr:$start, I64Attr:$step);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Nncc_WeightOp : Nncc_Op<"weight"> {
  let summary = "a tensor of the model's state";
  let description = [{
    By its `state_dict` path, or, if `prepared`, a result of `@prepare` by
    number. Everything that depends on weights alone is computed once per
    weights object.
    ```mlir
    %w = nncc.weight "conv1.weight" : tensor<6x1x5x5xf32>
    ```
  }];
  let arguments = (ins StrAttr:$path, UnitAttr:$prepared);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = "$path (`prepared` $prepared^)? attr-dict `:` type($result)";
}

def Nncc_RandomOp : Nncc_Op<"random", [Nncc_Costly]> {
  let summary = "uniform random numbers in [0, 1) with an explicit key";
  let description = [{
    Element i (row-major) is word 0 of Philox4x32-10 (Salmon et al., "Parallel
    random numbers: as easy as 1, 2, 3", 2011) with the counter
    `(i, stream, step mod 2^32, step / 2^32)` and the key
    `(seed mod 2^32, seed / 2^32)`, its upper 24 bits times 2^-24. The operand is
    `[seed, step]`; equal ops give equal numbers, so backward draws what forward
    drew.
    ```mlir
    %u = nncc.random %key {stream = 3} : tensor<4x8xf32>
    ```
    C1: fewer than 2^32 elements.
  }];
  let arguments = (ins Nncc_Key:$key, I64Attr:$stream);
  let results = (outs Nncc_FloatTensor:$result);
  let assemblyFormat = "$key attr-dict `:` type($result)";
  let hasVerifier = 1;
}
