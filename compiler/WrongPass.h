//===- WrongPass.h - a fault to be found ------------------------*- C++ -*-===//
#ifndef NNCC_WRONGPASS_H
#define NNCC_WRONGPASS_H

#include "mlir/Pass/PassManager.h"

namespace nncc {

/// Makes the pass of that name a wrong one, for tests of `check --bisect`:
/// afterwards the first result of every entry is doubled. Nothing for "".
void injectWrongPass(mlir::PassManager &pm, const std::string &pass);

} // namespace nncc
#endif // NNCC_WRONGPASS_H
