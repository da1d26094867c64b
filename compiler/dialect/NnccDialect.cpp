//===- NnccDialect.cpp - registration of the nncc dialect -----------------===//
//
// The op methods stand with their families in ops/.
//
//===----------------------------------------------------------------------===//
#include "dialect/Gradient.h"
#include "dialect/Nncc.h"
#include "dialect/VectorMath.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/OpImplementation.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"
#include <limits>

using namespace mlir;

#include "dialect/NnccDialect.cpp.inc"
#include "dialect/NnccEnums.cpp.inc"
#include "dialect/NnccInterfaces.cpp.inc"

#define GET_OP_CLASSES
#include "dialect/NnccOps.cpp.inc"

namespace nncc {

void NnccDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialect/NnccOps.cpp.inc"
      >();
}

Operation *NnccDialect::materializeConstant(OpBuilder &builder, Attribute value,
                                            Type type, Location loc) {
  auto elements = dyn_cast<DenseElementsAttr>(value);
  if (!elements || elements.getType() != type)
    return nullptr;
  return ConstantOp::create(builder, loc, elements);
}

Value sourceOfElements(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    Type type = tensorType(value).getElementType();
    bool isMoved = isa<ReshapeOp, TransposeOp, BroadcastOp, ReverseOp>(op);
    if (isa<ConvertOp>(op)) {
      Type from = tensorType(op->getOperand(0)).getElementType();
      isMoved = isa<IntegerType>(from) && isa<IntegerType>(type) &&
                from.getIntOrFloatBitWidth() < type.getIntOrFloatBitWidth();
    }
    if (!isMoved)
      break;
    value = op->getOperand(0);
  }
  return value;
}

bool areDims(ArrayRef<int64_t> entries, int64_t rank) {
  int64_t previous = -1;
  for (int64_t entry : entries) {
    if (entry <= previous || entry >= rank)
      return false;
    previous = entry;
  }
  return true;
}

SmallVector<int64_t> otherDims(ArrayRef<int64_t> dims, int64_t rank) {
  SmallVector<int64_t> others;
  for (int64_t d = 0; d < rank; ++d)
    if (!llvm::is_contained(dims, d))
      others.push_back(d);
  return others;
}

SmallVector<int64_t> inverse(ArrayRef<int64_t> perm) {
  SmallVector<int64_t> result(perm.size());
  for (auto [i, d] : llvm::enumerate(perm))
    result[d] = int64_t(i);
  return result;
}

SmallVector<int64_t> permuted(ArrayRef<int64_t> entries,
                              ArrayRef<int64_t> perm) {
  SmallVector<int64_t> result(entries.size());
  for (auto [i, d] : llvm::enumerate(perm))
    result[d] = entries[i];
  return result;
}

Number identityOf(Combiner combiner, Type elementType) {
  if (combiner == Combiner::sum)
    return 0;
  if (combiner == Combiner::prod)
    return 1;
  bool isMax = combiner == Combiner::max;
  if (isa<FloatType>(elementType)) {
    double infinity = std::numeric_limits<double>::infinity();
    return isMax ? -infinity : infinity;
  }
  unsigned bits = elementType.getIntOrFloatBitWidth();
  if (isUnsignedElement(elementType))
    return isMax ? 0 : int64_t(llvm::maxUIntN(bits));
  return isMax ? llvm::minIntN(bits) : llvm::maxIntN(bits);
}

int64_t elementBytes(Type elementType) {
  return std::max(1u, elementType.getIntOrFloatBitWidth() / 8);
}

int64_t byteSize(RankedTensorType type) {
  return type.getNumElements() * elementBytes(type.getElementType());
}

Size flopsOf(Operation *kernel) {
  Size flops = 0;
  kernel->walk([&](Operation *op) {
    if (auto root = dyn_cast<KernelRoot>(op))
      flops = flops + root.flops();
  });
  return flops;
}

} // namespace nncc
