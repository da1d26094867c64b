//===- Definition.h - what modules and functions are ------------*- C++ -*-===//
//
// The data behind the language of ModuleDef.h. A definition computes one thing
// and has faces: the classes and functions under whose names a model asks for
// it. Everything that can be said without computing is data here, and is
// checked in one place (Arguments.cpp, Types.cpp, Checks.cpp) before `emit`.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_DEFINITION_H
#define NNCC_FRONTEND_DEFINITION_H

#include "dialect/Expr.h"
#include "frontend/ShapeFormula.h"
#include "frontend/ArgValue.h"
#include <functional>
#include <limits>

namespace nncc {

class Call;
struct Result;
using Emitter = std::function<Result(Call &)>;

/// Where a function of elements is defined and smooth; tests draw from it.
struct Domain {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool isOpen = false;              // without `low` and `high`
  std::vector<double> poles = {};   // no value there
  std::vector<double> corners = {}; // no derivative there
  double period = 0; // poles and corners come again; 0: they do not
};

enum class ArgKind {
  tensor,  // a value, or a number
  tensors, // a list of values, or the name of a tuple
  integer,
  integers, // one integer or a list
  number,
  boolean,
  mode, // true, false, or "mode": whether the entry trains
  word, // one of ArgDef::words
  dtype,
  state, // {"shape", "dtype"}: a tensor of the weights file
  index, // the entries of Tensor.__getitem__
};

/// The element types that a tensor may have, whatever the others are.
enum class Elements {
  any, // bound by the call's TypeRule
  integers,
  bools,
  other, // any, but not bound by the TypeRule
};

/// An argument of a class or function.
struct ArgDef {
  std::string name;
  std::vector<std::string> synonyms; // under which it may be given, too
  ArgKind kind = ArgKind::tensor;
  bool isRequired = true;
  bool isNullable = false;
  ArgValue standard; // the default, if it is not required
  std::optional<Number> least, most;
  std::vector<std::string> words;
  Elements elements = Elements::any;
  std::optional<ShapeFormula> shape;
  bool onlyBroadcasts = false; // to `shape`
  Domain domain;
  int64_t count = 0;       // of integers: a single one stands for so many
  bool isWhole = false;    // and a list of one does not
  bool isVariadic = false; // takes the integers behind it: x.view(2, 3)
  bool hasNullItems = false;
  std::string dimOf; // a dimension of that operand, negative ones from its end
  int64_t moreDims = 0; // of dimOf
  bool isScalarToo = false;
  std::string casts; // the element type to which that operand is converted

  ArgDef(llvm::StringRef name, ArgKind kind) : name(name), kind(kind) {}

  /// Null if it is not given; for tensors: missing.
  ArgDef &optional() {
    isRequired = false;
    isNullable = true;
    return *this;
  }
  /// May be left out, and is never null.
  ArgDef &omissible() {
    isRequired = false;
    return *this;
  }
  ArgDef &standing(ArgValue value) {
    isRequired = false;
    standard = std::move(value);
    return *this;
  }
  /// null is a value of its own, beside a default that is none.
  ArgDef &orNull() {
    isNullable = true;
    return *this;
  }
  ArgDef &min(Number value) {
    least = value;
    return *this;
  }
  ArgDef &max(Number value) {
    most = value;
    return *this;
  }
  ArgDef &of(Elements kinds) {
    elements = kinds;
    return *this;
  }
  ArgDef &shaped(ShapeFormula formula) {
    shape = std::move(formula);
    return *this;
  }
  ArgDef &broadcastsTo(ShapeFormula formula) {
    onlyBroadcasts = true;
    return shaped(std::move(formula));
  }
  ArgDef &in(Domain where) {
    domain = std::move(where);
    return *this;
  }
  /// As many integers as there are spatial dimensions.
  ArgDef &each(int64_t rank) {
    count = rank;
    if (std::optional<Number> single = standard.number())
      standard.data = ArgValue::Integers(rank, single->toInteger());
    return *this;
  }
  /// A list has all of them, or is refused.
  ArgDef &whole() {
    isWhole = true;
    return *this;
  }
  /// One of these instead of integers.
  ArgDef &orOneOf(std::vector<std::string> list) {
    words = std::move(list);
    return *this;
  }
  ArgDef &variadic() {
    isVariadic = true;
    return *this;
  }
  /// Items of a list of integers may be null; they are read as 0.
  ArgDef &orNullItems() {
    hasNullItems = true;
    return *this;
  }
  /// A dimension of this operand; `more`: of one that has so many more.
  ArgDef &ofDims(const char *operand, int64_t more = 0) {
    dimOf = operand;
    moreDims = more;
    return *this;
  }
  /// A scalar counts as a vector there.
  ArgDef &orOfScalar() {
    isScalarToo = true;
    return *this;
  }
  ArgDef &castOf(const char *operand) {
    casts = operand;
    return *this;
  }
  ArgDef &orNamed(const char *synonym) {
    synonyms.push_back(synonym);
    return *this;
  }

