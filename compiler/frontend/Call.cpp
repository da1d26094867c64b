//===- Call.cpp - one use of a definition ---------------------------------===//
#include "frontend/Call.h"
#include "dialect/Names.h"
#include "dialect/Nncc.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace nncc {

void Site::report(Span at, const Twine &text) const {
  std::string where = path.empty() ? "" : path + " ";
  diagnostics.error(at, where + "(" + name + "): " + text);
}

const Arg *Call::find(StringRef arg) const {
  auto it = args.find(arg);
  return it == args.end() ? nullptr : &it->second;
}

bool Call::has(StringRef arg) const {
  const Arg *found = find(arg);
  return found && !found->isNull();
}

bool Call::hasTensor(StringRef arg) const { return bool(tensor(arg)); }

Expr Call::tensor(StringRef arg) const {
  if (const Arg *found = find(arg); found && found->result.value)
    return found->result.value;
  auto it = state.find(arg);
  return it == state.end() ? Expr(*builder, Value()) : it->second;
}

std::vector<Expr> Call::tensors(StringRef arg) const {
  std::vector<Expr> list;
  if (const Arg *found = find(arg))
    for (const Result &item : found->result.items)
      list.push_back(item.value);
  return list;
}

int64_t Call::integer(StringRef arg) const { return exact(arg).toInteger(); }

Number Call::exact(StringRef arg) const { return *find(arg)->value->number(); }

std::optional<Number> Call::literal(StringRef arg) const {
  const Arg *found = find(arg);
  return found && found->value ? found->value->number() : std::nullopt;
}

Number Call::rounded(StringRef arg) const {
  Number number = *literal(arg);
  return half ? Number::of(number.toAttr(half)) : number;
}

bool Call::fits(StringRef arg, Type type) {
  std::optional<Number> number = literal(arg);
  if (!number || number->fits(type))
    return true;
  error(arg, arg + " must be a number that " + dtypeName(type) +
                 " can hold, got " + number->text());
  return false;
}

bool Call::flag(StringRef arg) const {
  const bool *value = find(arg)->value->as<bool>();
  return value ? *value : trains;
}

StringRef Call::word(StringRef arg) const {
  const std::string *word = find(arg)->value->as<std::string>();
  return word ? StringRef(*word) : "";
}

SmallVector<int64_t> Call::integers(StringRef arg) const {
  const ArgValue &value = *find(arg)->value;
  if (const auto *list = value.as<ArgValue::Integers>())
    return *list;
  return {value.as<Number>()->toInteger()};
}

bool Call::isSingle(StringRef arg) const {
  return find(arg)->value->as<Number>();
}

int64_t Call::dim(StringRef arg) const { return find(arg)->dims.front(); }
Ints Call::dims(StringRef arg) const { return find(arg)->dims; }

Type Call::dtype(StringRef arg, StringRef standard) const {
  return parseDType(has(arg) ? word(arg) : standard, builder->b.getContext());
}

void Call::limitInput(Expr indices, int64_t first, int64_t limit,
                      int64_t except) {
  auto argument = dyn_cast_or_null<BlockArgument>(
      indices ? sourceOfElements(indices.value()) : Value());
  if (!argument)
    return;
  auto function = cast<func::FuncOp>(argument.getOwner()->getParentOp());
  // One input may index several tables.
  SmallVector<int64_t> limits;
  if (auto others = function.getArgAttrOfType<DenseI64ArrayAttr>(
          argument.getArgNumber(), limitAttr))
    llvm::append_range(limits, others.asArrayRef());
  llvm::append_values(limits, first, limit, except);
  function.setArgAttr(argument.getArgNumber(), limitAttr,
                      builder->b.getDenseI64ArrayAttr(limits));
}

Expr Call::dropout(Expr x, double p) {
  if (p == 0)
    return x;
  Expr kept = compare(Predicate::ge, random(builder->b.getF32Type(), x.shape()),
                      scalar(*builder, builder->b.getF32Type(), p));
  // x times 0, as torch does: a dropped infinity is NaN.
  return x * convert(kept, x.element()) * (p < 1 ? 1 / (1 - p) : 0);
}

bool Call::isTooLong(StringRef arg, int64_t count) {
  constexpr int64_t most = 1 << 14;
  if (count > most)
    error(arg, "comes to " + Twine(count) + " parts, at most " + Twine(most) +
                   " are allowed");
  return count > most;
}

Result Call::error(StringRef arg, const Twine &text) {
  if (builder && !builder->problem.empty())
    return Result(); // it follows from that one, which is still to be told
  failed = true;
  const Arg *found = find(arg);
  report(found && found->isGiven ? found->value->span : span, text);
  return Result();
}

} // namespace nncc
