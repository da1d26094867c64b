//===- BodyBuilder.h - one function of a model ------------------*- C++ -*-===//
//
// Runs the nodes of graphs, classes at each call (Graphs.cpp). Shapes are known
// throughout, so every check sees them. What entries add to the model's nodes
// is in Entries.cpp, Gradients.cpp and TrainStep.cpp.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_BODYBUILDER_H
#define NNCC_FRONTEND_BODYBUILDER_H

#include "frontend/Model.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"

namespace nncc {

/// The values of a graph, by name.
struct Scope {
  llvm::StringMap<Result> values;
  /// Names of results that an earlier error prevented.
  llvm::StringSet<> unknown;
  std::string prefix; // "layer1.0." for state and modules
};

/// The arguments of a function.
struct Signature {
  std::vector<std::string> names;
  llvm::SmallVector<mlir::Type> types;
};

/// The results of a function.
struct Outputs {
  std::vector<std::string> names;
  std::vector<Expr> values;
  /// For a new value of the state `name`, which the entry writes in place: the
  /// number of the parameter that it belongs to.
  std::vector<std::optional<int64_t>> groups;
  /// Of what `backward` gives a gradient: the outputs of the model that reach
  /// it, as "y,z".
  llvm::StringMap<std::string> reached;
  void add(std::string name, Expr value,
           std::optional<int64_t> group = std::nullopt) {
    names.push_back(std::move(name));
    values.push_back(value);
    groups.push_back(group);
  }
};

class BodyBuilder {
public:
  /// Begins a function of the model; its arguments are values of `scope`.
  BodyBuilder(Model &model, llvm::StringRef name, const Signature &signature,
              bool trains);
  BodyBuilder(const BodyBuilder &) = delete; // values point to `builder`

  /// False if some values cannot be known, which is reported.
  bool runNodes(const Json &graph) { return runNodes(graph, scope); }
  /// Nothing, and an error, if it is unknown.
  Result lookup(const Json &name) {
    return lookup(name.string, name.span, scope);
  }
  /// State as it is now.
  Expr stateValue(const StateTensor &tensor);
  /// From here on, and at the end of the function.
  void update(const StateTensor &tensor, Expr now);
  /// Another argument of the function.
  Expr argument(llvm::StringRef name, mlir::RankedTensorType type);
  /// What comes next belongs there.
  void setLocation(llvm::StringRef path, llvm::StringRef type, Span span);
  /// Gives the function its results.
  void end(const Outputs &outputs);

  Model &model;
  const bool trains; // in train mode
  ExprBuilder builder;
  mlir::func::FuncOp function;
  Scope scope; // of the model's own graph
  /// New values of buffers.
  llvm::MapVector<const StateTensor *, Expr> updates;

private:
  // Calls of definitions.
  Call callOf(const Face &face, llvm::StringRef name, std::string path,
              Span span);
  void bindNode(Call &call, const Json &node, Scope &scope);
  Result emit(Call &call);
  Result checked(Call &call, const Result &result);
  Expr key();
  void updateBuffer(Expr old, Expr now);

  // Nodes, and what they call.
  bool runNodes(const Json &graph, Scope &scope);
  Result runNode(const Json &node, Scope &scope);
  Result runOp(const Spelling &spelling, const Json &node, Scope &scope);
  Result keepReceiver(Call &call, Expr receiver, Expr value);
  Result runModule(const Instance &instance, const Json &node, Scope &scope);
  Result runInstance(const Instance &instance, llvm::ArrayRef<Result> inputs,
                     Span caller);
  Result runSequential(const Instance &instance, Result value, Span caller);
  Result runClass(const Instance &instance, llvm::ArrayRef<Result> inputs,
                  Span caller);
  Call callOf(const Instance &instance, Span caller);
  Result runLeaf(const Instance &instance, Call &call);
  void runHidden(const Instance &instance, Call &call);
  bool bindNames(const Json &name, const Result &result, Scope &scope);
  Result lookup(llvm::StringRef name, Span span, Scope &scope);

  /// Calls of `Call::random`.
  int64_t streams = 0;
  llvm::DenseMap<const StateTensor *, Expr> weights;
  /// By the present value of each.
  llvm::DenseMap<mlir::Value, const StateTensor *> buffers;
};

} // namespace nncc
#endif // NNCC_FRONTEND_BODYBUILDER_H
