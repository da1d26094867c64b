//===- Driver.cpp - the functions of the driver: devices, contexts, errors ===//
//
// As NVIDIA's behave as far as nncc sees them, with their codes; after a fault
// (`broken`) every call but a few gives the fault's code. Work.cpp has modules,
// launches, copies.
//
//===----------------------------------------------------------------------===//
#include "Call.h"
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

using namespace emulator;

namespace emulator {

thread_local std::vector<CUcontext> current;

Machine &machine() {
  // Lives until the process ends, whoever else still frees things then.
  alignas(Machine) static char place[sizeof(Machine)];
  static Machine *const it = new (place) Machine;
  return *it;
}

void hesitate() {
  static std::atomic<unsigned> calls;
  usleep(calls++ * 2654435761u >> 25); // to 127 us
}

static void printStats() {
  const Machine &m = machine();
  fprintf(stderr,
          "nncc emulator: %llu launches, %llu bytes to the device, %llu from "
          "it, %llu on it; left: %zu pieces of memory, %zu streams, %zu "
          "modules\n",
          (unsigned long long)m.stats.launches,
          (unsigned long long)m.stats.toDevice,
          (unsigned long long)m.stats.fromDevice,
          (unsigned long long)m.stats.onDevice, m.memory.count(),
          m.streams.count(), m.modules.size());
}

} // namespace emulator

extern "C" {

CUresult cuInit(unsigned flags) {
  Machine &m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  if (m.isStarted)
    return CUDA_SUCCESS;
  Config config;
  if (flags || !readConfig(config))
    return CUDA_ERROR_INVALID_VALUE;
  if (!config.devices)
    return CUDA_ERROR_NO_DEVICE;
  m.config = config;
  if (CUresult code = injected("cuInit"))
    return code;
  m.streams.random.seed(unsigned(config.seed) + 1);
  for (int device = 0; device < config.devices; ++device)
    m.contexts.push_back({device, 0});
  catchFaults();
  if (config.hasStats)
    atexit(printStats);
  m.isStarted = true;
  return CUDA_SUCCESS;
}

/// Works before cuInit.
CUresult cuDriverGetVersion(int *version) {
  Config config;
  *version = readConfig(config) ? config.driver : 13000;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
  return call("cuDeviceGetCount", noContext, [&](Machine &m) {
    *count = m.config.devices;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGet(CUdevice *device, int number) {
  return call("cuDeviceGet", noContext, [&](Machine &m) {
    *device = number;
    return hasDevice(number);
  });
}

CUresult cuDeviceGetName(char *name, int bytes, CUdevice device) {
  return call("cuDeviceGetName", noContext, [&](Machine &m) {
    snprintf(name, size_t(bytes), "nncc emulator");
    return hasDevice(device);
  });
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  return call("cuDeviceGetAttribute", noContext, [&](Machine &m) {
    const std::vector<int> &sms = m.config.sms;
    int sm = sms[std::min(size_t(device), sms.size() - 1)];
    if (attribute == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
      *value = 132;
    else if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
      *value = sm / 10;
    else if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
      *value = sm % 10;
    else
      return int(CUDA_ERROR_INVALID_VALUE);
    return hasDevice(device);
  });
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  return call("cuDeviceTotalMem_v2", noContext, [&](Machine &m) {
    *bytes = m.config.memory;
    return hasDevice(device);
  });
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  return call("cuDevicePrimaryCtxRetain", noContext, [&](Machine &m) {
    if (CUresult code = hasDevice(device))
      return code;
    *context = &m.contexts[size_t(device)];
    ++(*context)->retains;
    return int(CUDA_SUCCESS);
  });
}

/// The last one ends the context with all that is in it. Works after a fault.
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  Machine &m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  if (hasDevice(device) || !m.contexts[size_t(device)].retains)
    return CUDA_ERROR_INVALID_CONTEXT;
  CUcontext context = &m.contexts[size_t(device)];
  if (--context->retains || m.broken)
    return CUDA_SUCCESS;
  m.streams.synchronizeAll();
  if (!m.config.hasStats) // which count what is left
    m.memory.releaseAll(context);
  return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent_v2(CUcontext context) {
  std::lock_guard<std::mutex> lock(machine().mutex);
  if (!context || !context->retains)
    return CUDA_ERROR_INVALID_CONTEXT;
  current.push_back(context);
  return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent_v2(CUcontext *context) {
  if (current.empty())
    return CUDA_ERROR_INVALID_CONTEXT;
  if (context)
    *context = current.back();
  current.pop_back();
  return CUDA_SUCCESS;
}

static const struct {
  CUresult code;
  const char *name, *text;
} errors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED",
     "initialization error"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE",
     "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE",
     "invalid device ordinal"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT",
     "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU",
     "no kernel image is available for execution on the device"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE",
     "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS",
     "an illegal memory access was encountered"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
     "too many resources requested for launch"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED",
     "unspecified launch failure"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
     "system has unsupported display driver / cuda driver combination"},
};

CUresult cuGetErrorName(CUresult error, const char **name) {
  for (const auto &known : errors)
    if (known.code == error) {
      *name = known.name;
      return CUDA_SUCCESS;
    }
  *name = nullptr;
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char **text) {
  for (const auto &known : errors)
    if (known.code == error) {
      *text = known.text;
      return CUDA_SUCCESS;
    }
  *text = nullptr;
  return CUDA_ERROR_INVALID_VALUE;
}

} // extern "C"
