// Two operands of equal type; comparison and selection. Broadcasting is never
// implicit: `nncc.broadcast` says it. A table as in Unary.td, with a gradient of
// each operand in terms of x, y, z = f(x, y) and dz.

class Nncc_Binary<string mnemonic, string floatFormula, string intFormula,
                  string dx, string dy, string function,
                  list<Trait> traits = [], Type tensor = Nncc_Tensor>
    : Nncc_Op<mnemonic, !listconcat([SameOperandsAndResultType, Elementwise],
                                    traits)> {
  let summary = "elementwise " # floatFormula;
  let arguments = (ins tensor:$lhs, tensor:$rhs);
  let results = (outs tensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($result)";
  let extraClassDefinition = [{
    void $cppClass::evaluate(::llvm::ArrayRef<::nncc::RefTensor> inputs,
        ::llvm::MutableArrayRef<::nncc::RefTensor> results) {
      [[maybe_unused]] auto type = results[0].type.getElementType();
      ::nncc::zipElements(inputs[0], inputs[1], results[0],
          [](double x, double y) -> double { return }] # floatFormula # [{; },
          [&](int64_t x, int64_t y) -> int64_t { return }] # intFormula # [{; });
    }
    ::mlir::Value $cppClass::emitElement(::nncc::ElementEmitter &e,
        ::llvm::ArrayRef<::nncc::Coord> at) {
      [[maybe_unused]] bool isUnsigned =
          ::nncc::isUnsignedElement(getType().getElementType());
      ::mlir::Value x = e.at(getLhs(), at), y = e.at(getRhs(), at);
      return e.}] # function # [{;
    }
    void $cppClass::gradient(::nncc::Gradient &g) {
      using namespace ::nncc;
      [[maybe_unused]] Expr x = g.operand(0), y = g.operand(1);
      [[maybe_unused]] Expr z = g.result, dz = g.of;
      }] # !if(!empty(dx), "g.none()",
               "if (g.wants(0)) g.give(0, " # dx # ");\n  " #
               "if (g.wants(1)) g.give(1, " # dy # ")") # [{;
    }
  }];
}

def Nncc_AddOp : Nncc_Binary<"add", "x + y", "::nncc::plus(x, y)", "dz", "dz",
                             "add(x, y)", [Commutative]>;
def Nncc_SubOp : Nncc_Binary<"sub", "x - y", "::nncc::minus(x, y)", "dz",
                             "neg(dz)", "sub(x, y)">;
def Nncc_MulOp : Nncc_Binary<"mul", "x * y", "::nncc::times(x, y)", "dz * y",
                             "dz * x", "mul(x, y)", [Commutative]>;
// Integers round towards zero, and give 0 where y is 0.
def Nncc_DivOp : Nncc_Binary<"div", "x / y", "::nncc::quotient(x, y)",
                             "dz / y", "neg(dz * (z / y))",
                             "div(x, y, isUnsigned)">;
// Towards minus infinity, and what is left: PyTorch's floor_divide, remainder.
def Nncc_FloorDivOp : Nncc_Binary<"floor_div", "::nncc::floorQuotient(x, y)",
                                  "::nncc::floorQuotient(x, y)", "", "",
                                  "floorDiv(x, y, isUnsigned)", [Nncc_Costly]>;
def Nncc_RemainderOp : Nncc_Binary<"remainder", "::nncc::remainder(x, y)",
    "::nncc::remainder(x, y)", "dz", "neg(dz * floorDiv(x, y))",
    "remainder(x, y, isUnsigned)", [Nncc_Costly]>;
// d/dx: 0 where y is 0; d/dy: 0 where x is 0 and y is not negative, as in torch.
def Nncc_PowOp : Nncc_Binary<"pow", "std::pow(x, y)",
                             "::nncc::integerPower(x, y)",
                             "dz * powerByBase(x, y)",
                             "dz * powerByExponent(x, y, z)", "pow(x, y)",
                             [Nncc_Costly]>;

class Nncc_Bits<string mnemonic, string formula, string function,
                list<Trait> traits = [], Type tensor = Nncc_WholeTensor>
    : Nncc_Binary<mnemonic, "x", formula, "", "", function, traits, tensor> {
  let summary = "elementwise " # formula # " of bits or bools";
}

def Nncc_AndOp : Nncc_Bits<"and", "x & y", "bitAnd(x, y)", [Commutative]>;
def Nncc_OrOp : Nncc_Bits<"or", "x | y", "bitOr(x, y)", [Commutative]>;
def Nncc_XorOp : Nncc_Bits<"xor", "x ^ y", "bitXor(x, y)", [Commutative]>;
// By too many bits, or a negative number: everything is shifted out.
def Nncc_ShiftLeftOp : Nncc_Bits<"shift_left", "::nncc::shiftLeft(x, y, type)",
                                 "shiftLeft(x, y)", [], Nncc_IntTensor>;
def Nncc_ShiftRightOp : Nncc_Bits<"shift_right",
    "::nncc::shiftRight(x, y, type)", "shiftRight(x, y, isUnsigned)", [],
    Nncc_IntTensor>;

def Nncc_Ties : I32EnumAttr<"Ties", "who gets the gradient of equal operands", [
    I32EnumAttrCase<"even", 0>, I32EnumAttrCase<"lhs", 1>,
    I32EnumAttrCase<"rhs", 2>]> {
  let cppNamespace = "::nncc";
}

class Nncc_Extremum<string mnemonic, string relation, string isMax>
    : Nncc_Op<mnemonic, [SameOperandsAndResultType, Elementwise]> {
  let summary = "elementwise " # mnemonic # "; NaN wins";
  let description = [{
    `ties` says which operand gets the gradient where both are equal: each a
    half, or one of them.
  }];
  let arguments = (ins Nncc_Tensor:$lhs, Nncc_Tensor:$rhs,
                       DefaultValuedAttr<Nncc_Ties, "::nncc::Ties::even">:$ties);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($result)";
  let builders = [OpBuilder<(ins "::mlir::Value":$lhs, "::mlir::Value":$rhs), [{
    build($_builder, $_state, lhs.getType(), lhs, rhs, Ties::even);
  }]>];
  let extraClassDefinition = [{
    void $cppClass::evaluate(::llvm::ArrayRef<::nncc::RefTensor> inputs,
        ::llvm::MutableArrayRef<::nncc::RefTensor> results) {
      ::nncc::zipElements(inputs[0], inputs[1], results[0],
          [](double x, double y) -> double {
            return x }] # relation # [{ y || std::isnan(x) ? x : y; },
          [](int64_t x, int64_t y) -> int64_t {
            return x }] # relation # [{ y ? x : y; });
    }
    ::mlir::Value $cppClass::emitElement(::nncc::ElementEmitter &e,
        ::llvm::ArrayRef<::nncc::Coord> at) {
      ::mlir::Value x = e.at(getLhs(), at);
      return e.}] # mnemonic # [{(x, e.at(getRhs(), at),
          ::nncc::isUnsignedElement(getType().getElementType()));
    }
    void $cppClass::gradient(::nncc::Gradient &g) {
      ::nncc::giveExtremum(g, getTies(), }] # isMax # [{);
    }
  }];
}

def Nncc_MaxOp : Nncc_Extremum<"max", ">", "true">;
def Nncc_MinOp : Nncc_Extremum<"min", "<", "false">;

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
