//===- Graphs.cpp - nodes to primitives -----------------------------------===//
//
// The nodes of each graph in order, and what they call.
//
//===----------------------------------------------------------------------===//
#include "frontend/BodyBuilder.h"
#include "frontend/Training.h"
#include "support/Overflow.h"

using namespace mlir;

namespace nncc {

/// "1 input", "2 inputs".
static std::string plural(size_t count, const char *noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

Result BodyBuilder::lookup(StringRef name, Span span, Scope &scope) {
  if (auto it = scope.values.find(name); it != scope.values.end())
    return it->second;
  if (scope.unknown.contains(name))
    return {};
  if (auto *state = model.tree.findState((scope.prefix + name).str()))
    return stateValue(*state);
  std::vector<StringRef> known;
  for (const auto &entry : scope.values)
    known.push_back(entry.first());
  llvm::sort(known);
  model.diagnostics.error(span, "unknown value \"" + name + "\"" +
                                    didYouMean(name, known));
  return {};
}

bool BodyBuilder::bindNames(const Json &name, const Result &result,
                            Scope &scope) {
  if (name.isNull())
    return true;
  if (name.isString()) {
    if (!model.checkName(name.string, name.span) ||
        !model.checkFree(scope.prefix + name.string, "a value", name.span))
      return false;
    if (!scope.values.try_emplace(name.string, result).second) {
      model.diagnostics.error(name.span,
                              "value \"" + name.string + "\" is defined twice");
      return false;
    }
    return true;
  }
  if (!name.isArray() || !result.isTuple ||
      name.items.size() != result.items.size()) {
    model.diagnostics.error(
        name.span, "the result is " +
                       (result.isTuple ? "a tuple of " +
                                             std::to_string(result.items.size())
                                       : std::string("a tensor")) +
                       ", its name must have the same form");
    return false;
  }
  bool bound = true;
  for (auto [item, part] : llvm::zip_equal(name.items, result.items))
    bound &= bindNames(item, part, scope);
  return bound;
}

Result BodyBuilder::runOp(const Spelling &spelling, const Json &node,
                          Scope &scope) {
  const Json &op = *node.find("op");
  Call call = callOf(*spelling.face, op.string, "", op.span);
  bindNode(call, node, scope);
  setLocation("", op.string, op.span);
  if (!spelling.isInPlace)
    return emit(call);
  // Before the call's type rule converts it.
  const std::string &first = call.def.inputs.front().name;
  Expr receiver = call.tensor(first);
  if (!call.failed && !receiver)
    return call.error(first, "changes a tensor in place, not a number");
  Result result = emit(call);
  return result.value
             ? checked(call, keepReceiver(call, receiver, result.value))
             : result;
}

/// The new value of the tensor that "Tensor.add_" and its kin would change: of
/// its type, and not larger.
Result BodyBuilder::keepReceiver(Call &call, Expr receiver, Expr value) {
  Type element = receiver.element();
  bool fits = call.def.of->broadcasting.empty()
                  ? tensorType(value.value()).getNumElements() ==
                        tensorType(receiver.value()).getNumElements()
                  : value.shape() == receiver.shape();
  if (!fits)
    return call.error("", "the result " + shapeText(value.shape()) +
                              " does not fit into its receiver " +
                              shapeText(receiver.shape()));
  if (kindOf(value.element()) > kindOf(element))
    return call.error("", "the result is " + dtypeName(value.element()) +
                              ", its receiver " + dtypeName(element));
  return convert(value, element);
}

Result BodyBuilder::runClass(const Instance &instance, ArrayRef<Result> inputs,
                             Span caller) {
  const Json &graph = bodyOf(*instance.graph, trains);
  Scope scope;
  scope.prefix = instance.path + ".";
  const Json *names = graph.find("inputs");
  size_t count = names && names->isArray() ? names->items.size() : 0;
  if (inputs.size() != count) {
    model.diagnostics.error(caller, instance.path + " (" + instance.type +
                                        "): takes " + plural(count, "input") +
                                        ", got " + Twine(inputs.size()));
    return {};
  }
  for (size_t i = 0; i < count; ++i)
    if (!bindNames(names->items[i], inputs[i], scope))
      return {};
  if (!runNodes(graph, scope))
    return {};
  const Json *outputs = graph.find("outputs");
  std::vector<Result> results;
  if (outputs && outputs->isArray())
    for (const Json &name : outputs->items) {
      results.push_back(lookup(name.string, name.span, scope));
      if (!results.back())
        return {};
    }
  if (results.size() == 1)
    return results.front();
  return Result::tuple(results);
}

/// One module after the other.
Result BodyBuilder::runSequential(const Instance &instance, Result value,
                                  Span caller) {
  auto step = [&](const std::string &name) {
    auto *next = model.tree.findInstance(instance.path + "." + name);
    value = next ? runInstance(*next, value, caller) : Result();
    return bool(value);
  };
  const Json *list = instance.json->find("modules");
  if (list && list->isArray()) {
    for (size_t i = 0; i < list->items.size(); ++i)
      if (!step(std::to_string(i)))
        return {};
  } else if (list) {
    for (const JsonMember &member : list->members)
      if (member.key != "comment" && !step(member.key))
        return {};
  }
  return value;
}

Result BodyBuilder::runInstance(const Instance &instance,
                                ArrayRef<Result> inputs, Span caller) {
  model.called.insert(&instance);
  if (instance.rejected)
    return {};
  if (instance.graph)
    return runClass(instance, inputs, caller);
  if (!instance.isContainer) { // a step of a Sequential
    Call call = callOf(instance, caller);
    bindInput(call, inputs.front());
    return call.failed ? Result() : runLeaf(instance, call);
  }
  if (instance.type != "nn.Sequential") {
    model.diagnostics.error(caller,
                            instance.path + " (" + instance.type +
                                "): is a list of modules and cannot be called");
    return {};
  }
  if (inputs.size() != 1) {
    model.diagnostics.error(
        caller, instance.path + " (nn.Sequential): takes 1 input, got " +
                    Twine(inputs.size()));
    return {};
  }
  return runSequential(instance, inputs.front(), caller);
}

/// A torch.nn module's call with its attributes. What does not fit shows where
/// the module is called.
Call BodyBuilder::callOf(const Instance &instance, Span caller) {
  Call call = callOf(*instance.def, instance.type, instance.path, caller);
  bindAttributes(call, instance.attributes);
  return call;
}

Result BodyBuilder::runLeaf(const Instance &instance, Call &call) {
  setLocation(instance.path, instance.type, instance.span);
  for (auto &[name, tensor] : instance.states)
    call.state[name] = stateValue(*tensor);
  runHidden(instance, call);
  return emit(call);
}

/// The parametrized tensors of a module, computed where it is called; equal
/// expressions are computed once.
void BodyBuilder::runHidden(const Instance &instance, Call &call) {
  for (const HiddenTensor &hidden : instance.hidden) {
    Call formula = callOf(*hidden.how, hidden.how->names.front(),
                          instance.path + "." + hidden.name, hidden.span);
    bindAttributes(formula, hidden.attributes);
    formula.trains = call.trains;
    for (auto &[key, tensor] : hidden.states)
      formula.state[key] = stateValue(*tensor);
    call.state[hidden.name] = emit(formula).value;
    call.failed |= formula.failed;
  }
}

Result BodyBuilder::runModule(const Instance &instance, const Json &node,
                              Scope &scope) {
  Span caller = node.find("module")->span;
  if (instance.def && !instance.rejected) {
    model.called.insert(&instance);
    Call call = callOf(instance, caller);
    bindNode(call, node, scope);
    const Json *mode = node.find("training");
    if (mode && !mode->isBoolean())
      return call.error("", "training must be true or false, got " +
                                mode->describe());
    if (mode) // the node's own mode instead of the entry's
      call.trains = mode->boolean;
    return call.failed ? Result() : runLeaf(instance, call);
  }
  std::vector<Result> inputs;
  if (const Json *list = node.find("inputs"))
    for (const Json &item : list->items) {
      if (!item.isString()) {
        model.diagnostics.error(item.span,
                                "an input of a module is the name of a value, "
                                "got " +
                                    item.describe());
        return {};
      }
      inputs.push_back(lookup(item.string, item.span, scope));
      if (!inputs.back())
        return {};
    }
  for (const JsonMember &member : node.members) {
    if (instance.rejected || member.key == "name" || member.key == "module" ||
        member.key == "inputs" || member.key == "comment")
      continue;
    model.diagnostics.error(member.keySpan, "unknown key \"" + member.key +
                                                "\" in a call of " +
                                                instance.type.str());
    return {};
  }
  return runInstance(instance, inputs, caller);
}

static void markUnknown(const Json &name, Scope &scope) {
  if (name.isString())
    scope.unknown.insert(name.string);
  for (const Json &item : name.items)
    markUnknown(item, scope);
}

/// The most nodes that a model runs, classes at each call.
constexpr int64_t maxNodes = 1 << 20;

Result BodyBuilder::runNode(const Json &node, Scope &scope) {
  if (++model.nodesRun > maxNodes) {
    if (model.nodesRun == maxNodes + 1)
      model.diagnostics.error(node.span, "the model runs more than " +
                                             Twine(maxNodes) + " nodes");
    return {};
  }
  const Json *op = node.find("op"), *called = node.find("module");
  if (!op == !called) {
    model.diagnostics.error(node.span,
                            "a node needs either \"module\" or \"op\"");
    return {};
  }
  const Json &target = op ? *op : *called;
  if (!target.isString()) {
    model.diagnostics.error(target.span,
                            "expected a name, got " + target.describe());
    return {};
  }
  WorkingAt at(model.diagnostics, target.span);
  if (const Json *inputs = node.find("inputs"); inputs && !inputs->isArray()) {
    model.diagnostics.error(inputs->span,
                            "inputs must be a list, got " + inputs->describe());
    return {};
  }
  if (op) {
    const Spelling *spelling = model.registry.find(op->string);
    if (spelling && spelling->face->kind == Face::Kind::function)
      return runOp(*spelling, node, scope);
    model.diagnostics.error(
        op->span,
        "unknown op \"" + op->string + "\"" +
            didYouMean(op->string, model.registry.names(Face::Kind::function)));
    return {};
  }
  const std::string &name = called->string;
  if (const Instance *instance = model.tree.findInstance(scope.prefix + name))
    return runModule(*instance, node, scope);
  if (model.tree.hasTooManyModules)
    return {}; // it may be one of those that are left out
  std::vector<StringRef> known;
  for (const auto &entry : model.tree.instances)
    if (StringRef path = entry.first(); path.consume_front(scope.prefix))
      known.push_back(path);
  llvm::sort(known);
  model.diagnostics.error(called->span, "unknown module \"" + called->string +
                                            "\"" +
                                            didYouMean(called->string, known));
  return {};
}

bool BodyBuilder::runNodes(const Json &graph, Scope &scope) {
  const Json *nodes = graph.find("nodes");
  if (!nodes)
    return true;
  if (!nodes->isArray()) {
    model.diagnostics.error(nodes->span,
                            "nodes must be a list, got " + nodes->describe());
    return false;
  }
  bool complete = true;
  for (const Json &node : nodes->items) {
    const Json *name = node.isObject() ? node.find("name") : nullptr;
    if (!name) {
      model.diagnostics.error(node.span, "a node is an object with a \"name\"");
      return false;
    }
    if (model.nodesRun > maxNodes)
      return false;
    Result result = runNode(node, scope);
    if (!result) {
      // Nodes that use it cannot be checked; the others can.
      markUnknown(*name, scope);
      complete = false;
      continue;
    }
    complete &= bindNames(*name, result, scope);
  }
  return complete;
}

} // namespace nncc
