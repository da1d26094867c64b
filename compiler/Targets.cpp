//===- Targets.cpp - the programs that an object holds --------------------===//
#include "Targets.h"

namespace nncc {

/// All of the options.
static Status lookupTargets(const CompileOptions &options,
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

/// Why `stage` shows none of these, of which those from `first` on are GPUs';
/// "" if it does.
static std::string whyNothingShows(Stage stage,
                                   llvm::ArrayRef<ProgramTarget> targets,
                                   size_t first) {
  if (stage == Stage::assembly && first == 0)
    return "there is no assembly with --device-only, --emit=ptx is what a GPU "
           "runs";
  if (stage != Stage::ptx)
    return "";
  if (first == targets.size())
    return "--emit=ptx needs --target=cuda:sm_80";
  if (targets.size() - first > 1)
    return "--emit=ptx shows one architecture: --target=cuda:" +
           architectureOf(targets[first].facts);
  return targets[first].facts.sm ? "" : "the emulator runs no PTX";
}

Status chooseTargets(const CompileOptions &options, Stage stage,
                     std::vector<ProgramTarget> &targets,
                     std::string &messages) {
  Status status = lookupTargets(options, targets, messages);
  if (status != Status::done || stage == Stage::object)
    return status;
  size_t first = llvm::count_if(
      targets, [](const ProgramTarget &target) { return !target.isDevice; });
  std::string why = whyNothingShows(stage, targets, first);
  if (!why.empty()) {
    messages = "nncc: " + why + "\n";
    return Status::usage;
  }
  bool isOfGpu = first < targets.size() && stage != Stage::assembly;
  targets = {targets[isOfGpu ? first : 0]};
  return Status::done;
}

} // namespace nncc
