//===- Tile.h - the nncc-tile pass for a target -----------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_CPU_TILE_H
#define NNCC_CODEGEN_CPU_TILE_H

#include "codegen/Target.h"
#include "mlir/Pass/Pass.h"
#include <map>
#include <memory>

namespace nncc {

/// Numbers of kernels' schedules, by the kernels' keys and the numbers' names.
using ScheduleTable = std::map<std::string, std::map<std::string, int64_t>>;

/// The pass (passes/Passes.td) for this target. What the table or an attribute
/// on a kernel says comes before the pass's own choice.
std::unique_ptr<mlir::Pass> createTilePass(const TargetInfo &target,
                                           const ScheduleTable &table);

/// The names that some kernel's schedule has.
bool isScheduleName(llvm::StringRef name);

} // namespace nncc
#endif // NNCC_CODEGEN_CPU_TILE_H
