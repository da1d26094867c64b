//===- nncc-bounds.cpp - nncc whose kernels watch their buffers -----------===//
#include "CheckBounds.h"
#include "tests/TargetMain.h"

int main(int argc, char **argv) {
  return nncc::runWithTarget(nncc::checkedTarget(), argc, argv);
}
