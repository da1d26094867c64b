//===- Model.h - what all bodies of a model share ---------------*- C++ -*-===//
#ifndef NNCC_FRONTEND_MODEL_H
#define NNCC_FRONTEND_MODEL_H

#include "frontend/ModuleTree.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/DenseSet.h"

namespace nncc {

struct Model {
  const Json &root;
  const Registry &registry;
  const ModuleTree &tree;
  Dims &dims;
  Diagnostics &diagnostics;
  mlir::ModuleOp module; // bodies are its functions
  bool trainingFits;     // the training section has no errors

  // What bodies leave behind.
  /// The arguments of a node: a class has its nodes once, and calls of them.
  std::map<std::pair<const Json *, const Face *>, ParsedCall> parsedNodes = {};
  int64_t nodesRun = 0;
  llvm::DenseSet<const Instance *> called = {};
  /// State of the optimizer, by path.
  std::map<std::string, mlir::RankedTensorType> optimizerStates = {};

  /// Reports what cannot name a value.
  bool checkName(llvm::StringRef name, Span span) const;
  /// A name never means both a value and a tensor of the state.
  bool checkFree(llvm::StringRef path, llvm::StringRef what, Span span) const;
};

} // namespace nncc
#endif // NNCC_FRONTEND_MODEL_H
