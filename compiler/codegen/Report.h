//===- Report.h - what was made of a model ----------------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_REPORT_H
#define NNCC_CODEGEN_REPORT_H

#include "codegen/Device.h"
#include "mlir/IR/BuiltinOps.h"
#include <string>

namespace nncc {

/// Signature, parameters, FLOPs, kernels with what is fused in them and why
/// not more, and the memory plan, of a model whose kernels are lowered. As
/// text for people, or as JSON.
/// Of a program for a GPU also launches and images: `code`, else null.
std::string reportOf(mlir::ModuleOp model, const TargetInfo &target,
                     const DeviceCode *code, bool asJson);

/// The checked graph of an imported model: per entry its inputs, then each
/// module or function call in order with the shape it gives, then outputs.
std::string graphOf(mlir::ModuleOp model);

} // namespace nncc
#endif // NNCC_CODEGEN_REPORT_H
