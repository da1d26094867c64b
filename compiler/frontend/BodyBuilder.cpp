//===- BodyBuilder.cpp - one function of a model --------------------------===//
//
// The function itself, its state, and calls of definitions.
//
//===----------------------------------------------------------------------===//
#include "frontend/BodyBuilder.h"
#include "dialect/Names.h"
#include "dialect/Nncc.h"

using namespace mlir;

namespace nncc {

BodyBuilder::BodyBuilder(Model &model, StringRef name,
                         const Signature &signature, bool trains)
    : model(model), trains(trains),
      builder(OpBuilder::atBlockEnd(model.module.getBody()),
              UnknownLoc::get(model.module.getContext())) {
  builder.room = maxPrimitives;
  builder.most = maxElements;
  function =
      func::FuncOp::create(builder.b, builder.loc, name,
                           builder.b.getFunctionType(signature.types, {}));
  Block *entry = function.addEntryBlock();
  builder.b.setInsertionPointToStart(entry);
  for (auto [i, input] : llvm::enumerate(signature.names)) {
    function.setArgAttr(i, valueNameAttr, builder.b.getStringAttr(input));
    scope.values[input] = Expr(builder, entry->getArgument(i));
  }
}

void BodyBuilder::end(const Outputs &outputs) {
  SmallVector<Value> results;
  SmallVector<Type> types;
  for (const Expr &value : outputs.values) {
    results.push_back(value.value());
    types.push_back(value.type());
  }
  func::ReturnOp::create(builder.b, builder.b.getUnknownLoc(), results);
  function.setFunctionType(
      builder.b.getFunctionType(function.getArgumentTypes(), types));
  for (auto [i, output] : llvm::enumerate(outputs.names)) {
    function.setResultAttr(i, valueNameAttr, builder.b.getStringAttr(output));
    if (auto found = outputs.reached.find(output);
        found != outputs.reached.end())
      function.setResultAttr(i, reachedAttr,
                             builder.b.getStringAttr(found->second));
    if (auto group = outputs.groups[i])
      function.setResultAttr(i, updateAttr,
                             builder.b.getI64IntegerAttr(*group));
  }
}

Expr BodyBuilder::argument(StringRef name, RankedTensorType type) {
  unsigned number = function.getNumArguments();
  auto attr =
      builder.b.getNamedAttr(valueNameAttr, builder.b.getStringAttr(name));
  (void)function.insertArgument(number, type, builder.b.getDictionaryAttr(attr),
                                builder.loc);
  return Expr(builder, function.getArgument(number));
}

/// [seed, step] of the run.
Expr BodyBuilder::key() {
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (function.getArgAttr(i, keyAttr))
      return Expr(builder, function.getArgument(i));
  Expr key =
      argument("seed", RankedTensorType::get({2}, builder.b.getI64Type()));
  function.setArgAttr(function.getNumArguments() - 1, keyAttr,
                      builder.b.getUnitAttr());
  return key;
}

void BodyBuilder::setLocation(StringRef path, StringRef type, Span span) {
  LineColumn at = model.diagnostics.lineColumn(span.begin);
  auto file = FileLineColLoc::get(
      builder.b.getContext(), model.diagnostics.fileName(), at.line, at.column);
  std::string name = path.empty() ? type.str() : (path + ": " + type).str();
  builder.loc = NameLoc::get(builder.b.getStringAttr(name), file);
}

Expr BodyBuilder::stateValue(const StateTensor &tensor) {
  const StateTensor &stored = tensor.stored();
  auto [it, isNew] = weights.try_emplace(&stored);
  if (!isNew)
    return it->second;
  it->second =
      Expr(builder,
           WeightOp::create(builder.b, builder.loc,
                            RankedTensorType::get(stored.shape, stored.element),
                            builder.b.getStringAttr(stored.path), UnitAttr()));
  if (stored.isBuffer)
    buffers[it->second.value()] = &stored;
  return it->second;
}

void BodyBuilder::update(const StateTensor &tensor, Expr now) {
  const StateTensor *stored = &tensor.stored();
  weights[stored] = updates[stored] = now;
}

/// The buffer whose present value is `old` has the value `now` from here on. A
/// tensor that was computed is nobody's.
void BodyBuilder::updateBuffer(Expr old, Expr now) {
  const StateTensor *buffer = buffers.lookup(old.value());
  if (!buffer)
    return;
  buffers.erase(old.value());
  buffers[now.value()] = buffer;
  update(*buffer, now);
}

/// A call with all that this body gives it.
Call BodyBuilder::callOf(const Face &face, StringRef name, std::string path,
                         Span span) {
  Call call(face, name, std::move(path), span, model.diagnostics);
  call.builder = &builder;
  call.trains = trains;
  call.update = [this](Expr old, Expr now) { updateBuffer(old, now); };
  call.random = [this](Type element, Ints shape) {
    return random(key(), element, shape, streams++);
  };
  return call;
}

/// The arguments of a node, parsed the first time.
void BodyBuilder::bindNode(Call &call, const Json &node, Scope &scope) {
  auto [it, isNew] = model.parsedNodes.try_emplace({&node, &call.def});
  if (isNew)
    it->second = parseInputs(call, call.def, node);
  bindInputs(call, it->second, [&](const ValueName &name, Span span) {
    return lookup(name.name, span, scope);
  });
}

Result BodyBuilder::emit(Call &call) {
  return call.failed ? Result() : checked(call, runCall(call));
}

/// The result of a call, unless a constraint of a primitive refused something
/// on the way: then that is the call's error.
Result BodyBuilder::checked(Call &call, const Result &result) {
  std::string problem = std::exchange(builder.problem, "");
  if (call.failed)
    return {};
  if (!problem.empty() || !result)
    return call.error("", problem.empty() ? "gives no value" : problem);
  return result;
}

} // namespace nncc
