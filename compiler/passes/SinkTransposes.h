//===- SinkTransposes.h - transposes move towards the outputs ---*- C++ -*-===//
#ifndef NNCC_PASSES_SINKTRANSPOSES_H
#define NNCC_PASSES_SINKTRANSPOSES_H

#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/Pass.h"

namespace nncc {

/// op(transpose(x)) -> transpose(op(x)), op by op, so that the transposes
/// around channels-last regions meet and cancel.
void populateSinkTransposes(mlir::RewritePatternSet &patterns,
                            mlir::Pass::Statistic &sunk);

} // namespace nncc
#endif // NNCC_PASSES_SINKTRANSPOSES_H