  bool isTensor() const {
    return kind == ArgKind::tensor || kind == ArgKind::tensors;
  }
};
using ArgDefs = std::vector<ArgDef>;

/// The argument of that name, or null.
const ArgDef *findArgument(llvm::ArrayRef<ArgDef> list, llvm::StringRef name);

/// A tensor that modules have as state and functions take as an input.
struct TensorDef {
  std::string name;
  ShapeFormula shape;
  /// Flags of the constructor without which a module does not have it; an
  /// input that is under a condition may be missing.
  std::vector<std::string> conditions = {};
  bool isGiven = false; // the constructor takes it as {"shape", "dtype"}
  bool isBuffer = false;
  bool isOfModule = false; // no input of functions
  bool onlyBroadcasts = false;
  std::string dtype = ""; // "": the module's
  bool isOptional() const { return isGiven || !conditions.empty(); }
};

/// A tensor of a module's state.
struct StateDef {
  std::string name;
  llvm::SmallVector<int64_t> shape;
  bool isBuffer = false;
  std::string dtype = "f32";
};

/// One tensor that stands behind a parametrized one.
struct HiddenState {
  std::string key; // what the formula calls it
  /// State names relative to the module: its own, then that of the other
  /// spelling, if there are two.
  std::vector<std::string> names;
  llvm::SmallVector<int64_t> shape;
  bool isBuffer = false;
};

/// What a call asks of the element types of its tensors and its state.
enum class TypeRule {
  any,      // emit takes all
  numeric,  // not bools alone
  same,     // all alike
  floating, // all of one floating type
  floats,   // the same, integers become f32
};

/// What a number is beside halves: rounded to their type first, or not. A
/// second operand of rank 0 that has more digits is taken for one.
enum class Scalars { rounded, exact };

/// `divisor` divides these.
struct Division {
  std::string divisor;
  std::vector<std::string> multiples;
};

struct Definition {
  std::string doc;
  std::vector<TensorDef> tensors;
  std::vector<std::string> broadcasting; // operands, with each other
  std::vector<Division> divisions;
  TypeRule types = TypeRule::any;
  /// Halves are computed in f32 and the result is rounded once, as in PyTorch's
  /// kernels: constants keep their digits, sums and steps between are f32.
  bool isInF32 = false;
  Scalars scalars = Scalars::rounded;
  /// Adds state that no list of tensors says: one per layer.
  std::function<void(Call &, std::vector<StateDef> &)> declare;
  /// Of a parametrization: what stands behind a tensor of this shape. Reports
  /// through the call.
  std::vector<HiddenState> (*hidden)(Call &, const std::string &tensor,
                                     Ints shape) = nullptr;
  Emitter emit;
};

/// How a definition is called.
struct Face {
  enum class Kind { module, function, parametrization };
  const Definition *of;
  Kind kind;
  std::vector<std::string> names; // that mean the same
  ArgDefs attributes;             // of the constructor
  ArgDefs inputs;                 // of the call
  bool isModule() const { return kind == Kind::module; }
};

/// What a name in a file means.
struct Spelling {
  const Face *face = nullptr;
  /// "Tensor.add_": the result has its receiver's type and size.
  bool isInPlace = false;
  /// The name that it is a twin or an alias of, or "".
  std::string of;
};

} // namespace nncc
#endif // NNCC_FRONTEND_DEFINITION_H
