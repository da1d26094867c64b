//===- LowerKernels.cpp - kernels in nncc ops to loops and vectors --------===//
//
// Chooses the emitter by the kernel's root.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/LowerKernels.h"
#include "codegen/cpu/KernelEmitters.h"
#include "dialect/Names.h"
#include "passes/KernelForming.h"
#include "runtime/abi.h"

using namespace mlir;

namespace nncc {

static MemRefType bufferType(Value tensor) {
  auto type = tensorType(tensor);
  return MemRefType::get({type.getNumElements()},
                         storageType(type.getElementType()));
}

int64_t KernelCode::schedule(StringRef name) const {
  auto numbers = kernel->getAttrOfType<DictionaryAttr>(scheduleAttr);
  auto number = numbers ? numbers.getAs<IntegerAttr>(name) : IntegerAttr();
  assert(number && "nncc-tile gives every kernel all its numbers");
  return number.getInt();
}

/// What an attention reads through strides must have been proven to lie inside
/// its tensors: form-kernels copies the rest. A contraction without such
/// strides (of a constant) is written as loops over elements.
static LogicalResult checkReads(func::FuncOp kernel) {
  WalkResult result = kernel.walk([&](Operation *op) {
    bool isAttention = isRoot(op) && !isa<ContractOp>(op);
    for (unsigned i = 0, e = isAttention ? productOperands(op) : 0; i < e; ++i)
      if (failed(operandView(op->getOperand(i)))) {
        op->emitError("operand ") << i << " has no strides inside its tensor";
        return WalkResult::interrupt();
      }
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

static int64_t emitKernel(KernelCode &code) {
  bool attention = false, contraction = false;
  code.kernel.walk([&](Operation *op) {
    attention |= isa<AttentionOp>(op);
    contraction |= isa<ContractOp>(op);
  });
  Operation *ret = code.kernel.getBody().front().getTerminator();
  if (auto scatter = ret->getOperand(0).getDefiningOp<ScatterAddOp>())
    return emitScatter(code, scatter);
  if (auto backward = ret->getOperand(0).getDefiningOp<AttentionBackwardOp>())
    return emitAttentionBackward(code, backward);
  if (attention)
    return emitAttention(code);
  if (contraction)
    if (auto shape = GemmShape::of(code.kernel, code.e.target);
        succeeded(shape))
      return emitGemm(code, *shape);
  return emitLoops(code);
}

FailureOr<OwningOpRef<ModuleOp>>
lowerKernels(ModuleOp module, const TargetInfo &target, StringRef wrongKernel) {
  OwningOpRef<ModuleOp> result = ModuleOp::create(module.getLoc());
  OpBuilder b(module.getContext());
  for (auto kernel : module.getOps<func::FuncOp>()) {
    if (kernel.isPublic())
      continue;
    Block &body = kernel.getBody().front();
    SmallVector<Type> types;
    for (Value argument : body.getArguments())
      types.push_back(bufferType(argument));
    for (Value value : body.getTerminator()->getOperands())
      types.push_back(bufferType(value));
    size_t buffers = types.size();
    if (failed(checkReads(kernel)))
      return failure();
    if (buffers > NNCC_MAX_BUFFERS)
      return kernel.emitError("a kernel with ") << buffers << " buffers";
    types.append(2, b.getIndexType());
    b.setInsertionPointToEnd(result->getBody());
    auto function = func::FuncOp::create(b, kernel.getLoc(), kernel.getName(),
                                         b.getFunctionType(types, {}));
    // A result in the place of an argument is written element by element behind
    // its reads, so only those two may meet.
    size_t inputs = body.getNumArguments();
    bool inPlace = false;
    for (size_t i = 0; i < inputs; ++i)
      inPlace |= bool(kernel.getArgAttr(i, inPlaceAttr));
    for (size_t i = 0; i < buffers; ++i)
      if (i < inputs ? !kernel.getArgAttr(i, inPlaceAttr) : !inPlace)
        function.setArgAttr(i, "llvm.noalias", b.getUnitAttr());
    Block *entry = function.addEntryBlock();
    b.setInsertionPointToStart(entry);

    CpuEmitter emitter(b, kernel.getLoc(), target);
    SmallVector<Value> outputs;
    auto elementOf = [](Value v) { return tensorType(v).getElementType(); };
    for (auto [i, argument] : llvm::enumerate(body.getArguments())) {
      emitter.buffers[argument] = entry->getArgument(i);
      emitter.declare(entry->getArgument(i), elementOf(argument));
    }
    for (auto [i, value] :
         llvm::enumerate(body.getTerminator()->getOperands())) {
      outputs.push_back(entry->getArgument(inputs + i));
      emitter.declare(outputs.back(), elementOf(value));
    }
    KernelCode code{emitter, kernel, outputs, entry->getArgument(buffers),
                    entry->getArgument(buffers + 1)};
    int64_t tiles = emitKernel(code);
    if (kernel.getName() == wrongKernel)
      emitter.store(
          outputs.front(), Coord::constant(0),
          emitter.splat(elementOf(body.getTerminator()->getOperand(0)), 1e6));
    func::ReturnOp::create(b, kernel.getLoc());
    kernel->setAttr(tilesAttr, b.getI64IntegerAttr(tiles));
  }
  return result;
}

} // namespace nncc
