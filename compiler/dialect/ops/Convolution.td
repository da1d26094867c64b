// One general convolution, any rank. Layout is torch's: x is (N, C, *spatial),
// kernel (O, C/groups, *spatial). The layout pass turns it into a contraction
// over patches in the target's layout, so it has no lowering of its own.

def Nncc_ConvolutionOp : Nncc_Base<"convolution", Nncc_Infer> {
  let summary = "cross-correlation with stride, padding, dilations and groups";
  let description = [{
    `y[n,o,p] = sum_{c,k} x~[n, g(o)*C/groups + c, p*strides + k*dilations] *
    w[o,c,k]`, where x~ is x with `inputDilations - 1` zeros between elements
    and `low`/`high` zeros around (torch.nn.Conv2d; a transposed convolution is
    one with input dilation and a flipped kernel).
    C1: equal ranks, at least 3, one attribute entry per spatial dimension.
    C2: groups divides both channel counts, and C = groups * kernel dim 1.
    C3: the dilated kernel fits the padded input, which has at most 2^40 elements.
    C4: equal floating types.
  }];
  let arguments = (ins Nncc_FloatTensor:$input, Nncc_FloatTensor:$kernel,
      DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$low,
      DenseI64ArrayAttr:$high, DenseI64ArrayAttr:$inputDilations,
      DenseI64ArrayAttr:$dilations, I64Attr:$groups);
  let results = (outs Nncc_FloatTensor:$result);
  let assemblyFormat = [{$input `,` $kernel attr-dict `:`
                         functional-type(operands, results)}];
}
