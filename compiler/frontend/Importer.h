//===- Importer.h - model files to the nncc dialect -------------*- C++ -*-===//
#ifndef NNCC_FRONTEND_IMPORTER_H
#define NNCC_FRONTEND_IMPORTER_H

#include "frontend/ModuleDef.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include <map>

namespace nncc {

/// Sizes for symbolic dimensions, from --dim; they replace the model's own.
using DimSizes = std::map<std::string, std::vector<int64_t>>;

/// Checks `text` (a model file) and builds a module with one function per
/// entry of `entries` (CompileOptions::entries) and combination of sizes. All
/// problems go to `diagnostics`; with errors the result is null.
mlir::OwningOpRef<mlir::ModuleOp>
importModel(llvm::StringRef text, const DimSizes &dims,
            llvm::ArrayRef<std::string> entries, mlir::MLIRContext *context,
            Diagnostics &diagnostics);

} // namespace nncc
#endif // NNCC_FRONTEND_IMPORTER_H
