// One operand, one result of the same type. A table: mnemonic, reference
// formula in f64, and the function of ElementEmitter that lowers it.

class Nncc_Unary<string mnemonic, string formula, string function,
                 Type tensor = Nncc_FloatTensor>
    : Nncc_Op<mnemonic, [SameOperandsAndResultType, Elementwise]> {
  let summary = "elementwise " # formula;
  let arguments = (ins tensor:$operand);
  let results = (outs tensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($result)";
  let extraClassDefinition = [{
    void $cppClass::evaluate(::llvm::ArrayRef<::nncc::RefTensor> inputs,
        ::llvm::MutableArrayRef<::nncc::RefTensor> results) {
      ::nncc::mapElements(inputs[0], results[0],
          [](double x) -> double { return }] # formula # [{; });
    }
    ::mlir::Value $cppClass::emitElement(::nncc::ElementEmitter &e,
        ::llvm::ArrayRef<::nncc::Coord> at) {
      return e.}] # function # [{(e.at(getOperand(), at));
    }
  }];
}

def Nncc_NegOp : Nncc_Unary<"neg", "-x", "neg", Nncc_Tensor>;
def Nncc_AbsOp : Nncc_Unary<"abs", "x < 0 ? -x : x + 0.0", "abs", Nncc_Tensor>;
def Nncc_ExpOp : Nncc_Unary<"exp", "std::exp(x)", "exp">;
def Nncc_LogOp : Nncc_Unary<"log", "std::log(x)", "log">;
def Nncc_SqrtOp : Nncc_Unary<"sqrt", "std::sqrt(x)", "sqrt">;
def Nncc_RsqrtOp : Nncc_Unary<"rsqrt", "1 / std::sqrt(x)", "rsqrt">;
def Nncc_TanhOp : Nncc_Unary<"tanh", "std::tanh(x)", "tanh">;
def Nncc_SigmoidOp : Nncc_Unary<"sigmoid", "1 / (1 + std::exp(-x))", "sigmoid">;
def Nncc_ErfOp : Nncc_Unary<"erf", "std::erf(x)", "erf">;
def Nncc_SinOp : Nncc_Unary<"sin", "std::sin(x)", "sin">;
def Nncc_CosOp : Nncc_Unary<"cos", "std::cos(x)", "cos">;
def Nncc_FloorOp : Nncc_Unary<"floor", "std::floor(x)", "floor">;
def Nncc_CeilOp : Nncc_Unary<"ceil", "std::ceil(x)", "ceil">;
def Nncc_NotOp : Nncc_Unary<"not", "x == 0", "logicalNot", Nncc_BoolTensor>;

def Nncc_ConvertOp : Nncc_Op<"convert", [Elementwise,
                                         SameOperandsAndResultShape]> {
  let summary = "element type conversion, rounding as C casts do";
  let description = [{
    Float to integer truncates; anything to bool is `x != 0`.
    ```mlir
    %f = nncc.convert %i : tensor<4xi64> to tensor<4xf32>
    ```
  }];
  let arguments = (ins Nncc_Tensor:$operand);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($operand) `to` type($result)";
}
