//===- Prepare.cpp - what depends on weights alone is computed once -------===//
//
// The boundary is drawn at the last op before a user that is not weight-only,
// stepping back over broadcasts and reshapes: these cost nothing in a kernel
// and would only enlarge what is stored.
//
//===----------------------------------------------------------------------===//
#include "dialect/Names.h"
#include "passes/Passes.h"
#include "passes/Utils.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MD5.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCPREPARE
#include "passes/Passes.h.inc"

namespace {

struct Prepare : impl::NnccPrepareBase<Prepare> {
  void runOnOperation() override {
    for (func::FuncOp entry : entriesOf(getOperation()))
      if (entry.getName() != "prepare" && !writesWeights(entry))
        collect(entry);
    if (hoisted.empty())
      return;
    buildPrepare();
  }

private:
  /// What depends on weights changes with every run of such an entry.
  static bool writesWeights(func::FuncOp entry) {
    for (unsigned i = 0; i < entry.getNumResults(); ++i)
      if (entry.getResultAttr(i, updateAttr))
        return true;
    return false;
  }

  /// True if anything under `value` reads a weight.
  bool readsWeights(Value value) {
    Operation *op = value.getDefiningOp();
    return isa<WeightOp>(op) || llvm::any_of(op->getOperands(), [&](Value v) {
             return readsWeights(v);
           });
  }

  void collect(func::FuncOp entry) {
    WeightOnly weightOnly;
    SmallVector<Value> roots;
    for (Operation &op : entry.getBody().front()) {
      bool opIsWeightOnly =
          op.getNumResults() == 1 && weightOnly(op.getResult(0));
      if (opIsWeightOnly)
        continue;
      for (Value operand : op.getOperands()) {
        if (!weightOnly(operand))
          continue;
        Value root = operand;
        while (isa<BroadcastOp, ReshapeOp>(root.getDefiningOp()))
          root = root.getDefiningOp()->getOperand(0);
        Operation *def = root.getDefiningOp();
        if (isa<WeightOp, ConstantOp>(def) || !readsWeights(root))
          continue;
        if (!llvm::is_contained(roots, root))
          roots.push_back(root);
      }
    }
    llvm::append_range(hoisted, roots);
  }

  /// The expression under `value` as text: bodies for other sizes repeat it.
  std::string keyOf(Value value) {
    auto [it, isNew] = keys.try_emplace(value);
    if (!isNew)
      return it->second;
    Operation *op = value.getDefiningOp();
    std::string key;
    llvm::raw_string_ostream os(key);
    os << op->getName() << op->getAttrDictionary() << value.getType() << '(';
    for (Value operand : op->getOperands())
      os << keyOf(operand) << ',';
    os << ')';
    // Long keys would grow with the depth of the expression.
    llvm::MD5 md5;
    md5.update(key);
    llvm::MD5::MD5Result digest;
    md5.final(digest);
    return keys[value] = digest.digest().str().str();
  }

  void buildPrepare() {
    ModuleOp module = getOperation();
    OpBuilder builder(&getContext());
    builder.setInsertionPointToEnd(module.getBody());
    auto function = func::FuncOp::create(builder, module.getLoc(), "prepare",
                                         builder.getFunctionType({}, {}));
    builder.setInsertionPointToStart(function.addEntryBlock());
    llvm::StringMap<Value> cloned;
    auto clone = [&](auto &self, Value value) -> Value {
      std::string key = keyOf(value);
      if (Value known = cloned.lookup(key))
        return known;
      IRMapping mapping;
      for (Value operand : value.getDefiningOp()->getOperands())
        mapping.map(operand, self(self, operand));
      Value copy = builder.clone(*value.getDefiningOp(), mapping)->getResult(0);
      cloned[key] = copy;
      return copy;
    };
    llvm::SetVector<Value> results;
    for (Value root : hoisted)
      results.insert(clone(clone, root));
    func::ReturnOp::create(builder, module.getLoc(), results.getArrayRef());
    function.setFunctionType(builder.getFunctionType(
        {}, TypeRange(ValueRange(results.getArrayRef()))));
    prepared = results.size();

    for (Value root : hoisted) {
      Value copy = cloned.lookup(keyOf(root));
      int64_t number = llvm::find(results, copy) - results.begin();
      builder.setInsertionPointAfterValue(root);
      root.replaceAllUsesWith(WeightOp::create(
          builder, root.getLoc(), root.getType(),
          builder.getStringAttr(Twine(number)), builder.getUnitAttr()));
    }
    // What only the hoisted expressions used is dead now.
    for (func::FuncOp entry : entriesOf(module))
      eraseDead(entry.getBody().front());
  }

  SmallVector<Value> hoisted;
  DenseMap<Value, std::string> keys;
};

} // namespace
} // namespace nncc
