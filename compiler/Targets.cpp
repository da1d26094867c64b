//===- Targets.cpp - the programs that an object holds --------------------===//
#include "Targets.h"

namespace nncc {

Status chooseTargets(const CompileOptions &options,
                     std::vector<ProgramTarget> &targets,
                     std::string &messages) {
  const KernelTarget &cpu = options.kernels ? *options.kernels : cpuTarget();
  bool hasDevices = isCudaTarget(options.target);
  if (!options.target.empty() && !hasDevices && !cpu.isTriple(options.target)) {
    messages = "nncc: no code generator for --target=" + options.target +
               "; x86_64-unknown-linux-gnu and cuda are supported\n";
    return Status::unsupported;
  }
  targets.push_back({&cpu, {}});
  if (!cpu.lookup(options.cpu, targets.front().facts, messages))
    return Status::usage;
  if (!hasDevices && (options.deviceOnly || options.images != "any")) {
    messages = std::string(options.deviceOnly ? "nncc: --device-only"
                                              : "nncc: --images") +
               " needs --target=cuda\n";
    return Status::usage;
  }
  if (options.deviceOnly)
    targets.clear();
  std::vector<TargetInfo> devices;
  if (hasDevices && !lookupArchitectures(options.target, devices, messages))
    return Status::usage;
  for (TargetInfo &device : devices)
    targets.push_back({&cudaTarget(), std::move(device), true});
  return Status::done;
}

} // namespace nncc
