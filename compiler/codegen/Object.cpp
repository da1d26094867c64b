//===- Object.cpp - from kernels to an object file ------------------------===//
#include "codegen/Object.h"
#include "codegen/Abi.h"
#include "dialect/Nncc.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/SmallVectorMemoryBuffer.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"

using namespace mlir;

namespace nncc {

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
    code->setName(kernel.getName() + ".code");
    addWrapper(*module, code, kernel.getName());
  }
  addDescriptor(*module, model, target);
  for (llvm::Function &function : *module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", target.cpu);
    if (!target.features.empty())
      function.addFnAttr("target-features", target.features);
    function.addFnAttr(llvm::Attribute::NoUnwind);
    if (target.lanes == 16)
      function.addFnAttr("prefer-vector-width", "512");
  }
  return module;
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
  llvm::PassBuilder builder(machine.get(), tuning);
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
