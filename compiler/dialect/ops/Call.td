// The call of a kernel. Kernels are private functions in nncc ops.

def Nncc_CallOp : Nncc_Base<"call", [
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "runs a kernel";
  let description = [{
    `offsets`, set by plan-memory, are the byte offsets of the results in the
    entry's arena; -1 for a result that is an output of the entry.
    C1: the callee exists and its type matches.
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee,
      Variadic<Nncc_Tensor>:$operands,
      OptionalAttr<DenseI64ArrayAttr>:$offsets);
  let results = (outs Variadic<Nncc_Tensor>:$results);
  let assemblyFormat = [{$callee `(` $operands `)` (`at` $offsets^)? attr-dict
                         `:` functional-type($operands, results)}];
}
