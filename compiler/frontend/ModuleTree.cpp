//===- ModuleTree.cpp - modules, attributes and state ---------------------===//
//
// A walk over the tree of modules, every one once.
//
//===----------------------------------------------------------------------===//
#include "frontend/ModuleTree.h"
#include "frontend/Training.h"
#include "support/Overflow.h"

using namespace mlir;

namespace nncc {

const Instance *ModuleTree::findInstance(StringRef path) const {
  auto it = instances.find(path);
  return it == instances.end() ? nullptr : &it->second;
}

const StateTensor *ModuleTree::findState(StringRef path) const {
  auto it = state.find(path);
  return it == state.end() ? nullptr : &it->second;
}

/// The most modules, those of classes at each of their instances.
constexpr size_t maxModules = 1 << 16;

namespace {

class TreeBuilder {
public:
  TreeBuilder(Dims &dims, const BodySizes &sizes, const Registry &registry,
              MLIRContext *context, Diagnostics &diagnostics)
      : dims(dims), sizes(sizes), registry(registry), context(context),
        diagnostics(diagnostics) {}

  void declareClasses(const Json &list);
  void declareGraph(const Json &graph, const std::string &prefix);
  void declareTies(const Json &list);

  ModuleTree tree;

private:
  bool checkPart(StringRef part, StringRef what, Span span);
  void declareModules(const Json &list, const std::string &prefix);
  void declareModule(const std::string &path, const Json &json, Span span);
  void declareType(Instance &instance, const Json &type);
  void declareClass(Instance &instance, const Json &graph, const Json &type);
  void declareLeaf(Instance &instance);
  void declareHidden(Instance &instance, std::vector<StateDef> &list,
                     const Json &parametrizations);
  void addHidden(Instance &instance, ArrayRef<HiddenState> states, Type element,
                 HiddenTensor &hidden);
  void declareTensors(const Json &graph, StringRef key,
                      const std::string &prefix);
  const StateTensor *addState(StateTensor tensor);

