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

namespace {

/// A tensor of a call, and the number that stands for it.
struct Operand {
  const ArgDef *def; // null: state
  std::string name;
  Expr *value;
  std::optional<Number> literal;
  bool isBoolean = false;
};

std::vector<Operand> operandsOf(Call &call) {
  std::vector<Operand> list;
  auto add = [&](const ArgDef &def, const ArgValue *written, Expr &value) {
    std::optional<Number> literal = written ? written->number() : std::nullopt;
    if (value || literal)
      list.push_back({&def, def.name, &value, value ? std::nullopt : literal,
                      written && written->as<bool>()});
  };
  for (const ArgDef &def : call.def.inputs) {
    auto it = call.args.find(def.name);
    if (!def.isTensor() || it == call.args.end())
      continue;
    Arg &arg = it->second;
    const auto *items = arg.value ? arg.value->as<ArgValue::List>() : nullptr;
    if (!arg.result.isTuple)
      add(def, arg.value, arg.result.value);
    for (auto [i, item] : llvm::enumerate(arg.result.items))
      add(def, items ? &(*items)[i] : nullptr, item.value);
  }
  return list;
}

/// A number beside tensors of type `beside` (null: there are none).
Type literalType(const Operand &operand, Type beside, Builder b) {
  if (operand.isBoolean)
    return beside ? beside : b.getI1Type();
  if (operand.literal->isInteger())
    return beside && !beside.isInteger(1) ? beside : b.getI64Type();
  return beside && isa<FloatType>(beside) ? beside : b.getF32Type();
}

void settleLiterals(Call &call, std::vector<Operand> &operands) {
  Type beside;
  for (Operand &operand : operands)
    if (!operand.literal && operand.def->elements == Elements::any) {
      Type type = operand.value->element();
      beside = beside ? promotedType(beside, type) : type;
    }
  for (Operand &operand : operands)
    if (operand.literal)
      *operand.value =
          scalar(*call.builder, literalType(operand, beside, call.builder->b),
                 *operand.literal);
}

/// What single arguments say: kinds of elements, a type for an operand.
bool settleArguments(Call &call, const std::vector<Operand> &operands) {
  for (const Operand &operand : operands) {
    Type type = operand.value->element();
    bool isBool = type.isInteger(1), isFloat = operand.value->isFloat();
    Elements elements = operand.def->elements;
    const char *wanted = elements == Elements::integers && (isBool || isFloat)
                             ? "integers"
                         : elements == Elements::bools && !isBool ? "bool"
                                                                  : nullptr;
    if (wanted) {
      call.error(operand.name, operand.name + " must be " + wanted + ", got " +
                                   dtypeName(type));
      return false;
    }
  }
  for (const ArgDef &def : call.def.inputs)
    if (!def.casts.empty() && call.has(def.name)) {
      Expr &value = call.args[def.casts].result.value;
      value = convert(value, call.dtype(def.name, ""));
    }
  return true;
}

/// Checks and converts tensors one after the other.
class RuleCheck {
public:
  explicit RuleCheck(Call &call) : call(call), rule(call.def.of->types) {}

  /// The first tensor sets the type; others must agree.
  bool agrees(const std::string &name, Expr &value) {
    if (!value.isFloat() && rule == TypeRule::floats)
      value = convert(value, call.builder->b.getF32Type());
    else if (!value.isFloat() && rule == TypeRule::floating)
      return fail(name, name + " must be floating, got " +
                            dtypeName(value.element()));
    if (common && common != value.element())
      return fail(name, name + " is " + dtypeName(value.element()) + ", but " +
                            first + " is " + dtypeName(common));
    common = value.element();
    if (first.empty())
      first = name;
    return true;
  }

  bool numeric(llvm::ArrayRef<Operand> operands) {
    bool areBools = llvm::all_of(operands, [](const Operand &operand) {
      return operand.value->element().isInteger(1);
    });
    return !areBools ||
           fail("", "has no meaning for bool; convert it with Tensor.to");
  }

private:
  bool fail(StringRef name, const Twine &text) {
    call.error(name, text);
    return false;
  }

  Call &call;
  TypeRule rule;
  Type common;
  std::string first;
};

} // namespace

bool settleTypes(Call &call) {
  std::vector<Operand> operands = operandsOf(call);
  settleLiterals(call, operands);
  if (!settleArguments(call, operands))
    return false;
  TypeRule rule = call.def.of->types;
  llvm::erase_if(operands, [](const Operand &operand) {
    return operand.def->elements != Elements::any;
  });
  if (rule == TypeRule::any)
    return true;
  RuleCheck check(call);
  if (rule == TypeRule::numeric)
    return check.numeric(operands);
  for (auto &[name, value] : call.state) {
    bool hasOwnType = llvm::any_of(
        call.def.of->tensors, [name = name.str()](const TensorDef &tensor) {
          return tensor.name == name && tensor.isOfModule;
        });
    if (!hasOwnType)
      operands.push_back({nullptr, name.str(), &value, std::nullopt});
  }
  for (Operand &operand : operands)
    if (!check.agrees(operand.name, *operand.value))
      return false;
  return true;
}

/// What the operands' types promote to; tensors of rank 0 count by kind alone.
/// Operands that number something leave it to the state.
static Type promoted(const Call &call, const std::vector<Operand> &operands) {
  Type tensors, scalars;
  for (const Operand &operand : operands) {
    if (operand.def->elements != Elements::any)
      continue;
    Type &type = operand.value->rank() ? tensors : scalars;
    Type element = operand.value->element();
    type = type ? promotedType(type, element) : element;
  }
  if (!tensors && !scalars)
    for (const auto &entry : call.state) {
      Type element = entry.second.element();
      tensors = tensors ? promotedType(tensors, element) : element;
    }
  if (!tensors || !scalars)
    return tensors ? tensors : scalars;
  return kindOf(tensors) >= kindOf(scalars) ? tensors
                                            : promotedType(tensors, scalars);
}

Type widenHalves(Call &call) {
  std::vector<Operand> operands = operandsOf(call);
  Type type = promoted(call, operands), f32 = call.builder->b.getF32Type();
  if (!type || !isHalf(type))
    return {};
  call.half = type;
  // As a second operand PyTorch's kernels take rank 0 for a number.
  bool keepsDigits = call.def.of->scalars == Scalars::exact;
  DenseMap<Value, Expr> halves; // by what stands for them
  auto widen = [&](Expr &value) {
    Expr wide = convert(value, f32);
    halves[wide.value()] = value;
    value = wide;
  };
  for (Operand &operand : operands) {
    Expr &value = *operand.value;
    bool isFirst = &operand == operands.data();
    if (std::optional<Number> number = call.literal(operand.name))
      value = scalar(*call.builder, keepsDigits ? f32 : type, *number);
    else if (!value.isFloat() && (operand.def->elements != Elements::any ||
                                  value.element().isInteger(1)))
      continue; // no numbers
    else if (value.rank() || isFirst || !keepsDigits)
      value = convert(value, type);
    widen(value);
  }
  for (auto &[name, value] : call.state)
    if (isHalf(value.element()))
      widen(value);
  call.update = [update = call.update, halves](Expr old, Expr now) {
    auto it = halves.find(old.value());
    Expr buffer = it == halves.end() ? old : it->second;
    update(buffer, convert(now, buffer.element()));
  };
  return type;
}

} // namespace nncc
