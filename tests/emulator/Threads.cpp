//===- Threads.cpp - the threads of a kernel ------------------------------===//
//
// A kernel without barriers and shuffles: a loop over blocks and threads. A
// fault ends the kernel with 700, as on a GPU, and the line on stderr says
// which thread it was.
//
//===----------------------------------------------------------------------===//
#include "Emulator.h"
#include <csetjmp>
#include <csignal>
#include <cstdio>

namespace emulator {

static thread_local uint32_t specials[4]; // by nncc_special

static uint32_t special(uint64_t which) { return specials[which & 3]; }

const nncc_emulator hostFunctions = {special};

//===----------------------------------------------------------------------===//
// Faults
//===----------------------------------------------------------------------===//

static thread_local sigjmp_buf *kernel; // null: none runs in this thread
static thread_local void *faultAddress;

/// Outside of a kernel it is the process's own fault, and ends it.
static void onFault(int signal, siginfo_t *info, void *) {
  if (!kernel) {
    ::signal(signal, SIG_DFL);
    return; // happens again
  }
  faultAddress = info->si_addr;
  siglongjmp(*kernel, signal);
}

void catchFaults() {
  struct sigaction action = {};
  action.sa_sigaction = onFault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP})
    sigaction(signal, &action, nullptr);
}

static CUresult failed(const Launch &launch, const std::string &what) {
  say("kernel " + launch.name + ", block " +
      std::to_string(specials[NNCC_SPECIAL_CTAID]) + ", thread " +
      std::to_string(specials[NNCC_SPECIAL_TID]) + ": " + what);
  return CUDA_ERROR_ILLEGAL_ADDRESS;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

/// Every parameter but the last, the number of tiles, is an address in device
/// memory. On a GPU an address of the host would fault.
static bool findMemory(const Launch &launch,
                       std::vector<const Allocation *> &found) {
  char text[32];
  for (size_t k = 0; k + 1 < launch.parameters.size(); ++k) {
    const Allocation *a = machine().memory.find(launch.parameters[k], 0);
    snprintf(text, sizeof text, "%#llx",
             (unsigned long long)launch.parameters[k]);
    if (!a || a->context != launch.context) {
      say("kernel " + launch.name + ": parameter " + std::to_string(k) + ", " +
          text + ", is no memory of this GPU");
      return false;
    }
    found.push_back(a);
  }
  return true;
}

static void runThreads(const Launch &launch, void *const *parameters) {
  specials[NNCC_SPECIAL_NTID] = launch.threads;
  specials[NNCC_SPECIAL_NCTAID] = launch.blocks;
  uint64_t count = uint64_t(launch.blocks) * launch.threads;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t number = machine().config.isBackwards ? count - 1 - i : i;
    specials[NNCC_SPECIAL_CTAID] = uint32_t(number / launch.threads);
    specials[NNCC_SPECIAL_TID] = uint32_t(number % launch.threads);
    launch.image->thread(parameters);
  }
}

/// A fault leaves no destructors to run behind it.
static CUresult runCaught(const Launch &launch, void *const *parameters) {
  sigjmp_buf place;
  if (int signal = sigsetjmp(place, 0)) {
    kernel = nullptr;
    char text[64];
    snprintf(text, sizeof text, "signal %d at address %p", signal,
             faultAddress);
    return failed(launch, text);
  }
  kernel = &place;
  runThreads(launch, parameters);
  kernel = nullptr;
  return CUDA_SUCCESS;
}

CUresult runKernel(const Launch &launch) {
  Machine &m = machine();
  ++m.stats.launches;
  m.memory.last = launch.name;
  if (m.config.fault == "*" || m.config.fault == launch.name)
    return m.config.code;
  std::vector<const Allocation *> memory;
  if (!findMemory(launch, memory))
    return CUDA_ERROR_ILLEGAL_ADDRESS;
  std::vector<void *> parameters;
  for (const uint64_t &parameter : launch.parameters)
    parameters.push_back(const_cast<uint64_t *>(&parameter));
  CUresult result;
  {
    Opened opened(memory);
    result = runCaught(launch, parameters.data());
  }
  for (const Allocation *a : memory)
    if (!result && m.config.isChecked && !m.memory.isIntact(*a))
      result = CUDA_ERROR_ILLEGAL_ADDRESS;
  return result;
}

} // namespace emulator
