//===- Call.h - one use of a definition -------------------------*- C++ -*-===//
//
// What `emit` sees: arguments by name, from the constructor, the call or the
// state; where errors go; and what a run gives, as random numbers.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_CALL_H
#define NNCC_FRONTEND_CALL_H

#include "frontend/Definition.h"
#include "llvm/ADT/StringMap.h"

namespace nncc {

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
  const ArgValue *value =
      nullptr;          // as written or the default; null for a state
  bool isGiven = false; // in the file
  Result result;        // tensor, tensors, tensors of an index
  llvm::SmallVector<int64_t> dims; // of ArgDef::dimOf, counted from the front
  bool isNull() const { return !result && (!value || value->isNull()); }
};

/// Where a call stands, for its errors: "path (name): text".
struct Site {
  llvm::StringRef name; // as the file spells it: "nn.Conv2d"
  std::string path;
  Span span;
  Diagnostics &diagnostics;
  void report(Span at, const llvm::Twine &text) const;
};

class Call : public Site {
public:
  Call(const Face &def, llvm::StringRef name, std::string path, Span span,
       Diagnostics &diagnostics)
      : Site{name, std::move(path), span, diagnostics}, def(def) {}

  const Face &def;
  llvm::StringMap<Arg> args;
  llvm::StringMap<Expr> state;
  ExprBuilder *builder = nullptr;
  /// The entry being built is one that trains.
  bool trains = false;
  /// Uniform numbers in [0, 1) of this element type and shape, others at each
  /// call and in each run.
  std::function<Expr(mlir::Type, Ints)> random;
  /// Called with the present value of a buffer and the new one, which later
  /// nodes read.
  std::function<void(Expr, Expr)> update;
  /// Of an operation on halves that is computed in f32: their type; else null.
  mlir::Type half;
  bool failed = false;

  /// True if the argument is given and not null.
  bool has(llvm::StringRef arg) const;
  /// True if `tensor(arg)` gives one: from the call or from the state.
  bool hasTensor(llvm::StringRef arg) const;
  Expr tensor(llvm::StringRef arg) const;
  std::vector<Expr> tensors(llvm::StringRef arg) const;
  int64_t integer(llvm::StringRef arg) const;
  double number(llvm::StringRef arg) const { return exact(arg).toDouble(); }
  Number exact(llvm::StringRef arg) const;
  /// The number or boolean that is written for this argument, also for a
  /// tensor.
  std::optional<Number> literal(llvm::StringRef arg) const;
  /// The number as elements have it: of halves rounded to their type.
  Number rounded(llvm::StringRef arg) const;
  /// An error, and false, if a number is given for the argument that elements
  /// of this type cannot hold.
  bool fits(llvm::StringRef arg, mlir::Type type);
  /// Also of an argument "training", where "mode" is the entry's.
  bool flag(llvm::StringRef arg) const;
  /// The argument "training", or the entry's mode where a face has none.
  bool isTraining() const {
    return find("training") ? flag("training") : trains;
  }
  /// A word; "" if integers stand in its place.
  llvm::StringRef word(llvm::StringRef arg) const;
  llvm::SmallVector<int64_t> integers(llvm::StringRef arg) const;
  /// One integer is written for them, not a list.
  bool isSingle(llvm::StringRef arg) const;
  /// Of an argument `ofDims`: from the front, in order; all if it is null.
  int64_t dim(llvm::StringRef arg) const;
  Ints dims(llvm::StringRef arg) const;
  /// The element type that is written, or the one given here.
  mlir::Type dtype(llvm::StringRef arg, llvm::StringRef standard) const;
  /// If `indices` is an input of the model: its elements must lie in [first,
  /// limit) or be `except`, which is checked before an entry runs.
  void limitInput(Expr indices, int64_t first, int64_t limit,
                  int64_t except = INT64_MIN);
  /// x with elements zeroed with probability p, the others divided by 1 - p.
  Expr dropout(Expr x, double p);

  /// An error, and true, if what `arg` asks for would be written out too often:
  /// asked before work starts.
  bool isTooLong(llvm::StringRef arg, int64_t count);
  /// Reports at the argument `arg`, or at the call if it is not written there.
  /// Gives an empty result, so that emit can return it.
  Result error(llvm::StringRef arg, const llvm::Twine &text);
  const Arg *find(llvm::StringRef arg) const;
};

/// The MLIR type of "f32", "i64", ...; null if unknown.
mlir::Type parseDType(llvm::StringRef name, mlir::MLIRContext *context);
/// All names of element types.
llvm::ArrayRef<const char *> dtypeNames();

} // namespace nncc
#endif // NNCC_FRONTEND_CALL_H
