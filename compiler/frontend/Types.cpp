//===- Types.cpp - element types of calls ---------------------------------===//
//
// Before a call is emitted: numbers in the place of tensors take the type that
// PyTorch gives them beside the tensors, and the call's rule is checked.
// Promotion: torch.Tensor documentation, "torch.dtype, type promotion".
//
//===----------------------------------------------------------------------===//
#include "frontend/Arguments.h"
#include "mlir/IR/BuiltinTypes.h"

using namespace mlir;

namespace nncc {

Type parseDType(StringRef name, MLIRContext *context) {
  Builder b(context);
  if (name == "f32")
    return b.getF32Type();
  if (name == "f64")
    return b.getF64Type();
  if (name == "f16")
    return b.getF16Type();
  if (name == "bf16")
    return b.getBF16Type();
  if (name == "u8")
    return b.getIntegerType(8, false);
  if (name == "bool")
    return b.getI1Type();
  for (unsigned bits : {64, 32, 16, 8})
    if (name == "i" + std::to_string(bits))
      return b.getIntegerType(bits);
  return {};
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

namespace {

/// A tensor of a call, with the name to show.
struct Operand {
  std::string name;
  Result *result;
  const Json *literal; // the number it stands for, or null
};

std::vector<Operand> operandsOf(Call &call) {
  std::vector<Operand> list;
  auto addArg = [&](const std::string &name, const Json *json, Result &result) {
    double number; // "inf" is a literal too
    bool isLiteral =
        json && (json->isBoolean() || isNumberLiteral(*json, number));
    if (result.value)
      list.push_back({name, &result, isLiteral ? json : nullptr});
  };
  for (const ArgDef &def : call.def.inputs) {
    auto it = call.args.find(def.name);
    if (it == call.args.end())
      continue;
    Arg &arg = it->second;
    addArg(def.name, arg.json, arg.result);
    bool isList = arg.json && arg.json->isArray();
    for (auto [i, item] : llvm::enumerate(arg.result.items))
      addArg(def.name, isList ? &arg.json->items[i] : nullptr, item);
  }
  return list;
}

/// A number beside tensors of type `beside` (null: there are none).
Type literalType(const Json &json, Type beside, Builder b) {
  if (json.isBoolean())
    return beside ? beside : b.getI1Type();
  if (json.isInteger())
    return beside && !beside.isInteger(1) ? beside : b.getI64Type();
  return beside && isa<FloatType>(beside) ? beside : b.getF32Type();
}

void settleLiterals(Call &call, std::vector<Operand> &operands) {
  Type beside;
  for (Operand &operand : operands)
    if (!operand.literal) {
      Type type = operand.result->value.element();
      beside = beside ? promotedType(beside, type) : type;
    }
  for (Operand &operand : operands) {
    double value;
    if (!operand.literal)
      continue;
    if (operand.literal->isBoolean())
      value = operand.literal->boolean;
    else if (!isNumberLiteral(*operand.literal, value))
      continue;
    Type type = literalType(*operand.literal, beside, call.builder->b);
    operand.result->value = scalar(*call.builder, type, value);
  }
}

} // namespace

bool settleTypes(Call &call) {
  std::vector<Operand> operands = operandsOf(call);
  settleLiterals(call, operands);
  TypeRule rule = call.def.types;
  if (rule == TypeRule::any)
    return true;
  for (auto &[name, value] : call.state)
    if (value.isFloat())
      operands.push_back({name.str(), nullptr, nullptr});
  // The first tensor sets the type; others must agree.
  Type common;
  std::string first;
  auto agree = [&](const std::string &name, Expr &value) {
    bool isFloat = value.isFloat();
    if (!isFloat && rule == TypeRule::promoting)
      value = convert(value, call.builder->b.getF32Type());
    else if (!isFloat && rule == TypeRule::floating)
      return bool(call.error(name, name + " must be floating, got " +
                                       dtypeName(value.element())));
    if (common && common != value.element())
      return bool(call.error(name, name + " is " + dtypeName(value.element()) +
                                       ", but " + first + " is " +
                                       dtypeName(common)));
    common = value.element();
    if (first.empty())
      first = name;
    return true;
  };
  for (Operand &operand : operands) {
    const ArgDef *def = findArgument(call.def.inputs, operand.name);
    if (def && def->otherType)
      continue;
    Expr &value =
        operand.result ? operand.result->value : call.state[operand.name];
    if (!agree(operand.name, value))
      return false;
  }
  return true;
}

} // namespace nncc
