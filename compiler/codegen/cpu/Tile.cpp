//===- Tile.cpp - each kernel's schedule from a cost model ----------------===//
//
// The numbers that emitters work with, from shapes and cache sizes; the rules
// were measured (docs/cpu.md). Nothing here depends on the number of threads:
// tiles decide the order of sums.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/Tile.h"
#include "codegen/cpu/GemmShape.h"
#include "dialect/Names.h"
#include "passes/Passes.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCTILE
#include "passes/Passes.h.inc"

namespace {

using Numbers = std::map<std::string, int64_t>;

/// Floating operations that are worth a tile of their own, and the most tiles
/// of a product.
constexpr int64_t tileWork = 200000, maxProductTiles = 32;
/// The same for loops, in elements.
constexpr int64_t tileElements = 4096, maxLoopTiles = 64;
/// Tiles of an attention that are enough for threads; rows of up to so many
/// keys are normalised in one go, if they fit the cache.
constexpr int64_t attentionTiles = 16, wholeRowKeys = 1024;

int64_t ceilDiv(int64_t x, int64_t y) { return (x + y - 1) / y; }

/// rows, panels: of a register tile. block: panels that share the L2 cache
/// while all rows pass. splits: ranges of rows that are tiles of their own.
Numbers chooseProduct(const GemmShape &shape, const TargetInfo &target) {
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
  int64_t panelBytes = std::max<int64_t>(1, depth * shape.panelWidth * 4);
  int64_t block =
      std::clamp<int64_t>(target.l2Bytes / 2 / panelBytes, 1, panelCount);
  block = std::max(block, std::min(panels, panelCount));
  int64_t work = 2 * rowCount * depth * shape.panelWidth * panelCount * batches;
  int64_t wanted = std::clamp<int64_t>(work / tileWork, 1, maxProductTiles);
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
  return {
      {"rows", rows}, {"panels", panels}, {"block", block}, {"splits", splits}};
}

/// Keys whose packed rows of `keyBytes` take half the L2 cache; all of them up
/// to `slack` times as many.
int64_t chooseKeys(int64_t columns, int64_t keyBytes, int64_t slack,
                   const TargetInfo &target) {
  int64_t panel = target.maxPanel();
  int64_t fitting =
      std::max(panel, target.l2Bytes / 2 / std::max<int64_t>(4, keyBytes) /
                          panel * panel);
  bool whole = columns <= std::min(wholeRowKeys, slack * fitting);
  return whole ? columns : std::min(fitting, wholeRowKeys / 2);
}

int64_t chooseAttentionRows(int64_t rowCount, const TargetInfo &target) {
  int64_t vectors = target.maxPanel() / target.lanes;
  return std::clamp<int64_t>(mostTileRows(target, vectors), 1, rowCount);
}

/// rows: of a register tile. keys: of a block. groups: of rows, per head.
Numbers chooseAttention(AttentionOp op, const TargetInfo &target) {
  ArrayRef<int64_t> q = shapeOf(op.getQ()), v = shapeOf(op.getV());
  int64_t rank = q.size(), rowCount = q[rank - 2], columns = v[rank - 2];
  int64_t batches = 1;
  for (int64_t size : q.drop_back(2))
    batches *= size;
  int64_t keys = chooseKeys(columns, q[rank - 1] * 4, 2, target);
  int64_t rows = chooseAttentionRows(rowCount, target);
  int64_t tiles = ceilDiv(rowCount, rows);
  int64_t groups = std::clamp<int64_t>(
      ceilDiv(attentionTiles, std::max<int64_t>(1, batches)), 1, tiles);
  // The products of a blocked group take half of the L2 cache at most.
  if (keys < columns)
    groups = std::clamp<int64_t>(
        tiles * rows * v[rank - 1] * 4 / (target.l2Bytes / 2), groups, tiles);
  return {{"rows", rows}, {"keys", keys}, {"groups", groups}};
}

/// rows: of a register tile. keys: of a block. block: query rows whose scores
/// with a block of keys, and their gradients, share half the L2 cache.
Numbers chooseAttentionBackward(AttentionBackwardOp op,
                                const TargetInfo &target) {
  ArrayRef<int64_t> q = shapeOf(op.getQ()), v = shapeOf(op.getV());
  int64_t rank = q.size(), rowCount = q[rank - 2], columns = v[rank - 2];
  int64_t keys =
      chooseKeys(columns, (q[rank - 1] + v[rank - 1]) * 4, 1, target);
  int64_t rows = chooseAttentionRows(rowCount, target);
  int64_t block = std::clamp<int64_t>(target.l2Bytes / 2 /
                                          (2 * 4 * std::max<int64_t>(1, keys)),
                                      rows, std::max<int64_t>(rows, 96));
  return {{"rows", rows}, {"keys", keys}, {"block", block}};
}

/// tiles: the most that the elements are shared out to.
Numbers chooseLoops(func::FuncOp kernel) {
  int64_t elements = 0;
  auto consider = [&](Value value) {
    elements = std::max(elements, tensorType(value).getNumElements());
  };
  for (Value result : kernel.getBody().front().getTerminator()->getOperands())
    consider(result);
  kernel.walk([&](ReduceOp op) { consider(op.getOperand()); });
  return {
      {"tiles", std::clamp<int64_t>(elements / tileElements, 1, maxLoopTiles)}};
}

Numbers choose(func::FuncOp kernel, const TargetInfo &target) {
  AttentionOp attention;
  AttentionBackwardOp backward;
  bool isProduct = false;
  kernel.walk([&](Operation *op) {
    if (auto found = dyn_cast<AttentionOp>(op))
      attention = found;
    if (auto found = dyn_cast<AttentionBackwardOp>(op))
      backward = found;
    isProduct |= isa<ContractOp>(op);
  });
  if (attention)
    return chooseAttention(attention, target);
  if (backward)
    return chooseAttentionBackward(backward, target);
  if (isProduct)
    if (auto shape = GemmShape::of(kernel, target); succeeded(shape))
      return chooseProduct(*shape, target);
  return chooseLoops(kernel);
}

struct Tile : impl::NnccTileBase<Tile> {
  using NnccTileBase::NnccTileBase;
  Tile(const TargetInfo &target, const ScheduleTable &table)
      : target(target), table(table) {}

