//===- nncc-opt.cpp - runs single passes on IR in text form ---------------===//
//
// mlir-opt with the nncc dialect and passes; what the lit tests drive.
//
//===----------------------------------------------------------------------===//
#include "dialect/Nncc.h"
#include "passes/Passes.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<nncc::NnccDialect, mlir::func::FuncDialect>();
  nncc::registerNnccPasses();
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "nncc optimizer driver\n", registry));
}
