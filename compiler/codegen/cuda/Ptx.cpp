//===- Ptx.cpp - images of kernels ----------------------------------------===//
//
// An image per kernel: a driver compiles and loads only what runs.
//
//===----------------------------------------------------------------------===//
#include "codegen/cuda/CudaKernels.h"

namespace nncc {

namespace {

/// What threads make of kernels, in their order.
struct Made {
  std::string ptx, cubin, error;
  KernelUsage usage;
};

} // namespace

const char *imageName(nncc_image_kind kind) {
  static const char *const names[] = {"ptx", "cubin", "emulator"};
  return names[kind];
}

/// PTX ends with a zero byte, which is what the driver wants.
static std::string ptxOf(llvm::Module &kernel, const TargetInfo &target,
                         unsigned level) {
  optimize(kernel, target, level);
  std::string text = emitCode(kernel, target, true);
  text.push_back('\0');
  return text;
}

static std::string emulatedCode(llvm::Module &kernel, const TargetInfo &host,
                                unsigned level, std::string &error) {
  if (!emulate(kernel, host, error))
    return "";
  optimize(kernel, host, level);
  return emitCode(kernel, host, false);
}

/// The first error of a kernel, if there is one.
static bool hasError(llvm::ArrayRef<KernelGroup> groups,
                     llvm::ArrayRef<Made> made, std::string &error) {
  for (auto [group, each] : llvm::zip_equal(groups, made))
    if (!each.error.empty()) {
      error = "kernel " + group.kernels.front() + ": " + each.error;
      return true;
    }
  return false;
}

/// As one group: equal constants are one, and there are fewer objects.
static std::optional<DeviceCode> emitEmulated(llvm::Module &module,
                                              unsigned level, unsigned threads,
                                              KernelsDone done,
                                              std::string &error) {
  TargetInfo host;
  // Vectors of 16 bytes and no multiply-add, as the facts about GPUs say.
  if (!cpuTarget().lookup("x86-64-v2", host, error))
    return std::nullopt;
  std::vector<KernelGroup> groups = splitKernels(module, 4000);
  std::vector<Made> made(groups.size());
  forEachGroup(groups, threads, done,
               [&](llvm::Module &part, const KernelGroup &group) {
                 Made &own = made[&group - groups.data()];
                 return emulatedCode(part, host, level, own.error);
               });
  if (hasError(groups, made, error))
    return std::nullopt;
  DeviceCode code;
  for (KernelGroup &group : groups) {
    for (const std::string &name : group.kernels)
      code.kernels.push_back({name, {{NNCC_IMAGE_EMULATOR, ""}}, {}});
    code.objects.push_back(std::move(group.code));
  }
  return code;
}

std::optional<DeviceCode> emitDevice(llvm::Module &module,
                                     const TargetInfo &target,
                                     DeviceImages images, unsigned level,
                                     unsigned threads, KernelsDone done,
                                     std::string &error) {
  if (!target.sm)
    return emitEmulated(module, level, threads, done, error);
  std::string ptxas = images == DeviceImages::ptx ? "" : findPtxas();
  if (images == DeviceImages::cubin && ptxas.empty()) {
    error = "cubins alone need ptxas of the CUDA Toolkit, which is neither in "
            "$CUDA_HOME/bin nor in PATH";
    return std::nullopt;
  }
  std::vector<KernelGroup> groups = splitKernels(module, 1);
  std::vector<Made> made(groups.size());
  forEachGroup(groups, threads, done,
               [&](llvm::Module &kernel, const KernelGroup &group) {
                 Made &own = made[&group - groups.data()];
                 own.ptx = ptxOf(kernel, target, level);
                 if (!ptxas.empty())
                   (void)assemble(ptxas, own.ptx.c_str(), target, own.cubin,
                                  own.usage, own.error);
                 return std::string();
               });
  if (hasError(groups, made, error))
    return std::nullopt;
  DeviceCode code;
  for (auto [group, each] : llvm::zip_equal(groups, made)) {
    DeviceKernel &kernel = code.kernels.emplace_back();
    kernel.name = group.kernels.front();
    if (!each.cubin.empty()) {
      kernel.images.push_back({NNCC_IMAGE_CUBIN, std::move(each.cubin)});
      kernel.usage = each.usage;
    }
    if (images != DeviceImages::cubin)
      kernel.images.push_back({NNCC_IMAGE_PTX, std::move(each.ptx)});
  }
  return code;
}

} // namespace nncc
