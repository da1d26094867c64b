//===- nncc-toy.cpp - nncc with the toy target ----------------------------===//
#include "ToyTarget.h"
#include "tests/TargetMain.h"

int main(int argc, char **argv) {
  return nncc::runWithTarget(nncc::toyTarget(), argc, argv);
}
