//===- Emulator.h - a CUDA driver that runs kernels on the host -*- C++ -*-===//
//
// What the sources share. The machine is one object behind one lock; functions
// of the driver (Driver.cpp) hold it, everything else expects it held. A part
// of a GPU is a file: device memory (Memory.cpp), streams (Streams.cpp),
// threads of a kernel (Threads.cpp). Later ones come beside them: barriers,
// warps, copies to shared memory, matrix units.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TESTS_EMULATOR_EMULATOR_H
#define NNCC_TESTS_EMULATOR_EMULATOR_H

#include "runtime/abi.h"
#include "runtime/cuda/driver.h"
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

struct CUctx_st {
  int device;
  uint64_t retains;
};
struct CUmod_st {
  CUcontext context;
  const nncc_emulated *image;
};
struct CUfunc_st {
  CUmodule module;
  std::string name;
};

namespace emulator {

/// What the environment variable NNCC_EMULATOR asks for (README.md).
struct Config {
  bool isLate = false, isChecked = false, hasGuards = false;
  bool isBackwards = false, hasStats = false, hasJitter = false;
  uint64_t seed = 0, memory = uint64_t(80) << 30;
  int driver = 13000, devices = 1, code = CUDA_ERROR_ILLEGAL_ADDRESS;
  std::vector<int> sms = {90}; // by device
  std::string fault, failing;
  int failure = 0;
  uint64_t spared = 0; // calls of `failing` that work first
};

/// False, with a line on stderr, if there is a word that is none.
bool readConfig(Config &config);

//===----------------------------------------------------------------------===//
// Memory.cpp
//===----------------------------------------------------------------------===//

/// [guard][red zone][data][red zone][guard]; guards cannot be touched at all.
struct Allocation {
  CUcontext context;
  char *data, *open, *map;
  size_t bytes, openBytes, mapBytes;
};

class Memory {
public:
  CUresult allocate(const Config &config, CUcontext context, size_t bytes,
                    CUdeviceptr &result);
  CUresult release(CUdeviceptr pointer);
  void releaseAll(CUcontext context);
  /// The one that has all of [pointer, pointer + bytes), which may end where it
  /// does; null if none has.
  const Allocation *find(CUdeviceptr pointer, size_t bytes) const;
  /// False, with a line on stderr, if something wrote around it.
  bool isIntact(const Allocation &allocation) const;
  bool areIntact() const;
  uint64_t used() const { return usedBytes; }
  size_t count() const { return live.size(); }
  /// The kernel that ran last, for lines on stderr.
  std::string last = "none";

private:
  std::map<CUdeviceptr, Allocation> live; // by address
  uint64_t usedBytes = 0;
};

/// Opens memory that is closed to the host while nothing runs (`checked`).
class Opened {
public:
  explicit Opened(std::vector<const Allocation *> allocations);
  ~Opened();
  Opened(const Opened &) = delete;

private:
  std::vector<const Allocation *> allocations;
};

//===----------------------------------------------------------------------===//
// Streams.cpp
//===----------------------------------------------------------------------===//

/// Work of a stream; what it gives other than success breaks the machine.
using Work = std::function<CUresult()>;

class Streams {
public:
  Streams();
  ~Streams();
  CUresult create(CUcontext context, unsigned flags, CUstream &result);
  CUresult destroy(CUstream stream);
  /// Null: the context's own stream, which all blocking ones wait for.
  CUresult enqueue(CUcontext context, CUstream stream, Work work);
  CUresult synchronize(CUcontext context, CUstream stream);
  void synchronizeAll();
  size_t count() const;
  std::minstd_rand random;

private:
  struct Stream;
  Stream *find(CUcontext context, CUstream stream);
  bool isEligible(const Stream &stream) const;
  bool runOne();
  std::vector<std::unique_ptr<Stream>> streams;
  uint64_t enqueued = 0;
};

//===----------------------------------------------------------------------===//
// Threads.cpp
//===----------------------------------------------------------------------===//

struct Launch {
  CUcontext context;
  std::string name;
  const nncc_emulated *image;
  uint32_t blocks, threads;
  std::vector<uint64_t> parameters;
};

/// Runs all threads; a fault of one is the result.
CUresult runKernel(const Launch &launch);
/// What kernels ask.
extern const nncc_emulator hostFunctions;
/// From now on a fault in a kernel ends that kernel, not the process.
void catchFaults();

//===----------------------------------------------------------------------===//
// The machine
//===----------------------------------------------------------------------===//

struct Stats {
  uint64_t launches = 0, toDevice = 0, fromDevice = 0, onDevice = 0;
};

struct Machine {
  std::mutex mutex;
  Config config;
  bool isStarted = false;
  CUresult broken = CUDA_SUCCESS; // after a fault: what all calls give
  std::vector<CUctx_st> contexts; // by device
  std::vector<std::unique_ptr<CUmod_st>> modules;
  std::vector<std::unique_ptr<CUfunc_st>> functions;
  Memory memory;
  Streams streams;
  Stats stats;
};

Machine &machine();
/// A line on stderr.
void say(const std::string &text);

} // namespace emulator

#define NNCC_DECLARE(name, parameters)                                         \
  extern "C" __attribute__((visibility("default"))) CUresult name parameters;
NNCC_DRIVER_FUNCTIONS(NNCC_DECLARE)
#undef NNCC_DECLARE

#endif // NNCC_TESTS_EMULATOR_EMULATOR_H
