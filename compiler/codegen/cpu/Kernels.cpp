//===- Kernels.cpp - the CPU's kinds of kernels ---------------------------===//
//
// A row per kind, and the cost models that give its numbers, from shapes and
// cache sizes; the rules were measured (docs/cpu.md). Nothing here depends on
// the number of threads: tiles decide the order of sums.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/KernelEmitters.h"
#include "codegen/cpu/Machine.h"
#include "codegen/kernels/KernelKind.h"
#include "dialect/Names.h"

using namespace mlir;

namespace nncc {

using Numbers = SmallVector<int64_t>;

/// Floating operations that are worth a tile of their own, and the most tiles
/// of a product.
static constexpr int64_t tileWork = 200000, maxProductTiles = 32;
/// The same for loops, in elements.
static constexpr int64_t tileElements = 4096, maxLoopTiles = 64;
/// Tiles of an attention that are enough for threads; rows of up to so many
/// keys are normalised in one go, if they fit the cache.
static constexpr int64_t attentionTiles = 16, wholeRowKeys = 1024;
/// Rows for which packing the keys once more costs nothing.
static constexpr int64_t attentionChunk = 1 << 12;

static constexpr int64_t pageBytes = 4 << 10;

static int64_t ceilDiv(int64_t x, int64_t y) { return (x + y - 1) / y; }

/// rows, panels: of a register tile. block: panels that share the L2 cache
/// while all rows pass. splits: ranges of rows that are tiles of their own.
static Numbers chooseProduct(func::FuncOp kernel, const TargetInfo &target) {
  GemmShape shape = *GemmShape::of(kernel, target);
  int64_t vectors = shape.wholePanel.front().vectors;
  int64_t rowCount = shape.rows.count(), panelCount = shape.panels.count();
  int64_t batches = shape.lhsBatch.count(), depth = shape.depth();
  int64_t rows =
      std::clamp<int64_t>(mostTileRows(target, vectors), 1, rowCount);
  // Few rows: several panels at once keep the multipliers and the memory busy.
  int64_t panels = 1;
  while (rows * vectors * panels < 8 && panels < 4 &&
         panels * 2 <= shape.wholePanels())
    panels *= 2;
  // A block of panels takes half the L2 cache.
  Type stored = tensorType(shape.op.getRhs()).getElementType();
  int64_t panelBytes =
      std::max<int64_t>(1, depth * shape.panelWidth * elementBytes(stored));
  int64_t block =
      std::clamp<int64_t>(target.cacheBytes / 2 / panelBytes, 1, panelCount);
  block = std::max(block, std::min(panels, panelCount));
  Size work =
      Size(2) * rowCount * depth * shape.panelWidth * panelCount * batches;
  int64_t wanted =
      std::clamp<int64_t>(int64_t(work) / tileWork, 1, maxProductTiles);
  // Enough tiles for threads: first by panels, then by rows.
  while (batches * ceilDiv(panelCount, block) < wanted && block > panels &&
         block * panelBytes > (int64_t(64) << 10))
    block = std::max(panels, (block + 1) / 2);
  block = ceilDiv(panelCount, ceilDiv(panelCount, block)); // even blocks
  block = ceilDiv(block, panels) * panels;
  int64_t blocks = ceilDiv(panelCount, block);
  int64_t splits =
      std::clamp<int64_t>(wanted / (batches * blocks), 1,
                          std::max<int64_t>(1, ceilDiv(rowCount, rows) / 2));
  return {rows, panels, block, splits};
}

/// Keys whose packed rows of `length` elements take half the L2 cache; all of
/// them up to `slack` times as many. With `scores` elements each, all of them
/// fit the scratch memory, and a block half of it.
static int64_t chooseKeys(int64_t columns, int64_t length, int64_t scores,
                          Type element, int64_t slack,
                          const TargetInfo &target) {
  int64_t panel = target.panel(element), bytes = elementBytes(element);
  auto within = [&](int64_t room, int64_t elements) {
    return std::max(panel, room / (std::max<int64_t>(1, elements) * bytes) /
                               panel * panel);
  };
  int64_t cached = within(target.cacheBytes / 2, length);
  int64_t fitting = within(target.scratchBytes, length + scores);
  if (columns <= std::min({wholeRowKeys, slack * cached, fitting}))
    return columns;
  fitting = within(target.scratchBytes / 2, length + scores);
  return std::min({wholeRowKeys / 2, cached, fitting});
}

static int64_t chooseAttentionRows(int64_t rowCount, const TargetInfo &target) {
  return std::clamp<int64_t>(mostTileRows(target, target.panelVectors), 1,
                             rowCount);
}

/// Bytes of scratch memory beside `keys` packed rows of `length` elements and
/// `scores` elements for each.
static int64_t besideKeys(int64_t keys, int64_t length, int64_t scores,
                          Type element, const TargetInfo &target) {
  int64_t panel = target.panel(element);
  Size used = Size(ceilDiv(keys, panel) * panel) * elementBytes(element) *
              (Size(length) + scores);
  return int64_t(Size(target.scratchBytes) - used);
}

/// What attention packs and sums in.
static Type registerElement(Value tensor) {
  return computeType(tensorType(tensor).getElementType());
}

/// rows: of a register tile. keys: of a block. groups: of rows, per head.
static Numbers chooseAttention(func::FuncOp kernel, const TargetInfo &target) {
  AttentionOp op = *kernel.getOps<AttentionOp>().begin();
  ArrayRef<int64_t> q = shapeOf(op.getQ()), v = shapeOf(op.getV());
  int64_t rank = q.size(), rowCount = q[rank - 2], columns = v[rank - 2];
  int64_t batches = 1;
  for (int64_t size : q.drop_back(2))
    batches *= size;
  Type element = registerElement(op.getQ());
  int64_t rows = chooseAttentionRows(rowCount, target);
  int64_t keys = chooseKeys(columns, q[rank - 1], rows + 1, element, 2, target);
  int64_t tiles = ceilDiv(rowCount, rows);
  int64_t groups = std::clamp<int64_t>(
      ceilDiv(attentionTiles, std::max<int64_t>(1, batches)), 1, tiles);
  // The products of a blocked group take half of the L2 cache at most, and with
  // maxima and sums what scratch memory is left.
  if (keys < columns) {
    int64_t bytes = rows * elementBytes(element);
    int64_t cached = tiles * bytes * v[rank - 1] / (target.cacheBytes / 2);
    int64_t left = besideKeys(keys, q[rank - 1], rows + 1, element, target);
    int64_t most = std::max<int64_t>(1, left / (bytes * (v[rank - 1] + 2)));
    groups = std::clamp<int64_t>(std::max(cached, ceilDiv(tiles, most)), groups,
                                 tiles);
  }
  return {rows, keys, groups};
}

/// rows: of a register tile. keys: of a block. block: query rows whose scores
/// with a block of keys, and their gradients, share half the L2 cache. chunk:
/// query rows whose maxima and sums are kept while all keys pass.
static Numbers chooseAttentionBackward(func::FuncOp kernel,
                                       const TargetInfo &target) {
  AttentionBackwardOp op = *kernel.getOps<AttentionBackwardOp>().begin();
  ArrayRef<int64_t> q = shapeOf(op.getQ()), v = shapeOf(op.getV());
  int64_t rank = q.size(), rowCount = q[rank - 2], columns = v[rank - 2];
  Type element = registerElement(op.getQ());
  int64_t length = q[rank - 1] + v[rank - 1], bytes = elementBytes(element);
  int64_t rows = chooseAttentionRows(rowCount, target);
  // Scores and their gradients of some tiles of rows.
  int64_t keys = chooseKeys(columns, length, 8 * rows, element, 1, target);
  // Groups are balanced in tiles of rows: places for twice the rows at most.
  int64_t kept = 3 * bytes * std::min(2 * rowCount, attentionChunk);
  int64_t room = std::min(target.cacheBytes / 2,
                          besideKeys(keys, length, 0, element, target) - kept);
  int64_t scoreBytes = 2 * bytes * std::max<int64_t>(1, keys);
  int64_t block =
      std::clamp<int64_t>(room / scoreBytes, rows, std::max<int64_t>(rows, 96));
  return {rows, keys, block, attentionChunk};
}

/// tiles: the most that the elements are shared out to.
static Numbers chooseLoops(func::FuncOp kernel, const TargetInfo &) {
  int64_t elements = 0;
  auto consider = [&](Value value) {
    elements = std::max(elements, tensorType(value).getNumElements());
  };
  for (Value result : kernel.getBody().front().getTerminator()->getOperands())
    consider(result);
  kernel.walk([&](ReduceOp op) { consider(op.getOperand()); });
  return {std::clamp<int64_t>(elements / tileElements, 1, maxLoopTiles)};
}

//===----------------------------------------------------------------------===//
// Which kernels, and what their operands need
//===----------------------------------------------------------------------===//

/// True for a kernel with such an op.
template <typename OpTy>
static bool has(func::FuncOp kernel, const TargetInfo &) {
  return !kernel.getOps<OpTy>().empty();
}

static bool isProduct(func::FuncOp kernel, const TargetInfo &target) {
  return succeeded(GemmShape::of(kernel, target));
}

static bool isScatter(func::FuncOp kernel, const TargetInfo &) {
  Operation *ret = kernel.getBody().front().getTerminator();
  return isa_and_nonnull<ScatterAddOp>(ret->getOperand(0).getDefiningOp());
}

static bool isRowMajor(const StridedView &view) {
  for (auto [size, stride, expected] :
       llvm::zip_equal(view.shape, view.strides, stridesOf(view.shape)))
    if (size != 1 && stride != expected)
      return false;
  return true;
}

/// Vectors run along the last dimension.
static bool endsContiguous(const StridedView &view) {
  return view.shape.back() == 1 || view.strides.back() == 1;
}

/// The emitter reads whole panels, or vectors along the last dimension.
static bool wantsProduct(KernelRoot root, unsigned operand,
                         const StridedView &view, const TargetInfo &target) {
  auto contract = dyn_cast<ContractOp>(*root);
  if (!contract)
    return true;
  if (operand == 1) {
    if (root->hasAttr(packedAttr))
      return isRowMajor(view);
    return endsContiguous(view) ||
           !llvm::is_contained(contract.rhsFree(),
                               int64_t(view.shape.size()) - 1); // few rows
  }
  // Sums across the pages of a tensor that no cache holds wait for memory.
  if (contract.getLhsContract().empty())
    return true;
  int64_t last = contract.getLhsContract().back();
  RankedTensorType base = tensorType(view.base);
  int64_t bytes = elementBytes(base.getElementType());
  return view.shape[last] == 1 || view.strides[last] * bytes < pageBytes ||
         byteSize(base) < target.uncachedBytes;
}

static bool wantsAttention(KernelRoot root, unsigned operand,
                           const StridedView &view, const TargetInfo &) {
  return !isa<AttentionOp>(*root) || operand != 2 || endsContiguous(view);
}

static bool wantsBackward(KernelRoot root, unsigned, const StridedView &view,
                          const TargetInfo &) {
  return !isa<AttentionBackwardOp>(*root) || endsContiguous(view);
}

static bool isAny(func::FuncOp, const TargetInfo &) { return true; }

static Type bufferType(MLIRContext *, int64_t elements, Type stored) {
  return MemRefType::get({elements}, stored);
}

static std::unique_ptr<BufferEmitter> emitter(OpBuilder &b, Location loc,
                                              const TargetInfo &target) {
  return std::make_unique<CpuEmitter>(b, loc, target);
}

const KernelTarget &cpuTarget() {
  // A register tile is written out.
  static constexpr ScheduleNumber rows{"rows", 32}, panels{"panels", 8};
  static constexpr ScheduleNumber product[] = {
      rows, panels, {"block"}, {"splits"}};
  static constexpr ScheduleNumber attention[] = {rows, {"keys"}, {"groups"}};
  static constexpr ScheduleNumber backward[] = {
      rows, {"keys"}, {"block"}, {"chunk"}};
  static constexpr ScheduleNumber loops[] = {{"tiles"}};
  static const KernelKind kinds[] = {
      {"scatter", loops, isScatter, chooseLoops, emitScatter},
      {"attention_backward", backward, has<AttentionBackwardOp>,
       chooseAttentionBackward, emitAttentionBackward, wantsBackward},
      {"attention", attention, has<AttentionOp>, chooseAttention, emitAttention,
       wantsAttention},
      {"product", product, isProduct, chooseProduct, emitGemm, wantsProduct},
      {"transpose", loops, isTranspose, chooseLoops, emitTranspose},
      {"loops", loops, isAny, chooseLoops, emitLoops}};
  static const KernelTarget target{kinds,      isCpuTriple, lookupCpu,
                                   bufferType, emitter,     wrapForAbi};
  return target;
}

} // namespace nncc
