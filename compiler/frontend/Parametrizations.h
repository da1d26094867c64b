//===- Parametrizations.h - tensors computed from other state ---*- C++ -*-===//
//
// "parametrizations": {"weight": {"type": "nn.utils.weight_norm", "dim": 0}} in
// a module: the tensor is no state of its own but a formula over some.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_PARAMETRIZATIONS_H
#define NNCC_FRONTEND_PARAMETRIZATIONS_H

#include "frontend/ModuleDef.h"

namespace nncc {

/// One tensor that stands behind a parametrized one.
struct HiddenState {
  std::string key; // what the formula calls it
  /// State names relative to the module: parametrize's spelling first, then the
  /// older one of nn.utils, if there are two.
  std::vector<std::string> names;
  llvm::SmallVector<int64_t> shape;
  bool isBuffer = false;
};

struct Parametrization {
  /// Names, documentation, attributes; `emit` is the formula over Call::state.
  OpDef def;
  /// What stands behind `tensor` of this shape. Reports through the call.
  std::vector<HiddenState> (*hidden)(Call &, const std::string &tensor,
                                     Ints shape);
};

/// All of them; the registry's counterpart.
const std::vector<Parametrization> &parametrizations();
const Parametrization *findParametrization(llvm::StringRef name);

} // namespace nncc
#endif // NNCC_FRONTEND_PARAMETRIZATIONS_H
