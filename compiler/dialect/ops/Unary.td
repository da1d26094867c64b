// One operand, one result of the same type. A table: mnemonic, reference
// formula in f64, the gradient of the operand in Expr (x, y = f(x), dy; empty:
// zero on purpose), and the function of ElementEmitter that lowers it.

class Nncc_Unary<string mnemonic, string formula, string gradient,
                 string function,
                 Type tensor = Nncc_FloatTensor, list<Trait> traits = []>
    : Nncc_Op<mnemonic, !listconcat([SameOperandsAndResultType, Elementwise],
                                    traits)> {
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
    void $cppClass::gradient(::nncc::Gradient &g) {
      using namespace ::nncc;
      [[maybe_unused]] Expr x = g.operand(0), y = g.result, dy = g.of;
      }] # !if(!empty(gradient), "g.none()", "g.give(0, " # gradient # ")")
         # [{;
    }
  }];
}

class Nncc_Costlier<string mnemonic, string formula, string gradient>
    : Nncc_Unary<mnemonic, formula, gradient, mnemonic, Nncc_FloatTensor,
                 [Nncc_Costly]>;

def Nncc_NegOp : Nncc_Unary<"neg", "-x", "neg(dy)", "neg", Nncc_Tensor>;
def Nncc_AbsOp : Nncc_Unary<"abs", "x < 0 ? -x : x + 0.0", "dy * sign(x)",
                            "abs", Nncc_Tensor>;
def Nncc_ExpOp : Nncc_Costlier<"exp", "std::exp(x)", "dy * y">;
def Nncc_LogOp : Nncc_Costlier<"log", "std::log(x)", "dy / x">;
def Nncc_SqrtOp : Nncc_Unary<"sqrt", "std::sqrt(x)", "dy * 0.5 / y", "sqrt">;
def Nncc_RsqrtOp : Nncc_Unary<"rsqrt", "1 / std::sqrt(x)",
                              "dy * (y * y * y) * -0.5", "rsqrt">;
def Nncc_TanhOp : Nncc_Costlier<"tanh", "std::tanh(x)",
                                "dy * (neg(y * y) + 1.0)">;
def Nncc_SigmoidOp : Nncc_Costlier<"sigmoid", "1 / (1 + std::exp(-x))",
                                   "dy * y * (neg(y) + 1.0)">;
def Nncc_ErfOp : Nncc_Costlier<"erf", "std::erf(x)",
                               "dy * exp(neg(x * x)) * 1.1283791670955126">;
def Nncc_SinOp : Nncc_Costlier<"sin", "std::sin(x)", "dy * cos(x)">;
def Nncc_CosOp : Nncc_Costlier<"cos", "std::cos(x)", "neg(dy * sin(x))">;
def Nncc_FloorOp : Nncc_Unary<"floor", "std::floor(x)", "", "floor">;
def Nncc_CeilOp : Nncc_Unary<"ceil", "std::ceil(x)", "", "ceil">;
def Nncc_NotOp : Nncc_Unary<"not", "x == 0", "", "logicalNot",
                            Nncc_BoolTensor>;

def Nncc_DetachOp : Nncc_Op<"detach", [SameOperandsAndResultType,
                                       Elementwise]> {
  let summary = "the operand, without a gradient";
  let description = [{
    A constant for reverse mode (Tensor.detach). Nothing else tells it from its
    operand; autodiff removes it.
  }];
  let arguments = (ins Nncc_Tensor:$operand);
  let results = (outs Nncc_Tensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($result)";
}

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
