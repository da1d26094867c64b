//===- ModuleDef.h - how modules and functions are described ----*- C++ -*-===//
//
// A module or function is one block in modules/<Family>.cpp: names, a line of
// documentation, arguments, state, checks, and `emit`, a composition of
// primitives. nn.X and F.x share `emit`: an argument may come from the
// constructor, from the call or from the state.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_MODULEDEF_H
#define NNCC_FRONTEND_MODULEDEF_H

#include "dialect/Expr.h"
#include "frontend/Json.h"
#include "support/Diagnostics.h"
#include "llvm/ADT/StringMap.h"
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace nncc {

enum class ArgKind {
  tensor,  // a value name or a number
  tensors, // a list of values
  integer,
  integers, // one integer or a list, one per dimension
  number,
  boolean,
  mode, // true, false, or "mode": whether the entry trains
  word, // one of ArgDef::words
  dtype,
  state, // {"shape", "dtype"}: a tensor of the weights file
  index, // the entries of Tensor.__getitem__
};

struct ArgDef {
  std::string name;
  ArgKind kind = ArgKind::tensor;
  bool required = true;
  bool nullable = false;
  /// The default as JSON text; empty: absent.
  std::string standard;
  std::optional<double> least, most;
  std::vector<llvm::StringRef> words;
  /// Not bound by the call's TypeRule: an index, a mask.
  bool otherType = false;
  /// Takes all remaining positional inputs (Tensor.view(x, 2, 3)).
  bool variadic = false;
  bool nullItems = false;

  ArgDef(const char *name, ArgKind kind) : name(name), kind(kind) {}
  ArgDef &optional(const char *value = "null") {
    required = false;
    standard = value;
    nullable = llvm::StringRef(value) == "null";
    return *this;
  }
  /// null is a value of its own, beside a default that is none.
  ArgDef &orNull() {
    nullable = true;
    return *this;
  }
  ArgDef &min(double value) {
    least = value;
    return *this;
  }
  ArgDef &max(double value) {
    most = value;
    return *this;
  }
  ArgDef &oneOf(std::vector<llvm::StringRef> list) {
    words = std::move(list);
    return *this;
  }
  /// Items of a list of integers may be null; they are read as 0.
  ArgDef &orNullItems() {
    nullItems = true;
    return *this;
  }
  ArgDef &ofOtherType() {
    otherType = true;
    return *this;
  }
  ArgDef &rest() {
    variadic = true;
    return *this;
  }
};

/// The constructor argument "dtype": the floating type of a module's state.
ArgDef stateDType();

/// What a call gives: a tensor, or a tuple of results.
struct Result {
  Expr value;
  std::vector<Result> items;
  bool isTuple = false;

  Result() = default;
  Result(Expr value) : value(value) {}
  static Result tuple(std::vector<Result> items) {
    Result result;
    result.items = std::move(items);
    result.isTuple = true;
    return result;
  }
  explicit operator bool() const { return isTuple || value; }
};

/// The value of an argument.
struct Arg {
  const Json *json = nullptr; // null when it is the default or a state
  Json literal;               // the value, if it is no tensor
  Result result;              // tensor, tensors
  bool isNull() const { return !result && literal.isNull(); }
};

struct StateDef {
  std::string name;
  llvm::SmallVector<int64_t> shape;
  bool isBuffer = false;
  llvm::StringRef dtype = "f32";
};

class Call;

/// What a call asks of the element types of its tensors and its state.
enum class TypeRule {
  any,       // emit deals with them
  same,      // all alike
  floating,  // all of one floating type
  promoting, // the same, integers become f32
};

struct OpDef {
  std::vector<std::string> names;
  std::string doc;
  std::vector<ArgDef> attributes; // constructor arguments; none: a function
  std::vector<ArgDef> inputs;
  /// Adds the state of a module with these attributes.
  void (*state)(Call &, std::vector<StateDef> &) = nullptr;
  /// Checks that attributes fit together; reports through the call.
  void (*check)(Call &) = nullptr;
  Result (*emit)(Call &) = nullptr;
  TypeRule types = TypeRule::any;

  bool isModule() const {
    return llvm::StringRef(names.front()).starts_with("nn.");
  }
};

/// The argument of that name in a list, or null.
const ArgDef *findArgument(llvm::ArrayRef<ArgDef> list, llvm::StringRef name);

/// One use of an OpDef: its arguments, where errors go, and what it builds.
class Call {
public:
  Call(const OpDef &def, llvm::StringRef name, std::string path, Span span,
       Diagnostics &diagnostics)
      : def(def), name(name), path(std::move(path)), span(span),
        diagnostics(diagnostics) {}

  const OpDef &def;
  /// As the file spells it: "nn.Conv2d".
  llvm::StringRef name;
  std::string path;
  Span span;
  Diagnostics &diagnostics;
  llvm::StringMap<Arg> args;
  llvm::StringMap<Expr> state;
  /// Values in an index, by name.
  llvm::StringMap<Arg> indexTensors;
  ExprBuilder *builder = nullptr;
  /// The entry being built is one that trains.
  bool trains = false;
  /// Uniform numbers in [0, 1) of this element type and shape, others at each
  /// call and in each run.
  std::function<Expr(mlir::Type, Ints)> random;
  /// Called with the present value of a buffer and the new one, which later
  /// nodes read.
  std::function<void(Expr, Expr)> update;
  bool failed = false;

  /// True if the argument is given and not null.
  bool has(llvm::StringRef arg) const;
  /// True if `tensor(arg)` gives one: from the call or from the state.
  bool hasTensor(llvm::StringRef arg) const;
  Expr tensor(llvm::StringRef arg);
  std::vector<Expr> tensors(llvm::StringRef arg);
  int64_t integer(llvm::StringRef arg) const;
  double number(llvm::StringRef arg) const;
  /// The number or boolean that is written for this argument, also for a
  /// tensor; or null.
  const Json *literal(llvm::StringRef arg) const;
  /// Also of an argument "training", where "mode" is the entry's.
  bool flag(llvm::StringRef arg) const;
  llvm::StringRef word(llvm::StringRef arg) const;
  /// A single integer is repeated `rank` times; a list of another length is an
  /// error.
  llvm::SmallVector<int64_t> integers(llvm::StringRef arg, int64_t rank);
  llvm::SmallVector<int64_t> integers(llvm::StringRef arg);
  /// A dimension argument, negative ones counted from the end; an error (and
  /// 0) outside [-rank, rank).
  int64_t dim(llvm::StringRef arg, int64_t rank);
  /// The tensor that {"value": name} in an index stands for, or null.
  const Arg *indexTensor(const Json &entry) const;
  /// The state that a constructor argument {"shape", "dtype"} asks for.
  StateDef stateOf(llvm::StringRef arg) const;
  /// If `indices` is an input of the model: its elements must lie in [0, size)
  /// or be `except`, which is checked before an entry runs.
  void limitInput(Expr indices, int64_t first, int64_t limit,
                  int64_t except = INT64_MIN);
  /// x with elements zeroed with probability p, the others divided by 1 - p.
  Expr dropout(Expr x, double p);
  /// The 2 of "nn.Conv2d".
  int64_t spatialRank() const;

  /// Reports "path (name): text" at the argument `arg`, or at the call if
  /// there is none. Gives an empty result, so that emit can return it.
  Result error(llvm::StringRef arg, const llvm::Twine &text);

private:
  const Arg *find(llvm::StringRef arg) const;
};

class Registry {
public:
  Registry();
  void add(OpDef def);
  /// The definition of a module type or function, or null.
  const OpDef *find(llvm::StringRef name) const;
  std::vector<llvm::StringRef> names(bool modules) const;
  const std::vector<OpDef> &all() const { return defs; }

private:
  std::vector<OpDef> defs;
  llvm::StringMap<size_t> byName;
};

// One function per family; explicit registration, in modules/<Family>.cpp.
void registerActivations(Registry &registry);
void registerConvolutions(Registry &registry);
void registerElementwise(Registry &registry);
void registerEmbeddings(Registry &registry);
void registerLinear(Registry &registry);
void registerLosses(Registry &registry);
void registerNorms(Registry &registry);
void registerPooling(Registry &registry);
void registerRecurrent(Registry &registry);
void registerReductions(Registry &registry);
void registerShapes(Registry &registry);
void registerAttention(Registry &registry);

/// The MLIR type of "f32", "i64", ...; null if unknown.
mlir::Type parseDType(llvm::StringRef name, mlir::MLIRContext *context);
std::string dtypeName(mlir::Type type);

} // namespace nncc
#endif // NNCC_FRONTEND_MODULEDEF_H
