//===- Schema.h - the JSON Schema of the model format -----------*- C++ -*-===//
#ifndef NNCC_FRONTEND_SCHEMA_H
#define NNCC_FRONTEND_SCHEMA_H

#include <string>

namespace nncc {

/// The format's JSON Schema (draft 2020-12), from the registry that checks
/// models, so that editors complete module names and attributes.
std::string modelSchema();

} // namespace nncc
#endif // NNCC_FRONTEND_SCHEMA_H
