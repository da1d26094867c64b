//===- Arguments.h - JSON as the arguments of a call ------------*- C++ -*-===//
//
// Parsing turns JSON into typed values, once per module and node. Binding makes
// the arguments of one call of them: defaults, and tensors looked up. Then
// `runCall` checks all that the definition says about them, and emits.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_ARGUMENTS_H
#define NNCC_FRONTEND_ARGUMENTS_H

#include "frontend/Call.h"
#include "frontend/Json.h"

namespace nncc {

/// What a file gives to a call, by the names that the definition has for it.
struct ParsedCall {
  llvm::StringMap<ArgValue> values;
  bool failed = false;
};

/// Every key of `json` but "type", "comment" and `others` is an attribute.
ParsedCall parseAttributes(const Site &site, const Face &face, const Json &json,
                           llvm::ArrayRef<llvm::StringRef> others);

/// The positional inputs of a node, and its arguments by name.
ParsedCall parseInputs(const Site &site, const Face &face, const Json &node);

/// The value of that name; reports and gives an empty result if there is none.
using ValueLookup = llvm::function_ref<Result(const ValueName &, Span)>;

/// `parsed` must outlive the call.
void bindAttributes(Call &call, const ParsedCall &parsed);
void bindInputs(Call &call, const ParsedCall &parsed, ValueLookup lookup);
/// The one input of a step of a Sequential.
void bindInput(Call &call, const Result &input);

/// The state of a module with the call's attributes.
std::vector<StateDef> stateOf(Call &call);

/// Gives numbers in the place of tensors their type beside the tensors, and
/// checks what the definition says about types. False after an error.
bool settleTypes(Call &call);

/// Of a call whose result is f16 or bf16: converts its tensors and state to f32
/// and gives the type to round the result to. Null for other calls.
mlir::Type widenHalves(Call &call);

/// Emits a call that is bound, after all checks.
Result runCall(Call &call);

} // namespace nncc
#endif // NNCC_FRONTEND_ARGUMENTS_H
