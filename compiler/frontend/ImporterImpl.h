//===- ImporterImpl.h - the importer's state --------------------*- C++ -*-===//
//
// Shared by its two walks: ModuleTree.cpp goes over the tree of modules (types,
// attributes, state), Graphs.cpp runs the nodes of each graph and emits.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_IMPORTERIMPL_H
#define NNCC_FRONTEND_IMPORTERIMPL_H

#include "dialect/Names.h"
#include "dialect/Nncc.h"
#include "frontend/Arguments.h"
#include "frontend/Importer.h"
#include "frontend/ModuleDef.h"
#include "frontend/Optimizers.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"
#include <set>

namespace nncc {

struct TensorSpec {
  llvm::SmallVector<int64_t> shape;
  mlir::Type element;
  bool isBuffer = false; // of state: no parameter
  Span span = {};        // of state: its declaration
};

/// A parametrized tensor of a module.
struct HiddenTensor {
  std::string name; // "weight"
  const Face *how;
  ParsedCall attributes;
  /// What the formula calls a state, and its path.
  std::vector<std::pair<std::string, std::string>> states;
};

/// One instance of a module in the tree, by its full path.
struct Instance {
  const Json *json = nullptr;
  const Face *def = nullptr;   // a torch.nn class
  const Json *graph = nullptr; // a class of the file
  bool isContainer = false;
  std::string path;
  llvm::StringRef type;
  Span span;
  ParsedCall attributes;
  /// Its own state: what it calls a tensor, and the path.
  std::vector<std::pair<std::string, std::string>> states;
  std::vector<HiddenTensor> hidden;
  bool called = false;
  bool rejected = false; // its definition has errors; calls stay silent
};

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

/// What belongs to one function while it is built.
struct Body {
  explicit Body(bool trains) : trains(trains) {}

  /// In train mode.
  bool trains;
  mlir::func::FuncOp function;
  /// Calls of `Call::random`.
  int64_t streams = 0;
  /// State as it is now.
  llvm::StringMap<Expr> weights;
  /// Names of buffers, by their present values; the last of those that calls
  /// have changed.
  llvm::DenseMap<mlir::Value, llvm::StringRef> buffers;
  llvm::MapVector<llvm::StringRef, Expr> updates;
};

/// Values with the names of inputs or state.
using NamedValues = std::vector<std::pair<std::string, Expr>>;

class Importer {
public:
  Importer(const DimSizes &dims, llvm::ArrayRef<std::string> entries,
           mlir::MLIRContext *context, Diagnostics &diagnostics)
      : sizes(dims), entries(entries), context(context),
        diagnostics(diagnostics),
        builder{mlir::OpBuilder(context), mlir::UnknownLoc::get(context)} {
    context->loadDialect<NnccDialect, mlir::func::FuncDialect>();
  }

  mlir::OwningOpRef<mlir::ModuleOp> run(const Json &root);

private:
  bool checkTop(const Json &root);
  void beginModule(const Json &root);
  bool importBodies(const Json &root);
  void warnOfUncalled();
  void describeState();

  // The tree of modules.
  void checkKeys(const Json &object, llvm::ArrayRef<llvm::StringRef> known,
                 llvm::StringRef what);
  void declareClasses(const Json &list);
  void declareTies(const Json &list);
  void declareGraph(const Json &graph, const std::string &prefix);
  void declareModules(const Json &list, const std::string &prefix);
  void declareModule(const std::string &path, const Json &json, Span span);
  void declareLeaf(Instance &instance);
  void addHidden(Instance &instance, llvm::ArrayRef<HiddenState> states,
                 mlir::Type element, Span span, HiddenTensor &hidden);
  void declareHidden(Instance &instance, std::vector<StateDef> &list,
                     const Json &parametrizations);
  void runHidden(Instance &instance, Call &call);
  void declareTensors(const Json &graph, llvm::StringRef key,
                      const std::string &prefix);
  bool addState(const std::string &path, const TensorSpec &spec, Span span);
  bool parseShape(const Json &json, llvm::SmallVectorImpl<int64_t> &shape);
  bool parseTensor(const Json &json, TensorSpec &spec);
  void collectDims(const Json &root);
  void checkDims();
  std::string currentSizes() const;

