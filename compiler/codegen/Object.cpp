//===- Object.cpp - from kernels to an object file ------------------------===//
#include "codegen/Object.h"
#include "dialect/Nncc.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/DebugInfoMetadata.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/Linker/Linker.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/SmallVectorMemoryBuffer.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/Transforms/Utils/Cloning.h"
#include <mutex>

using namespace mlir;

namespace nncc {

/// What a kernel's own function is called behind its name.
static constexpr llvm::StringRef codeSuffix = ".code";

static std::unique_ptr<llvm::TargetMachine>
createMachine(const TargetInfo &info) {
  std::string error;
  llvm::Triple triple(info.triple);
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, error);
  llvm::TargetOptions options;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, info.cpu, info.features, options, llvm::Reloc::PIC_));
}

/// Two of LLVM's passes took half of its time and gave nothing: kernels index
/// memory from few bases already (ResNet-18, MobileNetV2 and an LSTM ran at
/// 1.01, 1.02 and 1.01 of the speed without them), and scheduling behind the
/// register allocator is for processors that execute in order.
static void skipSlowPasses() {
  auto &options = llvm::cl::getRegisteredOptions();
  for (const char *name : {"disable-lsr", "disable-post-ra"})
    if (llvm::cl::Option *option = options.lookup(name))
      option->addOccurrence(0, name, "true");
}

/// Functions that are instructions on no target, or not with the same results.
static bool isOfLibrary(const llvm::Function &function) {
  switch (function.getIntrinsicID()) {
  case llvm::Intrinsic::not_intrinsic:
    return function.isDeclaration();
  case llvm::Intrinsic::acos:
  case llvm::Intrinsic::asin:
  case llvm::Intrinsic::atan:
  case llvm::Intrinsic::atan2:
  case llvm::Intrinsic::cos:
  case llvm::Intrinsic::cosh:
  case llvm::Intrinsic::exp:
  case llvm::Intrinsic::exp2:
  case llvm::Intrinsic::exp10:
  case llvm::Intrinsic::log:
  case llvm::Intrinsic::log2:
  case llvm::Intrinsic::log10:
  case llvm::Intrinsic::pow:
  case llvm::Intrinsic::powi:
  case llvm::Intrinsic::sin:
  case llvm::Intrinsic::sinh:
  case llvm::Intrinsic::tan:
  case llvm::Intrinsic::tanh:
    return true;
  default:
    return false;
  }
}

/// A kernel is all its code: a target may have no library to link. `frem` would
/// be a call, too.
static LogicalResult checkCalls(Operation *kernel, const llvm::Function &code) {
  for (const llvm::Instruction &instruction : llvm::instructions(code)) {
    if (instruction.getOpcode() == llvm::Instruction::FRem)
      return kernel->emitError("kernel ") << code.getName() << " calls fmod";
    auto *call = llvm::dyn_cast<llvm::CallBase>(&instruction);
    auto *callee = call ? call->getCalledFunction() : nullptr;
    if (callee && isOfLibrary(*callee))
      return kernel->emitError("kernel ")
             << code.getName() << " calls " << callee->getName().str();
  }
  return success();
}

void retarget(llvm::Module &module, const TargetInfo &target) {
  module.setTargetTriple(llvm::Triple(target.triple));
  module.setDataLayout(createMachine(target)->createDataLayout());
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", target.cpu);
    function.removeFnAttr("target-features");
    if (!target.features.empty())
      function.addFnAttr("target-features", target.features);
    function.addFnAttr(llvm::Attribute::NoUnwind);
    for (const auto &[name, value] : target.attributes)
      function.addFnAttr(name, value);
  }
}

std::unique_ptr<llvm::Module> buildLlvmModule(llvm::LLVMContext &context,
                                              ModuleOp kernels,
                                              const TargetInfo &target,
                                              const KernelTarget &how) {
  registerBuiltinDialectTranslation(*kernels.getContext());
  registerLLVMDialectTranslation(*kernels.getContext());
  std::unique_ptr<llvm::Module> module =
      translateModuleToLLVMIR(kernels, context, "nncc");
  if (!module)
    return nullptr;
  std::vector<llvm::Function *> functions;
  for (llvm::Function &function : *module)
    if (!function.isDeclaration())
      functions.push_back(&function);
  for (llvm::Function *code : functions) {
    std::string name = code->getName().str();
    if (failed(checkCalls(kernels.lookupSymbol(name), *code)))
      return nullptr;
    code->setLinkage(llvm::GlobalValue::InternalLinkage);
    code->setName(name + codeSuffix);
    how.wrap(*code, name);
  }
  retarget(*module, target);
  return module;
}

/// Passes that took 40 % of the time and gave nothing: kernels have no dead
/// stores (a pass that compares every store with all behind it), load what they
/// need once, and count from 0 in steps.
static bool isUseless(llvm::StringRef pass) {
  return llvm::is_contained<llvm::StringRef>(
      {"DSEPass", "IndVarSimplifyPass", "LoopLoadEliminationPass"}, pass);
}

