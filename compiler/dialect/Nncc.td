// The nncc dialect: base classes, then the op families in ops/.
// Every tensor is a ranked tensor of static shape. An op has no side effects.
#ifndef NNCC_DIALECT
#define NNCC_DIALECT
include "mlir/IR/OpBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "dialect/Interfaces.td"

def Nncc_Dialect : Dialect {
  let name = "nncc";
  let cppNamespace = "::nncc";
  let summary = "Primitives that every torch.nn module is composed of";
  let hasConstantMaterializer = 1;
}

def Nncc_Element : AnyTypeOf<[F64, F32, F16, BF16, I64, I32, I16, I8, UI<8>,
                              I1], "nncc element type">;
def Nncc_Float : AnyTypeOf<[F64, F32, F16, BF16], "floating type">;
def Nncc_Tensor : StaticShapeTensorOf<[Nncc_Element]>;
def Nncc_FloatTensor : StaticShapeTensorOf<[Nncc_Float]>;
def Nncc_BoolTensor : StaticShapeTensorOf<[I1]>;
def Nncc_WholeTensor
    : StaticShapeTensorOf<[I64, I32, I16, I8, UI<8>, I1]>;
def Nncc_Int : AnyTypeOf<[I64, I32, I16, I8, UI<8>], "integer type">;
def Nncc_IntTensor : StaticShapeTensorOf<[Nncc_Int]>;

/// [seed, step] of the random ops of one run.
defvar Nncc_KeyType =
    "::mlir::RankedTensorType::get({2}, $_builder.getI64Type())";
def Nncc_Key : Type<And<[Nncc_IntTensor.predicate,
    CPred<"::llvm::cast<::mlir::RankedTensorType>($_self).getShape() == "
          "::llvm::ArrayRef<int64_t>(2)">,
    CPred<"::llvm::cast<::mlir::RankedTensorType>($_self).getElementType()"
          ".isInteger(64)">]>, "tensor<2xi64>">, BuildableType<Nncc_KeyType>;

def Nncc_Costly : NativeOpTrait<"nncc::Costly">;

/// Base of all primitives. `evaluate` and `gradient` must exist or nncc does not
/// link.
class Nncc_Base<string mnemonic, list<Trait> traits = []>
    : Op<Nncc_Dialect, mnemonic,
         !listconcat([Pure, DeclareOpInterfaceMethods<EvaluableInterface>,
                      DeclareOpInterfaceMethods<DifferentiableInterface>],
                     traits)>;

/// A primitive whose result can be computed element by element.
class Nncc_Op<string mnemonic, list<Trait> traits = []>
    : Nncc_Base<mnemonic, !listconcat(
        [DeclareOpInterfaceMethods<LowersToElementsInterface>], traits)>;

/// A primitive whose result type follows from its operands and attributes:
/// `inferReturnTypes` is builder and verifier in one.
defvar Nncc_Infer = [InferTypeOpAdaptor];

class Nncc_View<string mnemonic, list<Trait> traits = []>
    : Nncc_Op<mnemonic, !listconcat(
        [DeclareOpInterfaceMethods<ViewInterface>], traits)>;

include "dialect/ops/Unary.td"
include "dialect/ops/Binary.td"
include "dialect/ops/Create.td"
include "dialect/ops/Shape.td"
include "dialect/ops/Reduce.td"
include "dialect/ops/Contract.td"
include "dialect/ops/Convolution.td"
include "dialect/ops/Index.td"
include "dialect/ops/Attention.td"
include "dialect/ops/Scan.td"
include "dialect/ops/Gradient.td"
include "dialect/ops/Collective.td"
include "dialect/ops/Call.td"
#endif // NNCC_DIALECT
