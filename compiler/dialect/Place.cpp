//===- Place.cpp - where in the model's file ops come from ----------------===//
#include "dialect/Place.h"

using namespace mlir;

namespace nncc {

FileLineColLoc placeOf(Location loc) {
  FileLineColLoc place;
  loc->walk([&](Location part) {
    place = dyn_cast<FileLineColLoc>(part);
    return place ? WalkResult::interrupt() : WalkResult::advance();
  });
  return place;
}

} // namespace nncc
