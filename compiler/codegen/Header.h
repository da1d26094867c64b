//===- Header.h - the C header of a compiled model --------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_HEADER_H
#define NNCC_CODEGEN_HEADER_H

#include "mlir/IR/BuiltinOps.h"
#include <string>

namespace nncc {

/// Constants and typed inline wrappers for `NAME.h`; C99 and C++17.
std::string headerOf(mlir::ModuleOp model);

} // namespace nncc
#endif // NNCC_CODEGEN_HEADER_H
