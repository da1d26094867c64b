//===- Generate.cpp - from loops to what a stage gives --------------------===//
//
// Each program's kernels become LLVM IR, then machine code or images for GPUs;
// an object ties all of them together by one descriptor (codegen/Abi.h).
//
//===----------------------------------------------------------------------===//
#include "Generate.h"
#include "codegen/Abi.h"
#include "codegen/Header.h"
#include "codegen/JoinObjects.h"
#include "codegen/Pipelines.h"
#include "codegen/Report.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace nncc {

void report(const CompileOptions &options, const std::string &what) {
  if (options.progress)
    options.progress(what.c_str(), 0, 0);
}

namespace {

class Generation {
public:
  Generation(const CompileOptions &options, CompileResult &result)
      : options(options), result(result) {}

  Status run(std::vector<Program> &programs, Stage stage);

private:
  /// A program with its kernels as LLVM IR.
  struct Unit {
    const Program &program;
    std::unique_ptr<llvm::Module> code;
  };

  Status show(Unit &unit, Stage stage);
  Status showDevice(Unit &unit, Stage stage);
  Status writeObject();
  std::vector<KernelGroup> optimizeGroups(llvm::Module &module,
                                          const TargetInfo &target);
  std::unique_ptr<llvm::Module> hostCode(TargetInfo &host,
                                         std::vector<std::string> &objects);
  std::optional<DeviceCode> deviceCode(Unit &unit);
  std::function<void(unsigned, unsigned)>
  reportKernels(const std::string &what);

  const CompileOptions &options;
  CompileResult &result;
  llvm::LLVMContext context;
  std::vector<Unit> units;
};

} // namespace

/// Reports that it begins, and what is done of it when it is called.
std::function<void(unsigned, unsigned)>
Generation::reportKernels(const std::string &what) {
  report(options, what);
  return [this, what](unsigned done, unsigned all) {
    if (options.progress)
      options.progress(what.c_str(), done, all);
  };
}

std::vector<KernelGroup> Generation::optimizeGroups(llvm::Module &module,
                                                    const TargetInfo &target) {
  std::vector<KernelGroup> groups = splitKernels(module, 4000);
  forEachGroup(groups, options.threads, reportKernels("optimizing"),
               [&](llvm::Module &group, const KernelGroup &) {
                 optimize(group, target, options.level);
                 return bitcodeOf(group);
               });
  return groups;
}

std::optional<DeviceCode> Generation::deviceCode(Unit &unit) {
  const TargetInfo &target = unit.program.facts;
  std::string error, name = architectureOf(target);
  auto images = options.images == "ptx"     ? DeviceImages::ptx
                : options.images == "cubin" ? DeviceImages::cubin
                                            : DeviceImages::any;
  auto code =
      emitDevice(*unit.code, target, images, options.level, options.threads,
                 reportKernels("writing code for " + name), error);
  if (!code)
    result.messages += "nncc: " + name + ": " + error + "\n";
  return code;
}

/// The text of a program for a GPU, in one piece; or what was made of it.
Status Generation::showDevice(Unit &unit, Stage stage) {
  const TargetInfo &target = unit.program.facts;
  if (stage == Stage::llvm || stage == Stage::ptx) {
    optimize(*unit.code, target, options.level);
    if (stage == Stage::llvm)
      llvm::raw_string_ostream(result.output) << *unit.code;
    else
      result.output = emitCode(*unit.code, target, true);
    return Status::done;
  }
  auto code = deviceCode(unit);
  if (!code)
    return Status::unsupported;
  result.output =
      reportOf(*unit.program.model, target, &*code, stage == Stage::reportJson);
  return Status::done;
}

Status Generation::show(Unit &unit, Stage stage) {
  if (unit.program.isDevice)
    return showDevice(unit, stage);
  const TargetInfo &target = unit.program.facts;
  auto groups = optimizeGroups(*unit.code, target);
  linkGroups(*unit.code, groups);
  addDescriptor(*unit.code, *unit.program.model, &target, {}, options.embedded);
  if (stage == Stage::llvm)
    llvm::raw_string_ostream(result.output) << *unit.code;
  else
    result.output = emitCode(*unit.code, target, true);
  return Status::done;
}

/// The module that the descriptor goes into, for `host`; the CPU's kernels, if
/// it has a program, in `objects`.
std::unique_ptr<llvm::Module>
Generation::hostCode(TargetInfo &host, std::vector<std::string> &objects) {
  Unit &first = units.front();
  if (first.program.isDevice) {
    (void)cpuTarget().lookup("x86-64", host, result.messages);
    auto module = std::make_unique<llvm::Module>("nncc", context);
    retarget(*module, host);
    return module;
  }
  host = first.program.facts;
  auto groups = optimizeGroups(*first.code, host);
  forEachGroup(groups, options.threads, reportKernels("writing machine code"),
               [&](llvm::Module &group, const KernelGroup &) {
                 return emitCode(group, host, false);
               });
  for (KernelGroup &group : groups)
    objects.push_back(std::move(group.code));
  return std::move(first.code);
}

/// "sm_90a (cubin, ptx)".
static std::string describe(const TargetInfo &target, const DeviceCode &code) {
  std::string text = architectureOf(target);
  if (!target.sm || code.kernels.empty())
    return text;
  std::string list;
  for (const DeviceImage &image : code.kernels.front().images)
    list += (list.empty() ? "" : ", ") + std::string(imageName(image.kind));
  return text + " (" + list + ")";
}

/// Machine code of kernels, images for GPUs and the descriptor, as one object.
Status Generation::writeObject() {
  std::vector<std::string> objects;
  TargetInfo host;
  std::unique_ptr<llvm::Module> module = hostCode(host, objects);
  std::vector<DeviceProgram> devices;
  for (Unit &unit : units) {
    if (!unit.program.isDevice)
      continue;
    auto code = deviceCode(unit);
    if (!code)
      return Status::unsupported;
    llvm::append_range(objects, std::move(code->objects));
    result.gpus.push_back(describe(unit.program.facts, *code));
    devices.push_back(
        {*unit.program.model, unit.program.facts, std::move(*code)});
  }
  const Program &first = units.front().program;
  addDescriptor(*module, *first.model, first.isDevice ? nullptr : &host,
                devices, options.embedded);
  objects.push_back(emitCode(*module, host, false));
  result.output = joinObjects(objects);
  result.header = headerOf(*first.model);
  return Status::done;
}

Status Generation::run(std::vector<Program> &programs, Stage stage) {
  report(options, "lowering to LLVM");
  for (Program &program : programs) {
    PassManager passes(program.kernels->getContext());
    populateLlvmPipeline(passes, options.debugLines && !program.isDevice);
    if (failed(passes.run(*program.kernels)))
      return Status::internal;
    auto code =
        buildLlvmModule(context, *program.kernels, program.facts, *program.how);
    if (!code)
      return Status::internal;
    units.push_back({program, std::move(code)});
  }
  return stage == Stage::object ? writeObject() : show(units.front(), stage);
}

Status generateCode(std::vector<Program> &programs,
                    const CompileOptions &options, Stage stage,
                    CompileResult &result) {
  return Generation(options, result).run(programs, stage);
}

} // namespace nncc
