//===- Gradients.cpp - what is differentiated by what ---------------------===//
#include "frontend/Gradients.h"
#include "dialect/Nncc.h"
#include "frontend/Training.h"

using namespace mlir;

namespace nncc {

NamedValues trainedParameters(BodyBuilder &body, bool step) {
  const Json *training = body.model.root.find("training");
  const Json *frozen = training ? training->find("frozen") : nullptr;
  const Json *only =
      step ? training->find("optimizer")->find("params") : nullptr;
  NamedValues list;
  for (const std::string &path : body.model.tree.statePaths) {
    const StateTensor &tensor = *body.model.tree.findState(path);
    if (!tensor.tiedTo && !tensor.isBuffer &&
        !(frozen && matchesAny(*frozen, path)) &&
        !(only && !matchesAny(*only, path)) && isa<FloatType>(tensor.element))
      list.push_back({path, body.stateValue(tensor)});
  }
  return list;
}

NamedValues trainedInputs(const BodyBuilder &body) {
  NamedValues list;
  if (const Json *inputs = body.model.root.find("inputs"))
    for (const JsonMember &member : inputs->members) {
      const Json *grad = member.value.find("grad");
      if (member.key == "comment" || (grad && !grad->boolean))
        continue;
      Expr value = body.scope.values.lookup(member.key).value;
      if (value.isFloat())
        list.push_back({member.key, value});
    }
  return list;
}

/// What autograd has a path to from `value`: through floats, and not through
/// what is detached. A function whose derivative is 0 everywhere (floor) is on
/// the path: it gives a gradient of zeros, not none.
static llvm::DenseSet<Value> reachedFrom(Expr value) {
  llvm::DenseSet<Value> reached;
  SmallVector<Value> open;
  auto visit = [&](Value next) {
    if (isa<FloatType>(tensorType(next).getElementType()) &&
        reached.insert(next).second)
      open.push_back(next);
  };
  visit(value.value());
  while (!open.empty()) {
    Operation *op = open.pop_back_val().getDefiningOp();
    if (op && !isa<DetachOp>(op))
      llvm::for_each(op->getOperands(), visit);
  }
  return reached;
}

llvm::StringMap<std::string> outputsThatReach(const NamedValues &of,
                                              const Outputs &outputs) {
  llvm::StringMap<std::string> result;
  for (auto [name, value] : llvm::zip_equal(outputs.names, outputs.values)) {
    llvm::DenseSet<Value> reached = reachedFrom(value);
    for (const std::pair<std::string, Expr> &one : of)
      if (reached.contains(one.second.value())) {
        std::string &list = result["grad." + one.first];
        list += (list.empty() ? "" : ",") + name;
      }
  }
  return result;
}

size_t splitReached(NamedValues &parameters, Expr loss) {
  llvm::DenseSet<Value> reached = reachedFrom(loss);
  auto end =
      std::stable_partition(parameters.begin(), parameters.end(),
                            [&](const std::pair<std::string, Expr> &named) {
                              return reached.contains(named.second.value());
                            });
  return end - parameters.begin();
}

Expr addCotangents(BodyBuilder &body, const Outputs &outputs) {
  Expr total;
  for (auto [name, value] : llvm::zip_equal(outputs.names, outputs.values)) {
    if (!value.isFloat())
      continue;
    Expr part = sumAll(value * body.argument("grad." + name, value.type()));
    total = total ? total + part : part;
  }
  return total;
}

/// The most bytes of a bucket of gradients, as torch's DistributedDataParallel
/// has it.
static constexpr int64_t bucketBytes = 25 << 20;

std::vector<Expr> gradientsOf(Expr total, const NamedValues &of,
                              size_t parameters) {
  ExprBuilder &builder = total.context();
  SmallVector<Value> values;
  SmallVector<Type> types;
  for (auto &[name, value] : of) {
    values.push_back(value.value());
    types.push_back(value.type());
  }
  Expr one = full(builder, total.element(), {}, 1);
  auto gradient = GradientOp::create(builder.b, builder.loc, types,
                                     total.value(), one.value(), values);
  SmallVector<Value> results(gradient.getResults());
  SmallVector<size_t> bucket;
  int64_t filled = 0;
  auto flush = [&] {
    SmallVector<Value> operands;
    SmallVector<Type> operandTypes;
    SmallVector<Attribute> names;
    for (size_t i : bucket) {
      operands.push_back(results[i]);
      operandTypes.push_back(types[i]);
      names.push_back(builder.b.getStringAttr(of[i].first));
    }
    auto reduced = AllReduceOp::create(builder.b, builder.loc, operandTypes,
                                       operands, builder.b.getArrayAttr(names));
    for (auto [i, result] : llvm::zip_equal(bucket, reduced.getResults()))
      results[i] = result;
    bucket.clear();
    filled = 0;
  };
  for (size_t i = of.size(); i-- > of.size() - parameters;) {
    bucket.push_back(i);
    auto type = cast<RankedTensorType>(types[i]);
    filled += type.getNumElements() * type.getElementTypeBitWidth() / 8;
    if (filled >= bucketBytes)
      flush();
  }
  if (!bucket.empty())
    flush();
  std::vector<Expr> gradients;
  for (Value result : results)
    gradients.push_back(Expr(builder, result));
  return gradients;
}

} // namespace nncc
