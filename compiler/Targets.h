//===- Targets.h - the programs that an object holds ------------*- C++ -*-===//
#ifndef NNCC_TARGETS_H
#define NNCC_TARGETS_H

#include "Compiler.h"
#include "codegen/Device.h"

namespace nncc {

/// What one program of an object is compiled for.
struct ProgramTarget {
  const KernelTarget *how;
  TargetInfo facts;
  bool isDevice = false;
};

/// The CPU's first, unless the options leave it out, then GPUs by architecture;
/// a status and a sentence if they cannot be meant.
Status chooseTargets(const CompileOptions &options,
                     std::vector<ProgramTarget> &targets,
                     std::string &messages);

} // namespace nncc
#endif // NNCC_TARGETS_H
