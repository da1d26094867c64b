//===- Registry.cpp - all modules and functions, and calls of them --------===//
#include "dialect/Names.h"
#include "dialect/Nncc.h"
#include "frontend/ModuleDef.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace nncc {

Registry::Registry() {
  registerActivations(*this);
  registerAttention(*this);
  registerConvolutions(*this);
  registerElementwise(*this);
  registerEmbeddings(*this);
  registerLinear(*this);
  registerLosses(*this);
  registerNorms(*this);
  registerPooling(*this);
  registerRecurrent(*this);
  registerReductions(*this);
  registerShapes(*this);
}

void Registry::add(OpDef def) {
  for (const std::string &name : def.names) {
    bool isNew = byName.try_emplace(name, defs.size()).second;
    assert(isNew && "defined twice");
    (void)isNew;
  }
  defs.push_back(std::move(def));
}

const OpDef *Registry::find(StringRef name) const {
  auto it = byName.find(name);
  return it == byName.end() ? nullptr : &defs[it->second];
}

std::vector<StringRef> Registry::names(bool modules) const {
  std::vector<StringRef> list;
  for (const OpDef &def : defs)
    for (const std::string &name : def.names)
      if (StringRef(name).starts_with("nn.") == modules)
        list.push_back(name);
  return list;
}

const ArgDef *findArgument(ArrayRef<ArgDef> list, StringRef name) {
  for (const ArgDef &arg : list)
    if (arg.name == name)
      return &arg;
  return nullptr;
}

ArgDef stateDType() {
  return ArgDef("dtype", ArgKind::word)
      .optional("\"f32\"")
      .oneOf({"f32", "f64", "f16", "bf16"});
}

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

const Arg *Call::find(StringRef arg) const {
  auto it = args.find(arg);
  return it == args.end() ? nullptr : &it->second;
}

bool Call::has(StringRef arg) const {
  const Arg *found = find(arg);
  return found && !found->isNull();
}

bool Call::hasTensor(StringRef arg) const {
  const Arg *found = find(arg);
  return (found && found->result.value) || state.count(arg);
}

Expr Call::tensor(StringRef arg) {
  if (const Arg *found = find(arg); found && found->result.value)
    return found->result.value;
  return state.lookup(arg);
}

std::vector<Expr> Call::tensors(StringRef arg) {
  std::vector<Expr> list;
  if (const Arg *found = find(arg))
    for (const Result &item : found->result.items)
      list.push_back(item.value);
  return list;
}

int64_t Call::integer(StringRef arg) const {
  return find(arg)->literal.integer;
}
double Call::number(StringRef arg) const { return find(arg)->literal.number; }
const Json *Call::literal(StringRef arg) const {
  const Arg *found = find(arg);
  const Json *json = found ? found->json : nullptr;
  return json && (json->isNumber() || json->isBoolean()) ? json : nullptr;
}
bool Call::flag(StringRef arg) const {
  const Json &json = find(arg)->literal;
  return json.isString() ? trains : json.boolean; // a string is "mode"
}
StringRef Call::word(StringRef arg) const { return find(arg)->literal.string; }

SmallVector<int64_t> Call::integers(StringRef arg) {
  const Json &json = find(arg)->literal;
  SmallVector<int64_t> list;
  if (json.isInteger())
    list.push_back(json.integer);
  for (const Json &item : json.items)
    list.push_back(item.integer);
  return list;
}

SmallVector<int64_t> Call::integers(StringRef arg, int64_t rank) {
  SmallVector<int64_t> list = integers(arg);
  if (list.size() == 1)
    list.assign(rank, list[0]);
  if (int64_t(list.size()) != rank) {
    error(arg, arg + Twine(" needs one integer or a list of ") + Twine(rank) +
                   ", got " + shapeText(list));
    list.assign(rank, 1);
  }
  return list;
}

int64_t Call::dim(StringRef arg, int64_t rank) {
  int64_t value = integer(arg);
  if (value >= -rank && value < rank)
    return value < 0 ? value + rank : value;
  error(arg, arg + Twine(" = ") + Twine(value) + " is out of range for " +
                 Twine(rank) + " dimensions");
  return 0;
}

const Arg *Call::indexTensor(const Json &entry) const {
  const Json *value = entry.find("value");
  auto it = value ? indexTensors.find(value->string) : indexTensors.end();
  return it == indexTensors.end() ? nullptr : &it->second;
}

StateDef Call::stateOf(StringRef arg) const {
  const Json &json = find(arg)->literal;
  StateDef state{arg.str(), {}, true, json.find("dtype")->string};
  for (const Json &size : json.find("shape")->items)
    state.shape.push_back(size.integer);
  return state;
}

void Call::limitInput(Expr indices, int64_t first, int64_t limit,
                      int64_t except) {
  auto argument = dyn_cast<BlockArgument>(indices.value());
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

int64_t Call::spatialRank() const {
  size_t digit = name.find_last_of("123");
  return digit == StringRef::npos ? 0 : name[digit] - '0';
}

Result Call::error(StringRef arg, const Twine &text) {
  Span at = span;
  if (const Arg *found = arg.empty() ? nullptr : find(arg))
    if (found->json)
      at = found->json->span;
  std::string where = path.empty() ? "" : path + " ";
  diagnostics.error(at, where + "(" + name + "): " + text);
  failed = true;
  return Result();
}

} // namespace nncc
