// Scaled dot-product attention: a primitive because its composition keeps the
// score matrix in memory, and because its gradient recomputes the scores.

def Nncc_AttentionOp : Nncc_Base<"attention", Nncc_Infer> {
  let summary = "softmax(q k^T * scale + mask) v over the last two dims";
  let description = [{
    q is (*B, T, D), k (*B, S, D), v (*B, S, Dv), the result (*B, T, Dv).
    `mask`, if present, is added to the scores, (*B, T, S). `causal` lets row i
    see columns j <= i. A row that sees nothing gives NaN, as in
    torch.nn.functional.scaled_dot_product_attention's formula.
    C1: equal batch dims, D and S agree. C2: the mask's shape. C3: equal types.
  }];
  let arguments = (ins Nncc_FloatTensor:$q, Nncc_FloatTensor:$k,
      Nncc_FloatTensor:$v, Optional<Nncc_FloatTensor>:$mask, F64Attr:$scale,
      UnitAttr:$causal);
  let results = (outs Nncc_FloatTensor:$result);
  let assemblyFormat = [{$q `,` $k `,` $v (`mask` $mask^)? attr-dict `:`
                         functional-type(operands, results)}];
}