  void runOnOperation() override {
    std::string error;
    if (target.triple.empty() && !lookupTarget(cpu, target, error)) {
      getOperation().emitError(error);
      return signalPassFailure();
    }
    Builder b(&getContext());
    for (auto kernel : getOperation().getOps<func::FuncOp>())
      if (kernel.isPrivate()) {
        Numbers numbers = choose(kernel, target);
        override(kernel, numbers);
        SmallVector<NamedAttribute> list;
        for (auto &[name, value] : numbers)
          list.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(value)));
        kernel->setAttr(scheduleAttr, b.getDictionaryAttr(list));
        ++scheduled;
      }
  }

private:
  /// First the table, then what stands on the kernel already.
  void override(func::FuncOp kernel, Numbers &numbers) {
    Numbers given;
    if (auto key = kernel->getAttrOfType<StringAttr>(kernelKeyAttr))
      if (auto row = table.find(key.str()); row != table.end())
        given = row->second;
    if (auto attr = kernel->getAttrOfType<DictionaryAttr>(scheduleAttr))
      for (NamedAttribute entry : attr)
        if (auto value = dyn_cast<IntegerAttr>(entry.getValue()))
          given[entry.getName().str()] = value.getInt();
    for (auto &[name, value] : given) {
      auto it = numbers.find(name);
      if (it != numbers.end() && value >= 1)
        it->second = value;
      else
        kernel.emitWarning() << kernel.getName() << ": no " << name << " = "
                             << value << " in this kernel's schedule";
    }
  }

  TargetInfo target;
  ScheduleTable table;
};

} // namespace

std::unique_ptr<Pass> createTilePass(const TargetInfo &target,
                                     const ScheduleTable &table) {
  return std::make_unique<Tile>(target, table);
}

bool isScheduleName(llvm::StringRef name) {
  static const char *const names[] = {"rows", "panels", "block", "splits",
                                      "keys", "groups", "tiles"};
  return llvm::is_contained(names, name);
}

} // namespace nncc
