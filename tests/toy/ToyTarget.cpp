//===- ToyTarget.cpp - the smallest target --------------------------------===//
//
// One lane, buffers that are LLVM pointers: each element of a result is pulled
// through the ops by itself. Three ops that have no elements of their own get
// the plain formula. Nothing in codegen/kernels knows the CPU, so this is all.
//
//===----------------------------------------------------------------------===//
#include "ToyTarget.h"
#include "dialect/VectorMath.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include <cmath>

using namespace mlir;
using namespace nncc;

namespace {

class ToyEmitter : public BufferEmitter {
public:
  using BufferEmitter::BufferEmitter;

  Value loadAt(Value memory, Type type, const Coord &position) override {
    return LLVM::LoadOp::create(b, loc, type, address(memory, type, position));
  }
  void storeAt(Value memory, const Coord &position, Value element) override {
    Value place = address(memory, element.getType(), position);
    LLVM::StoreOp::create(b, loc, element, place);
  }
  Value constantMemory(DenseElementsAttr stored) override {
    auto module = b.getBlock()->getParentOp()->getParentOfType<ModuleOp>();
    Type element = stored.getElementType();
    auto type = LLVM::LLVMArrayType::get(element, stored.size());
    OpBuilder detached(b.getContext());
    auto global = LLVM::GlobalOp::create(detached, loc, type, true,
                                         LLVM::Linkage::Private, "toy", stored);
    SymbolTable(module).insert(global); // renames it
    return LLVM::AddressOfOp::create(b, loc, global);
  }
  Value scratchMemory(Type, int64_t) override { llvm_unreachable("unused"); }
  Value at(Value tensor, ArrayRef<Coord> coords) override;
  Value compareAt(Predicate how, const Coord &x, const Coord &y) {
    return compare(how, coordElement(x, b.getI64Type()),
                   coordElement(y, b.getI64Type()), false);
  }

private:
  Value address(Value memory, Type type, const Coord &position) {
    Value i = coordElement({position.base, position.offset}, b.getI64Type());
    return LLVM::GEPOp::create(b, loc, memory.getType(), type, memory,
                               LLVM::GEPArg(i));
  }
};

/// Scores of one row of attention.
template <typename OpTy> struct Scores {
  ToyEmitter &e;
  OpTy op;
  Coords head;
  Coord row;
  Type element = tensorType(op.getQ()).getElementType();
  int64_t keys = shapeOf(op.getK()).drop_back().back();
  Value scale = e.splat(element, op.getScale().convertToDouble()), top, total;

  Scores(ToyEmitter &e, OpTy op, ArrayRef<Coord> rows)
      : e(e), op(op), head(rows.drop_back()), row(rows.back()) {
    top = over(Combiner::max, keys, [&](const Coord &s) { return score(s); });
    total = over(Combiner::sum, keys, [&](const Coord &s) { return power(s); });
  }
  Coords at(const Coord &row, const Coord &column) {
    Coords at = head;
    llvm::append_range(at, ArrayRef<Coord>{row, column});
    return at;
  }
  Value load(Value tensor, const Coord &row, const Coord &column) {
    return e.at(tensor, at(row, column));
  }
  Value over(Combiner combiner, int64_t count,
             function_ref<Value(const Coord &)> body) {
    return e.loop(0, count, 1, e.splat(element, identityOf(combiner, element)),
                  [&](const Coord &i, ValueRange sum) -> SmallVector<Value> {
                    return {e.combine(combiner, sum[0], body(i))};
                  })[0];
  }
  /// x[row] y[s] over the last dimension.
  Value product(Value x, Value y, const Coord &s) {
    return over(Combiner::sum, shapeOf(x).back(), [&](const Coord &d) {
      return e.mul(load(x, row, d), load(y, s, d));
    });
  }
  Value score(const Coord &s) {
    Value x = e.mul(product(op.getQ(), op.getK(), s), scale);
    if (op.getMask())
      x = e.add(x, load(op.getMask(), row, s));
    if (!op.getCausal())
      return x;
    Value hidden = e.splat(element, -INFINITY);
    return e.select(e.compareAt(Predicate::le, s, row), x, hidden);
  }
  Value power(const Coord &s) {
    return vectorMath::exp(e, e.sub(score(s), top));
  }
  /// sum_s softmax(score)[s] value(s)
  Value weighted(function_ref<Value(const Coord &)> value) {
    Value sum = over(Combiner::sum, keys,
                     [&](const Coord &s) { return e.mul(power(s), value(s)); });
    return e.div(sum, total);
  }
};

Value ToyEmitter::at(Value tensor, ArrayRef<Coord> coords) {
  Operation *op = tensor.getDefiningOp();
  if (auto attention = dyn_cast_or_null<AttentionOp>(op)) {
    Scores<AttentionOp> scores(*this, attention, coords.drop_back());
    return scores.weighted([&](const Coord &s) {
      return scores.load(attention.getV(), s, coords.back());
    });
  }
  if (auto scatter = dyn_cast_or_null<ScatterAddOp>(op)) {
    Value indices = scatter.getIndices(), updates = scatter.getUpdates();
    Value zero = splat(tensorType(tensor).getElementType(), 0);
    return loop(0, shapeOf(indices)[0], 1, at(scatter.getBase(), coords),
                [&](const Coord &i, ValueRange sum) -> SmallVector<Value> {
                  Coord row = loadIndex(indices, {i}, shapeOf(tensor)[0]);
                  Value isRow = compareAt(Predicate::eq, row, coords[0]);
                  Value update = at(updates, {i, coords[1]});
                  return {add(sum[0], select(isRow, update, zero))};
                })[0];
  }
  return BufferEmitter::at(tensor, coords);
}

/// d_q = dS k, d_k = dS^T q, d_v = P^T d_result: see the op's description.
int64_t emitBackward(KernelCode &code) {
  auto &e = static_cast<ToyEmitter &>(code.e);
  auto op = *code.kernel.getOps<AttentionBackwardOp>().begin();
  for (auto [o, result] : llvm::enumerate(op.getResults())) {
    const Buffer &out = code.outputs[o];
    Value zero = e.splat(out.elementType, 0);
    e.forEach(0, tensorType(result).getNumElements(), 1,
              [&](const Coord &i) { e.store(out, i, zero); });
  }
  Value dO = op.getDResult();
  ArrayRef<int64_t> rows = shapeOf(op.getQ()).drop_back();
  int64_t count = ShapedType::getNumElements(rows);
  e.forEach(0, count, 1, [&](const Coord &n) {
    Scores<AttentionBackwardOp> scores(e, op, *e.reshape({n}, {count}, rows));
    auto add = [&](unsigned o, const Coord &row, Value factor, Value from,
                   const Coord &fromRow) {
      ArrayRef<int64_t> shape = shapeOf(op.getResult(o));
      int64_t size = ShapedType::getNumElements(shape);
      e.forEach(0, shape.back(), 1, [&](const Coord &column) {
        Coord i = e.reshape(scores.at(row, column), shape, {size})->front();
        Value term = e.mul(factor, scores.load(from, fromRow, column));
        e.store(code.outputs[o], i, e.add(e.load(code.outputs[o], i), term));
      });
    };
    auto dP = [&](const Coord &s) { return scores.product(dO, op.getV(), s); };
    Value mean = scores.weighted(dP);
    e.forEach(0, scores.keys, 1, [&](const Coord &s) {
      Value p = e.div(scores.power(s), scores.total);
      Value dS = e.mul(e.mul(p, e.sub(dP(s), mean)), scores.scale);
      add(0, scores.row, dS, op.getK(), s);
      add(1, s, dS, op.getQ(), scores.row);
      add(2, s, p, dO, scores.row);
    });
  });
  return 1; // all of it is one tile
}

bool lookup(StringRef cpu, TargetInfo &info, std::string &error) {
  return cpuTarget().lookup(cpu, info, error) && (info.vectorBytes = 4);
}
bool isBackward(func::FuncOp kernel, const TargetInfo &) {
  return !kernel.getOps<AttentionBackwardOp>().empty();
}
bool isAny(func::FuncOp, const TargetInfo &) { return true; }
SmallVector<int64_t> oneTile(func::FuncOp, const TargetInfo &) { return {1}; }
Type bufferType(MLIRContext *context, int64_t, Type) {
  return LLVM::LLVMPointerType::get(context);
}
std::unique_ptr<BufferEmitter> emitter(OpBuilder &b, Location loc,
                                       const TargetInfo &target) {
  return std::make_unique<ToyEmitter>(b, loc, target);
}

} // namespace

const KernelTarget &nncc::toyTarget() {
  static constexpr ScheduleNumber one[] = {{"tiles"}};
  static const KernelKind kinds[] = {
      {"backward", one, isBackward, oneTile, emitBackward},
      {"loops", one, isAny, oneTile, emitLoops}};
  static const KernelTarget target{kinds,   cpuTarget().isTriple,
                                   lookup,  bufferType,
                                   emitter, cpuTarget().wrap};
  return target;
}
