//===- Importer.cpp - model files to the nncc dialect ---------------------===//
//
// Two walks. The first goes over the tree of modules: types, attributes, state.
// The second runs the nodes of each graph in order, classes at each call, and
// emits primitives; shapes are known throughout, so every check sees them.
//
//===----------------------------------------------------------------------===//
#include "frontend/Importer.h"
#include "dialect/Names.h"
#include "dialect/Nncc.h"
#include "frontend/Arguments.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace nncc {

namespace {

/// "1 input", "2 inputs".
std::string plural(size_t count, const char *noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

/// The most elements of one tensor.
constexpr int64_t maxElements = int64_t(1) << 40;

struct TensorSpec {
  SmallVector<int64_t> shape;
  Type element;
};

/// One instance of a module in the tree, by its full path.
struct Instance {
  const Json *json = nullptr;
  const OpDef *def = nullptr;      // a torch.nn class
  const Json *graph = nullptr;     // a class of the file
  bool isContainer = false;
  std::string path;
  StringRef type;
  Span span;
  llvm::StringMap<Arg> attributes;
  bool called = false;
  bool rejected = false; // its definition has errors; calls stay silent
};

struct Scope {
  llvm::StringMap<Result> values;
  /// Names of results that an earlier error prevented.
  llvm::StringSet<> unknown;
  std::string prefix; // "layer1.0." for state and modules
};

class Importer {
public:
  Importer(const DimSizes &dims, MLIRContext *context, Diagnostics &diagnostics)
      : sizes(dims), context(context), diagnostics(diagnostics),
        builder{OpBuilder(context), UnknownLoc::get(context)} {
    context->loadDialect<NnccDialect, func::FuncDialect>();
  }

  OwningOpRef<ModuleOp> run(const Json &root);

private:
  // The tree of modules.
  void checkKeys(const Json &object, ArrayRef<StringRef> known, StringRef what);
  void declareGraph(const Json &graph, const std::string &prefix);
  void declareModules(const Json &list, const std::string &prefix);
  void declareModule(const std::string &path, const Json &json, Span span);
  void declareLeaf(Instance &instance);
  void declareTensors(const Json &graph, StringRef key,
                      const std::string &prefix);
  void addState(const std::string &path, const TensorSpec &spec, Span span);
  bool parseShape(const Json &json, SmallVectorImpl<int64_t> &shape);
  bool parseTensor(const Json &json, TensorSpec &spec);
  void collectDims(const Json &root);

  // Graphs.
  void importBody(const Json &root, unsigned index);
  bool runNodes(const Json &graph, Scope &scope);
  Result runNode(const Json &node, Scope &scope);
  Result runModule(Instance &instance, const Json &node, Scope &scope);
  Result runInstance(Instance &instance, ArrayRef<Result> inputs,
                     const Json &node, Scope &scope);
  Result runClass(Instance &instance, ArrayRef<Result> inputs,
                  const Json &node);
  Result runOp(const OpDef &def, StringRef name, const Json &node,
               Scope &scope);
  void bindInputs(Call &call, const Json &node, Scope &scope);
  void markUnknown(const Json &name, Scope &scope);
  bool bindNames(const Json &name, const Result &result, Scope &scope);
  Result lookup(const Json &json, Scope &scope);
  Result stateValue(const std::string &path);
  Result emit(Call &call, Span span);
  Location location(StringRef path, StringRef type, Span span);

  DimSizes sizes;
  std::map<std::string, int64_t> current; // sizes of the body being built
  MLIRContext *context;
  Diagnostics &diagnostics;
  ExprBuilder builder;
  Registry registry;
  llvm::StringMap<const Json *> classes;
  llvm::StringMap<std::unique_ptr<Instance>> instances;
  std::vector<std::string> statePaths; // in file order
  llvm::StringMap<TensorSpec> state;
  llvm::StringMap<std::string> ties;
  llvm::StringMap<Expr> weights; // of the body being built
  SmallVector<std::string> classStack;
  OwningOpRef<ModuleOp> module;
};

//===----------------------------------------------------------------------===//
// The tree of modules
//===----------------------------------------------------------------------===//

void Importer::checkKeys(const Json &object, ArrayRef<StringRef> known,
                         StringRef what) {
  for (const JsonMember &member : object.members)
    if (member.key != "comment" && !llvm::is_contained(known, member.key))
      diagnostics.error(member.keySpan, "unknown key \"" + member.key +
                                            "\" in " + what +
                                            didYouMean(member.key, known));
}

bool Importer::parseShape(const Json &json, SmallVectorImpl<int64_t> &shape) {
  if (!json.isArray()) {
    diagnostics.error(json.span, "shape must be a list, got " +
                                     json.describe());
    return false;
  }
  int64_t elements = 1;
  for (const Json &item : json.items) {
    int64_t size;
    if (item.isInteger() && item.integer >= 0) {
      size = item.integer;
    } else if (item.isString() && current.count(item.string)) {
      size = current[item.string];
    } else if (item.isString()) {
      diagnostics.error(item.span, "symbolic dim \"" + item.string +
                                       "\" has no sizes; list them in \"dims\" "
                                       "or give --dim " +
                                       item.string + "=1,8");
      return false;
    } else {
      diagnostics.error(item.span, "a shape entry must be a non-negative "
                                   "integer or the name of a dim, got " +
                                       item.describe());
      return false;
    }
    if (size && elements > maxElements / size) {
      diagnostics.error(json.span, "the tensor has more than 2^40 elements");
      return false;
    }
    elements *= size;
    shape.push_back(size);
  }
  return true;
}

bool Importer::parseTensor(const Json &json, TensorSpec &spec) {
  if (!json.isObject()) {
    diagnostics.error(json.span, "expected {\"shape\": [...], \"dtype\": "
                                 "\"f32\"}, got " +
                                     json.describe());
    return false;
  }
  checkKeys(json, {"shape", "dtype", "grad", "init"}, "a tensor");
  const Json *shape = json.find("shape"), *dtype = json.find("dtype");
  if (!shape || !dtype) {
    diagnostics.error(json.span, Twine("a tensor needs \"") +
                                     (shape ? "dtype" : "shape") + "\"");
    return false;
  }
  if (dtype->isString())
    spec.element = parseDType(dtype->string, context);
  if (!spec.element) {
    diagnostics.error(dtype->span,
                      "unknown dtype" +
                          (dtype->isString() ? " \"" + dtype->string + "\""
                                             : ", got " + dtype->describe()) +
                          ", expected f32, f64, f16, bf16, i64, i32, i16, i8, "
                          "u8 or bool");
    return false;
  }
  return parseShape(*shape, spec.shape);
}

void Importer::addState(const std::string &path, const TensorSpec &spec,
                        Span span) {
  if (!state.try_emplace(path, spec).second) {
    diagnostics.error(span, "state \"" + path + "\" is defined twice");
    return;
  }
  statePaths.push_back(path);
}

void Importer::declareTensors(const Json &graph, StringRef key,
                              const std::string &prefix) {
  const Json *list = graph.find(key);
  if (!list)
    return;
  if (!list->isObject()) {
    diagnostics.error(list->span, key + " must be an object, got " +
                                      list->describe());
    return;
  }
  for (const JsonMember &member : list->members) {
    TensorSpec spec;
    if (member.key != "comment" && parseTensor(member.value, spec))
      addState(prefix + member.key, spec, member.keySpan);
  }
}

void Importer::declareGraph(const Json &graph, const std::string &prefix) {
  declareTensors(graph, "parameters", prefix);
  declareTensors(graph, "buffers", prefix);
  if (const Json *list = graph.find("modules"))
    declareModules(*list, prefix);
}

void Importer::declareModules(const Json &list, const std::string &prefix) {
  if (list.isArray()) {
    for (auto [i, item] : llvm::enumerate(list.items))
      declareModule(prefix + std::to_string(i), item, item.span);
    return;
  }
  if (!list.isObject()) {
    diagnostics.error(list.span, "modules must be an object or a list, got " +
                                     list.describe());
    return;
  }
  for (const JsonMember &member : list.members)
    if (member.key != "comment")
      declareModule(prefix + member.key, member.value, member.keySpan);
}

void Importer::declareModule(const std::string &path, const Json &json,
                             Span span) {
  const Json *type = json.isObject() ? json.find("type") : nullptr;
  auto instance = std::make_unique<Instance>();
  if (!type || !type->isString()) {
    diagnostics.error(json.span, path + ": a module is an object with a "
                                        "\"type\"");
    instance->rejected = true;
    instances[path] = std::move(instance);
    return;
  }
  instance->json = &json;
  instance->path = path;
  instance->type = type->string;
  instance->span = span;
  StringRef name = type->string;
  if (name == "nn.Sequential" || name == "nn.ModuleList" ||
      name == "nn.ModuleDict") {
    instance->isContainer = true;
    checkKeys(json, {"type", "modules"}, name);
    if (const Json *list = json.find("modules"))
      declareModules(*list, path + ".");
  } else if (auto it = classes.find(name); it != classes.end()) {
    instance->graph = it->second;
    checkKeys(json, {"type"}, name);
    if (llvm::is_contained(classStack, name)) {
      diagnostics.error(type->span,
                        "class \"" + name + "\" contains itself");
      instance->rejected = true;
      instances[path] = std::move(instance);
      return;
    }
    classStack.push_back(name.str());
    declareGraph(*it->second, path + ".");
    classStack.pop_back();
  } else if (const OpDef *def = registry.find(name);
             def && def->isModule()) {
    instance->def = def;
    declareLeaf(*instance);
  } else {
    std::vector<StringRef> known = registry.names(true);
    for (StringRef container :
         {"nn.Sequential", "nn.ModuleList", "nn.ModuleDict"})
      known.push_back(container);
    for (const auto &entry : classes)
      known.push_back(entry.first());
    llvm::sort(known);
    diagnostics.error(type->span, path + ": unknown module type \"" + name +
                                      "\"" + didYouMean(name, known));
    instance->rejected = true;
  }
  instances[path] = std::move(instance);
}

void Importer::declareLeaf(Instance &instance) {
  const OpDef &def = *instance.def;
  Call call(def, instance.type, instance.path, instance.span, diagnostics);
  std::vector<StringRef> known = {"type"};
  for (const ArgDef &arg : def.attributes)
    known.push_back(arg.name);
  for (const JsonMember &member : instance.json->members) {
    if (member.key == "type" || member.key == "comment")
      continue;
    const ArgDef *arg = nullptr;
    for (const ArgDef &candidate : def.attributes)
      if (candidate.name == member.key)
        arg = &candidate;
    if (!arg) {
      diagnostics.error(member.keySpan,
                        instance.path + " (" + instance.type +
                            "): unknown attribute \"" + member.key + "\"" +
                            didYouMean(member.key, known));
      call.failed = true;
      continue;
    }
    parseArgument(call, *arg, member.value,
                  [](const Json &) { return Result(); });
  }
  completeArguments(call, def.attributes);
  if (!call.failed && def.check)
    def.check(call);
  std::vector<StateDef> list;
  if (!call.failed && def.state)
    def.state(call, list);
  instance.rejected = call.failed;
  if (call.failed)
    return;
  instance.attributes = call.args;
  for (const StateDef &entry : list)
    addState(instance.path + "." + entry.name,
             {entry.shape, parseDType(entry.dtype, context)}, instance.span);
}

/// Every dim of "dims" and of --dim, with its sizes.
void Importer::collectDims(const Json &root) {
  const Json *dims = root.find("dims");
  if (!dims)
    return;
  if (!dims->isObject()) {
    diagnostics.error(dims->span,
                      "dims must be an object, got " + dims->describe());
    return;
  }
  for (const JsonMember &member : dims->members) {
    if (member.key == "comment")
      continue;
    std::vector<int64_t> list;
    for (const Json &item : member.value.items)
      if (item.isInteger() && item.integer >= 0)
        list.push_back(item.integer);
    if (!member.value.isArray() || list.empty() ||
        list.size() != member.value.items.size()) {
      diagnostics.error(member.value.span,
                        "sizes of dim \"" + member.key +
                            "\" must be a list of non-negative integers");
      continue;
    }
    sizes.try_emplace(member.key, list);
  }
}

//===----------------------------------------------------------------------===//
// Graphs
//===----------------------------------------------------------------------===//

Location Importer::location(StringRef path, StringRef type, Span span) {
  LineColumn at = diagnostics.lineColumn(span.begin);
  auto file = FileLineColLoc::get(context, diagnostics.fileName(), at.line,
                                  at.column);
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
  auto [it, isNew] = weights.try_emplace(source, Expr());
  if (isNew)
    it->second = Expr(builder, WeightOp::create(
                                   builder.b, builder.loc,
                                   RankedTensorType::get(spec->second.shape,
                                                         spec->second.element),
                                   builder.b.getStringAttr(source),
                                   UnitAttr()));
  return it->second;
}

Result Importer::lookup(const Json &json, Scope &scope) {
  if (auto it = scope.values.find(json.string); it != scope.values.end())
    return it->second;
  if (scope.unknown.contains(json.string))
    return {};
  if (Result weight = stateValue(scope.prefix + json.string))
    return weight;
  std::vector<StringRef> known;
  for (const auto &entry : scope.values)
    known.push_back(entry.first());
  llvm::sort(known);
  diagnostics.error(json.span, "unknown value \"" + json.string + "\"" +
                                   didYouMean(json.string, known));
  return {};
}

bool Importer::bindNames(const Json &name, const Result &result,
                         Scope &scope) {
  if (name.isNull())
    return true;
  if (name.isString()) {
    if (!scope.values.try_emplace(name.string, result).second) {
      diagnostics.error(name.span, "value \"" + name.string +
                                       "\" is defined twice");
      return false;
    }
    return true;
  }
  if (!name.isArray() || !result.isTuple ||
      name.items.size() != result.items.size()) {
    diagnostics.error(name.span,
                      "the result is " +
                          (result.isTuple ? "a tuple of " +
                                                std::to_string(
                                                    result.items.size())
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
  return call.def.emit(call);
}

/// Positional inputs, then arguments by name.
void Importer::bindInputs(Call &call, const Json &node, Scope &scope) {
  call.builder = &builder;
  auto find = [&](const Json &json) { return lookup(json, scope); };
  const OpDef &def = call.def;
  const Json *inputs = node.find("inputs");
  size_t i = 0;
  if (inputs && inputs->isArray())
    for (const Json &item : inputs->items) {
      if (i == def.inputs.size()) {
        call.error("", "takes at most " + plural(def.inputs.size(), "input") +
                           ", got " + Twine(inputs->items.size()));
        break;
      }
      const ArgDef &arg = def.inputs[i];
      if (arg.variadic && item.isInteger()) {
        // Tensor.view(x, 2, 3): the rest of the list is one argument.
        Arg &rest = call.args[arg.name];
        rest.json = &item;
        rest.literal.kind = Json::Kind::array;
        rest.literal.items.push_back(item);
        continue;
      }
      parseArgument(call, arg, item, find);
      ++i;
    }
  std::vector<StringRef> known;
  for (const ArgDef &arg : def.inputs)
    known.push_back(arg.name);
  for (const JsonMember &member : node.members) {
    static const char *const own[] = {"name", "op", "module", "inputs",
                                      "comment"};
    if (llvm::is_contained(own, member.key))
      continue;
    const ArgDef *arg = nullptr;
    for (const ArgDef &candidate : def.inputs)
      if (candidate.name == member.key)
        arg = &candidate;
    if (!arg) {
      diagnostics.error(member.keySpan,
                        "(" + call.name + "): unknown argument \"" +
                            member.key + "\"" + didYouMean(member.key, known));
      call.failed = true;
    } else if (call.args.count(arg->name)) {
      diagnostics.error(member.keySpan, "(" + call.name + "): argument \"" +
                                            member.key + "\" is given twice");
      call.failed = true;
    } else {
      parseArgument(call, *arg, member.value, find);
    }
  }
  if (!call.failed)
    completeArguments(call, def.inputs);
}

Result Importer::runOp(const OpDef &def, StringRef name, const Json &node,
                       Scope &scope) {
  Call call(def, name, "", node.find("op")->span, diagnostics);
  bindInputs(call, node, scope);
  return emit(call, node.find("op")->span);
}

Result Importer::runClass(Instance &instance, ArrayRef<Result> inputs,
                          const Json &node) {
  const Json &graph = *instance.graph;
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
    scope.values[names->items[i].string] = inputs[i];
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
                        instance.path + " (nn.Sequential): takes 1 input, got " +
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
  // A torch.nn module: attributes from its definition, state by path.
  Call call(*instance.def, instance.type, instance.path, instance.span,
            diagnostics);
  call.args = instance.attributes;
  // What does not fit shows where the module is called.
  if (const Json *caller = node.find("module"))
    call.span = caller->span;
  if (inputs.size() > instance.def->inputs.size())
    return call.error("", "takes at most " +
                              plural(instance.def->inputs.size(), "input") +
                              ", got " + Twine(inputs.size()));
  for (auto [arg, value] : llvm::zip(instance.def->inputs, inputs))
    call.args[arg.name].result = value;
  completeArguments(call, instance.def->inputs);
  builder.loc = location(instance.path, instance.type, instance.span);
  std::string prefix = instance.path + ".";
  for (const std::string &path : statePaths)
    if (StringRef rest = path; rest.consume_front(prefix))
      if (!rest.contains('.'))
        call.state[rest] = stateValue(path).value;
  return emit(call, instance.span);
}

Result Importer::runModule(Instance &instance, const Json &node,
                           Scope &scope) {
  std::vector<Result> inputs;
  if (const Json *list = node.find("inputs"))
    for (const Json &item : list->items) {
      if (!item.isString()) {
        diagnostics.error(item.span, "an input of a module is the name of a "
                                     "value, got " +
                                         item.describe());
        return {};
      }
      inputs.push_back(lookup(item, scope));
      if (!inputs.back())
        return {};
    }
  for (const JsonMember &member : node.members)
    if (member.key != "name" && member.key != "module" &&
        member.key != "inputs" && member.key != "comment") {
      diagnostics.error(member.keySpan, "unknown key \"" + member.key +
                                            "\" in a call of a module");
      return {};
    }
  return runInstance(instance, inputs, node, scope);
}

Result Importer::runNode(const Json &node, Scope &scope) {
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
    const OpDef *def = registry.find(op->string);
    if (def && !def->isModule())
      return runOp(*def, op->string, node, scope);
    diagnostics.error(op->span,
                      "unknown op \"" + op->string + "\"" +
                          didYouMean(op->string, registry.names(false)));
    return {};
  }
  auto it = instances.find(scope.prefix + called->string);
  if (it != instances.end())
    return runModule(*it->second, node, scope);
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

void Importer::importBody(const Json &root, unsigned index) {
  Scope scope;
  weights.clear();
  SmallVector<Type> types;
  std::vector<std::string> names;
  if (const Json *inputs = root.find("inputs"))
    for (const JsonMember &member : inputs->members) {
      TensorSpec spec;
      if (member.key == "comment")
        continue;
      if (!parseTensor(member.value, spec))
        return;
      names.push_back(member.key);
      types.push_back(RankedTensorType::get(spec.shape, spec.element));
    }
  Location loc = UnknownLoc::get(context);
  builder.b.setInsertionPointToEnd(module->getBody());
  std::string name = index ? "forward." + std::to_string(index) : "forward";
  auto function = func::FuncOp::create(builder.b, loc, name,
                                       FunctionType::get(context, types, {}));
  function->setAttr(entryAttr, builder.b.getStringAttr("forward"));
  Block *entry = function.addEntryBlock();
  builder.b.setInsertionPointToStart(entry);
  for (auto [i, input] : llvm::enumerate(names)) {
    function.setArgAttr(i, valueNameAttr, builder.b.getStringAttr(input));
    scope.values[input] = Expr(builder, entry->getArgument(i));
  }
  bool complete = runNodes(root, scope);
  SmallVector<Value> results;
  SmallVector<Type> resultTypes;
  std::vector<std::string> resultNames;
  auto output = [&](const Json &value, const std::string &as) {
    if (!value.isString()) {
      diagnostics.error(value.span, "an output is the name of a value, got " +
                                        value.describe());
      return;
    }
    Result result = lookup(value, scope);
    if (!result)
      return;
    if (result.isTuple) {
      diagnostics.error(value.span,
                        "output \"" + value.string + "\" is a tuple");
      return;
    }
    results.push_back(result.value.value());
    resultTypes.push_back(result.value.type());
    resultNames.push_back(as);
  };
  const Json &outputs = *root.find("outputs");
  for (const Json &item : outputs.items)
    output(item, item.string);
  for (const JsonMember &member : outputs.members)
    output(member.value, member.key);
  if (!complete)
    return;
  func::ReturnOp::create(builder.b, loc, results);
  function.setFunctionType(FunctionType::get(context, types, resultTypes));
  for (auto [i, as] : llvm::enumerate(resultNames))
    function.setResultAttr(i, valueNameAttr, builder.b.getStringAttr(as));
}

OwningOpRef<ModuleOp> Importer::run(const Json &root) {
  if (!root.isObject()) {
    diagnostics.error(root.span, "a model is an object, got " +
                                     root.describe());
    return nullptr;
  }
  checkKeys(root,
            {"format", "name", "inputs", "dims", "classes", "modules",
             "parameters", "buffers", "nodes", "outputs", "tie", "training"},
            "a model");
  const Json *format = root.find("format");
  if (!format || format->string != "nncc-model/1") {
    diagnostics.error(format ? format->span : root.span,
                      "\"format\" must be \"nncc-model/1\"");
    return nullptr;
  }
  const Json *outputs = root.find("outputs");
  if (!outputs || !(outputs->isArray() || outputs->isObject())) {
    diagnostics.error(outputs ? outputs->span : root.span,
                      "\"outputs\" must be a list or an object of values");
    return nullptr;
  }
  collectDims(root);
  for (auto &[name, list] : sizes)
    current[name] = list.front();
  if (const Json *list = root.find("classes"))
    for (const JsonMember &member : list->members)
      classes[member.key] = &member.value;
  if (const Json *tie = root.find("tie"))
    for (const JsonMember &member : tie->members)
      ties[member.key] = member.value.string;
  declareGraph(root, "");
  for (const auto &tie : ties)
    if (!state.count(tie.second))
      diagnostics.error(root.find("tie")->span,
                        "tie names no state \"" + tie.second + "\"");

  module = ModuleOp::create(UnknownLoc::get(context));
  const Json *name = root.find("name");
  std::string modelName = name && name->isString() ? name->string : "model";
  module.get()->setAttr(modelNameAttr, builder.b.getStringAttr(modelName));
  // One body per combination of symbolic sizes.
  unsigned index = 0;
  auto combine = [&](auto &self, DimSizes::iterator dim) -> void {
    if (dim == sizes.end()) {
      if (index == 0 || !diagnostics.hasErrors())
        importBody(root, index++);
      return;
    }
    for (int64_t size : dim->second) {
      current[dim->first] = size;
      self(self, std::next(dim));
    }
  };
  combine(combine, sizes.begin());
  for (const auto &entry : instances) {
    const Instance &instance = *entry.second;
    if (!diagnostics.hasErrors() && !instance.called && instance.def)
      diagnostics.warning(instance.span, instance.path + " (" + instance.type +
                                             "): is never called");
  }
  if (diagnostics.hasErrors())
    return nullptr;
  SmallVector<Attribute> list, types;
  for (const std::string &path : statePaths) {
    if (ties.count(path))
      continue;
    const TensorSpec &spec = state[path];
    list.push_back(builder.b.getStringAttr(path));
    types.push_back(
        TypeAttr::get(RankedTensorType::get(spec.shape, spec.element)));
  }
  module.get()->setAttr(weightsAttr, builder.b.getArrayAttr(list));
  module.get()->setAttr(weightTypesAttr, builder.b.getArrayAttr(types));
  return std::move(module);
}

} // namespace

OwningOpRef<ModuleOp> importModel(StringRef text, const DimSizes &dims,
                                  MLIRContext *context,
                                  Diagnostics &diagnostics) {
  std::optional<Json> root = parseJson(text, diagnostics);
  if (!root)
    return nullptr;
  return Importer(dims, context, diagnostics).run(*root);
}

} // namespace nncc
