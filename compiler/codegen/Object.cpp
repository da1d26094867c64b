//===- Object.cpp - from kernels to an object file ------------------------===//
#include "codegen/Object.h"
#include "codegen/JoinObjects.h"
#include "dialect/Nncc.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/DebugInfoMetadata.h"
#include "llvm/IR/IRBuilder.h"
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

/// The function of the ABI around a kernel: takes its pointers from an array.
static void addWrapper(llvm::Module &module, llvm::Function *kernel,
                       llvm::StringRef name) {
  llvm::LLVMContext &context = module.getContext();
  auto *pointer = llvm::PointerType::getUnqual(context);
  auto *i64 = llvm::Type::getInt64Ty(context);
  auto *type = llvm::FunctionType::get(llvm::Type::getVoidTy(context),
                                       {pointer, i64, i64}, false);
  auto *wrapper = llvm::Function::Create(
      type, llvm::GlobalValue::InternalLinkage, name, module);
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "", wrapper));
  if (llvm::DISubprogram *lines = kernel->getSubprogram()) {
    auto *own = llvm::MDNode::replaceWithDistinct(lines->clone());
    wrapper->setSubprogram(own);
    b.SetCurrentDebugLocation(
        llvm::DILocation::get(context, lines->getLine(), 0, own));
  }
  std::vector<llvm::Value *> arguments;
  size_t buffers = kernel->arg_size() - 2;
  for (size_t i = 0; i < buffers; ++i) {
    auto *slot = b.CreateConstInBoundsGEP1_64(pointer, wrapper->getArg(0), i);
    arguments.push_back(b.CreateLoad(pointer, slot));
  }
  arguments.push_back(wrapper->getArg(1));
  arguments.push_back(wrapper->getArg(2));
  b.CreateCall(kernel, arguments);
  b.CreateRetVoid();
}

std::unique_ptr<llvm::Module> buildLlvmModule(llvm::LLVMContext &context,
                                              ModuleOp model, ModuleOp kernels,
                                              const TargetInfo &target) {
  registerBuiltinDialectTranslation(*kernels.getContext());
  registerLLVMDialectTranslation(*kernels.getContext());
  std::unique_ptr<llvm::Module> module =
      translateModuleToLLVMIR(kernels, context, "nncc");
  if (!module)
    return nullptr;
  auto machine = createMachine(target);
  module->setTargetTriple(llvm::Triple(target.triple));
  module->setDataLayout(machine->createDataLayout());
  for (auto kernel : model.getOps<func::FuncOp>()) {
    if (kernel.isPublic())
      continue;
    llvm::Function *code = module->getFunction(kernel.getName());
    code->setLinkage(llvm::GlobalValue::InternalLinkage);
    code->setName(kernel.getName() + codeSuffix);
    addWrapper(*module, code, kernel.getName());
  }
  for (llvm::Function &function : *module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", target.cpu);
    if (!target.features.empty())
      function.addFnAttr("target-features", target.features);
    function.addFnAttr(llvm::Attribute::NoUnwind);
    for (const auto &[name, value] : target.attributes)
      function.addFnAttr(name, value);
  }
  return module;
}

/// Passes that took 40 % of the time and gave nothing: kernels have no dead
/// stores (a pass that compares every store with all behind it), load what they
/// need once, and count from 0 in steps.
static bool isUseless(llvm::StringRef pass) {
  return llvm::is_contained<llvm::StringRef>(
      {"DSEPass", "IndVarSimplifyPass", "LoopLoadEliminationPass"}, pass);
}

static void optimizeGroup(llvm::Module &module, const TargetInfo &target,
                          unsigned level) {
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

/// Moves kernels into modules of their own, as bitcode: about `size`
/// instructions each, in order. Here they become declarations.
static std::vector<KernelGroup> splitKernels(llvm::Module &module,
                                             unsigned size) {
  std::vector<llvm::DenseSet<const llvm::GlobalValue *>> groups;
  unsigned filled = size;
  std::vector<llvm::Function *> kernels;
  for (llvm::Function &code : module) {
    if (!code.getName().ends_with(codeSuffix))
      continue;
    if (filled >= size) {
      groups.emplace_back();
      filled = 0;
    }
    filled += code.getInstructionCount();
    llvm::Function *kernel =
        module.getFunction(code.getName().drop_back(codeSuffix.size()));
    kernel->setLinkage(llvm::GlobalValue::ExternalLinkage);
    kernel->setVisibility(llvm::GlobalValue::HiddenVisibility);
    groups.back().insert(&code);
    groups.back().insert(kernel);
    kernels.push_back(kernel);
    kernels.push_back(&code);
  }
  std::vector<KernelGroup> list;
  for (const auto &group : groups) {
    llvm::ValueToValueMapTy map;
    auto copy =
        llvm::CloneModule(module, map, [&](const llvm::GlobalValue *value) {
          return group.contains(value) || isa<llvm::GlobalVariable>(value);
        });
    KernelGroup &added =
        list.emplace_back(KernelGroup{"", unsigned(group.size() / 2)});
    llvm::raw_string_ostream os(added.code);
    llvm::WriteBitcodeToFile(*copy, os);
  }
  for (llvm::Function *kernel : kernels)
    kernel->deleteBody();
  while (!module.global_empty()) // constants, which went with the kernels
    module.global_begin()->eraseFromParent();
  return list;
}

/// Calls `body` with each group as a module of a context of its own.
static void forEachGroup(std::vector<KernelGroup> &groups, unsigned threads,
                         KernelsDone done,
                         llvm::function_ref<std::string(llvm::Module &)> body) {
  static const bool once = (skipSlowPasses(), true);
  (void)once;
  unsigned count = 0, all = 0;
  for (const KernelGroup &group : groups)
    all += group.kernels;
  std::mutex telling;
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(threads));
  for (KernelGroup &group : groups)
    pool.async([&, body] {
      llvm::LLVMContext context;
      auto module = llvm::cantFail(llvm::parseBitcodeFile(
          llvm::MemoryBufferRef(group.code, "kernels"), context));
      group.code = body(*module);
      std::lock_guard lock(telling);
      count += group.kernels;
      done(count, all);
    });
  pool.wait();
}

std::vector<KernelGroup> optimize(llvm::Module &module,
                                  const TargetInfo &target, unsigned level,
                                  unsigned threads, KernelsDone done) {
  std::vector<KernelGroup> groups = splitKernels(module, 4000);
  forEachGroup(groups, threads, done, [&](llvm::Module &group) {
    optimizeGroup(group, target, level);
    std::string text;
    llvm::raw_string_ostream os(text);
    llvm::WriteBitcodeToFile(group, os);
    return text;
  });
  return groups;
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

std::string emitObject(llvm::Module &module, std::vector<KernelGroup> groups,
                       const TargetInfo &target, unsigned threads,
                       KernelsDone done) {
  forEachGroup(groups, threads, done, [&](llvm::Module &group) {
    return emitCode(group, target, false);
  });
  std::vector<std::string> objects;
  for (KernelGroup &group : groups)
    objects.push_back(std::move(group.code));
  objects.push_back(emitCode(module, target, false));
  return joinObjects(objects);
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
  assert(!unsupported && "x86 emits objects and assembly");
  (void)unsupported;
  passes.run(module);
  return std::string(buffer.begin(), buffer.end());
}

} // namespace nncc
