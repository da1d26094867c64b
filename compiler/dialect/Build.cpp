//===- Build.cpp - ops that come to be only if they are right -------------===//
//
// The one place where the ops of compositions are made: types are inferred,
// constraints verified, sizes checked. What fails is a sentence in the builder
// and no op, so a composition that a model's numbers do not allow runs to its
// end without touching anything.
//
//===----------------------------------------------------------------------===//
#include "dialect/Expr.h"
#include "dialect/Nncc.h"
#include "support/Diagnostics.h"
#include "support/Size.h"

using namespace mlir;

namespace nncc {

RankedTensorType Expr::type() const {
  if (val)
    return cast<RankedTensorType>(val.getType());
  // More dimensions than any formula asks for.
  return RankedTensorType::get(SmallVector<int64_t>(16, 1),
                               builder->b.getF32Type());
}

std::string dtypeName(Type type) {
  if (type.isUnsignedInteger(8))
    return "u8";
  if (type.isInteger(1))
    return "bool";
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

std::string shapeProblem(Ints shape, int64_t most) {
  Size elements = 1;
  for (int64_t size : shape) {
    if (size < 0)
      return "a tensor cannot have the negative size " + std::to_string(size);
    elements = elements * std::max<int64_t>(size, 1);
  }
  if (elements > most)
    return "a tensor of shape " + shapeText(shape) + " has more than 2^" +
           std::to_string(llvm::Log2_64(most)) + " elements";
  return "";
}

void ExprBuilder::fail(const llvm::Twine &text) {
  if (problem.empty())
    problem = text.str();
}

/// A verifier's text as a sentence about the model: without the op's name,
/// tensors as "f32 [2, 3]".
static std::string textOf(Diagnostic &diagnostic) {
  std::string text;
  llvm::raw_string_ostream os(text);
  for (DiagnosticArgument &argument : diagnostic.getArguments()) {
    auto type =
        argument.getKind() == DiagnosticArgument::DiagnosticArgumentKind::Type
            ? dyn_cast<RankedTensorType>(argument.getAsType())
            : RankedTensorType();
    if (type)
      os << dtypeName(type.getElementType()) << ' '
         << shapeText(type.getShape());
    else
      os << argument;
  }
  StringRef all = text;
  size_t name = all.starts_with("'") ? all.find("' op ") : StringRef::npos;
  return all.drop_front(name == StringRef::npos ? 0 : name + 5).str();
}

constexpr StringLiteral limitMark = "nncc.limit";

void reportLimit(Location loc, const Twine &text) {
  InFlightDiagnostic diagnostic = emitError(loc);
  diagnostic << text;
  diagnostic.getUnderlyingDiagnostic()->getMetadata().push_back(
      DiagnosticArgument(limitMark));
}

bool isLimit(Diagnostic &diagnostic) {
  return llvm::any_of(diagnostic.getMetadata(), [](DiagnosticArgument &one) {
    return one.getKind() ==
               DiagnosticArgument::DiagnosticArgumentKind::String &&
           one.getAsString() == limitMark;
  });
}

static LogicalResult inferTypes(ExprBuilder &c, OperationState &state) {
  MLIRContext *context = c.b.getContext();
  SmallVector<Type> types;
  auto *rule = state.name.getInterface<InferTypeOpInterface>();
  assert(rule && "a type is given or follows");
  if (failed(rule->inferReturnTypes(context, state.location, state.operands,
                                    state.attributes.getDictionary(context),
                                    state.getRawProperties(), state.regions,
                                    types)))
    return failure();
  state.types.assign(types.begin(), types.end());
  return success();
}

Operation *buildChecked(ExprBuilder &c, OperationState &state) {
  if (llvm::is_contained(state.operands, Value()))
    return nullptr;
  if (--c.room < 0) {
    c.fail("the model comes to more primitives than the limit allows, " +
           Twine(maxPrimitives));
    return nullptr;
  }
  ScopedDiagnosticHandler handler(c.b.getContext(), [&](Diagnostic &d) {
    c.fail(textOf(d));
    return success();
  });
  if (!state.types.front() && failed(inferTypes(c, state)))
    return nullptr;
  for (Type type : state.types)
    if (std::string text =
            shapeProblem(cast<RankedTensorType>(type).getShape(), c.most);
        !text.empty()) {
      c.fail(text);
      return nullptr;
    }
  Operation *op = Operation::create(state);
  if (failed(op->getName().verifyInvariants(op)) ||
      failed(op->getName().verifyRegionInvariants(op))) {
    op->destroy();
    return nullptr;
  }
  return c.b.insert(op);
}

} // namespace nncc
