//===- Entries.h - entry points of a model ----------------------*- C++ -*-===//
#ifndef NNCC_FRONTEND_ENTRIES_H
#define NNCC_FRONTEND_ENTRIES_H

#include "frontend/Model.h"

namespace nncc {

/// Adds the body number `index` of an entry, and beside one that accumulates
/// gradients the body that only does so.
void addEntry(Model &model, const std::string &entry, const BodySizes &sizes,
              unsigned index);

/// Reports what is wrong with the training section's nodes, also where no entry
/// is made of them.
void checkLoss(Model &model, const BodySizes &sizes);

} // namespace nncc
#endif // NNCC_FRONTEND_ENTRIES_H
