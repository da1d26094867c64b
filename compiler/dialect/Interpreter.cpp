//===- Interpreter.cpp - the f64 reference interpreter --------------------===//
//
// A straight walk over one block; ops compute themselves (`Evaluable`).
//
//===----------------------------------------------------------------------===//
#include "dialect/Interpreter.h"
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

std::vector<RefTensor> interpret(Block &block, ArrayRef<RefTensor> inputs,
                                 WeightLookup lookup, Observer observer) {
  DenseMap<Value, RefTensor> values;
  DenseMap<Value, unsigned> usesLeft;
  for (auto [argument, input] : llvm::zip_equal(block.getArguments(), inputs))
    values[argument] = input;

  auto take = [&](Value value) -> RefTensor {
    auto [it, isNew] = usesLeft.try_emplace(value, 0);
    if (isNew)
      it->second = std::distance(value.use_begin(), value.use_end());
    if (--it->second)
      return values[value];
    RefTensor last = std::move(values[value]);
    values.erase(value);
    return last;
  };

  for (Operation &op : block) {
    std::vector<RefTensor> operands, results;
    for (Value operand : op.getOperands())
      operands.push_back(take(operand));
    if (op.hasTrait<OpTrait::IsTerminator>())
      return operands;
    if (auto weight = dyn_cast<WeightOp>(op)) {
      results.push_back(lookup(weight.getPath(), weight.getPrepared(),
                               tensorType(weight.getResult())));
    } else if (auto scan = dyn_cast<ScanOp>(op)) {
      results = interpretScan(scan, operands, observer);
    } else {
      for (Value result : op.getResults())
        results.emplace_back(tensorType(result));
      cast<Evaluable>(op).evaluate(operands, results);
      for (RefTensor &result : results)
        result.wrap();
    }
    if (observer)
      observer(&op, results);
    for (auto [value, result] : llvm::zip_equal(op.getResults(), results))
      if (!value.use_empty())
        values[value] = std::move(result);
  }
  llvm_unreachable("a block ends with a terminator");
}

std::vector<RefTensor> interpret(func::FuncOp function,
                                 ArrayRef<RefTensor> inputs,
                                 WeightLookup lookup, Observer observer) {
  return interpret(function.getBody().front(), inputs, lookup, observer);
}

} // namespace nncc
