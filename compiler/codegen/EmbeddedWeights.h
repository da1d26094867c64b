//===- EmbeddedWeights.h - state inside the object --------------*- C++ -*-===//
//
// Apart from the rest so that tools see it without seeing MLIR.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_EMBEDDEDWEIGHTS_H
#define NNCC_CODEGEN_EMBEDDEDWEIGHTS_H

#include <string_view>
#include <vector>

namespace nncc {

/// State that goes into the object, so that it runs without a weights file.
struct EmbeddedWeights {
  /// The bytes of each tensor of the model's table, in order; null for fresh
  /// state of an optimizer.
  std::vector<std::string_view> tensors;
  /// What the model's `prepare` made of them.
  std::string_view prepared;
};

} // namespace nncc
#endif // NNCC_CODEGEN_EMBEDDEDWEIGHTS_H
