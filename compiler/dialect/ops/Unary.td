// One operand, one result of the same type. A table: mnemonic, reference
// formula in f64 and, where integers have it, in i64; the gradient of the
// operand in Expr (x, y = f(x), dy; empty: zero on purpose), and the lowering
// on ElementEmitter.

class Nncc_Unary<string mnemonic, string formula, string integers,
                 string gradient, string function,
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
      [[maybe_unused]] auto type = results[0].type.getElementType();
      ::nncc::mapElements(inputs[0], results[0],
          [](double x) -> double { return }] # formula # [{; },
          [&](int64_t x) -> int64_t { return }] # integers # [{; });
    }
    ::mlir::Value $cppClass::emitElement(::nncc::ElementEmitter &e,
        ::llvm::ArrayRef<::nncc::Coord> at) {
      ::mlir::Value x = e.at(getOperand(), at);
      return }] # function # [{;
    }
    void $cppClass::gradient(::nncc::Gradient &g) {
      using namespace ::nncc;
      [[maybe_unused]] Expr x = g.operand(0), y = g.result, dy = g.of;
      }] # !if(!empty(gradient), "g.none()", "g.give(0, " # gradient # ")")
         # [{;
    }
  }];
}

/// A row of the table of special functions: VectorMath.cpp has its code, and
/// tests/parity/test_vector_math.py reads its bounds: the largest errors of f32
/// and of f64 in units of the last place, over the whole range.
class Nncc_Special<string mnemonic, string formula, string gradient,
                   string bound, string wideBound>
    : Nncc_Unary<mnemonic, formula, "x", gradient,
                 "::nncc::vectorMath::" # mnemonic # "(e, x)",
                 Nncc_FloatTensor, [Nncc_Costly]> {
  string ulp = bound;
  string wideUlp = wideBound;
}

def Nncc_NegOp : Nncc_Unary<"neg", "-x", "::nncc::minus(0, x)", "neg(dy)",
                            "e.neg(x)", Nncc_Tensor>;
def Nncc_AbsOp : Nncc_Unary<"abs", "std::fabs(x)",
                            "x < 0 ? ::nncc::minus(0, x) : x", "dy * sign(x)",
                            "e.abs(x)", Nncc_Tensor>;
def Nncc_SqrtOp : Nncc_Unary<"sqrt", "std::sqrt(x)", "x", "dy * 0.5 / y",
                             "e.sqrt(x)">;
def Nncc_RsqrtOp : Nncc_Unary<"rsqrt", "1 / std::sqrt(x)", "x",
                              "dy * (y * y * y) * -0.5", "e.rsqrt(x)">;
def Nncc_FloorOp : Nncc_Unary<"floor", "std::floor(x)", "x", "", "e.floor(x)">;
def Nncc_CeilOp : Nncc_Unary<"ceil", "std::ceil(x)", "x", "", "e.ceil(x)">;
// Bits of integers, and bools.
def Nncc_NotOp : Nncc_Unary<"not", "x", "type.isInteger(1) ? x == 0 : ~x", "",
                            "e.bitNot(x)", Nncc_WholeTensor>;

def Nncc_ExpOp : Nncc_Special<"exp", "std::exp(x)", "dy * y", "2", "1">;
def Nncc_Exp2Op : Nncc_Special<"exp2", "std::exp2(x)",
                               "dy * y * 0.69314718055994531", "1", "1">;
def Nncc_Expm1Op : Nncc_Special<"expm1", "std::expm1(x)", "dy * (y + 1.0)",
                                "3", "2">;
def Nncc_LogOp : Nncc_Special<"log", "std::log(x)", "dy / x", "2", "1">;
def Nncc_Log2Op : Nncc_Special<"log2", "std::log2(x)",
                               "dy / (x * 0.69314718055994531)", "1", "1">;
def Nncc_Log10Op : Nncc_Special<"log10", "std::log10(x)",
                                "dy / (x * 2.30258509299404568)", "1", "1">;
def Nncc_Log1pOp : Nncc_Special<"log1p", "std::log1p(x)", "dy / (x + 1.0)",
                                "3", "2">;
def Nncc_SinOp : Nncc_Special<"sin", "std::sin(x)", "dy * cos(x)", "1", "1">;
def Nncc_CosOp : Nncc_Special<"cos", "std::cos(x)",
                              "neg(dy * sin(x))", "1", "1">;
def Nncc_TanOp : Nncc_Special<"tan", "std::tan(x)",
                              "dy * (y * y + 1.0)", "1", "2">;
def Nncc_AsinOp : Nncc_Special<"asin", "std::asin(x)",
                               "dy * rsqrt(neg(x * x) + 1.0)", "1", "1">;
def Nncc_AcosOp : Nncc_Special<"acos", "std::acos(x)",
                               "neg(dy * rsqrt(neg(x * x) + 1.0))", "1", "1">;
def Nncc_AtanOp : Nncc_Special<"atan", "std::atan(x)", "dy / (x * x + 1.0)",
                               "3", "1">;
def Nncc_SinhOp : Nncc_Special<"sinh", "std::sinh(x)",
                               "dy * cosh(x)", "1", "2">;
def Nncc_CoshOp : Nncc_Special<"cosh", "std::cosh(x)",
                               "dy * sinh(x)", "1", "2">;
def Nncc_TanhOp : Nncc_Special<"tanh", "std::tanh(x)",
                               "dy * (neg(y * y) + 1.0)", "2", "1">;
def Nncc_AsinhOp : Nncc_Special<"asinh", "std::asinh(x)",
                                "dy * rsqrt(x * x + 1.0)", "1", "1">;
def Nncc_AcoshOp : Nncc_Special<"acosh", "std::acosh(x)",
                                "dy * rsqrt(x * x - 1.0)", "1", "1">;
def Nncc_AtanhOp : Nncc_Special<"atanh", "std::atanh(x)",
                                "dy / (neg(x * x) + 1.0)", "1", "1">;
def Nncc_SigmoidOp : Nncc_Special<"sigmoid", "1 / (1 + std::exp(-x))",
                                  "dy * y * (neg(y) + 1.0)", "3", "3">;
def Nncc_ErfOp : Nncc_Special<"erf", "std::erf(x)",
    "dy * exp(neg(x * x)) * 1.1283791670955126", "2", "2">;
def Nncc_ErfcOp : Nncc_Special<"erfc", "std::erfc(x)",
    "dy * exp(neg(x * x)) * -1.1283791670955126", "4", "3">;

def Nncc_WithSlopeOp : Nncc_Op<"with_slope", [Elementwise,
    AllTypesMatch<["value", "operand", "slope", "result"]>]> {
  let summary = "a value whose derivative by an operand is `slope` more";
  let description = [{
    To everything but reverse mode `value`. There `operand` gets `slope` times
    the gradient besides what `value`'s ops give it. Where those make inf * 0
    of a limit or decide a corner otherwise than PyTorch, the formula of
    PyTorch's derivative stands here, and `value` is of detached operands.
    Autodiff removes it.
    ```mlir
    %y = nncc.with_slope %value by %x slope %s : tensor<4xf32>
    ```
  }];
  let arguments = (ins Nncc_FloatTensor:$value, Nncc_FloatTensor:$operand,
                       Nncc_FloatTensor:$slope);
  let results = (outs Nncc_FloatTensor:$result);
  let assemblyFormat =
      "$value `by` $operand `slope` $slope attr-dict `:` type($result)";
}

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
