// Two operands of equal type; comparison and selection. Broadcasting is never
// implicit: `nncc.broadcast` says it.

class Nncc_Binary<string mnemonic, string floatFormula, string intFormula,
                  string function, list<Trait> traits = []>
    : Nncc_Op<mnemonic, !listconcat([SameOperandsAndResultType, Elementwise],
                                    traits)> {
  let summary = "elementwise " # floatFormula;
  let arguments = (ins Nncc_Tensor:$lhs, Nncc_Tensor:$rhs);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($result)";
  let extraClassDefinition = [{
    void $cppClass::evaluate(::llvm::ArrayRef<::nncc::RefTensor> inputs,
        ::llvm::MutableArrayRef<::nncc::RefTensor> results) {
      ::nncc::zipElements(inputs[0], inputs[1], results[0],
          [](double x, double y) -> double { return }] # floatFormula # [{; },
          [](int64_t x, int64_t y) -> int64_t { return }] # intFormula # [{; });
    }
    ::mlir::Value $cppClass::emitElement(::nncc::ElementEmitter &e,
        ::llvm::ArrayRef<::nncc::Coord> at) {
      ::mlir::Value x = e.at(getLhs(), at);
      return e.}] # function # [{(x, e.at(getRhs(), at));
    }
  }];
}

def Nncc_AddOp : Nncc_Binary<"add", "x + y", "x + y", "add", [Commutative]>;
def Nncc_SubOp : Nncc_Binary<"sub", "x - y", "x - y", "sub">;
def Nncc_MulOp : Nncc_Binary<"mul", "x * y", "x * y", "mul", [Commutative]>;
def Nncc_DivOp : Nncc_Binary<"div", "x / y", "y == 0 ? 0 : x / y", "div">;
def Nncc_MaxOp : Nncc_Binary<"max", "x > y || std::isnan(x) ? x : y",
                             "x > y ? x : y", "max", [Commutative]>;
def Nncc_MinOp : Nncc_Binary<"min", "x < y || std::isnan(x) ? x : y",
                             "x < y ? x : y", "min", [Commutative]>;
def Nncc_PowOp : Nncc_Binary<"pow", "std::pow(x, y)",
                             "::nncc::integerPower(x, y)", "pow",
                             [Nncc_Costly]>;
def Nncc_AndOp : Nncc_Binary<"and", "x != 0 && y != 0", "x & y", "bitAnd",
                             [Commutative]>;
def Nncc_OrOp : Nncc_Binary<"or", "x != 0 || y != 0", "x | y", "bitOr",
                            [Commutative]>;

def Nncc_Predicate : I32EnumAttr<"Predicate", "comparison", [
    I32EnumAttrCase<"eq", 0>, I32EnumAttrCase<"ne", 1>,
    I32EnumAttrCase<"lt", 2>, I32EnumAttrCase<"le", 3>,
    I32EnumAttrCase<"gt", 4>, I32EnumAttrCase<"ge", 5>]> {
  let cppNamespace = "::nncc";
}

def Nncc_CompareOp : Nncc_Op<"compare", !listconcat(Nncc_Infer,
    [SameTypeOperands, Elementwise, SameOperandsAndResultShape])> {
  let summary = "elementwise comparison; with a NaN only `ne` is true";
  let arguments = (ins Nncc_Predicate:$predicate, Nncc_Tensor:$lhs,
                       Nncc_Tensor:$rhs);
  let results = (outs Nncc_BoolTensor:$result);
  let assemblyFormat = [{$predicate $lhs `,` $rhs attr-dict `:`
                         type($lhs) `to` type($result)}];
}

def Nncc_SelectOp : Nncc_Op<"select", [Elementwise, AllTypesMatch<
    ["onTrue", "onFalse", "result"]>, SameOperandsAndResultShape]> {
  let summary = "elementwise `condition ? onTrue : onFalse`";
  let arguments = (ins Nncc_BoolTensor:$condition, Nncc_Tensor:$onTrue,
                       Nncc_Tensor:$onFalse);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat =
      [{$condition `,` $onTrue `,` $onFalse attr-dict `:`
        type($condition) `,` type($result)}];
}
