//===- Graphs.cpp - nodes to primitives -----------------------------------===//
//
// The importer's second walk: the nodes of each graph in order, classes at each
// call. Shapes are known throughout, so every check sees them.
//
//===----------------------------------------------------------------------===//
#include "frontend/ImporterImpl.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;

namespace nncc {

/// "1 input", "2 inputs".
static std::string plural(size_t count, const char *noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

Location Importer::location(StringRef path, StringRef type, Span span) {
  LineColumn at = diagnostics.lineColumn(span.begin);
  auto file =
      FileLineColLoc::get(context, diagnostics.fileName(), at.line, at.column);
  std::string name = path.empty() ? type.str() : (path + ": " + type).str();
  return NameLoc::get(StringAttr::get(context, name), file);
}

Result Importer::stateValue(const std::string &path) {
  std::string source = path;
  if (auto tie = ties.find(path); tie != ties.end())
    source = tie->second;
  auto spec = state.find(source);
  if (spec == state.end())
    return {};
  auto [it, isNew] = body.weights.try_emplace(source, Expr());
  if (isNew)
    it->second = Expr(
        builder, WeightOp::create(builder.b, builder.loc,
                                  RankedTensorType::get(spec->second.shape,
                                                        spec->second.element),
                                  builder.b.getStringAttr(source), UnitAttr()));
  if (isNew && spec->second.isBuffer)
    body.buffers[it->second.value()] = spec->first();
  return it->second;
}

/// The buffer whose present value is `old` has the value `now` from here on. A
/// tensor that was computed is nobody's.
void Importer::updateBuffer(Expr old, Expr now) {
  StringRef path = body.buffers.lookup(old.value());
  if (path.empty())
    return;
  body.buffers.erase(old.value());
  body.buffers[now.value()] = path;
  body.weights[path] = body.updates[path] = now;
}

Result Importer::lookup(StringRef name, Span span, Scope &scope) {
  if (auto it = scope.values.find(name); it != scope.values.end())
    return it->second;
  if (scope.unknown.contains(name))
    return {};
  if (Result weight = stateValue((scope.prefix + name).str()))
    return weight;
  std::vector<StringRef> known;
  for (const auto &entry : scope.values)
    known.push_back(entry.first());
  llvm::sort(known);
  diagnostics.error(span,
                    "unknown value \"" + name + "\"" + didYouMean(name, known));
  return {};
}

bool Importer::checkName(StringRef name, Span span) {
  static const char *const reserved[] = {"lr", "seed", "inf", "nan"};
  auto isLetter = [](char c) { return isalpha((unsigned char)c) || c == '_'; };
  bool fits =
      !name.empty() && isLetter(name[0]) && llvm::all_of(name, [&](char c) {
        return isLetter(c) || isdigit((unsigned char)c);
      });
  if (!fits)
    diagnostics.error(span, "a value's name has letters, digits and \"_\" and "
                            "starts with no digit, got \"" +
                                name + "\"");
  else if (llvm::is_contained(reserved, name))
    diagnostics.error(span, "the name \"" + name + "\" is reserved");
  else
    return true;
  return false;
}

/// A name never means both a value and a tensor of the state.
bool Importer::checkFree(const std::string &path, StringRef what, Span span) {
  auto it = state.find(path);
  if (it == state.end())
    return true;
  diagnostics.error(span, what + " has the name of the state \"" + path + "\"");
  diagnostics.note(it->second.span, "defined here");
  return false;
}

bool Importer::bindNames(const Json &name, const Result &result, Scope &scope) {
  if (name.isNull())
    return true;
  if (name.isString()) {
    if (!checkName(name.string, name.span) ||
        !checkFree(scope.prefix + name.string, "a value", name.span))
      return false;
    if (!scope.values.try_emplace(name.string, result).second) {
      diagnostics.error(name.span,
                        "value \"" + name.string + "\" is defined twice");
      return false;
    }
    return true;
  }
  if (!name.isArray() || !result.isTuple ||
      name.items.size() != result.items.size()) {
    diagnostics.error(
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

Result Importer::emit(Call &call, Span span) {
  if (call.failed)
    return {};
  builder.loc = location(call.path, call.name, span);
  call.builder = &builder;
  call.trains = body.trains;
  call.update = [this](Expr old, Expr now) { updateBuffer(old, now); };
  call.random = [this](Type element, Ints shape) {
    return random(key(), element, shape, body.streams++);
  };
  return checked(call, runCall(call));
}

/// The result of a call, unless a constraint of a primitive refused something
/// on the way: then that is the call's error.
Result Importer::checked(Call &call, const Result &result) {
  std::string problem = std::exchange(builder.problem, "");
  if (call.failed)
    return {};
  if (!problem.empty() || !result)
    return call.error("", problem.empty() ? "gives no value" : problem);
  return result;
}

void Importer::refuseInput(const Json &item) {
  diagnostics.error(item.span,
                    "an input of a module is the name of a value, got " +
                        item.describe());
}

/// The arguments of a node, parsed the first time.
void Importer::bindNode(Call &call, const Json &node, Scope &scope) {
  call.builder = &builder;
  auto [it, isNew] = parsedNodes.try_emplace({&node, &call.def});
  if (isNew)
    it->second = nncc::parseInputs(call, call.def, node);
  bindInputs(call, it->second, [&](const ValueName &name, Span span) {
    return lookup(name.name, span, scope);
  });
}

Result Importer::runOp(const Spelling &spelling, const Json &node,
                       Scope &scope) {
  const Json &op = *node.find("op");
  Call call(*spelling.face, op.string, "", op.span, diagnostics);
  bindNode(call, node, scope);
  if (!spelling.isInPlace)
    return emit(call, op.span);
  // Before the call's type rule converts it.
  const std::string &first = call.def.inputs.front().name;
  Expr receiver = call.tensor(first);
  if (!call.failed && !receiver)
    return call.error(first, "changes a tensor in place, not a number");
  Result result = emit(call, op.span);
  return result.value
             ? checked(call, keepReceiver(call, receiver, result.value))
             : result;
}

/// The new value of the tensor that "Tensor.add_" and its kin would change: of
/// its type, and not larger.
Result Importer::keepReceiver(Call &call, Expr receiver, Expr value) {
  mlir::Type element = receiver.element();
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

Result Importer::runClass(Instance &instance, ArrayRef<Result> inputs,
                          const Json &node) {
  const Json &graph = bodyOf(*instance.graph);
  Scope scope;
  scope.prefix = instance.path + ".";
  const Json *names = graph.find("inputs");
  size_t count = names && names->isArray() ? names->items.size() : 0;
  if (inputs.size() != count) {
    diagnostics.error(node.find("module")->span,
                      instance.path + " (" + instance.type + "): takes " +
                          plural(count, "input") + ", got " +
                          Twine(inputs.size()));
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
      results.push_back(lookup(name, scope));
      if (!results.back())
        return {};
    }
  if (results.size() == 1)
    return results.front();
  return Result::tuple(results);
}

Result Importer::runInstance(Instance &instance, ArrayRef<Result> inputs,
                             const Json &node, Scope &scope) {
  instance.called = true;
  if (instance.rejected)
    return {};
  if (instance.graph)
    return runClass(instance, inputs, node);
  if (instance.isContainer) {
    if (instance.type != "nn.Sequential") {
      diagnostics.error(node.find("module")->span,
                        instance.path + " (" + instance.type +
                            "): is a list of modules and cannot be called");
      return {};
    }
    if (inputs.size() != 1) {
      diagnostics.error(node.find("module")->span,
                        instance.path +
                            " (nn.Sequential): takes 1 input, got " +
                            Twine(inputs.size()));
      return {};
    }
    Result value = inputs.front();
    const Json *list = instance.json->find("modules");
    auto step = [&](const std::string &name) {
      auto it = instances.find(instance.path + "." + name);
      value = it == instances.end()
                  ? Result()
                  : runInstance(*it->second, value, node, scope);
      return bool(value);
    };
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
  // A step of a Sequential.
  Call call = callOf(instance, node);
  bindInput(call, inputs.front());
  return call.failed ? Result() : runLeaf(instance, call);
}

/// A torch.nn module's call with its attributes. What does not fit shows where
/// the module is called.
Call Importer::callOf(Instance &instance, const Json &node) {
  Span span = instance.span;
  if (const Json *caller = node.find("module"))
    span = caller->span;
  Call call(*instance.def, instance.type, instance.path, span, diagnostics);
  call.builder = &builder;
  bindAttributes(call, instance.attributes);
  return call;
}

Result Importer::runLeaf(Instance &instance, Call &call) {
  builder.loc = location(instance.path, instance.type, instance.span);
  for (auto &[name, path] : instance.states)
    call.state[name] = stateValue(path).value;
  runHidden(instance, call);
  return emit(call, instance.span);
}

/// The parametrized tensors of a module, computed where it is called; equal
/// expressions are computed once.
void Importer::runHidden(Instance &instance, Call &call) {
  for (HiddenTensor &hidden : instance.hidden) {
    Call formula(*hidden.how, hidden.how->names.front(), instance.path,
                 instance.span, diagnostics);
    formula.builder = &builder;
    bindAttributes(formula, hidden.attributes);
    formula.trains = body.trains;
    formula.update = [this](Expr old, Expr now) { updateBuffer(old, now); };
    for (auto &[key, path] : hidden.states)
      formula.state[key] = stateValue(path).value;
    call.state[hidden.name] =
        checked(formula, hidden.how->of->emit(formula)).value;
    call.failed |= formula.failed;
  }
}

Result Importer::runModule(Instance &instance, const Json &node, Scope &scope) {
  if (instance.def && !instance.rejected) {
    instance.called = true;
    Call call = callOf(instance, node);
    bindNode(call, node, scope);
    const Json *mode = node.find("training");
    if (mode && !mode->isBoolean())
      return call.error("", "training must be true or false, got " +
                                mode->describe());
    // The node's own mode instead of the entry's.
    llvm::SaveAndRestore own(body.trains, mode ? mode->boolean : body.trains);
    return call.failed ? Result() : runLeaf(instance, call);
  }
  std::vector<Result> inputs;
  if (const Json *list = node.find("inputs"))
    for (const Json &item : list->items) {
      if (!item.isString()) {
        refuseInput(item);
        return {};
      }
      inputs.push_back(lookup(item, scope));
      if (!inputs.back())
        return {};
    }
  for (const JsonMember &member : node.members) {
    if (instance.rejected || member.key == "name" || member.key == "module" ||
        member.key == "inputs" || member.key == "comment")
      continue;
    diagnostics.error(member.keySpan, "unknown key \"" + member.key +
                                          "\" in a call of " +
                                          instance.type.str());
    return {};
  }
  return runInstance(instance, inputs, node, scope);
}

/// The most nodes that a model runs, classes at each call.
constexpr int64_t maxNodes = 1 << 20;

Result Importer::runNode(const Json &node, Scope &scope) {
  if (++nodesRun > maxNodes) {
    if (nodesRun == maxNodes + 1)
      diagnostics.error(node.span, "the model runs more than " +
                                       Twine(maxNodes) + " nodes");
    return {};
  }
  const Json *op = node.find("op"), *called = node.find("module");
  if (!op == !called) {
    diagnostics.error(node.span, "a node needs either \"module\" or \"op\"");
    return {};
  }
  const Json &target = op ? *op : *called;
  if (!target.isString()) {
    diagnostics.error(target.span, "expected a name, got " + target.describe());
    return {};
  }
  if (const Json *inputs = node.find("inputs"); inputs && !inputs->isArray()) {
    diagnostics.error(inputs->span,
                      "inputs must be a list, got " + inputs->describe());
    return {};
  }
  if (op) {
    const Spelling *spelling = registry.find(op->string);
    if (spelling && spelling->face->kind == Face::Kind::function)
      return runOp(*spelling, node, scope);
    diagnostics.error(
        op->span,
        "unknown op \"" + op->string + "\"" +
            didYouMean(op->string, registry.names(Face::Kind::function)));
    return {};
  }
  auto it = instances.find(scope.prefix + called->string);
  if (it != instances.end())
    return runModule(*it->second, node, scope);
  if (hasTooManyModules)
    return {}; // it may be one of those that are left out
  std::vector<StringRef> known;
  for (const auto &entry : instances)
    if (StringRef path = entry.first(); path.consume_front(scope.prefix))
      known.push_back(path);
  llvm::sort(known);
  diagnostics.error(called->span, "unknown module \"" + called->string + "\"" +
                                      didYouMean(called->string, known));
  return {};
}

void Importer::markUnknown(const Json &name, Scope &scope) {
  if (name.isString())
    scope.unknown.insert(name.string);
  for (const Json &item : name.items)
    markUnknown(item, scope);
}

bool Importer::runNodes(const Json &graph, Scope &scope) {
  const Json *nodes = graph.find("nodes");
  if (!nodes)
    return true;
  if (!nodes->isArray()) {
    diagnostics.error(nodes->span,
                      "nodes must be a list, got " + nodes->describe());
    return false;
  }
  bool complete = true;
  for (const Json &node : nodes->items) {
    const Json *name = node.isObject() ? node.find("name") : nullptr;
    if (!name) {
      diagnostics.error(node.span, "a node is an object with a \"name\"");
      return false;
    }
    if (nodesRun > maxNodes)
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
