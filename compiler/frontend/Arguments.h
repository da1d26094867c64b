//===- Arguments.h - JSON values as arguments -------------------*- C++ -*-===//
#ifndef NNCC_FRONTEND_ARGUMENTS_H
#define NNCC_FRONTEND_ARGUMENTS_H

#include "frontend/ModuleDef.h"

namespace nncc {

/// Looks up a value name; reports and gives an empty result if there is none.
using ValueLookup = llvm::function_ref<Result(const Json &)>;

/// Parses `json` as `def`. Tensor kinds go through `lookup` (numbers become
/// scalars of `call.builder`). False after an error.
bool parseArgument(Call &call, const ArgDef &def, const Json &json,
                   ValueLookup lookup);

/// Fills in defaults; reports missing arguments of `list`.
void completeArguments(Call &call, llvm::ArrayRef<ArgDef> list);

/// Gives numbers in the place of tensors their type beside the tensors, and
/// checks the call's TypeRule. False after an error.
bool settleTypes(Call &call);

/// A float literal: a number, "inf", "-inf" or "nan".
bool isNumberLiteral(const Json &json, double &value);

} // namespace nncc
#endif // NNCC_FRONTEND_ARGUMENTS_H
