//===- Device.h - where a verb runs its model -------------------*- C++ -*-===//
#ifndef NNCC_TOOLS_DEVICE_H
#define NNCC_TOOLS_DEVICE_H

#include "Verbs.h"
#include "runtime/nncc.h"

namespace nncc {

/// --device of run, bench, check, train and inspect.
struct DeviceFlag {
  nncc_device device = NNCC_CPU;
  uint32_t number = 0; // of the GPU

  void addTo(Verb &verb);
  /// Of a model that is compiled here: the options ask for the GPU that is
  /// there, and `device` is known from here on. An exit code and a sentence if
  /// there is none.
  int compileFor(CompileOptions &options);
  void fill(nncc_options &options) const;
};

/// Of --target: cuda:native becomes the architectures of the GPUs that are
/// here, those that there is code for. An exit code and a sentence as above.
int resolveTarget(std::string &target);

} // namespace nncc
#endif // NNCC_TOOLS_DEVICE_H
