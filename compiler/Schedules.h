//===- Schedules.h - schedules by hand or from a tuner ----------*- C++ -*-===//
#ifndef NNCC_SCHEDULES_H
#define NNCC_SCHEDULES_H

#include "codegen/kernels/Tile.h"
#include "support/Diagnostics.h"

namespace nncc {

/// Reads `{"key of a kernel": {"rows": 4, ...}, ...}`; "" is an empty table.
/// Reports numbers that no kind of kernel of the target has, and values out of
/// their range.
ScheduleTable parseSchedules(const std::string &text, const KernelTarget &how,
                             Diagnostics &problems);

/// Reports what the same text asks for and these models, whose kernels have
/// their schedules, do not have: numbers that a kernel lacks; keys of no kernel
/// are warnings, which may belong to another entry, unless they are all there
/// is.
void checkSchedules(const std::string &text,
                    llvm::ArrayRef<mlir::ModuleOp> models,
                    Diagnostics &problems);

} // namespace nncc
#endif // NNCC_SCHEDULES_H
