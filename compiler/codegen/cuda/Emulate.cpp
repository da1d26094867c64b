//===- Emulate.cpp - device code as host code -----------------------------===//
//
// For tests on machines without a GPU (tests/emulator): the code of a thread
// becomes a function of the host, special registers are asked of the emulator.
// Where a GPU computes otherwise than a CPU from the same instruction, this
// follows the GPU, or refuses what no kernel should have.
//
//===----------------------------------------------------------------------===//
#include "codegen/cuda/CudaKernels.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/IntrinsicsNVPTX.h"

namespace nncc {

std::string emulatedName(llvm::StringRef kernel) {
  return kernel.str() + ".emulated";
}

namespace {

class Emulation {
public:
  Emulation(llvm::Module &module)
      : module(module), context(module.getContext()),
        pointer(llvm::PointerType::getUnqual(context)) {}

  bool run(const TargetInfo &host, std::string &error);

private:
  bool rewrite(llvm::Instruction &instruction, std::string &error);
  void replace(llvm::Instruction &old, llvm::Value *value);
  void saturate(llvm::CastInst &cast);
  void askEmulator(llvm::CallInst &call, nncc_special which);
  void addThread(llvm::Function &kernel);

  llvm::Module &module;
  llvm::LLVMContext &context;
  llvm::PointerType *pointer;
  llvm::GlobalVariable *slot = nullptr;
};

} // namespace

void Emulation::replace(llvm::Instruction &old, llvm::Value *value) {
  old.replaceAllUsesWith(value);
  old.eraseFromParent();
}

/// A GPU gives the nearest end of the type, 0 for NaN.
void Emulation::saturate(llvm::CastInst &cast) {
  auto id = llvm::isa<llvm::FPToSIInst>(cast) ? llvm::Intrinsic::fptosi_sat
                                              : llvm::Intrinsic::fptoui_sat;
  llvm::IRBuilder<> b(&cast);
  replace(cast, b.CreateIntrinsic(id, {cast.getDestTy(), cast.getSrcTy()},
                                  {cast.getOperand(0)}));
}

/// (*slot)->special(which)
void Emulation::askEmulator(llvm::CallInst &call, nncc_special which) {
  llvm::IRBuilder<> b(&call);
  llvm::Value *emulator = b.CreateLoad(pointer, slot);
  llvm::Value *special = b.CreateLoad(pointer, emulator);
  auto *type = llvm::FunctionType::get(b.getInt32Ty(), {b.getInt64Ty()}, false);
  replace(call, b.CreateCall(type, special, {b.getInt64(which)}));
}

bool Emulation::rewrite(llvm::Instruction &instruction, std::string &error) {
  if (llvm::isa<llvm::FPToSIInst, llvm::FPToUIInst>(instruction)) {
    saturate(llvm::cast<llvm::CastInst>(instruction));
    return true;
  }
  if (instruction.getOpcode() == llvm::Instruction::FRem) {
    error = "a remainder by frem, which is not exact on a GPU";
    return false;
  }
  auto *call = llvm::dyn_cast<llvm::IntrinsicInst>(&instruction);
  switch (call ? call->getIntrinsicID() : llvm::Intrinsic::not_intrinsic) {
  case llvm::Intrinsic::nvvm_read_ptx_sreg_tid_x:
    askEmulator(*call, NNCC_SPECIAL_TID);
    return true;
  case llvm::Intrinsic::nvvm_read_ptx_sreg_ntid_x:
    askEmulator(*call, NNCC_SPECIAL_NTID);
    return true;
  case llvm::Intrinsic::nvvm_read_ptx_sreg_ctaid_x:
    askEmulator(*call, NNCC_SPECIAL_CTAID);
    return true;
  default:
    break;
  }
  if (call && call->getCalledFunction()->getName().starts_with("llvm.nvvm.")) {
    error = "the emulator has no " + call->getCalledFunction()->getName().str();
    return false;
  }
  return true;
}

/// void k.emulated(ptr parameters): an address of each.
void Emulation::addThread(llvm::Function &kernel) {
  auto *thread = llvm::Function::Create(
      llvm::FunctionType::get(llvm::Type::getVoidTy(context), {pointer}, false),
      llvm::GlobalValue::ExternalLinkage, emulatedName(kernel.getName()),
      module);
  thread->setVisibility(llvm::GlobalValue::HiddenVisibility);
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "", thread));
  std::vector<llvm::Value *> arguments;
  for (llvm::Argument &argument : kernel.args()) {
    llvm::Value *place = b.CreateConstInBoundsGEP1_64(
        pointer, thread->getArg(0), argument.getArgNo());
    arguments.push_back(
        b.CreateLoad(argument.getType(), b.CreateLoad(pointer, place)));
  }
  b.CreateCall(&kernel, arguments);
  b.CreateRetVoid();
  kernel.setCallingConv(llvm::CallingConv::C);
  kernel.setVisibility(llvm::GlobalValue::DefaultVisibility);
  kernel.setLinkage(llvm::GlobalValue::InternalLinkage);
}

bool Emulation::run(const TargetInfo &host, std::string &error) {
  slot = new llvm::GlobalVariable(module, pointer, false,
                                  llvm::GlobalValue::ExternalLinkage, nullptr,
                                  emulatorSlot);
  slot->setVisibility(llvm::GlobalValue::HiddenVisibility);
  std::vector<llvm::Function *> functions;
  for (llvm::Function &function : module)
    if (!function.isDeclaration())
      functions.push_back(&function);
  for (llvm::Function *function : functions) {
    for (llvm::Instruction &instruction :
         llvm::make_early_inc_range(llvm::instructions(*function)))
      if (!rewrite(instruction, error))
        return false;
    if (function->getCallingConv() == llvm::CallingConv::PTX_Kernel)
      addThread(*function);
  }
  retarget(module, host);
  return true;
}

bool emulate(llvm::Module &module, const TargetInfo &host, std::string &error) {
  return Emulation(module).run(host, error);
}

} // namespace nncc
