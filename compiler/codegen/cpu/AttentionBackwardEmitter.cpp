//===- AttentionBackwardEmitter.cpp - gradients of attention --------------===//
//
// One tile is one head, so that no sum is shared. Per block of keys and group
// of query rows: scores S and dP = dO V^T by register tiles into scratch
// memory, P and dS there, then dQ += dS K per tile of rows, dV += P^T dO and
// dK += dS^T Q per tile of keys. No more than a group of rows by a block of
// keys is ever stored. Rows of several blocks take a first pass for their
// maxima and sums, which stay in scratch memory: all of this is done for a
// chunk of groups after the other. A key's sum meets rows in their order,
// however many chunks there are. Loop structure: FlashAttention-2 (Dao, 2023),
// algorithm 2.
//
//===----------------------------------------------------------------------===//
#include "codegen/cpu/AttentionTiles.h"
#include "dialect/VectorMath.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace nncc {

namespace {

class AttentionBackward : AttentionTiles {
public:
  AttentionBackward(KernelCode &code, AttentionBackwardOp op)
      : AttentionTiles(code, op), dO(*operandView(op.getDResult())),
        dQ{code.outputs[0], q.shape}, dK{code.outputs[1], k.shape},
        dV{code.outputs[2], v.shape} {
    int64_t groupTiles = code.schedule("block") / tileRows;
    groupTiles = std::clamp<int64_t>(groupTiles, 1, tileCount);
    groups = (tileCount + groupTiles - 1) / groupTiles;
    groupRows = (tileCount + groups - 1) / groups * tileRows;
    chunkGroups =
        std::clamp<int64_t>(code.schedule("chunk") / groupRows, 1, groups);
  }

  int64_t emit();

private:
  void emitHead();
  void emitChunk();
  void overScores(
      function_ref<void(const Coord &row, int64_t count, Value visible)> tile,
      function_ref<void()> group);
  void emitProducts(const Coord &row, int64_t count, Value visible);
  void collect(const Coord &row, int64_t count, Value visible);
  void apply(const Coord &row, int64_t count, Value visible);
  void emitKeySums();
  /// A left side in scratch memory.
  struct Left {
    Buffer memory;
    Coord start;
    int64_t rowStride;
  };
  struct Result {
    Buffer memory;
    ArrayRef<int64_t> shape;
  };
  void addTile(const Left &left, const StridedView &right,
               const Coord &rightRow, const SumDim &sum, const Result &result,
               const Coord &resultRow, int64_t count);
  void clear(const Result &result);

  Coord inScores(const Coord &row) {
    return e.scale(inGroup(row), scoreLength);
  }
  Coord inChunk(const Coord &row) {
    return e.add(e.scale(groupInChunk, groupRows), inGroup(row));
  }
  Coord inResult(const Result &result, const Coord &row) {
    SmallVector<int64_t> strides = stridesOf(result.shape);
    Coords at = batch;
    at.push_back(row);
    return e.linear(at, ArrayRef<int64_t>(strides).drop_back());
  }

