//===- Memory.cpp - device memory that tells who misuses it ---------------===//
//
// New memory is full of 0xff bytes: NaN as floats, -1 as integers. What is
// freed can never be touched again, nor does its address come back. With
// `checked` it is closed to the host while no work runs: the host that follows
// a pointer of the device faults, as it would with a GPU.
//
//===----------------------------------------------------------------------===//
#include "Emulator.h"
#include <cstring>
#include <sys/mman.h>

namespace emulator {

static constexpr size_t page = 4096, guard = 65536, red = 4096, align = 256;
static constexpr unsigned char fresh = 0xff, zone = 0xf5;

static size_t roundUp(size_t bytes, size_t to) {
  return (bytes + to - 1) / to * to;
}

static int closed(const Allocation &a, bool isClosed) {
  return mprotect(a.open, a.openBytes,
                  isClosed ? PROT_NONE : PROT_READ | PROT_WRITE);
}

CUresult Memory::allocate(const Config &config, CUcontext context, size_t bytes,
                          CUdeviceptr &result) {
  if (!bytes)
    return CUDA_ERROR_INVALID_VALUE;
  if (bytes > config.memory - usedBytes)
    return CUDA_ERROR_OUT_OF_MEMORY;
  Allocation a;
  a.context = context;
  a.bytes = bytes;
  size_t behind = config.hasGuards ? 0 : red;
  a.openBytes = roundUp(red + roundUp(bytes, align) + behind, page);
  a.mapBytes = a.openBytes + 2 * guard;
  void *map = mmap(nullptr, a.mapBytes, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED)
    return CUDA_ERROR_OUT_OF_MEMORY;
  a.map = static_cast<char *>(map);
  a.open = a.map + guard;
  // With guards it ends where nothing is; without, it begins with a page.
  a.data = config.hasGuards ? a.open + a.openBytes - roundUp(bytes, align)
                            : a.open + red;
  if (closed(a, false)) {
    munmap(map, a.mapBytes);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  memset(a.open, zone, a.openBytes);
  memset(a.data, fresh, bytes);
  if (config.isChecked)
    closed(a, true);
  usedBytes += bytes;
  result = CUdeviceptr(uintptr_t(a.data));
  live[result] = a;
  return CUDA_SUCCESS;
}

/// Its addresses stay taken, so that a late use finds nothing there.
static void vanish(const Allocation &a) {
  closed(a, true);
  madvise(a.open, a.openBytes, MADV_DONTNEED);
}

CUresult Memory::release(CUdeviceptr pointer) {
  auto at = live.find(pointer);
  if (at == live.end())
    return CUDA_ERROR_INVALID_VALUE;
  bool intact = isIntact(at->second);
  vanish(at->second);
  usedBytes -= at->second.bytes;
  live.erase(at);
  return intact ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS;
}

void Memory::releaseAll(CUcontext context) {
  for (auto at = live.begin(); at != live.end();) {
    if (at->second.context != context) {
      ++at;
      continue;
    }
    vanish(at->second);
    usedBytes -= at->second.bytes;
    at = live.erase(at);
  }
}

const Allocation *Memory::find(CUdeviceptr pointer, size_t bytes) const {
  auto at = live.upper_bound(pointer);
  if (at == live.begin())
    return nullptr;
  const Allocation &a = (--at)->second;
  size_t offset = size_t(pointer - at->first);
  return offset <= a.bytes && bytes <= a.bytes - offset ? &a : nullptr;
}

static bool isZone(const char *begin, const char *end) {
  for (; begin < end; ++begin)
    if (static_cast<unsigned char>(*begin) != zone)
      return false;
  return true;
}

bool Memory::isIntact(const Allocation &a) const {
  Opened opened({&a});
  const char *end = a.data + a.bytes;
  bool front = isZone(a.open, a.data);
  if (front && isZone(end, a.open + a.openBytes))
    return true;
  say("something wrote " + std::string(front ? "behind" : "in front of") +
      " a piece of " + std::to_string(a.bytes) +
      " bytes; the kernel before was " + last);
  return false;
}

bool Memory::areIntact() const {
  for (const auto &[pointer, allocation] : live)
    if (!isIntact(allocation))
      return false;
  return true;
}

Opened::Opened(std::vector<const Allocation *> list)
    : allocations(std::move(list)) {
  if (machine().config.isChecked)
    for (const Allocation *a : allocations)
      closed(*a, false);
}

Opened::~Opened() {
  if (machine().config.isChecked)
    for (const Allocation *a : allocations)
      closed(*a, true);
}

} // namespace emulator