  Dims &dims;
  const BodySizes &sizes;
  const Registry &registry;
  MLIRContext *context;
  Diagnostics &diagnostics;
  llvm::StringMap<const Json *> classes;
  SmallVector<StringRef> openClasses; // around the module being declared
};

} // namespace

/// Null after an error.
const StateTensor *TreeBuilder::addState(StateTensor tensor) {
  const std::string &path = tensor.path;
  if (std::string problem = shapeProblem(tensor.shape); !problem.empty()) {
    diagnostics.error(tensor.span, path + ": " + problem);
    return nullptr;
  }
  if (const StateTensor *first = tree.findState(path)) {
    diagnostics.error(tensor.span, "state \"" + path + "\" is defined twice");
    diagnostics.note(first->span, "first defined here");
    return nullptr;
  }
  if (path == "optimizer.step")
    diagnostics.error(tensor.span, "the name \"" + path + "\" is reserved");
  tree.statePaths.push_back(path);
  return &(tree.state[path] = std::move(tensor));
}

void TreeBuilder::declareTensors(const Json &graph, StringRef key,
                                 const std::string &prefix) {
  const Json *list = graph.find(key);
  if (!list)
    return;
  if (!list->isObject()) {
    diagnostics.error(list->span,
                      key + " must be an object, got " + list->describe());
    return;
  }
  for (const JsonMember &member : list->members) {
    TensorSpec spec;
    if (member.key != "comment" &&
        checkPart(member.key, "a tensor", member.keySpan) &&
        dims.parseTensor(member.value, sizes, spec))
      addState({spec, prefix + member.key, key == "buffers", member.keySpan});
  }
}

/// A name in a path, which C strings and files have to hold.
bool TreeBuilder::checkPart(StringRef part, StringRef what, Span span) {
  bool fits = !part.empty() && llvm::all_of(part, [](char c) {
    return static_cast<unsigned char>(c) >= ' ' && c != 127;
  });
  if (!fits)
    diagnostics.error(span, "the name of " + what +
                                " is not empty and has no control characters");
  return fits;
}

/// The classes of the file, which the registry's names are not free for.
void TreeBuilder::declareClasses(const Json &list) {
  if (!list.isObject()) {
    diagnostics.error(list.span,
                      "classes must be an object, got " + list.describe());
    return;
  }
  for (const JsonMember &member : list.members) {
    if (member.key == "comment")
      continue;
    const Json &graph = member.value;
    if (StringRef(member.key).starts_with("nn."))
      diagnostics.error(member.keySpan,
                        "the name \"" + member.key + "\" is torch.nn's");
    if (!graph.isObject()) {
      diagnostics.error(graph.span,
                        "a class is an object, got " + graph.describe());
      continue;
    }
    checkKeys(graph,
              {"inputs", "modules", "parameters", "buffers", "nodes", "outputs",
               "train"},
              "a class", diagnostics);
    for (const char *key : {"inputs", "outputs"}) {
      const Json *names = graph.find(key);
      bool fits = names && names->isArray() &&
                  llvm::all_of(names->items, [](const Json &item) {
                    return item.isString();
                  });
      if (!fits)
        diagnostics.error(names ? names->span : graph.span,
                          Twine(key) + " of a class must be a list of names");
    }
    (void)checkTrain(graph, false, diagnostics); // its other graph runs instead
    classes[member.key] = &graph;
  }
}

void TreeBuilder::declareGraph(const Json &graph, const std::string &prefix) {
  declareTensors(graph, "parameters", prefix);
  declareTensors(graph, "buffers", prefix);
  if (const Json *list = graph.find("modules"))
    declareModules(*list, prefix);
}

void TreeBuilder::declareModules(const Json &list, const std::string &prefix) {
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
  for (const JsonMember &member : list.members) {
    if (member.key == "comment" ||
        !checkPart(member.key, "a module", member.keySpan))
      continue;
    if (StringRef(member.key).contains('.'))
      diagnostics.error(member.keySpan, "the name of a module has no \".\"");
    else
      declareModule(prefix + member.key, member.value, member.keySpan);
  }
}

void TreeBuilder::declareModule(const std::string &path, const Json &json,
                                Span span) {
  if (tree.instances.size() >= maxModules) {
    if (!std::exchange(tree.hasTooManyModules, true))
      diagnostics.error(span, "the model has more than " + Twine(maxModules) +
                                  " modules");
    return;
  }
  const Json *type = json.isObject() ? json.find("type") : nullptr;
  Instance instance;
  if (!type || !type->isString()) {
    diagnostics.error(json.span, path + ": a module is an object with a "
                                        "\"type\"");
    instance.rejected = true;
  } else {
    instance.json = &json;
    instance.path = path;
    instance.type = type->string;
    instance.span = span;
    declareType(instance, *type);
  }
  tree.instances[path] = std::move(instance);
}

void TreeBuilder::declareType(Instance &instance, const Json &type) {
  WorkingAt at(diagnostics, instance.span);
  StringRef name = instance.type;
  if (name == "nn.Sequential" || name == "nn.ModuleList" ||
      name == "nn.ModuleDict") {
    instance.isContainer = true;
    checkKeys(*instance.json, {"type", "modules"}, name, diagnostics);
    if (const Json *list = instance.json->find("modules"))
      declareModules(*list, instance.path + ".");
    return;
  }
  if (auto it = classes.find(name); it != classes.end()) {
    declareClass(instance, *it->second, type);
    return;
  }
  const Spelling *spelling = registry.find(name);
  if (spelling && spelling->face->isModule()) {
    instance.def = spelling->face;
    declareLeaf(instance);
    return;
  }
  std::vector<StringRef> known = registry.names(Face::Kind::module);
  for (StringRef container :
       {"nn.Sequential", "nn.ModuleList", "nn.ModuleDict"})
    known.push_back(container);
  for (const auto &entry : classes)
    known.push_back(entry.first());
  llvm::sort(known);
  diagnostics.error(type.span, instance.path + ": unknown module type \"" +
                                   name + "\"" + didYouMean(name, known));
  instance.rejected = true;
}

/// The modules and tensors of a class, at one of its places.
void TreeBuilder::declareClass(Instance &instance, const Json &graph,
                               const Json &type) {
  instance.graph = &graph;
  checkKeys(*instance.json, {"type"}, instance.type, diagnostics);
  if (llvm::is_contained(openClasses, instance.type)) {
    diagnostics.error(type.span,
                      "class \"" + instance.type + "\" contains itself");
    instance.rejected = true;
    return;
  }
  openClasses.push_back(instance.type);
  declareGraph(graph, instance.path + ".");
  openClasses.pop_back();
}

/// State behind a parametrized tensor, under the first of its names.
void TreeBuilder::addHidden(Instance &instance, ArrayRef<HiddenState> states,
                            Type element, HiddenTensor &hidden) {
  for (const HiddenState &one : states) {
    std::string path = instance.path + "." + one.names.front();
    const StateTensor *state =
        addState({{one.shape, element}, path, one.isBuffer, hidden.span});
    instance.rejected |= !state;
    hidden.states.push_back({one.key, state});
    for (const std::string &other : ArrayRef(one.names).drop_front())
      tree.aliases[instance.path + "." + other] = path;
  }
}

/// Takes parametrized tensors out of the module's state and declares what
/// stands behind them.
void TreeBuilder::declareHidden(Instance &instance, std::vector<StateDef> &list,
                                const Json &parametrizations) {
  std::string where = (instance.path + " (" + instance.type + "): ").str();
  if (!parametrizations.isObject()) {
    diagnostics.error(parametrizations.span,
                      where + "parametrizations must be an object, got " +
                          parametrizations.describe());
    return;
  }
  for (const JsonMember &member : parametrizations.members) {
    std::vector<StringRef> tensors;
    for (const StateDef &entry : list)
      tensors.push_back(entry.name);
    auto entry = llvm::find_if(
        list, [&](const StateDef &def) { return def.name == member.key; });
    if (entry == list.end()) {
      diagnostics.error(member.keySpan, where + "no tensor \"" + member.key +
                                            "\" to parametrize" +
                                            didYouMean(member.key, tensors));
      continue;
    }
    const Json *type = member.value.find("type");
    const Spelling *spelling = type ? registry.find(type->string) : nullptr;
    if (!spelling || spelling->face->kind != Face::Kind::parametrization) {
      diagnostics.error(
          type ? type->span : member.value.span,
          where + (type ? "unknown parametrization \"" + type->string + "\"" +
                              didYouMean(
                                  type->string,
                                  registry.names(Face::Kind::parametrization))
                        : "a parametrization is an object with a \"type\""));
      continue;
    }
    const Face &how = *spelling->face;
    Call call(how, type->string, instance.path + "." + member.key,
              member.keySpan, diagnostics);
    HiddenTensor hidden{member.key,
                        member.keySpan,
                        &how,
                        parseAttributes(call, how, member.value, {}),
                        {}};
    bindAttributes(call, hidden.attributes);
    std::vector<HiddenState> states;
    if (!call.failed)
      states = how.of->hidden(call, member.key, entry->shape);
    if (call.failed)
      continue;
    addHidden(instance, states, parseDType(entry->dtype, context), hidden);
    instance.hidden.push_back(std::move(hidden));
    list.erase(entry);
  }
}

void TreeBuilder::declareLeaf(Instance &instance) {
  Call call(*instance.def, instance.type, instance.path, instance.span,
            diagnostics);
  instance.attributes = parseAttributes(call, *instance.def, *instance.json,
                                        {"parametrizations"});
  bindAttributes(call, instance.attributes);
  std::vector<StateDef> list;
  if (!call.failed)
    list = stateOf(call);
  instance.rejected = call.failed;
  if (const Json *hidden = instance.json->find("parametrizations");
      hidden && !call.failed)
    declareHidden(instance, list, *hidden);
  if (call.failed)
    return;
  for (const StateDef &entry : list) {
    const StateTensor *state =
        addState({{entry.shape, parseDType(entry.dtype, context)},
                  instance.path + "." + entry.name,
                  entry.isBuffer,
                  instance.span});
    instance.rejected |= !state;
    instance.states.push_back({entry.name, state});
  }
}

/// Other names of tensors: alike, of the model's own state, one step long.
void TreeBuilder::declareTies(const Json &list) {
  if (!list.isObject()) {
    diagnostics.error(list.span,
                      "tie must be an object, got " + list.describe());
    return;
  }
  for (const JsonMember &member : list.members) {
    const Json &to = member.value;
    if (member.key == "comment")
      continue;
    auto one = tree.state.find(member.key);
    const StateTensor *other = tree.findState(to.string);
    if (one == tree.state.end())
      diagnostics.error(member.keySpan,
                        "tie names no state \"" + member.key + "\"");
    else if (!to.isString() || !other)
      diagnostics.error(to.span, "tie names no state \"" + to.string + "\"");
    else if (to.string == member.key || list.find(to.string))
      diagnostics.error(to.span, "\"" + to.string + "\" is tied itself");
    else if (one->second.shape != other->shape ||
             one->second.element != other->element)
      diagnostics.error(
          member.keySpan,
          "cannot tie " + member.key + ", " + dtypeName(one->second.element) +
              " " + shapeText(one->second.shape) + ", to " + to.string + ", " +
              dtypeName(other->element) + " " + shapeText(other->shape));
    else {
      one->second.tiedTo = other;
      tree.aliases[member.key] = to.string;
    }
  }
}

ModuleTree declareModules(const Json &root, Dims &dims, const BodySizes &sizes,
                          const Registry &registry, MLIRContext *context,
                          Diagnostics &diagnostics) {
  TreeBuilder builder(dims, sizes, registry, context, diagnostics);
  if (const Json *list = root.find("classes"))
    builder.declareClasses(*list);
  builder.declareGraph(root, "");
  if (const Json *tie = root.find("tie"))
    builder.declareTies(*tie);
  return std::move(builder.tree);
}

} // namespace nncc