  StridedView dO;
  Result dQ, dK, dV;
  int64_t groups, groupRows, chunkGroups;
  /// Where the code being emitted stands: the chunk, its groups, one of them.
  Coord firstGroup, groupInChunk;
  Value groupCount;
  Buffer packedK, packedV;
  /// [row of a group][key]: scores, then P; dP, then dS.
  Buffer scores, gradients;
  /// Per row of a chunk: running maximum, sum of exponentials, and sum of these
  /// times dP.
  Buffer maxima, sums, deltas;
};

int64_t AttentionBackward::emit() {
  packedK = scratchForPacked(depth);
  packedV = scratchForPacked(width);
  scores = scratch(Size(groupRows) * scoreLength);
  gradients = scratch(Size(groupRows) * scoreLength);
  maxima = scratch(chunkGroups * groupRows);
  sums = scratch(chunkGroups * groupRows);
  deltas = scratch(chunkGroups * groupRows);
  e.forEach(code.begin, code.end, 1, [&](const Coord &head) {
    enterHead(head);
    emitHead();
  });
  return batches;
}

/// Results of the head are 0 at first: sums are added to them.
void AttentionBackward::emitHead() {
  for (const Result &result : {dQ, dK, dV})
    clear(result);
  e.forEach(0, groups, chunkGroups, [&](const Coord &first) {
    firstGroup = first;
    Value rest = e.indexOp('-', e.indexConstant(groups), e.materialize(first));
    groupCount = minimum(e.indexConstant(chunkGroups), rest);
    emitChunk();
  });
}

void AttentionBackward::emitChunk() {
  e.forEach(0, chunkGroups * groupRows, 1, [&](const Coord &row) {
    CpuEmitter::WithWidth one(e, 1);
    e.store(maxima, row, e.splat(element, -infinity));
    e.store(sums, row, e.splat(element, 0));
    e.store(deltas, row, e.splat(element, 0));
  });
  if (isBlocked())
    overScores(
        [&](const Coord &row, int64_t count, Value visible) {
          ifSeen(visible, [&] { collect(row, count, visible); });
        },
        [] {});
  overScores(
      [&](const Coord &row, int64_t count, Value visible) {
        if (!isBlocked())
          collect(row, count, visible);
        apply(row, count, visible);
        addTile({gradients, inScores(row), scoreLength}, k, keyStart,
                {keyBlock, 1, k.strides[rank - 2], visible}, dQ, row, count);
      },
      [&] { emitKeySums(); });
}

/// S and dP of all keys and the chunk's rows: `tile` for each tile of rows with
/// a block of keys, `group` for each group behind its tiles.
void AttentionBackward::overScores(
    function_ref<void(const Coord &, int64_t, Value)> tile,
    function_ref<void()> group) {
  overKeyBlocks([&] {
    pack(k, packedK);
    pack(v, packedV);
    e.forEach(e.indexConstant(0), groupCount, 1, [&](const Coord &number) {
      groupInChunk = number;
      enterGroup(e.add(firstGroup, number), groups);
      rowTiles([&](const Coord &row, int64_t count) {
        Value visible = visibleKeys(row, count);
        emitProducts(row, count, visible);
        tile(row, count, visible);
      });
      group();
    });
  });
}

void AttentionBackward::clear(const Result &result) {
  Coord start = inResult(result, Coord::constant(0));
  alongLanes(e, result.shape[rank - 2] * result.shape[rank - 1],
             [&](const Coord &at) {
               e.store(result.memory, e.add(start, at), e.splat(element, 0));
             });
}

/// S and dP of a tile of rows.
void AttentionBackward::emitProducts(const Coord &row, int64_t count,
                                     Value visible) {
  auto at = [&](int64_t i, const Coord &key) {
    return e.add(inScores(e.addTo(row, i)), key);
  };
  emitScores(q, packedK, row, count, visible,
             [&](int64_t i, const Coord &key, Value product) {
               Value score =
                   scoreOf(product, e.addTo(row, i), e.add(keyStart, key));
               e.store(scores, at(i, key), score);
             });
  emitScores(dO, packedV, row, count, visible,
             [&](int64_t i, const Coord &key, Value product) {
               e.store(gradients, at(i, key), product);
             });
}

/// Adds a block's scores to the rows' maxima, sums and deltas.
void AttentionBackward::collect(const Coord &row, int64_t count,
                                Value visible) {
  Value end = roundUp(visible, lanes), zero = e.indexConstant(0);
  e.forEach(0, count, 1, [&](const Coord &r) {
    Coord at = e.add(row, r), start = inScores(at), kept = inChunk(at);
    CpuEmitter::WithWidth scope(e, lanes);
    auto load = [&](const Buffer &memory, const Coord &s) {
      return e.load(memory, wide(e.add(start, s)));
    };
    auto [top, rescale] =
        updateMaximum(maxima, kept, maximumOf(scores, start, end));
    Value spreadTop = e.spread(top);
    SmallVector<Value> zeros(2, e.splat(element, 0));
    SmallVector<Value> both =
        e.loop(zero, end, lanes, zeros, [&](const Coord &s, ValueRange acc) {
          Value y = vectorMath::exp(e, e.sub(load(scores, s), spreadTop));
          return SmallVector<Value>{e.add(acc[0], y),
                                    e.fma(y, load(gradients, s), acc[1])};
        });
    for (auto [memory, sum] : {std::pair(sums, both[0]), {deltas, both[1]}}) {
      Value total = e.combineLanes(Combiner::sum, sum);
      CpuEmitter::WithWidth one(e, 1);
      Value before = e.load(memory, kept);
      e.store(memory, kept, e.add(e.mul(before, rescale), total));
    }
  });
}

/// P = exp(S - maximum) / sum and dS = scale P (dP - delta / sum) in place, 0
/// for keys that only later rows of the group see.
void AttentionBackward::apply(const Coord &row, int64_t count, Value visible) {
  Value end = roundUp(visible, lanes), zero = e.indexConstant(0);
  Value groupSees = roundUp(visibleKeys({groupEnd}, 0), lanes);
  e.forEach(0, count, 1, [&](const Coord &r) {
    Coord at = e.add(row, r), start = inScores(at), kept = inChunk(at);
    Value maximum, factor, delta;
    {
      CpuEmitter::WithWidth one(e, 1);
      maximum = finite(e.load(maxima, kept));
      factor = inverse(e.load(sums, kept));
      delta = e.mul(e.load(deltas, kept), factor);
    }
    CpuEmitter::WithWidth scope(e, lanes);
    maximum = e.spread(maximum);
    factor = e.spread(factor);
    delta = e.spread(delta);
    e.forEach(
        zero, end, lanes,
        [&](const Coord &s) {
          Coord position = wide(e.add(start, s));
          Value score = e.load(scores, position);
          Value p = e.mul(vectorMath::exp(e, e.sub(score, maximum)), factor);
          Value dP = e.load(gradients, position);
          Value dS = e.mul(p, e.sub(dP, delta));
          e.store(scores, position, p);
          e.store(gradients, position, e.mul(dS, e.splat(element, scale)));
        },
        lanes);
    if (causal)
      e.forEach(
          end, groupSees, lanes,
          [&](const Coord &s) {
            Coord position = wide(e.add(start, s));
            e.store(scores, position, e.splat(element, 0));
            e.store(gradients, position, e.splat(element, 0));
          },
          lanes);
  });
}

/// dV += P^T dO and dK += dS^T Q for the group's rows, in tiles of keys.
void AttentionBackward::emitKeySums() {
  int64_t tile = mostTileRows(e.target, panel / lanes);
  Value seen = visibleKeys({groupEnd}, 0);
  Value whole = e.indexOp('/', seen, e.indexConstant(tile));
  whole = e.indexOp('*', whole, e.indexConstant(tile));
  Value length = e.indexOp('-', groupEnd, groupStart);
  auto keys = [&](int64_t count) {
    return [&, count](const Coord &key) {
      for (auto [left, right, result] :
           {std::tuple(scores, dO, dV), std::tuple(gradients, q, dK)})
        addTile({left, key, 1}, right, {groupStart},
                {groupRows, scoreLength, right.strides[rank - 2], length},
                result, e.add(keyStart, key), count);
    };
  };
  e.forEach(e.indexConstant(0), whole, tile, keys(tile));
  e.forEach(whole, seen, 1, keys(1));
}

/// result[resultRow + i][c] += sum_k left[i][k] * right[rightRow + k][c] for i
/// in [0, count).
void AttentionBackward::addTile(const Left &left, const StridedView &right,
                                const Coord &rightRow, const SumDim &sum,
                                const Result &result, const Coord &resultRow,
                                int64_t count) {
  columnTiles(right.shape[rank - 1], [&](const Coord &c,
                                         const Segment &segment) {
    Coords rowStarts, columnStarts;
    for (int64_t i = 0; i < count; ++i)
      rowStarts.push_back(e.addTo(left.start, i * left.rowStride));
    Coord start = e.add(e.add(base(right), c),
                        e.scale(rightRow, right.strides[rank - 2]));
    for (int64_t j = 0; j < segment.vectors; ++j)
      columnStarts.push_back(e.addTo(start, j * segment.width));
    SmallVector<Value> acc(count * segment.vectors, e.splat(element, 0));
    acc = emitRegisterTile(e, left.memory, e.buffers.lookup(right.base),
                           rowStarts, columnStarts, sum, acc);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < segment.vectors; ++j) {
        Coord at = e.add(inResult(result, e.addTo(resultRow, i)),
                         e.addTo(c, j * segment.width));
        at.lane = segment.width > 1 ? 1 : 0;
        Value before = e.load(result.memory, at);
        e.store(result.memory, at, e.add(before, acc[i * segment.vectors + j]));
      }
  });
}

} // namespace

int64_t emitAttentionBackward(KernelCode &code) {
  Operation *ret = code.kernel.getBody().front().getTerminator();
  auto op = ret->getOperand(0).getDefiningOp<AttentionBackwardOp>();
  return AttentionBackward(code, op).emit();
}

} // namespace nncc