void optimize(llvm::Module &module, const TargetInfo &target, unsigned level) {
  auto machine = createMachine(target);
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  // Kernels are vectorised by their emitters.
  tuning.LoopVectorization = tuning.SLPVectorization = false;
  llvm::PassInstrumentationCallbacks callbacks;
  callbacks.registerShouldRunOptionalPassCallback(
      [](llvm::StringRef pass, const llvm::Any &) { return !isUseless(pass); });
  llvm::PassBuilder builder(machine.get(), tuning, std::nullopt, &callbacks);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  const llvm::OptimizationLevel levels[] = {
      llvm::OptimizationLevel::O0, llvm::OptimizationLevel::O1,
      llvm::OptimizationLevel::O2, llvm::OptimizationLevel::O3};
  llvm::ModulePassManager passes =
      level == 0 ? builder.buildO0DefaultPipeline(levels[0])
                 : builder.buildPerModuleDefaultPipeline(levels[level]);
  passes.run(module, modules);
}

std::string bitcodeOf(const llvm::Module &module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::WriteBitcodeToFile(module, os);
  return text;
}

std::vector<KernelGroup> splitKernels(llvm::Module &module, unsigned size) {
  std::vector<llvm::DenseSet<const llvm::GlobalValue *>> groups;
  std::vector<KernelGroup> list;
  unsigned filled = size;
  std::vector<llvm::Function *> kernels;
  for (llvm::Function &code : module) {
    if (!code.getName().ends_with(codeSuffix))
      continue;
    if (filled >= size) {
      groups.emplace_back();
      list.emplace_back();
      filled = 0;
    }
    filled += code.getInstructionCount();
    llvm::Function *kernel =
        module.getFunction(code.getName().drop_back(codeSuffix.size()));
    kernel->setLinkage(llvm::GlobalValue::ExternalLinkage);
    kernel->setVisibility(llvm::GlobalValue::HiddenVisibility);
    groups.back().insert(&code);
    groups.back().insert(kernel);
    list.back().kernels.push_back(kernel->getName().str());
    kernels.push_back(kernel);
    kernels.push_back(&code);
  }
  for (auto [group, added] : llvm::zip_equal(groups, list)) {
    llvm::ValueToValueMapTy map;
    auto copy = llvm::CloneModule(
        module, map, [&group = group](const llvm::GlobalValue *value) {
          return group.contains(value) || isa<llvm::GlobalVariable>(value);
        });
    added.code = bitcodeOf(*copy);
  }
  for (llvm::Function *kernel : kernels)
    kernel->deleteBody();
  while (!module.global_empty()) // constants, which went with the kernels
    module.global_begin()->eraseFromParent();
  return list;
}

void forEachGroup(
    std::vector<KernelGroup> &groups, unsigned threads, KernelsDone done,
    llvm::function_ref<std::string(llvm::Module &, const KernelGroup &)> body) {
  static const bool once = (skipSlowPasses(), true);
  (void)once;
  unsigned count = 0, all = 0;
  for (const KernelGroup &group : groups)
    all += group.kernels.size();
  std::mutex telling;
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(threads));
  for (KernelGroup &group : groups)
    pool.async([&, body] {
      llvm::LLVMContext context;
      auto module = llvm::cantFail(llvm::parseBitcodeFile(
          llvm::MemoryBufferRef(group.code, "kernels"), context));
      group.code = body(*module, group);
      std::lock_guard lock(telling);
      count += group.kernels.size();
      done(count, all);
    });
  pool.wait();
}

void linkGroups(llvm::Module &module, llvm::ArrayRef<KernelGroup> groups) {
  llvm::Linker linker(module);
  for (const KernelGroup &group : groups)
    linker.linkInModule(llvm::cantFail(llvm::parseBitcodeFile(
        llvm::MemoryBufferRef(group.code, "kernels"), module.getContext())));
  for (llvm::Function &kernel : module)
    if (!kernel.isDeclaration() && kernel.hasHiddenVisibility()) {
      kernel.setVisibility(llvm::GlobalValue::DefaultVisibility);
      kernel.setLinkage(llvm::GlobalValue::InternalLinkage);
    }
}

std::string emitCode(llvm::Module &module, const TargetInfo &target,
                     bool assembly) {
  auto machine = createMachine(target);
  llvm::SmallVector<char, 0> buffer;
  llvm::raw_svector_ostream os(buffer);
  llvm::legacy::PassManager passes;
  auto type = assembly ? llvm::CodeGenFileType::AssemblyFile
                       : llvm::CodeGenFileType::ObjectFile;
  bool unsupported = machine->addPassesToEmitFile(passes, os, nullptr, type);
  assert(!unsupported && "x86 emits both, NVPTX assembly");
  (void)unsupported;
  passes.run(module);
  return std::string(buffer.begin(), buffer.end());
}

} // namespace nncc
