//===- RegistryCheck.cpp - what a definition must be ----------------------===//
//
// Mistakes in definitions that no compiler sees; a unit test wants none.
//
//===----------------------------------------------------------------------===//
#include "frontend/ModuleDef.h"
#include "llvm/ADT/StringSet.h"

namespace nncc {

namespace {

class FaceCheck {
public:
  FaceCheck(const Face &face, std::vector<std::string> &problems)
      : face(face), def(*face.of), problems(problems) {}

  void run() {
    if (def.doc.empty())
      fail("has no line of documentation");
    if (!def.emit)
      fail("computes nothing");
    if ((face.kind == Face::Kind::parametrization) != (def.hidden != nullptr))
      fail("only parametrizations hide tensors, and all do");
    for (const std::string &name : face.names)
      if (llvm::StringRef(name).starts_with("nn.") ==
          (face.kind == Face::Kind::function))
        fail(name + " is a name of another kind");
    for (const ArgDefs *list : {&face.attributes, &face.inputs})
      for (const ArgDef &arg : *list)
        checkArgument(arg);
    checkShapes();
    for (const std::string &name : def.broadcasting)
      wantTensor(name);
  }

private:
  void fail(const std::string &text) {
    problems.push_back(face.names.front() + ": " + text);
  }
  void wantTensor(const std::string &name) {
    const ArgDef *arg = findArgument(face.inputs, name);
    if (!arg || !arg->isTensor())
      fail("no operand " + name);
  }

  void checkArgument(const ArgDef &arg) {
    for (const std::string &name : arg.synonyms)
      isNew(name);
    isNew(arg.name);
    if (!arg.isRequired && !fits(arg))
      fail(arg.name + " has a default that it cannot have");
    if (arg.isRequired && !arg.standard.isNull())
      fail(arg.name + " is required and has a default");
    if ((arg.kind == ArgKind::word) == arg.words.empty() &&
        arg.kind != ArgKind::integers)
      fail(arg.name + " has words, or lacks them");
    for (const std::string *operand : {&arg.dimOf, &arg.casts})
      if (!operand->empty())
        wantTensor(*operand);
  }
  void isNew(const std::string &name) {
    if (!names.insert(name).second)
      fail(name + " is the name of two arguments");
  }

  static bool inRange(const ArgDef &arg, double number) {
    return !(arg.least && number < arg.least->toDouble()) &&
           !(arg.most && number > arg.most->toDouble());
  }
  static bool fits(const ArgDef &arg) {
    const ArgValue &value = arg.standard;
    std::optional<Number> number = value.number();
    if (value.isNull()) // optional or omissible
      return true;
    if (const auto *list = value.as<ArgValue::Integers>())
      return int64_t(list->size()) == arg.count &&
             llvm::all_of(*list, [&](int64_t i) { return inRange(arg, i); });
    if (arg.count)
      return false;
    switch (arg.kind) {
    case ArgKind::integer:
    case ArgKind::integers:
      return !value.as<bool>() && number && number->isInteger() &&
             inRange(arg, number->toDouble());
    case ArgKind::number:
      return !value.as<bool>() && number && inRange(arg, number->toDouble());
    case ArgKind::boolean:
    case ArgKind::mode:
      return value.as<bool>();
    case ArgKind::word:
      return value.as<std::string>() &&
             llvm::is_contained(arg.words, *value.as<std::string>());
    default:
      return false;
    }
  }

  /// Formulas parse, and each name has its size when it is used.
  void checkShapes() {
    for (const ArgDefs *list : {&face.attributes, &face.inputs})
      for (const ArgDef &arg : *list)
        if (arg.kind == ArgKind::integer || arg.kind == ArgKind::integers)
          known.insert(arg.name);
    if (face.isModule())
      for (const TensorDef &tensor : def.tensors)
        checkState(tensor);
    for (const ArgDef &arg : face.inputs)
      if (arg.shape)
        checkFormula(*arg.shape, arg.onlyBroadcasts);
    for (const TensorDef &tensor : def.tensors)
      checkFormula(tensor.shape, tensor.onlyBroadcasts);
    for (const Division &division : def.divisions) {
      wantSize(division.divisor);
      for (const std::string &name : division.multiples)
        wantSize(name);
    }
  }
  void checkFormula(const ShapeFormula &shape, bool isEvaluated) {
    for (const std::string &problem : shape.problems())
      fail(problem);
    for (const std::string &name : shape.names())
      if (isEvaluated)
        wantSize(name);
      else
        known.insert(name);
  }
  void checkState(const TensorDef &tensor) {
    if (!tensor.isGiven)
      for (const std::string &name : tensor.shape.names())
        wantSize(name);
    for (const std::string &flag : tensor.conditions) {
      const ArgDef *arg = findArgument(face.attributes, flag);
      if (!arg || arg->kind != ArgKind::boolean)
        fail("no flag " + flag + ", which " + tensor.name + " needs");
    }
  }
  void wantSize(const std::string &name) {
    if (!known.contains(llvm::StringRef(name).split('.').first))
      fail("no size " + name);
  }

  const Face &face;
  const Definition &def;
  std::vector<std::string> &problems;
  llvm::StringSet<> names, known;
};

} // namespace

std::vector<std::string> Registry::problems() const {
  std::vector<std::string> list = clashes;
  for (const Face &face : allFaces)
    FaceCheck(face, list).run();
  for (const std::string &name : order) {
    const Spelling &spelling = *find(name);
    if (!spelling.face)
      list.push_back(name + ": there is no " + spelling.of);
    else if (spelling.isInPlace && !spelling.face->inputs.front().isTensor())
      list.push_back(name + ": has no receiver");
  }
  return list;
}

} // namespace nncc
