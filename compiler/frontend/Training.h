//===- Training.h - what a model says about training ------------*- C++ -*-===//
#ifndef NNCC_FRONTEND_TRAINING_H
#define NNCC_FRONTEND_TRAINING_H

#include "frontend/Json.h"
#include "llvm/ADT/ArrayRef.h"

namespace nncc {

/// Checks keys, optimizer, clipping and name patterns of a model's "training"
/// section against its state; false after an error. Its inputs and nodes are
/// the importer's affair.
bool checkTraining(const Json &training, llvm::ArrayRef<std::string> state,
                   Diagnostics &diagnostics);

/// Checks the keys of a graph's "train"; false if it cannot be run.
bool checkTrain(const Json &graph, bool isModel, Diagnostics &diagnostics);

/// What runs of a graph: in entries that train, its "train" where it has one.
const Json &bodyOf(const Json &graph, bool trains);
const Json &bodyOf(Json &&graph, bool trains) = delete;

/// True if one of the name patterns in `list`, which checkTraining saw, fits.
bool matchesAny(const Json &list, llvm::StringRef name);

} // namespace nncc
#endif // NNCC_FRONTEND_TRAINING_H
