// Scaled dot-product attention and its gradient: primitives because their
// compositions keep the score matrix in memory.

def Nncc_AttentionOp : Nncc_Base<"attention", !listconcat(Nncc_Infer,
    [DeclareOpInterfaceMethods<KernelRootInterface>])> {
  let summary = "softmax(q k^T * scale + mask) v over the last two dims";
  let description = [{
    q is (*B, T, D), k (*B, S, D), v (*B, S, Dv), the result (*B, T, Dv).
    `mask`, if present, is added to the scores, (*B, T, S). `causal` lets row i
    see columns j <= i. A row that sees nothing (all scores are -inf) gives 0,
    as torch.nn.functional.scaled_dot_product_attention does.
    C1: equal batch dims, D and S agree. C2: the mask's shape. C3: equal types.
  }];
  let arguments = (ins Nncc_FloatTensor:$q, Nncc_FloatTensor:$k,
      Nncc_FloatTensor:$v, Optional<Nncc_FloatTensor>:$mask, F64Attr:$scale,
      UnitAttr:$causal);
  let results = (outs Nncc_FloatTensor:$result);
  let assemblyFormat = [{$q `,` $k `,` $v (`mask` $mask^)? attr-dict `:`
                         functional-type(operands, results)}];
}

def Nncc_AttentionBackwardOp
    : Nncc_Base<"attention_backward", !listconcat(Nncc_Infer,
        [DeclareOpInterfaceMethods<KernelRootInterface>])> {
  let summary = "gradients of attention with respect to q, k and v";
  let description = [{
    For `d_result`, the gradient of attention's result (*B, T, Dv): with
    P = softmax(scale q k^T + mask) and dP = d_result v^T,
    dS = scale P (dP - rowsum(P dP)): d_q = dS k, d_k = dS^T q,
    d_v = P^T d_result. The scores are computed again.
    ```mlir
    %dq, %dk, %dv = nncc.attention_backward %q, %k, %v, %dy {scale = 1.0 : f64}
        : (tensor<2x5x4xf32>, tensor<2x7x4xf32>, tensor<2x7x3xf32>,
           tensor<2x5x3xf32>)
        -> (tensor<2x5x4xf32>, tensor<2x7x4xf32>, tensor<2x7x3xf32>)
    ```
    C1: equal batch dims, D and S agree. C2: the mask's shape. C3: equal types.
    C4: d_result has the type of attention's result.
  }];
  let arguments = (ins Nncc_FloatTensor:$q, Nncc_FloatTensor:$k,
      Nncc_FloatTensor:$v, Nncc_FloatTensor:$d_result,
      Optional<Nncc_FloatTensor>:$mask, F64Attr:$scale, UnitAttr:$causal);
  let results = (outs Nncc_FloatTensor:$d_q, Nncc_FloatTensor:$d_k,
      Nncc_FloatTensor:$d_v);
  let assemblyFormat = [{$q `,` $k `,` $v `,` $d_result (`mask` $mask^)?
                         attr-dict `:` functional-type(operands, results)}];
}
