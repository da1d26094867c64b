//===- ToyTarget.cpp - the smallest target --------------------------------===//
//
// One lane, buffers that are LLVM pointers: each element of a result is pulled
// through the ops by itself. Three ops that have no elements of their own get
// the plain formula. Nothing in codegen/kernels knows the CPU, so this is all.
//
//===----------------------------------------------------------------------===//
#include "ToyTarget.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include <cmath>

using namespace mlir;

namespace nncc {

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
    auto others = module.getOps<LLVM::GlobalOp>();
    std::string name = "toy" + std::to_string(llvm::range_size(others));
    OpBuilder top = OpBuilder::atBlockBegin(module.getBody());
    LLVM::GlobalOp::create(top, loc, type, true, LLVM::Linkage::Private, name,
                           stored);
    return LLVM::AddressOfOp::create(b, loc, pointer(), name);
  }
  Value scratchMemory(Type, int64_t) override {
    llvm_unreachable("loops need none");
  }
  Value at(Value tensor, ArrayRef<Coord> coords) override;
  Value compareAt(Predicate how, const Coord &x, const Coord &y) {
    return compare(how, coordElement(x, b.getI64Type()),
                   coordElement(y, b.getI64Type()), false);
  }

private:
  Type pointer() { return LLVM::LLVMPointerType::get(b.getContext()); }
  Value address(Value memory, Type type, const Coord &position) {
    Value i = coordElement({position.base, position.offset}, b.getI64Type());
    return LLVM::GEPOp::create(b, loc, pointer(), type, memory,
                               LLVM::GEPArg(i));
  }
};

/// Scores of attention, at rows t and keys s of a head.
template <typename OpTy> struct Scores {
  ToyEmitter &e;
  OpTy op;
  Coords head;
  Type element = tensorType(op.getQ()).getElementType();
  int64_t keys = shapeOf(op.getK()).drop_back().back();

  Value load(Value tensor, const Coord &row, const Coord &column) {
    Coords at = head;
    llvm::append_range(at, ArrayRef<Coord>{row, column});
    return e.at(tensor, at);
  }
  Value over(Combiner combiner, int64_t count,
             function_ref<Value(const Coord &)> body) {
    return e.loop(0, count, 1, e.splat(element, identityOf(combiner, element)),
                  [&](const Coord &i, ValueRange sum) -> SmallVector<Value> {
                    return {e.combine(combiner, sum[0], body(i))};
                  })[0];
  }
  /// x[t] y[s] over the last dimension.
  Value product(Value x, const Coord &t, Value y, const Coord &s) {
    return over(Combiner::sum, shapeOf(x).back(), [&](const Coord &d) {
      return e.mul(load(x, t, d), load(y, s, d));
    });
  }
  Value score(const Coord &t, const Coord &s) {
    Value scale = e.splat(element, op.getScale().convertToDouble());
    Value x = e.mul(product(op.getQ(), t, op.getK(), s), scale);
    if (op.getMask())
      x = e.add(x, load(op.getMask(), t, s));
    if (!op.getCausal())
      return x;
    Value hidden = e.splat(element, -INFINITY);
    return e.select(e.compareAt(Predicate::le, s, t), x, hidden);
  }
  /// sum_s softmax(score)[s] value(s)
  Value weighted(const Coord &t, function_ref<Value(const Coord &)> value) {
    Value top =
        over(Combiner::max, keys, [&](const Coord &s) { return score(t, s); });
    auto power = [&](const Coord &s) { return e.exp(e.sub(score(t, s), top)); };
    Value total = over(Combiner::sum, keys, power);
    Value sum = over(Combiner::sum, keys, [&](const Coord &s) {
      return e.mul(power(s), value(s));
    });
    return e.div(sum, total);
  }
  /// softmax(score)[s]
  Value probability(const Coord &t, const Coord &s) {
    return weighted(t, [&](const Coord &other) {
      return e.convert(e.compareAt(Predicate::eq, other, s), e.b.getI1Type(),
                       element);
    });
  }
};

Value ToyEmitter::at(Value tensor, ArrayRef<Coord> coords) {
  Operation *op = tensor.getDefiningOp();
  if (auto attention = dyn_cast_or_null<AttentionOp>(op)) {
    Scores<AttentionOp> scores{*this, attention, Coords(coords.drop_back(2))};
    return scores.weighted(coords.drop_back().back(), [&](const Coord &s) {
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
  Scores<AttentionBackwardOp> scores{e, op, {}};
  Value dO = op.getDResult(), v = op.getV();
  Value rights[] = {op.getK(), op.getQ(), dO};
  auto dScore = [&](const Coord &t, const Coord &s) {
    auto dP = [&](const Coord &s) { return scores.product(dO, t, v, s); };
    Value dS = e.mul(scores.probability(t, s),
                     e.sub(dP(s), scores.weighted(t, dP)));
    return e.mul(dS, e.splat(scores.element, op.getScale().convertToDouble()));
  };
  for (unsigned o = 0; o < 3; ++o) {
    ArrayRef<int64_t> shape = shapeOf(op.getResult(o));
    int64_t count = tensorType(op.getResult(o)).getNumElements();
    e.forEach(0, count, 1, [&](const Coord &n) {
      Coords at = *e.reshape({n}, {count}, shape);
      Coord column = at.pop_back_val(), row = at.pop_back_val();
      scores.head = at;
      int64_t others = shapeOf(rights[o]).drop_back().back();
      Value sum = scores.over(Combiner::sum, others, [&](const Coord &i) {
        Value left = o == 0   ? dScore(row, i)
                     : o == 1 ? dScore(i, row)
                              : scores.probability(i, row);
        return e.mul(left, scores.load(rights[o], i, column));
      });
      e.store(code.outputs[o], n, sum);
    });
  }
  return 1; // all of it is one tile
}

bool lookup(StringRef cpu, TargetInfo &info, std::string &error) {
  bool known = lookupTarget(cpu, info, error);
  info.lanes = 1;
  return known;
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

const KernelTarget &toyTarget() {
  static constexpr ScheduleNumber one[] = {{"tiles"}};
  static const KernelKind kinds[] = {
      {"backward", one, isBackward, oneTile, emitBackward},
      {"loops", one, isAny, oneTile, emitLoops}};
  static const KernelTarget target{kinds, lookup, bufferType, emitter};
  return target;
}

} // namespace nncc
