//===- Device.h - programs for GPUs -----------------------------*- C++ -*-===//
//
// What the compiler asks of codegen/cuda: the target, the facts about
// architectures, and images of kernels. "cuda:emulator" is an architecture
// whose images are host code, for tests on machines without a GPU.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_DEVICE_H
#define NNCC_CODEGEN_DEVICE_H

#include "codegen/Object.h"
#include "runtime/abi.h"
#include <optional>

namespace nncc {

/// What ptxas says of a kernel.
struct KernelUsage {
  int64_t registers = 0, stackBytes = 0, spillBytes = 0;
};

/// "ptx", "cubin", "emulator".
const char *imageName(nncc_image_kind kind);

struct DeviceImage {
  nncc_image_kind kind;
  std::string bytes; // of the emulator's: none
};

struct DeviceKernel {
  std::string name;
  std::vector<DeviceImage> images; // the best first
  std::optional<KernelUsage> usage;
};

/// A program's kernels, as many as its model has, in order.
struct DeviceCode {
  std::vector<DeviceKernel> kernels;
  /// Host objects with the functions that emulated kernels are.
  std::vector<std::string> objects;
};

/// Which images a kernel gets.
enum class DeviceImages {
  any, // PTX, and cubins if there is a ptxas
  ptx,
  cubin
};

const KernelTarget &cudaTarget();

/// Threads of a block.
constexpr uint64_t deviceThreads = 32;

/// What an emulated kernel is called in its object, and the pointer through
/// which it reaches the emulator.
std::string emulatedName(llvm::StringRef kernel);
constexpr const char *emulatorSlot = "nncc_emulator_slot";

/// True for "cuda" and "cuda:LIST".
bool isCudaTarget(llvm::StringRef target);
/// The facts about the architectures that such a target names, lowest first;
/// false and a sentence if it cannot be meant.
bool lookupArchitectures(llvm::StringRef target, std::vector<TargetInfo> &list,
                         std::string &error);
/// The best for a GPU of that number; "" if there is none.
std::string bestArchitecture(int64_t sm);
/// "sm_90a", "emulator".
std::string architectureOf(const TargetInfo &target);

/// The path of ptxas: $CUDA_HOME/bin, then PATH; "" if there is none.
std::string findPtxas();

/// Images of the kernels of `module`, which buildLlvmModule made for
/// `target`; null and a sentence if ptxas is asked for and fails.
std::optional<DeviceCode> emitDevice(llvm::Module &module,
                                     const TargetInfo &target,
                                     DeviceImages images, unsigned level,
                                     unsigned threads, KernelsDone done,
                                     std::string &error);

} // namespace nncc
#endif // NNCC_CODEGEN_DEVICE_H
