// The loop with carried state: recurrent layers.

def Nncc_ScanOp : Nncc_Base<"scan", [AttrSizedOperandSegments,
    IsolatedFromAbove, SingleBlock]> {
  let summary = "runs its body once per step";
  let description = [{
    The body gets the carried state (first `inits`), this step's element of each
    of `sequences` (along dimension 0, which disappears) and `invariants`, and
    yields the new state and one element of each stack. Results are the final
    state, then the stacks: the elements of all steps along a new dimension 0.
    With `reverse` the last elements come first, of sequences and stacks alike.
    ```mlir
    // Running sums of the rows of %x.
    %total, %sums = nncc.scan 4 from (%zero) over (%x) with ()
        : (tensor<8xf32>, tensor<4x8xf32>)
        -> (tensor<8xf32>, tensor<4x8xf32>) {
    ^bb0(%sum: tensor<8xf32>, %row: tensor<8xf32>):
      %next = nncc.add %sum, %row : tensor<8xf32>
      nncc.yield %next, %next : tensor<8xf32>, tensor<8xf32>
    }
    ```
    A primitive, because written out it makes code and compile time grow with
    the number of steps. Its gradient is a scan in the other direction. What that
    needs of forward is a stack more, if it is a product, and computed again, if
    it is elementwise; the gradient of an invariant is summed over all steps at
    once, a product's by one product.
    `offsets`, set by plan-memory: of each result in the entry's arena (a final
    state has room for two steps in turn; -1: an output of the entry, or the last
    element of a stack), then of the body's own arena.
    C1: at least one step, as many as each sequence and stack has elements. C2:
    the body's arguments have the operands' types, sequences without dimension 0.
    C3: it yields the state's types and those of the stacks without dimension 0.
    C4: no scan in a scan.
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntPositive]>:$steps,
      Variadic<Nncc_Tensor>:$inits, Variadic<Nncc_Tensor>:$sequences,
      Variadic<Nncc_Tensor>:$invariants, UnitAttr:$reverse,
      OptionalAttr<DenseI64ArrayAttr>:$offsets);
  let results = (outs Variadic<Nncc_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{$steps (`reverse` $reverse^)? `from` `(` $inits `)`
      `over` `(` $sequences `)` `with` `(` $invariants `)` attr-dict `:`
      functional-type(operands, results) $body}];
  let hasRegionVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    ::mlir::Block &block() { return getBody().front(); }
    /// What the body yields; the state first, then an element of each stack.
    ::mlir::OperandRange yielded() { return block().getTerminator()->getOperands(); }
    unsigned stateCount() { return getInits().size(); }
    ::mlir::ResultRange finals() { return getResults().take_front(stateCount()); }
    ::mlir::ResultRange stacks() { return getResults().drop_front(stateCount()); }
    ::mlir::Block::BlockArgListType states();
    ::mlir::Block::BlockArgListType elements();
    ::mlir::Block::BlockArgListType fixed();
    /// The element of sequences and stacks that a step, counted from 0, has.
    int64_t elementOf(int64_t step) {
      return getReverse() ? int64_t(getSteps()) - 1 - step : step;
    }
    /// The number of the result whose memory the yielded value `i` is written
    /// to: a stack if there is one with that value, else a final state.
    unsigned homeOf(unsigned i);
    /// The type of one element of a sequence or stack, and of a stack of them.
    static ::mlir::RankedTensorType elementType(::mlir::Type stack);
    static ::mlir::RankedTensorType stackType(::mlir::Type element, int64_t steps);
    /// What a value in the body is outside, if it is an invariant; or none.
    static ::mlir::Value outside(::mlir::Value value);
  }];
}

def Nncc_YieldOp : Op<Nncc_Dialect, "yield", [Pure, Terminator,
    HasParent<"::nncc::ScanOp">]> {
  let summary = "ends the body of a scan";
  let arguments = (ins Variadic<Nncc_Tensor>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}
