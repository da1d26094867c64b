//===- Place.h - where in the model's file ops come from --------*- C++ -*-===//
#ifndef NNCC_DIALECT_PLACE_H
#define NNCC_DIALECT_PLACE_H

#include "support/Overflow.h"
#include "mlir/IR/Location.h"
#include <optional>

namespace nncc {

/// The first place in a file that `loc` names, or null.
mlir::FileLineColLoc placeOf(mlir::Location loc);

/// Works at the place of an op or a kernel, if it has one (see WorkingAt).
class WorkingOn {
public:
  explicit WorkingOn(mlir::Location loc) {
    if (mlir::FileLineColLoc place = placeOf(loc))
      at.emplace(place.getFilename().getValue(),
                 LineColumn{place.getLine(), place.getColumn()});
  }

private:
  std::optional<WorkingAt> at;
};

} // namespace nncc
#endif // NNCC_DIALECT_PLACE_H