  // Graphs.
  void importBody(const Json &root, const std::string &entry, unsigned index,
                  bool accumulates = false);
  bool checkEntry(const Json &root, const std::string &entry);
  mlir::FailureOr<Expr> runBody(const Json &root, const std::string &entry,
                                Scope &scope, Outputs &outputs);
  void addGradients(const Json &root, const std::string &entry, Expr total,
                    Scope &scope, bool accumulates, Outputs &outputs);
  void endFunction(const Outputs &outputs);
  bool findOutputs(const Json &root, Scope &scope, Outputs &outputs);
  std::vector<std::string> trainedParameters(const Json &root, bool step);
  std::vector<std::string> trainedInputs(const Json &root, Scope &scope);
  Expr addCotangents(const Outputs &outputs);
  std::vector<Expr> gradientsOf(Expr total, const NamedValues &of,
                                size_t parameters);
  Expr argument(llvm::StringRef name, mlir::RankedTensorType type);
  Expr key();
  Expr optimizerState(const std::string &name, mlir::RankedTensorType type);
  void clip(const Json &training, std::vector<Expr> &gradients);
  Expr rateArgument(const NamedValues &parameters, double standard);
  void addOptimizer(const Json &training, const NamedValues &parameters,
                    std::vector<Expr> gradients, bool accumulates,
                    Outputs &outputs);
  Update updateOf(const Json &optimizer, const std::string &parameter);
  struct StateOf {
    llvm::StringRef name;
    std::string path; // without "optimizer."
    mlir::RankedTensorType type;
  };
  std::vector<StateOf> statesOf(const Optimizer &optimizer, Update &update,
                                const std::string &parameter);
  Expr findLoss(const Json &training, Scope &scope);
  bool parseInputs(const Json *list, Signature &signature);
  mlir::func::FuncOp beginFunction(llvm::StringRef name,
                                   const Signature &signature, Scope &scope);
  void checkLoss(const Json &root, const Json &training);
  const Json &bodyOf(const Json &graph) const;
  const Json &bodyOf(Json &&graph) const = delete;
  bool checkTrain(const Json &graph, bool isModel);
  void addUpdates(const Json &root, Scope &scope);
  bool runNodes(const Json &graph, Scope &scope);
  Result runNode(const Json &node, Scope &scope);
  Result runModule(Instance &instance, const Json &node, Scope &scope);
  Result runInstance(Instance &instance, llvm::ArrayRef<Result> inputs,
                     const Json &node, Scope &scope);
  Call callOf(Instance &instance, const Json &node);
  Result runLeaf(Instance &instance, Call &call);
  Result runClass(Instance &instance, llvm::ArrayRef<Result> inputs,
                  const Json &node);
  Result runOp(const Spelling &spelling, const Json &node, Scope &scope);
  Result checked(Call &call, const Result &result);
  Result keepReceiver(Call &call, Expr receiver, Expr value);
  bool hasProblem(Span span, const std::string &entry);
  void refuseInput(const Json &item);
  void bindNode(Call &call, const Json &node, Scope &scope);
  void markUnknown(const Json &name, Scope &scope);
  bool checkName(llvm::StringRef name, Span span);
  bool checkFree(const std::string &path, llvm::StringRef what, Span span);
  bool checkPart(llvm::StringRef part, llvm::StringRef what, Span span);
  bool bindNames(const Json &name, const Result &result, Scope &scope);
  Result lookup(llvm::StringRef name, Span span, Scope &scope);
  Result lookup(const Json &name, Scope &scope) {
    return lookup(name.string, name.span, scope);
  }
  Result stateValue(const std::string &path);
  void updateBuffer(Expr old, Expr now);
  Result emit(Call &call, Span span);
  mlir::Location location(llvm::StringRef path, llvm::StringRef type,
                          Span span);

  DimSizes sizes;
  llvm::ArrayRef<std::string> entries;
  /// The training section has no errors.
  bool trainingFits = true;
  Body body{false};
  /// State of the optimizer, by path.
  std::map<std::string, mlir::RankedTensorType> optimizerStates;
  std::map<std::string, int64_t> current; // sizes of the body being built
  std::set<std::string> usedDims;         // by shapes
  std::set<std::string> modelDims;        // with sizes in the file
  mlir::MLIRContext *context;
  Diagnostics &diagnostics;
  ExprBuilder builder;
  Registry registry;
  llvm::StringMap<const Json *> classes;
  llvm::StringMap<std::unique_ptr<Instance>> instances;
  std::vector<std::string> statePaths; // in file order
  llvm::StringMap<TensorSpec> state;
  llvm::StringMap<std::string> ties;
  /// Other names that a weights file may use -> state path; ties too.
  std::map<std::string, std::string> aliases;
  /// The arguments of a node: a class has its nodes once, and calls of them.
  std::map<std::pair<const Json *, const Face *>, ParsedCall> parsedNodes;
  bool hasTooManyModules = false; // which is said
  int64_t nodesRun = 0;
  llvm::SmallVector<std::string> classStack;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

} // namespace nncc
#endif // NNCC_FRONTEND_IMPORTERIMPL_H
