//===- Wrapper.cpp - kernels as a grid runs them --------------------------===//
#include "codegen/cuda/CudaKernels.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/IntrinsicsNVPTX.h"

namespace nncc {

/// void k(buffers..., i64 tiles): t = ctaid * ntid + tid; if (t < tiles)
/// code(buffers..., t, t + 1).
void wrapForGrid(llvm::Function &code, llvm::StringRef name) {
  llvm::LLVMContext &context = code.getContext();
  auto *i64 = llvm::Type::getInt64Ty(context);
  llvm::ArrayRef<llvm::Type *> parameters = code.getFunctionType()->params();
  std::vector<llvm::Type *> types(parameters.drop_back(2).vec());
  types.push_back(i64);
  auto *kernel = llvm::Function::Create(
      llvm::FunctionType::get(llvm::Type::getVoidTy(context), types, false),
      llvm::GlobalValue::ExternalLinkage, name, code.getParent());
  kernel->setCallingConv(llvm::CallingConv::PTX_Kernel);
  auto *entry = llvm::BasicBlock::Create(context, "", kernel);
  auto *run = llvm::BasicBlock::Create(context, "", kernel);
  auto *end = llvm::BasicBlock::Create(context, "", kernel);
  llvm::IRBuilder<> b(entry);
  auto special = [&](llvm::Intrinsic::ID id) {
    return b.CreateZExt(b.CreateIntrinsic(b.getInt32Ty(), id, {}), i64);
  };
  llvm::Value *block = special(llvm::Intrinsic::nvvm_read_ptx_sreg_ctaid_x);
  llvm::Value *size = special(llvm::Intrinsic::nvvm_read_ptx_sreg_ntid_x);
  llvm::Value *thread = special(llvm::Intrinsic::nvvm_read_ptx_sreg_tid_x);
  llvm::Value *tile = b.CreateAdd(b.CreateMul(block, size), thread);
  auto arguments = llvm::map_to_vector(
      kernel->args(), [](llvm::Argument &a) -> llvm::Value * { return &a; });
  llvm::Value *tiles = arguments.pop_back_val();
  b.CreateCondBr(b.CreateICmpULT(tile, tiles), run, end);
  b.SetInsertPoint(run);
  arguments.push_back(tile);
  arguments.push_back(b.CreateAdd(tile, b.getInt64(1)));
  b.CreateCall(&code, arguments);
  b.CreateBr(end);
  b.SetInsertPoint(end);
  b.CreateRetVoid();
}

} // namespace nncc
