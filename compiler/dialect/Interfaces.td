// What every primitive can be asked. The op base class (Nncc.td) declares
// these for all ops, so a primitive that lacks one does not link.
#ifndef NNCC_INTERFACES
#define NNCC_INTERFACES
include "mlir/IR/OpBase.td"

def EvaluableInterface : OpInterface<"Evaluable"> {
  let cppNamespace = "::nncc";
  let description = [{
    The reference meaning of a primitive: plain loops in f64 (floating types)
    and i64 (integers and bool). It is the oracle of all tests and the constant
    folder. `results` come allocated with the op's result types, zero-filled.
  }];
  let methods = [InterfaceMethod<"Compute all results from all operands.",
    "void", "evaluate",
    (ins "::llvm::ArrayRef<::nncc::RefTensor>":$inputs,
         "::llvm::MutableArrayRef<::nncc::RefTensor>":$results)>];
}

def DifferentiableInterface : OpInterface<"Differentiable"> {
  let cppNamespace = "::nncc";
  let description = [{
    Reverse mode: given the gradient of the result, builds the gradients of the
    operands in nncc ops. A gradient that is zero on purpose is said so by
    `g.none()` or by not giving it, with the reason. Never called for an op
    without operands.
  }];
  let methods = [InterfaceMethod<"Give the gradients of the operands.",
    "void", "gradient", (ins "::nncc::Gradient &":$g)>];
}

def LowersToElementsInterface : OpInterface<"LowersToElements"> {
  let cppNamespace = "::nncc";
  let description = [{
    The lowering of a primitive: code for the elements of its result at given
    coordinates, written against the abstract `ElementEmitter`. Fusion is what
    happens when an op asks the emitter for its operands' elements and these
    come from another op instead of memory. An op that only
    moves elements is also a `View`.
  }];
  let methods = [
    InterfaceMethod<"The elements of the result at `at`.",
      "::mlir::Value", "emitElement",
      (ins "::nncc::ElementEmitter &":$e,
           "::llvm::ArrayRef<::nncc::Coord>":$at)>,
  ];
}

def ViewInterface : OpInterface<"View"> {
  let cppNamespace = "::nncc";
  let description = [{
    An op with one operand whose result holds operand elements at other
    coordinates, and nothing else (`pad` adds a constant around them).
  }];
  let methods = [
    InterfaceMethod<[{Where the operand element at `at` lands in the result;
      fails if its lanes do not land on one line.}],
      "::llvm::FailureOr<::nncc::Coords>", "mapForward",
      (ins "::nncc::ElementEmitter &":$e,
           "::llvm::ArrayRef<::nncc::Coord>":$at)>,
    InterfaceMethod<[{The result as a strided view, given the operand's; fails
      if no strides express it.}],
      "::llvm::FailureOr<::nncc::StridedView>", "viewOf",
      (ins "const ::nncc::StridedView &":$operand)>,
    InterfaceMethod<[{True if an operand element lands in one place at most, so
      that a register tile can be stored through the view.}],
      "bool", "landsOnce", (ins), "", "return false;">,
    InterfaceMethod<"True if an operand element may stand in several places.",
      "bool", "repeats", (ins), "", "return false;">,
  ];
}

def KernelRootInterface : OpInterface<"KernelRoot"> {
  let cppNamespace = "::nncc";
  let description = [{
    An op that starts a kernel: sums of products, for which targets have code of
    its own. Its first operands stand in these products and are read through
    strides; form-kernels copies those that have none. One that lowers to
    elements as well can do without.
  }];
  let methods = [
    InterfaceMethod<"How many of the first operands stand in products.",
      "unsigned", "productOperands">,
    InterfaceMethod<[{Multiplications and additions of all products: more than
      an integer holds, for the largest tensors.}],
      "::nncc::Size", "flops">,
    InterfaceMethod<"True if no term is summed, so that the result is zeros.",
      "bool", "sumsNothing">,
    InterfaceMethod<[{True if elementwise ops behind it can be computed where
      its result is in registers.}],
      "bool", "takesEpilogue", (ins), "",
      "return $_op->getNumResults() == 1;">,
    InterfaceMethod<"The dimensions of a product operand, as a copy has them.",
      "::llvm::SmallVector<int64_t>", "copyOrder", (ins "unsigned":$operand),
      "", [{
        auto rank = ::llvm::cast<::mlir::RankedTensorType>(
            $_op->getOperand(operand).getType()).getRank();
        return ::llvm::to_vector(::llvm::seq<int64_t>(0, rank));
      }]>,
  ];
}

def MemoryAliasInterface : OpInterface<"MemoryAlias"> {
  let cppNamespace = "::nncc";
  let description = [{
    An op that costs nothing where tensors lie in memory: its results are parts
    of its operands' memory.
  }];
  let methods = [
    InterfaceMethod<"Where a result lies; nothing if it takes memory.",
      "::std::optional<::nncc::MemoryPlace>", "aliasOf",
      (ins "unsigned":$result)>,
    InterfaceMethod<"True if it writes new elements there.",
      "bool", "writesInPlace", (ins), "", "return false;">,
  ];
}

def PermutableInterface : OpInterface<"Permutable"> {
  let cppNamespace = "::nncc";
  let description = [{
    An op through which transposes of its operands can move towards outputs.
    Elementwise ops need none of this.
  }];
  let methods = [
    InterfaceMethod<[{The op's result if its operands are transposes by `perm`
      of `operands`, built on these with transposes behind; null if that
      cannot be said.}],
      "::mlir::Value", "permute",
      (ins "::nncc::ExprBuilder &":$c, "::mlir::ValueRange":$operands,
           "::llvm::ArrayRef<int64_t>":$perm)>,
  ];
}
#endif // NNCC_INTERFACES
