//===- Tile.h - the nncc-tile pass for a target -----------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_KERNELS_TILE_H
#define NNCC_CODEGEN_KERNELS_TILE_H

#include "codegen/kernels/KernelKind.h"
#include "mlir/Pass/Pass.h"
#include <map>
#include <memory>

namespace nncc {

/// Numbers of kernels' schedules, by the kernels' keys and the numbers' names.
using ScheduleTable = std::map<std::string, std::map<std::string, int64_t>>;

/// The pass (passes/Passes.td) for this target. What the table or an attribute
/// on a kernel says comes before the kinds' own choice.
std::unique_ptr<mlir::Pass> createTilePass(const TargetInfo &target,
                                           const KernelTarget &how,
                                           const ScheduleTable &table);

} // namespace nncc
#endif // NNCC_CODEGEN_KERNELS_TILE_H
