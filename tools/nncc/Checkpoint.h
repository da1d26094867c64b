//===- Checkpoint.h - the state of a training in a file ---------*- C++ -*-===//
//
// A safetensors file with the tensors of the context and, as its metadata, what
// decides the course of a training besides them: its data, their order, seed,
// schedule and optimizer. --resume goes on bit by bit, so all of that must be
// the same.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_CHECKPOINT_H
#define NNCC_TOOLS_CHECKPOINT_H

#include "runtime/nncc.h"
#include <string>
#include <utility>
#include <vector>

namespace nncc {

/// One thing that decides the course: its name for people, its value, and
/// whether another value may be meant.
struct RunFact {
  std::string name, value;
};
using RunFacts = std::vector<RunFact>;

/// Writes all state of a context that trains.
int saveCheckpoint(const std::string &path, const nncc_model &model,
                   nncc_context *context, const RunFacts &facts);

/// Checks that the file is a checkpoint of this model and of this run; an exit
/// code and a sentence that lists what differs if not. A file without facts,
/// from the C API or another tool, has the tensors to tell; what could not be
/// compared is said.
int checkCheckpoint(const std::string &path, const nncc_model &model,
                    const RunFacts &facts);
/// Checks that the state of an optimizer, if the file holds it, is this
/// model's.
int checkOptimizer(const std::string &path, const nncc_model &model);
/// Whether the file holds the state of an optimizer.
bool isCheckpoint(const std::string &path);

} // namespace nncc
#endif // NNCC_TOOLS_CHECKPOINT_H
