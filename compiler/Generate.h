//===- Generate.h - from loops to what a stage gives ------------*- C++ -*-===//
#ifndef NNCC_GENERATE_H
#define NNCC_GENERATE_H

#include "Targets.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace nncc {

/// One of those that an object holds, as far as it has come.
struct Program : ProgramTarget {
  mlir::OwningOpRef<mlir::ModuleOp> model, kernels;
};

/// Tells options.progress, if it is set, what begins.
void report(const CompileOptions &options, const std::string &what);

/// Text or object of a stage behind the loops of `programs`, whose kernels are
/// lowered: in `result`, with messages if it is not done. All but the object
/// show one program.
Status generateCode(std::vector<Program> &programs,
                    const CompileOptions &options, Stage stage,
                    CompileResult &result);

} // namespace nncc
#endif // NNCC_GENERATE_H
