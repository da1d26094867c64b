//===- Marker.cpp - says that this driver is the emulator -----------------===//
//
// The runtime then takes images of host code and nothing else. Without this
// file the emulator passes for a GPU that no image loads on, for tests of what
// is chosen (libnncc_stub_gpu).
//
//===----------------------------------------------------------------------===//
extern "C" __attribute__((visibility("default")))
const int nncc_emulator_driver = 1;
