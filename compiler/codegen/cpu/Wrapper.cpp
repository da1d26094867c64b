//===- Wrapper.cpp - kernels as the runtime calls them --------------------===//
#include "codegen/cpu/KernelEmitters.h"
#include "llvm/IR/DebugInfoMetadata.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"

namespace nncc {

void wrapForAbi(llvm::Function &kernel, llvm::StringRef name) {
  llvm::Module &module = *kernel.getParent();
  llvm::LLVMContext &context = module.getContext();
  auto *pointer = llvm::PointerType::getUnqual(context);
  auto *i64 = llvm::Type::getInt64Ty(context);
  auto *type = llvm::FunctionType::get(llvm::Type::getVoidTy(context),
                                       {pointer, i64, i64}, false);
  auto *wrapper = llvm::Function::Create(
      type, llvm::GlobalValue::InternalLinkage, name, module);
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "", wrapper));
  if (llvm::DISubprogram *lines = kernel.getSubprogram()) {
    auto *own = llvm::MDNode::replaceWithDistinct(lines->clone());
    wrapper->setSubprogram(own);
    b.SetCurrentDebugLocation(
        llvm::DILocation::get(context, lines->getLine(), 0, own));
  }
  std::vector<llvm::Value *> arguments;
  size_t buffers = kernel.arg_size() - 2;
  for (size_t i = 0; i < buffers; ++i) {
    auto *slot = b.CreateConstInBoundsGEP1_64(pointer, wrapper->getArg(0), i);
    arguments.push_back(b.CreateLoad(pointer, slot));
  }
  arguments.push_back(wrapper->getArg(1));
  arguments.push_back(wrapper->getArg(2));
  b.CreateCall(&kernel, arguments);
  b.CreateRetVoid();
}

} // namespace nncc
