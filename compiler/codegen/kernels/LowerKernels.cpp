//===- LowerKernels.cpp - kernels in nncc ops to code for elements --------===//
//
// A function for each kernel, written by the emitter of its kind.
//
//===----------------------------------------------------------------------===//
#include "codegen/kernels/LowerKernels.h"
#include "codegen/kernels/Contraction.h"
#include "dialect/Expr.h"
#include "dialect/Names.h"
#include "dialect/Nncc.h"
#include "dialect/Place.h"
#include "runtime/abi.h"

using namespace mlir;

namespace nncc {

int64_t KernelCode::schedule(StringRef name) const {
  auto numbers = kernel->getAttrOfType<DictionaryAttr>(scheduleAttr);
  auto number = numbers ? numbers.getAs<IntegerAttr>(name) : IntegerAttr();
  assert(number && "nncc-tile gives every kernel all its numbers");
  return number.getInt();
}

static Type elementOf(Value tensor) {
  return tensorType(tensor).getElementType();
}

/// Tells LLVM which buffers of a kernel do not meet. A result in the place of
/// an argument is written element by element behind its reads, so only those
/// two may.
static void markDistinct(func::FuncOp kernel, func::FuncOp code) {
  unsigned inputs = kernel.getNumArguments();
  bool inPlace = false;
  for (unsigned i = 0; i < inputs; ++i)
    inPlace |= bool(kernel.getArgAttr(i, inPlaceAttr));
  for (unsigned i = 0; i + 2 < code.getNumArguments(); ++i)
    if (i < inputs ? !kernel.getArgAttr(i, inPlaceAttr) : !inPlace)
      code.setArgAttr(i, "llvm.noalias", UnitAttr::get(code.getContext()));
}

/// What a root reads through strides must have been proven to lie inside its
/// tensors: form-kernels copies the rest. One that lowers to elements is
/// written as loops over them where it has no such strides (a product of a
/// constant).
static LogicalResult checkReads(func::FuncOp kernel) {
  WalkResult result = kernel.walk([&](Operation *op) {
    auto root = dyn_cast<KernelRoot>(op);
    bool needsMemory = root && !isa<LowersToElements>(op);
    for (unsigned i = 0, e = needsMemory ? root.productOperands() : 0; i < e;
         ++i)
      if (failed(operandView(op->getOperand(i)))) {
        op->emitError("operand ") << i << " has no strides inside its tensor";
        return WalkResult::interrupt();
      }
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

/// A thread has room for what the tiles of a kernel keep to themselves.
static LogicalResult checkScratch(func::FuncOp kernel,
                                  const BufferEmitter &emitter) {
  int64_t bytes = int64_t(emitter.scratchBytes());
  if (bytes <= emitter.target.scratchBytes)
    return success();
  std::string numbers;
  for (NamedAttribute number :
       kernel->getAttrOfType<DictionaryAttr>(scheduleAttr))
    numbers += (numbers.empty() ? "" : ", ") + number.getName().str() + " = " +
               std::to_string(cast<IntegerAttr>(number.getValue()).getInt());
  reportLimit(kernel.getLoc(), "a tile of this kernel takes " +
                                   std::to_string(bytes) +
                                   " bytes of scratch memory, more than " +
                                   std::to_string(emitter.target.scratchBytes) +
                                   "; its schedule: " + numbers);
  return failure();
}

static LogicalResult lowerKernel(OpBuilder &b, func::FuncOp kernel,
                                 const TargetInfo &target,
                                 const KernelTarget &how, bool isWrong) {
  WorkingOn at(kernel.getLoc());
  Block &body = kernel.getBody().front();
  if (failed(checkReads(kernel)))
    return failure();
  SmallVector<Value> tensors(body.getArguments());
  llvm::append_range(tensors, body.getTerminator()->getOperands());
  if (tensors.size() > NNCC_MAX_BUFFERS)
    return kernel.emitError("a kernel with ") << tensors.size() << " buffers";
  SmallVector<Type> types;
  for (Value tensor : tensors)
    types.push_back(how.bufferType(b.getContext(),
                                   tensorType(tensor).getNumElements(),
                                   storageType(elementOf(tensor))));
  types.append(2, b.getIndexType());
  auto function = func::FuncOp::create(b, kernel.getLoc(), kernel.getName(),
                                       b.getFunctionType(types, {}));
  markDistinct(kernel, function);
  Block *entry = function.addEntryBlock();
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(entry);

  auto emitter = how.emitter(b, kernel.getLoc(), target);
  SmallVector<Buffer> outputs;
  for (auto [i, tensor] : llvm::enumerate(tensors)) {
    Buffer buffer{entry->getArgument(i), elementOf(tensor)};
    if (i < body.getNumArguments())
      emitter->buffers[tensor] = buffer;
    else
      outputs.push_back(buffer);
  }
  KernelCode code{*emitter, kernel, outputs, entry->getArgument(tensors.size()),
                  entry->getArgument(tensors.size() + 1)};
  auto kind = kernel->getAttrOfType<StringAttr>(kindAttr);
  int64_t tiles = how.kind(kind.getValue()).emit(code);
  if (failed(checkScratch(kernel, *emitter)))
    return failure();
  if (isWrong)
    emitter->store(outputs.front(), Coord::constant(0),
                   emitter->splat(outputs.front().elementType, 1e6));
  func::ReturnOp::create(b, kernel.getLoc());
  kernel->setAttr(tilesAttr, b.getI64IntegerAttr(tiles));
  return success();
}

FailureOr<OwningOpRef<ModuleOp>> lowerKernels(ModuleOp module,
                                              const TargetInfo &target,
                                              const KernelTarget &how,
                                              StringRef wrongKernel) {
  OwningOpRef<ModuleOp> result = ModuleOp::create(module.getLoc());
  OpBuilder b(module.getContext());
  for (auto kernel : module.getOps<func::FuncOp>()) {
    if (kernel.isPublic())
      continue;
    b.setInsertionPointToEnd(result->getBody());
    if (failed(lowerKernel(b, kernel, target, how,
                           kernel.getName() == wrongKernel)))
      return failure();
  }
  return result;
}

} // namespace nncc
