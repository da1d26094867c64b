//===- Target.h - facts about a target machine ------------------*- C++ -*-===//
//
// The one struct through which passes and emitters learn about the target.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_TARGET_H
#define NNCC_CODEGEN_TARGET_H

#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <string>
#include <vector>

namespace nncc {

struct TargetInfo {
  std::string triple, cpu;
  /// LLVM's feature string ("+avx2,+fma,...").
  std::string features;
  /// Bits of NNCC_CPU_* (runtime/abi.h) that the code needs.
  uint64_t requiredFeatures = 0;
  /// f32 elements of a vector, and vector registers.
  int64_t lanes = 4, registers = 16;
  bool hasFma = false, hasF16c = false;
  int64_t l2Bytes = 512 << 10;
  /// Tensors of so many bytes are in no cache.
  int64_t uncachedBytes = 16 << 20;

  /// The widest panel of packed weights in f32 elements.
  int64_t maxPanel() const { return registers == 32 ? 4 * lanes : 2 * lanes; }
};

/// True for "" and the triples of x86-64 Linux.
bool isSupportedTriple(llvm::StringRef triple);

/// Facts about `cpu` ("native" or a name that LLVM knows); false and a sentence
/// in `error` for an unknown name.
bool lookupTarget(llvm::StringRef cpu, TargetInfo &info, std::string &error);

} // namespace nncc
#endif // NNCC_CODEGEN_TARGET_H
