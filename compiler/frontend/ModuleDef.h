//===- ModuleDef.h - the language in which modules are defined --*- C++ -*-===//
//
//   define(r, "y = x W^T + b")
//       .operands({tensor("input").shaped({"...", "in_features"})})
//       .module("nn.Linear", {integer("in_features").min(0),
//                             integer("out_features").min(0),
//                             flag("bias", true)})
//       .function("F.linear")
//       .tensor("weight", {"out_features", "in_features"})
//       .tensor("bias", {"out_features"}, when("bias"))
//       .types(TypeRule::floating)
//       .emit(emitLinear);
//
// nn.X and F.x are two faces of one definition. A function takes the operands,
// then the tensors, then its own arguments; a tensor that these name stands
// where they name it. `emit` comes last and registers.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_MODULEDEF_H
#define NNCC_FRONTEND_MODULEDEF_H

#include "frontend/Call.h"
#include <deque>

namespace nncc {

//===----------------------------------------------------------------------===//
// Arguments: a kind, a name, and the default if there is one
//===----------------------------------------------------------------------===//

inline ArgDef tensor(llvm::StringRef name) { return {name, ArgKind::tensor}; }
inline ArgDef tensors(llvm::StringRef name) { return {name, ArgKind::tensors}; }
inline ArgDef integer(llvm::StringRef name) { return {name, ArgKind::integer}; }
inline ArgDef integer(llvm::StringRef name, int64_t standard) {
  return integer(name).standing({Number(standard)});
}
inline ArgDef integers(llvm::StringRef name) {
  return {name, ArgKind::integers};
}
inline ArgDef integers(llvm::StringRef name, int64_t standard) {
  return integers(name).standing({Number(standard)});
}
inline ArgDef number(llvm::StringRef name) { return {name, ArgKind::number}; }
inline ArgDef number(llvm::StringRef name, Number standard) {
  return number(name).standing({standard});
}
inline ArgDef flag(llvm::StringRef name, bool standard) {
  return ArgDef(name, ArgKind::boolean).standing({standard});
}
inline ArgDef mode(llvm::StringRef name, bool standard) {
  return ArgDef(name, ArgKind::mode).standing({standard});
}
inline ArgDef word(llvm::StringRef name, std::vector<std::string> words,
                   const char *standard) {
  return ArgDef(name, ArgKind::word)
      .orOneOf(std::move(words))
      .standing({std::string(standard)});
}
inline ArgDef dtype(llvm::StringRef name) { return {name, ArgKind::dtype}; }
inline ArgDef index(llvm::StringRef name) { return {name, ArgKind::index}; }

/// How a tensor is there: `when("affine").andWhen("bias")`.
struct TensorUse {
  TensorDef def{"", ShapeFormula({})};
  TensorUse &andWhen(const char *flag) {
    def.conditions.push_back(flag);
    return *this;
  }
  TensorUse &ofModule(const char *dtype) {
    def.isOfModule = true;
    def.dtype = dtype;
    return *this;
  }
};
inline TensorUse always() { return {}; }
inline TensorUse when(const char *flag) { return TensorUse().andWhen(flag); }
/// The constructor is given it, as weights of a loss.
inline TensorUse given() {
  TensorUse use;
  use.def.isGiven = true;
  return use;
}
/// The same; it only broadcasts to its shape.
inline TensorUse givenToBroadcast() {
  TensorUse use = given();
  use.def.onlyBroadcasts = true;
  return use;
}

//===----------------------------------------------------------------------===//
// The registry
//===----------------------------------------------------------------------===//

class Registry {
public:
  Registry();
  /// What a name means, or null.
  const Spelling *find(llvm::StringRef name) const;
  /// In the order of their definitions, aliases and twins behind them.
  std::vector<llvm::StringRef> names(Face::Kind kind) const;
  const std::deque<Face> &faces() const { return allFaces; }
  /// What is wrong with the definitions: for a test.
  std::vector<std::string> problems() const;

private:
  friend class Define;
  void spell(const std::string &name, Spelling spelling);

  std::deque<Definition> definitions;
  std::deque<Face> allFaces;
  llvm::StringMap<Spelling> byName;
  std::vector<std::string> order;
  std::vector<std::string> clashes;
};

/// A definition being written; see above.
class Define {
public:
  Define(Registry &registry, std::string doc);

  /// What every face takes first, a tensor "input" if nothing is said.
  Define &operands(ArgDefs list);
  Define &module(std::string name, ArgDefs constructor = {});
  Define &function(std::string name, ArgDefs arguments = {});
  Define &functions(std::vector<std::string> names, ArgDefs arguments = {});
  Define &parametrization(std::vector<std::string> names,
                          ArgDefs attributes = {});
  /// `twin` is in place; so are "Tensor.x_" of all "Tensor.x" by `twins`.
  Define &twin(const std::string &name);
  Define &twins();
  Define &alias(const std::string &name);
  /// "torch.NAME" of all "torch.x", "Tensor.NAME" of all "Tensor.x".
  Define &aliases(const std::vector<std::string> &names);
  Define &tensor(const char *name, ShapeFormula shape, TensorUse use = {});
  Define &buffer(const char *name, ShapeFormula shape, TensorUse use = {});
  Define &types(TypeRule rule);
  Define &inF32(Scalars scalars = Scalars::rounded);
  /// Of the first operand.
  Define &domain(Domain where);
  Define &broadcast(std::vector<std::string> names);
  Define &divides(std::string divisor, std::vector<std::string> multiples);
  Define &
  declare(std::function<void(Call &, std::vector<StateDef> &)> function);
  Define &hidden(std::vector<HiddenState> (*function)(Call &,
                                                      const std::string &,
                                                      Ints));
  void emit(Emitter function);
  /// Of the operand.
  void emit(Expr (*function)(Expr));
  /// Of both operands.
  void emit(Expr (*function)(Expr, Expr));
  /// Of the operand along the argument "dim".
  void emit(Expr (*function)(Expr, int64_t));

private:
  void complete(Face &face);

  Registry &registry;
  Definition &def;
  ArgDefs first;
  std::vector<Face> faces;
  std::vector<std::pair<std::string, Spelling>> others;
};

inline Define define(Registry &registry, std::string doc) {
  return Define(registry, std::move(doc));
}

// One function per family; explicit registration, in modules/<Family>.cpp.
void registerActivations(Registry &registry);
void registerConvolutions(Registry &registry);
void registerElementwise(Registry &registry);
void registerEmbeddings(Registry &registry);
void registerLinear(Registry &registry);
void registerLosses(Registry &registry);
void registerNorms(Registry &registry);
void registerParametrizations(Registry &registry);
void registerPooling(Registry &registry);
void registerRecurrent(Registry &registry);
void registerReductions(Registry &registry);
void registerShapes(Registry &registry);
void registerAttention(Registry &registry);

} // namespace nncc
#endif // NNCC_FRONTEND_MODULEDEF_H
