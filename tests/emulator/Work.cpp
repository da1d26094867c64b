//===- Work.cpp - the functions of the driver: memory, modules, streams ---===//
//
// Launches and copies become work of a stream. Of a copy from the host CUDA has
// taken the bytes when it returns, of one to the host nothing is there before
// the stream is waited for.
//
//===----------------------------------------------------------------------===//
#include "Call.h"
#include <algorithm>
#include <cstring>

using namespace emulator;

static char *bytesAt(CUdeviceptr pointer) {
  return reinterpret_cast<char *>(uintptr_t(pointer));
}

/// Work on ranges that must be there when it runs: `run` sees them opened.
template <typename Run>
static CUresult onMemory(CUstream stream, CUdeviceptr a, CUdeviceptr b,
                         size_t bytes, Run run) {
  Machine &m = machine();
  if (!bytes)
    return CUDA_SUCCESS;
  if (!m.memory.find(a, bytes) || !m.memory.find(b, bytes))
    return CUDA_ERROR_INVALID_VALUE;
  return m.streams.enqueue(current.back(), stream, [=, &m]() -> CUresult {
    const Allocation *first = m.memory.find(a, bytes);
    const Allocation *second = m.memory.find(b, bytes);
    if (!first || !second) {
      say("memory of a copy or memset was freed before that ran");
      return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
    Opened opened({first, second});
    run();
    return CUDA_SUCCESS;
  });
}

extern "C" {

CUresult cuMemGetInfo_v2(size_t *unused, size_t *total) {
  return call("cuMemGetInfo_v2", aContext, [&](Machine &m) {
    *total = m.config.memory;
    *unused = m.config.memory - m.memory.used();
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAlloc_v2(CUdeviceptr *memory, size_t bytes) {
  return call("cuMemAlloc_v2", aContext, [&](Machine &m) {
    return m.memory.allocate(m.config, current.back(), bytes, *memory);
  });
}

/// Does not wait for work, which CUDA does not promise.
CUresult cuMemFree_v2(CUdeviceptr memory) {
  return call("cuMemFree_v2", aContext, [&](Machine &m) {
    CUresult result = memory ? m.memory.release(memory) : int(CUDA_SUCCESS);
    if (result == CUDA_ERROR_ILLEGAL_ADDRESS)
      m.broken = result;
    return result;
  });
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes,
                              CUstream stream) {
  return call("cuMemcpyHtoDAsync_v2", aContext, [&](Machine &m) {
    m.stats.toDevice += bytes;
    auto *begin = static_cast<const char *>(from);
    std::vector<char> taken(begin, begin + bytes);
    return onMemory(stream, to, to, bytes, [to, taken = std::move(taken)] {
      memcpy(bytesAt(to), taken.data(), taken.size());
    });
  });
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes,
                              CUstream stream) {
  return call("cuMemcpyDtoHAsync_v2", aContext, [&](Machine &m) {
    m.stats.fromDevice += bytes;
    return onMemory(stream, from, from, bytes,
                    [=] { memcpy(to, bytesAt(from), bytes); });
  });
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes,
                              CUstream stream) {
  return call("cuMemcpyDtoDAsync_v2", aContext, [&](Machine &m) {
    m.stats.onDevice += bytes;
    return onMemory(stream, to, from, bytes,
                    [=] { memmove(bytesAt(to), bytesAt(from), bytes); });
  });
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count,
                         CUstream stream) {
  return call("cuMemsetD8Async", aContext, [&](Machine &m) {
    return onMemory(stream, to, to, count,
                    [=] { memset(bytesAt(to), value, count); });
  });
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count,
                          CUstream stream) {
  return call("cuMemsetD32Async", aContext, [&](Machine &m) {
    if (to % 4)
      return int(CUDA_ERROR_INVALID_VALUE);
    return onMemory(stream, to, to, 4 * count, [=] {
      for (size_t i = 0; i < count; ++i)
        memcpy(bytesAt(to) + 4 * i, &value, 4);
    });
  });
}

CUresult cuPointerGetAttribute(void *data, int attribute, CUdeviceptr pointer) {
  return call("cuPointerGetAttribute", noContext, [&](Machine &m) {
    const Allocation *found = m.memory.find(pointer, 1);
    if (!found)
      return CUDA_ERROR_INVALID_VALUE;
    if (attribute == CU_POINTER_ATTRIBUTE_MEMORY_TYPE)
      *static_cast<unsigned *>(data) = CU_MEMORYTYPE_DEVICE;
    else if (attribute == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL)
      *static_cast<int *>(data) = found->context->device;
    else
      return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  return call("cuStreamCreate", aContext, [&](Machine &m) {
    return m.streams.create(current.back(), flags, *stream);
  });
}

CUresult cuStreamDestroy_v2(CUstream stream) {
  return call("cuStreamDestroy_v2", aContext,
              [&](Machine &m) { return m.streams.destroy(stream); });
}

CUresult cuStreamSynchronize(CUstream stream) {
  return call("cuStreamSynchronize", aContext, [&](Machine &m) {
    return m.streams.synchronize(current.back(), stream);
  });
}

} // extern "C"

//===----------------------------------------------------------------------===//
// Modules and launches
//===----------------------------------------------------------------------===//

/// Text and ELF files do not begin with an address.
static bool isEmulated(const void *image) {
  uint64_t word;
  memcpy(&word, image, sizeof word);
  return word >= 4096 && word < uint64_t(1) << 47;
}

/// What the assembler would say about PTX.
static void writeLog(unsigned count, int *options, void **values) {
  static const char text[] = "ptxas application ptx input, line 1; error   : "
                             "the emulator has no assembler\n";
  char *log = nullptr;
  size_t bytes = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER)
      log = static_cast<char *>(values[i]);
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
      bytes = size_t(uintptr_t(values[i]));
  }
  if (log && bytes >= sizeof text)
    memcpy(log, text, sizeof text);
}

template <typename T>
static T *findHandle(std::vector<std::unique_ptr<T>> &list, T *handle) {
  for (auto &one : list)
    if (one.get() == handle)
      return handle;
  return nullptr;
}

extern "C" {

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count,
                            int *options, void **values) {
  return call("cuModuleLoadDataEx", aContext, [&](Machine &m) {
    if (!isEmulated(image)) {
      writeLog(count, options, values);
      return int(CUDA_ERROR_NO_BINARY_FOR_GPU);
    }
    auto *emulated = static_cast<const nncc_emulated *>(image);
    *emulated->host = &hostFunctions;
    m.modules.push_back(std::make_unique<CUmod_st>());
    *module = m.modules.back().get();
    **module = {current.back(), emulated};
    return int(CUDA_SUCCESS);
  });
}

CUresult cuModuleUnload(CUmodule module) {
  return call("cuModuleUnload", aContext, [&](Machine &m) {
    if (!findHandle(m.modules, module))
      return CUDA_ERROR_INVALID_HANDLE;
    auto ofModule = [&](auto &function) { return function->module == module; };
    m.functions.erase(
        std::remove_if(m.functions.begin(), m.functions.end(), ofModule),
        m.functions.end());
    m.modules.erase(
        std::find_if(m.modules.begin(), m.modules.end(),
                     [&](auto &one) { return one.get() == module; }));
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module,
                             const char *name) {
  return call("cuModuleGetFunction", aContext, [&](Machine &m) {
    if (!findHandle(m.modules, module))
      return CUDA_ERROR_INVALID_HANDLE;
    if (strcmp(name, module->image->function))
      return CUDA_ERROR_NOT_FOUND;
    m.functions.push_back(std::make_unique<CUfunc_st>());
    *function = m.functions.back().get();
    **function = {module, name};
    return CUDA_SUCCESS;
  });
}

/// An image does not say how many parameters it has: a null ends them, all of
/// eight bytes.
CUresult cuLaunchKernel(CUfunction function, unsigned gridX, unsigned gridY,
                        unsigned gridZ, unsigned blockX, unsigned blockY,
                        unsigned blockZ, unsigned sharedBytes, CUstream stream,
                        void **parameters, void **extra) {
  return call("cuLaunchKernel", aContext, [&](Machine &m) {
    if (!findHandle(m.functions, function))
      return int(CUDA_ERROR_INVALID_HANDLE);
    if (!gridX || gridX > 0x7fffffff || gridY != 1 || gridZ != 1 || !blockX ||
        blockX > 1024 || blockY != 1 || blockZ != 1 || sharedBytes > 49152 ||
        !parameters || extra)
      return int(CUDA_ERROR_INVALID_VALUE);
    Launch launch = {current.back(), function->name, function->module->image,
                     gridX,          blockX,         {}};
    for (; *parameters; ++parameters) {
      uint64_t value;
      memcpy(&value, *parameters, sizeof value);
      launch.parameters.push_back(value);
    }
    return m.streams.enqueue(current.back(), stream,
                             [launch] { return runKernel(launch); });
  });
}

/// Of hosts in tests alone: on the null stream, and waits.
__attribute__((visibility("default"))) CUresult
cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
  CUresult result = cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr);
  return result ? result : cuStreamSynchronize(nullptr);
}

__attribute__((visibility("default"))) CUresult
cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
  CUresult result = cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr);
  return result ? result : cuStreamSynchronize(nullptr);
}

} // extern "C"
