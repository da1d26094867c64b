//===- Importer.h - model files to the nncc dialect -------------*- C++ -*-===//
#ifndef NNCC_FRONTEND_IMPORTER_H
#define NNCC_FRONTEND_IMPORTER_H

#include "frontend/Dims.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace nncc {

/// Checks `text` (a model file) and builds a module with one function per
/// entry of `entries` (CompileOptions::entries) and combination of sizes. All
/// problems go to `diagnostics`; with errors the result is null.
mlir::OwningOpRef<mlir::ModuleOp>
importModel(llvm::StringRef text, const DimSizes &dims,
            llvm::ArrayRef<std::string> entries, mlir::MLIRContext *context,
            Diagnostics &diagnostics);

} // namespace nncc
#endif // NNCC_FRONTEND_IMPORTER_H
