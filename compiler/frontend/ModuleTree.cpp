//===- ModuleTree.cpp - modules, attributes and state ---------------------===//
//
// The importer's first walk: every module of the tree once, by path.
//
//===----------------------------------------------------------------------===//
#include "frontend/ImporterImpl.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace nncc {

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
    diagnostics.error(json.span,
                      "shape must be a list, got " + json.describe());
    return false;
  }
  for (const Json &item : json.items) {
    int64_t size;
    if (item.isInteger() && item.integer >= 0) {
      size = item.integer;
    } else if (item.isString() && current.count(item.string)) {
      size = current[item.string];
      usedDims.insert(item.string);
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
    shape.push_back(size);
  }
  std::string problem = shapeProblem(shape);
  if (!problem.empty())
    diagnostics.error(json.span, problem);
  return problem.empty();
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

bool Importer::addState(const std::string &path, const TensorSpec &spec,
                        Span span) {
  if (std::string problem = shapeProblem(spec.shape); !problem.empty()) {
    diagnostics.error(span, path + ": " + problem);
    return false;
  }
  auto [it, isNew] = state.try_emplace(path, spec);
  if (!isNew) {
    diagnostics.error(span, "state \"" + path + "\" is defined twice");
    diagnostics.note(it->second.span, "first defined here");
    return false;
  }
  if (path == "optimizer.step")
    diagnostics.error(span, "the name \"" + path + "\" is reserved");
  it->second.span = span;
  statePaths.push_back(path);
  return true;
}

void Importer::declareTensors(const Json &graph, StringRef key,
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
        parseTensor(member.value, spec)) {
      spec.isBuffer = key == "buffers";
      addState(prefix + member.key, spec, member.keySpan);
    }
  }
}

/// A name in a path, which C strings and files have to hold.
bool Importer::checkPart(StringRef part, StringRef what, Span span) {
  bool fits = !part.empty() && llvm::all_of(part, [](char c) {
    return static_cast<unsigned char>(c) >= ' ' && c != 127;
  });
  if (!fits)
    diagnostics.error(span, "the name of " + what +
                                " is not empty and has no control characters");
  return fits;
}

/// The classes of the file, which the registry's names are not free for.
void Importer::declareClasses(const Json &list) {
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
              "a class");
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
    (void)checkTrain(graph, false); // its other graph runs instead
    classes[member.key] = &graph;
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

/// The most modules, those of classes at each of their instances.
constexpr size_t maxModules = 1 << 16;

void Importer::declareModule(const std::string &path, const Json &json,
                             Span span) {
  if (instances.size() >= maxModules) {
    if (!std::exchange(hasTooManyModules, true))
      diagnostics.error(span, "the model has more than " + Twine(maxModules) +
                                  " modules");
    return;
  }
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
      diagnostics.error(type->span, "class \"" + name + "\" contains itself");
      instance->rejected = true;
      instances[path] = std::move(instance);
      return;
    }
    classStack.push_back(name.str());
    declareGraph(*it->second, path + ".");
    classStack.pop_back();
  } else if (const Spelling *spelling = registry.find(name);
             spelling && spelling->face->isModule()) {
    instance->def = spelling->face;
    declareLeaf(*instance);
  } else {
    std::vector<StringRef> known = registry.names(Face::Kind::module);
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

/// State behind a parametrized tensor, under the first of its names.
void Importer::addHidden(Instance &instance, ArrayRef<HiddenState> states,
                         Type element, Span span, HiddenTensor &hidden) {
  for (const HiddenState &one : states) {
    std::string path = instance.path + "." + one.names.front();
    instance.rejected |=
        !addState(path, {one.shape, element, one.isBuffer}, span);
    hidden.states.push_back({one.key, path});
    for (const std::string &other : ArrayRef(one.names).drop_front())
      aliases[instance.path + "." + other] = path;
  }
}

/// Takes parametrized tensors out of the module's state and declares what
/// stands behind them.
void Importer::declareHidden(Instance &instance, std::vector<StateDef> &list,
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
    HiddenTensor hidden{member.key, &how, {}, {}};
    hidden.attributes = parseAttributes(call, how, member.value, {});
    bindAttributes(call, hidden.attributes);
    std::vector<HiddenState> states;
    if (!call.failed)
      states = how.of->hidden(call, member.key, entry->shape);
    if (call.failed)
      continue;
    // The type's spelling names the state, the other one is an alias.
    if (!StringRef(type->string).contains(".parametrizations."))
      for (HiddenState &one : states)
        std::swap(one.names.front(), one.names.back());
    addHidden(instance, states, parseDType(entry->dtype, context),
              member.keySpan, hidden);
    instance.hidden.push_back(std::move(hidden));
    list.erase(entry);
  }
}

void Importer::declareLeaf(Instance &instance) {
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
    std::string path = instance.path + "." + entry.name;
    instance.rejected |= !addState(
        path, {entry.shape, parseDType(entry.dtype, context), entry.isBuffer},
        instance.span);
    instance.states.push_back({entry.name, path});
  }
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
    std::set<int64_t> different(list.begin(), list.end());
    if (different.size() != list.size())
      diagnostics.error(member.value.span,
                        "dim \"" + member.key + "\" has a size twice");
    if (!sizes.count(member.key))
      modelDims.insert(member.key);
    sizes.try_emplace(member.key, list);
  }
}

/// A dim of --dim that no shape has would be believed to do something.
void Importer::checkDims() {
  if (diagnostics.hasErrors())
    return;
  std::vector<std::string> used(usedDims.begin(), usedDims.end());
  for (auto &[name, list] : sizes) {
    if (usedDims.count(name) || modelDims.count(name))
      continue;
    diagnostics.error(
        nowhere, "--dim " + name + ": no shape of the model has the dim \"" +
                     name + "\"" +
                     (used.empty() ? std::string(", or any other")
                                   : "; it has " + llvm::join(used, ", ")));
  }
}

/// "N=1,T=8": the sizes of the body that is built.
std::string Importer::currentSizes() const {
  std::string text;
  for (auto &[name, size] : current)
    text += (text.empty() ? "" : ",") + name + "=" + std::to_string(size);
  return text;
}

} // namespace nncc
