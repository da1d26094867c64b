//===- Target.h - facts about a target machine ------------------*- C++ -*-===//
//
// The one struct through which passes and emitters learn about the target: what
// every target has in its own way. Where the facts come from is the target's
// (KernelTarget::lookup).
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_TARGET_H
#define NNCC_CODEGEN_TARGET_H

#include "mlir/IR/Types.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace nncc {

struct TargetInfo {
  std::string triple, cpu; // of a GPU: its architecture
  /// LLVM's feature string ("+avx2,+fma,..."), and attributes of all functions.
  std::string features;
  std::vector<std::pair<std::string, std::string>> attributes;
  /// What the runtime must find before it runs the code (runtime/abi.h).
  uint64_t requiredFeatures = 0;

  /// Of a GPU: the number of its architecture, 90 of sm_90; 0: the emulator.
  /// Code for an exact one runs on that number alone (sm_90a).
  int64_t sm = 0;
  bool isExact = false;

  int64_t vectorBytes = 16, registers = 16; // of a vector
  /// Vectors of the widest panel of packed weights.
  int64_t panelVectors = 2;
  /// Multiply-add, floor and ceil, and conversions of f16, are instructions.
  bool hasFma = false, hasFloor = false, convertsF16 = false;
  /// Near memory that the tiles of a block share.
  int64_t cacheBytes = 512 << 10;
  /// Most memory of a tile alone. On a CPU it lies on the stack of whatever
  /// thread calls: 2 MB where it is glibc's without a limit, or Rust's.
  int64_t scratchBytes = 3 << 19;
  /// Tensors of so many bytes are in no cache.
  int64_t uncachedBytes = 16 << 20;

  /// Elements of a vector, and of the widest panel, as registers hold them: 4
  /// bytes at least.
  int64_t lanes(mlir::Type element) const;
  int64_t panel(mlir::Type element) const {
    return panelVectors * lanes(element);
  }
  /// Elements that loops take at once, whatever types they mix.
  int64_t loopLanes() const { return vectorBytes / 4; }
};

} // namespace nncc
#endif // NNCC_CODEGEN_TARGET_H
