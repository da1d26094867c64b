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

  void collect(func::FuncOp entry) {
    OperandQuestion fixed = weightOnly();
    OperandQuestion readsWeights =
        OperandQuestion::ofAny([](Value value) -> std::optional<bool> {
          if (isa<WeightOp>(value.getDefiningOp()))
            return true;
          return std::nullopt;
        });
    for (Operation &op : entry.getBody().front()) {
      if (op.getNumResults() == 1 && fixed(op.getResult(0)))
        continue;
      for (Value operand : op.getOperands()) {
        if (!fixed(operand))
          continue;
        Value root = unspread(operand);
        if (!isa<WeightOp, ConstantOp>(root.getDefiningOp()) &&
            readsWeights(root))
          hoisted.insert(root);
      }
    }
  }

  /// The ops under the hoisted values of a block, in its order.
  SmallVector<Operation *> opsUnder(Block &block) {
    DenseSet<Operation *> needed;
    for (Value root : hoisted)
      if (root.getParentBlock() == &block)
        needed.insert(root.getDefiningOp());
    SmallVector<Operation *> list;
    for (Operation &op : llvm::reverse(block))
      if (needed.contains(&op)) {
        list.push_back(&op);
        for (Value operand : op.getOperands())
          needed.insert(operand.getDefiningOp());
      }
    std::reverse(list.begin(), list.end());
    return list;
  }

  /// The expression under a value as text, from those of its operands: bodies
  /// for other sizes repeat it. Its hash, since texts grow with their depth.
  std::string keyOf(Value value) {
    Operation *op = value.getDefiningOp();
    std::string key;
    llvm::raw_string_ostream os(key);
    os << op->getName() << op->getAttrDictionary() << value.getType() << '(';
    for (Value operand : op->getOperands())
      os << keys.lookup(operand) << ',';
    os << ')';
    llvm::MD5 md5;
    md5.update(key);
    llvm::MD5::MD5Result digest;
    md5.final(digest);
    return digest.digest().str().str();
  }

  void buildPrepare() {
    ModuleOp module = getOperation();
    OpBuilder builder(&getContext());
    builder.setInsertionPointToEnd(module.getBody());
    auto function = func::FuncOp::create(builder, module.getLoc(), "prepare",
                                         builder.getFunctionType({}, {}));
    builder.setInsertionPointToStart(function.addEntryBlock());
    llvm::StringMap<Value> cloned;
    for (func::FuncOp entry : entriesOf(module))
      for (Operation *op : opsUnder(entry.getBody().front())) {
        Value value = op->getResult(0);
        std::string &key = keys[value] = keyOf(value);
        auto [copy, isNew] = cloned.try_emplace(key);
        if (!isNew)
          continue;
        IRMapping mapping;
        for (Value operand : op->getOperands())
          mapping.map(operand, cloned.lookup(keys.lookup(operand)));
        copy->second = builder.clone(*op, mapping)->getResult(0);
      }
    llvm::SetVector<Value> results;
    for (Value root : hoisted)
      results.insert(cloned.lookup(keys.lookup(root)));
    func::ReturnOp::create(builder, module.getLoc(), results.getArrayRef());
    function.setFunctionType(builder.getFunctionType(
        {}, TypeRange(ValueRange(results.getArrayRef()))));
    prepared = results.size();

    for (Value root : hoisted) {
      Value copy = cloned.lookup(keys.lookup(root));
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

  llvm::SetVector<Value> hoisted;
  DenseMap<Value, std::string> keys;
};

} // namespace
} // namespace nncc
