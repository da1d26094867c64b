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

/// Of an object all: the CPU's first, unless the options leave it out, then
/// GPUs by architecture. Of any other stage the one that it shows: the first
/// GPU's if there is one, but of assembly the CPU's. A status and a sentence if
/// the options cannot be meant.
Status chooseTargets(const CompileOptions &options, Stage stage,
                     std::vector<ProgramTarget> &targets,
                     std::string &messages);

} // namespace nncc
#endif // NNCC_TARGETS_H
