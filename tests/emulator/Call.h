//===- Call.h - what every function of the driver begins with ---*- C++ -*-===//
#ifndef NNCC_TESTS_EMULATOR_CALL_H
#define NNCC_TESTS_EMULATOR_CALL_H

#include "Emulator.h"

namespace emulator {

/// This thread's contexts, the current one last.
extern thread_local std::vector<CUcontext> current;

enum Needs { noContext, aContext };

/// What NNCC_EMULATOR wants that function to give.
inline CUresult injected(const char *name) {
  Config &config = machine().config;
  if (config.failing != name)
    return CUDA_SUCCESS;
  return config.spared ? (--config.spared, int(CUDA_SUCCESS)) : config.failure;
}

inline CUresult hasDevice(int number) {
  return number >= 0 && number < machine().config.devices
             ? CUDA_SUCCESS
             : CUDA_ERROR_INVALID_DEVICE;
}

/// With `jitter`, a while in which other threads of the host come first.
void hesitate();

/// `body` under the lock, if the machine works and a context is current.
template <typename Body>
CUresult call(const char *name, Needs needs, Body body) {
  Machine &m = machine();
  if (m.config.hasJitter)
    hesitate();
  std::lock_guard<std::mutex> lock(m.mutex);
  if (!m.isStarted)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (m.broken)
    return m.broken;
  if (CUresult code = injected(name))
    return code;
  if (needs == aContext && current.empty())
    return CUDA_ERROR_INVALID_CONTEXT;
  return CUresult(body(m));
}

} // namespace emulator

#endif // NNCC_TESTS_EMULATOR_CALL_H
