//===- Registry.cpp - all modules and functions ---------------------------===//
#include "frontend/ModuleDef.h"
#include "llvm/ADT/StringExtras.h"

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
  registerParametrizations(*this);
  registerPooling(*this);
  registerRecurrent(*this);
  registerReductions(*this);
  registerShapes(*this);
}

void Registry::spell(const std::string &name, Spelling spelling) {
  if (!byName.try_emplace(name, std::move(spelling)).second)
    clashes.push_back(name + ": defined twice");
  order.push_back(name);
}

const Spelling *Registry::find(llvm::StringRef name) const {
  auto it = byName.find(name);
  return it == byName.end() ? nullptr : &it->second;
}

std::vector<llvm::StringRef> Registry::names(Face::Kind kind) const {
  std::vector<llvm::StringRef> list;
  for (const std::string &name : order)
    if (find(name)->face->kind == kind)
      list.push_back(name);
  return list;
}

const ArgDef *findArgument(llvm::ArrayRef<ArgDef> list, llvm::StringRef name) {
  for (const ArgDef &arg : list)
    if (arg.name == name || llvm::is_contained(arg.synonyms, name))
      return &arg;
  return nullptr;
}

//===----------------------------------------------------------------------===//
// Definitions
//===----------------------------------------------------------------------===//

Define::Define(Registry &registry, std::string doc)
    : registry(registry), def(registry.definitions.emplace_back()),
      first{nncc::tensor("input")} {
  def.doc = std::move(doc);
}

Define &Define::operands(ArgDefs list) {
  first = std::move(list);
  return *this;
}

Define &Define::module(std::string name, ArgDefs constructor) {
  faces.push_back({&def,
                   Face::Kind::module,
                   {std::move(name)},
                   std::move(constructor),
                   {}});
  return *this;
}

Define &Define::function(std::string name, ArgDefs arguments) {
  return functions({std::move(name)}, std::move(arguments));
}

Define &Define::functions(std::vector<std::string> names, ArgDefs arguments) {
  faces.push_back(
      {&def, Face::Kind::function, std::move(names), {}, std::move(arguments)});
  return *this;
}

Define &Define::parametrization(std::vector<std::string> names,
                                ArgDefs attributes) {
  first.clear();
  faces.push_back({&def,
                   Face::Kind::parametrization,
                   std::move(names),
                   std::move(attributes),
                   {}});
  return *this;
}

Define &Define::alias(const std::string &name) {
  others.push_back({name, {nullptr, false, faces.back().names.front()}});
  return *this;
}

Define &Define::aliases(const std::vector<std::string> &names) {
  for (const Face &face : faces)
    for (const std::string &name : face.names)
      for (const std::string &other : names) {
        std::string space = name.substr(0, name.rfind('.') + 1);
        others.push_back({space + other, {nullptr, false, name}});
      }
  return *this;
}

Define &Define::twin(const std::string &name) {
  others.push_back({name, {nullptr, true, faces.back().names.front()}});
  return *this;
}

Define &Define::twins() {
  for (const Face &face : faces)
    for (const std::string &name : face.names)
      if (llvm::StringRef(name).starts_with("Tensor."))
        others.push_back({name + "_", {nullptr, true, name}});
  return *this;
}

Define &Define::tensor(const char *name, ShapeFormula shape, TensorUse use) {
  use.def.name = name;
  use.def.shape = std::move(shape);
  def.tensors.push_back(std::move(use.def));
  return *this;
}

Define &Define::buffer(const char *name, ShapeFormula shape, TensorUse use) {
  use.def.isBuffer = true;
  return tensor(name, std::move(shape), std::move(use));
}

Define &Define::types(TypeRule rule) {
  def.types = rule;
  return *this;
}

Define &Define::inF32(Scalars scalars) {
  def.isInF32 = true;
  def.scalars = scalars;
  return *this;
}

Define &Define::domain(Domain where) {
  first.front().domain = std::move(where);
  return *this;
}

Define &Define::broadcast(std::vector<std::string> names) {
  def.broadcasting = std::move(names);
  return *this;
}

Define &Define::divides(std::string divisor,
                        std::vector<std::string> multiples) {
  def.divisions.push_back({std::move(divisor), std::move(multiples)});
  return *this;
}

Define &
Define::declare(std::function<void(Call &, std::vector<StateDef> &)> function) {
  def.declare = std::move(function);
  return *this;
}

Define &Define::hidden(std::vector<HiddenState> (*function)(Call &,
                                                            const std::string &,
                                                            Ints)) {
  def.hidden = function;
  return *this;
}

/// A tensor of modules as an input of a function.
static ArgDef inputOf(const TensorDef &tensor) {
  ArgDef arg(tensor.name, ArgKind::tensor);
  arg.shaped(tensor.shape);
  arg.onlyBroadcasts = tensor.onlyBroadcasts;
  return tensor.isOptional() ? arg.optional() : arg;
}

/// Operands, tensors and a module's element type come to what is written.
void Define::complete(Face &face) {
  if (face.kind != Face::Kind::function) {
    face.inputs = first;
    bool hasState = bool(def.declare);
    for (const TensorDef &tensor : def.tensors) {
      hasState |= !tensor.isGiven;
      if (tensor.isGiven)
        face.attributes.push_back(
            ArgDef(tensor.name, ArgKind::state).optional());
    }
    if (hasState)
      face.attributes.push_back(
          word("dtype", {"f32", "f64", "f16", "bf16"}, "f32"));
    return;
  }
  ArgDefs own = std::move(face.inputs);
  face.inputs = first;
  for (const TensorDef &tensor : def.tensors) {
    if (tensor.isOfModule)
      continue;
    auto named = llvm::find_if(
        own, [&](const ArgDef &arg) { return arg.name == tensor.name; });
    if (named == own.end())
      face.inputs.push_back(inputOf(tensor));
    else
      *named = inputOf(tensor);
  }
  llvm::append_range(face.inputs, own);
}

void Define::emit(Emitter function) {
  def.emit = std::move(function);
  for (Face &face : faces) {
    complete(face);
    const Face &added = registry.allFaces.emplace_back(std::move(face));
    for (const std::string &name : added.names)
      registry.spell(name, {&added, false, ""});
  }
  for (auto &[name, spelling] : others) {
    if (const Spelling *original = registry.find(spelling.of))
      spelling.face = original->face;
    registry.spell(name, spelling);
  }
}

void Define::emit(Expr (*function)(Expr)) {
  std::string operand = first.front().name;
  emit([=](Call &c) -> Result { return function(c.tensor(operand)); });
}

void Define::emit(Expr (*function)(Expr, Expr)) {
  std::string one = first.front().name, other = first.back().name;
  emit([=](Call &c) -> Result {
    return function(c.tensor(one), c.tensor(other));
  });
}

void Define::emit(Expr (*function)(Expr, int64_t)) {
  std::string operand = first.front().name;
  emit([=](Call &c) -> Result {
    return function(c.tensor(operand), c.dim("dim"));
  });
}

} // namespace nncc
