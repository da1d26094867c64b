//===- Target.cpp - facts about a target machine --------------------------===//
#include "codegen/Target.h"
#include "dialect/Nncc.h"

namespace nncc {

int64_t TargetInfo::lanes(mlir::Type element) const {
  int64_t bytes = std::max<int64_t>(4, elementBytes(computeType(element)));
  return std::max<int64_t>(1, vectorBytes / bytes);
}

} // namespace nncc
