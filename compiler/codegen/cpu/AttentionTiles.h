//===- AttentionTiles.h - scores of attention, tile by tile -----*- C++ -*-===//
//
// What attention and its gradient share: one tile of work is a head (or a part
// of one), keys go in blocks that fit the L2 cache and are packed transposed
// into panels, and a register tile of query rows gets its products with a
// block of packed rows.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_CPU_ATTENTIONTILES_H
#define NNCC_CODEGEN_CPU_ATTENTIONTILES_H

#include "codegen/cpu/KernelEmitters.h"
#include <limits>

namespace nncc {

class AttentionTiles {
protected:
  static constexpr double infinity = std::numeric_limits<double>::infinity();

  /// Of an AttentionOp or AttentionBackwardOp.
  template <typename OpTy>
  AttentionTiles(KernelCode &code, OpTy op)
      : AttentionTiles(code, op.getQ(), op.getK(), op.getV(), op.getMask(),
                       op.getScale().convertToDouble(), op.getCausal()) {}

  bool isBlocked() const { return keyBlock < columns; }
  /// Rows of a small tile; how many tiles have one more.
  int64_t smallTile() const { return rows / tileCount; }
  int64_t bigTiles() const { return rows - smallTile() * tileCount; }

  /// An aligned buffer on the stack.
  Buffer scratch(Size elements) { return e.scratch(element, elements); }
  /// Memory for a block of packed rows of that many elements.
  Buffer scratchForPacked(int64_t length);
  Coord base(const StridedView &view);
  static Coord wide(Coord x) {
    x.lane = 1;
    return x;
  }
  mlir::Value minimum(mlir::Value x, mlir::Value y);
  /// x rounded up to a multiple.
  mlir::Value roundUp(mlir::Value x, int64_t multiple);
  /// Position of a row in its group.
  Coord inGroup(const Coord &row);

  /// The number of the head that the code being emitted is for.
  void enterHead(const Coord &head);
  /// Sets the group of row tiles, `groups` in all.
  void enterGroup(const Coord &group, int64_t groups);
  /// Sets the block of keys that begins at `start`.
  void enterKeys(const Coord &start);
  /// body(keys) for each block.
  void overKeyBlocks(llvm::function_ref<void()> body);

  /// The group's row tiles: the first ones of all have a row more than the
  /// others.
  void rowTiles(llvm::function_ref<void(const Coord &row, int64_t count)> body);
  /// Runs of `width` columns: panels, then narrower ones.
  void
  columnTiles(int64_t width,
              llvm::function_ref<void(const Coord &, const Segment &)> body);
  /// Keys of the block that some row of a tile may see; how many, at most.
  mlir::Value visibleKeys(const Coord &row, int64_t count);
  /// `body` if that is any.
  void ifSeen(mlir::Value visible, llvm::function_ref<void()> body);

  /// The largest of the scores [start, start + end), in whole vectors.
  mlir::Value maximumOf(const Buffer &scores, const Coord &start,
                        mlir::Value end);
  struct Running {
    mlir::Value top;     // the largest so far, or 0 if that is -inf
    mlir::Value rescale; // exp(largest before - top)
  };
  /// A maximum that is -inf as 0, so that exp(score - it) is 0 and no NaN.
  mlir::Value finite(mlir::Value top);
  /// 1 / sum of a row's exponentials; 0 if it sees nothing.
  mlir::Value inverse(mlir::Value sum);
  /// Takes `top` into the running maximum at `at`.
  Running updateMaximum(const Buffer &maxima, const Coord &at, mlir::Value top);

  /// packed[p][d][j] = view[keyStart + p * panel + j][d]; the rest of the last
  /// panel is 0.
  void pack(const StridedView &view, const Buffer &packed);
  using Store = llvm::function_ref<void(int64_t row, const Coord &key,
                                        mlir::Value element)>;
  /// Products of rows [row, row + count) of `lhs` with the `visible` first rows
  /// of a packed block, whole vectors along keys, which count from the block's
  /// start.
  void emitScores(const StridedView &lhs, const Buffer &packed,
                  const Coord &row, int64_t count, mlir::Value visible,
                  Store store);
  /// A score from a product: scaled, the mask added, -inf for columns that the
  /// row may not see or that do not exist. `column` counts from the first key.
  mlir::Value scoreOf(mlir::Value product, const Coord &row,
                      const Coord &column);

  KernelCode &code;
  CpuEmitter &e;
  StridedView q, k, v;
  mlir::Value mask;
  double scale;
  bool causal;
  mlir::Type element;
  int64_t rank, rows, depth, columns, width, lanes, panel;
  int64_t batches = 1, tileRows = 1, tileCount = 1;
  /// Keys per block, and the length of a row of scores.
  int64_t keyBlock = 0, scoreLength = 0;

  // Where the code being emitted stands.
  Coords batch;
  mlir::Value firstTile, lastTile;  // row tiles of the group
  mlir::Value groupStart, groupEnd; // its rows
  Coord keyStart;                   // the block's first key
  mlir::Value keyCount;             // and its number of keys

private:
  /// Views have the shapes (*B, rows, depth), (*B, columns, depth) and
  /// (*B, columns, width); `mask` may be null.
  AttentionTiles(KernelCode &code, mlir::Value q, mlir::Value k, mlir::Value v,
                 mlir::Value mask, double scale, bool causal);
  void emitScoreTile(const StridedView &lhs, const Buffer &packed,
                     const Coord &row, int64_t count, const Coord &s,
                     int64_t vectors, Store store);
  mlir::Value maskAt(Coords at);
};

} // namespace nncc
#endif // NNCC_CODEGEN_CPU_ATTENTIONTILES_H
