//===- Machine.cpp - facts about GPUs -------------------------------------===//
//
// An architecture is known if LLVM generates code for it. Schedules and layouts
// are the same for all so far: a thread runs a tile, in vectors of 16 bytes.
//
//===----------------------------------------------------------------------===//
#include "codegen/cuda/CudaKernels.h"
#include "support/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/TargetSelect.h"

namespace nncc {

static constexpr const char *triple = "nvptx64-nvidia-cuda";

/// The version of PTX is the first that has the architecture: older drivers
/// take it.
struct Architecture {
  const char *name;
  int64_t sm;
  bool isExact;
  const char *ptx;
};
static constexpr Architecture architectures[] = {
    {"sm_80", 80, false, "+ptx70"},   {"sm_86", 86, false, "+ptx71"},
    {"sm_87", 87, false, "+ptx74"},   {"sm_89", 89, false, "+ptx78"},
    {"sm_90", 90, false, "+ptx78"},   {"sm_90a", 90, true, "+ptx80"},
    {"sm_100", 100, false, "+ptx86"}, {"sm_100a", 100, true, "+ptx86"},
    {"sm_103", 103, false, "+ptx88"}, {"sm_103a", 103, true, "+ptx88"},
    {"sm_120", 120, false, "+ptx87"}, {"sm_120a", 120, true, "+ptx87"},
    {"sm_121", 121, false, "+ptx88"}, {"sm_121a", 121, true, "+ptx88"},
    {"emulator", 0, false, "+ptx70"}};

bool isCudaTarget(llvm::StringRef target) {
  return target == "cuda" || target.starts_with("cuda:");
}

std::string architectureOf(const TargetInfo &target) {
  return target.sm ? target.cpu : "emulator";
}

std::string bestArchitecture(int64_t sm) {
  std::string best;
  for (const Architecture &architecture : architectures)
    if (architecture.sm == sm ||
        (architecture.sm && architecture.sm < sm && !architecture.isExact))
      best = architecture.name;
  return best;
}

static TargetInfo factsOf(const Architecture &architecture) {
  TargetInfo info;
  info.triple = triple;
  info.cpu = architecture.sm ? architecture.name : "sm_80";
  info.features = architecture.ptx;
  info.sm = architecture.sm;
  info.isExact = architecture.isExact;
  info.hasFloor = true;
  // A thread's stack is reserved for all threads that a GPU can hold.
  info.cacheBytes = 16 << 10;
  info.scratchBytes = 128 << 10;
  return info;
}

bool lookupCuda(llvm::StringRef name, TargetInfo &info, std::string &error) {
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
  std::vector<llvm::StringRef> known;
  for (const Architecture &architecture : architectures) {
    if (name == architecture.name) {
      info = factsOf(architecture);
      return true;
    }
    if (architecture.sm)
      known.push_back(architecture.name);
  }
  error = "nncc: unknown GPU architecture \"" + name.str() + "\"" +
          didYouMean(name, known) + " (" + llvm::join(known, ", ") +
          " are known)\n";
  return false;
}

bool lookupArchitectures(llvm::StringRef target, std::vector<TargetInfo> &list,
                         std::string &error) {
  llvm::StringRef names = "sm_80,sm_90a";
  if (target != "cuda")
    names = target.drop_front(strlen("cuda:"));
  for (llvm::StringRef name : llvm::split(names, ',')) {
    TargetInfo info;
    if (!lookupCuda(name, info, error))
      return false;
    for (const TargetInfo &other : list)
      if (architectureOf(other) == name) {
        error = "nncc: --target names " + name.str() + " twice\n";
        return false;
      }
    list.push_back(std::move(info));
  }
  llvm::stable_sort(list, [](const TargetInfo &x, const TargetInfo &y) {
    return std::pair(x.sm, x.isExact) < std::pair(y.sm, y.isExact);
  });
  if (list.size() > 1 && !list.front().sm) {
    error = "nncc: the emulator stands alone in --target\n";
    return false;
  }
  return true;
}

} // namespace nncc
