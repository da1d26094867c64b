//===- Machine.h - facts about an x86-64 CPU --------------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_CPU_MACHINE_H
#define NNCC_CODEGEN_CPU_MACHINE_H

#include "codegen/Target.h"

namespace nncc {

/// True for the triples of x86-64 Linux.
bool isCpuTriple(llvm::StringRef triple);

/// Facts about `cpu` ("native" or a name that LLVM knows); false and a sentence
/// in `error` for an unknown name.
bool lookupCpu(llvm::StringRef cpu, TargetInfo &info, std::string &error);

} // namespace nncc
#endif // NNCC_CODEGEN_CPU_MACHINE_H
