//===- ModuleTree.h - all modules and state of a model ----------*- C++ -*-===//
//
// What a file declares, by full paths. `declareModules` builds it once; bodies
// only read it.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_MODULETREE_H
#define NNCC_FRONTEND_MODULETREE_H

#include "frontend/Arguments.h"
#include "frontend/Dims.h"
#include "frontend/ModuleDef.h"

namespace nncc {

/// A tensor of the state.
struct StateTensor : TensorSpec {
  std::string path;
  bool isBuffer = false; // no parameter
  Span span = {};        // its declaration
  /// The one that holds its elements, if that is another.
  const StateTensor *tiedTo = nullptr;
  const StateTensor &stored() const { return tiedTo ? *tiedTo : *this; }
};

/// What a formula calls a state, and that state.
using NamedState = std::vector<std::pair<std::string, const StateTensor *>>;

/// A parametrized tensor of a module.
struct HiddenTensor {
  std::string name; // "weight"
  Span span;
  const Face *how;
  ParsedCall attributes;
  NamedState states;
};

/// A module of the tree. A class of the file has one for each of its places.
struct Instance {
  const Json *json = nullptr;
  const Face *def = nullptr;   // a torch.nn class
  const Json *graph = nullptr; // a class of the file
  bool isContainer = false;
  std::string path;
  llvm::StringRef type;
  Span span;
  ParsedCall attributes;
  NamedState states; // its own
  std::vector<HiddenTensor> hidden;
  bool rejected = false; // its definition has errors; calls stay silent
};

struct ModuleTree {
  llvm::StringMap<Instance> instances;
  /// Some are left out, which an error has said.
  bool hasTooManyModules = false;
  llvm::StringMap<StateTensor> state;
  std::vector<std::string> statePaths; // in file order
  /// Other names that a weights file may use -> state path; ties too.
  std::map<std::string, std::string> aliases;

  /// Null if there is none of this path.
  const Instance *findInstance(llvm::StringRef path) const;
  const StateTensor *findState(llvm::StringRef path) const;
};

/// All that `root` declares; state whose shape names dims has `sizes`.
ModuleTree declareModules(const Json &root, Dims &dims, const BodySizes &sizes,
                          const Registry &registry, mlir::MLIRContext *context,
                          Diagnostics &diagnostics);

} // namespace nncc
#endif // NNCC_FRONTEND_MODULETREE_H
