//===- Importer.cpp - model files to the nncc dialect ---------------------===//
//
// The top level of a model: what it must have, and one body per combination of
// symbolic sizes.
//
//===----------------------------------------------------------------------===//
#include "frontend/Importer.h"
#include "frontend/ImporterImpl.h"
#include "frontend/Training.h"
#include "support/Identifier.h"
#include "support/Size.h"
#include "llvm/Support/MD5.h"

using namespace mlir;

namespace nncc {

/// The most bodies of an entry.
constexpr int64_t maxBodies = 1024;

/// Other names of tensors: alike, of the model's own state, one step long.
void Importer::declareTies(const Json &list) {
  if (!list.isObject()) {
    diagnostics.error(list.span,
                      "tie must be an object, got " + list.describe());
    return;
  }
  for (const JsonMember &member : list.members) {
    const Json &to = member.value;
    if (member.key == "comment")
      continue;
    auto one = state.find(member.key), other = state.find(to.string);
    if (one == state.end())
      diagnostics.error(member.keySpan,
                        "tie names no state \"" + member.key + "\"");
    else if (!to.isString() || other == state.end())
      diagnostics.error(to.span, "tie names no state \"" + to.string + "\"");
    else if (to.string == member.key || list.find(to.string))
      diagnostics.error(to.span, "\"" + to.string + "\" is tied itself");
    else if (one->second.shape != other->second.shape ||
             one->second.element != other->second.element)
      diagnostics.error(member.keySpan,
                        "cannot tie " + member.key + ", " +
                            dtypeName(one->second.element) + " " +
                            shapeText(one->second.shape) + ", to " + to.string +
                            ", " + dtypeName(other->second.element) + " " +
                            shapeText(other->second.shape));
    else
      ties[member.key] = to.string;
  }
}

/// What a JSON file is that is no model, by a key that its tool writes; null if
/// that is not known.
static const char *foreignKind(const Json &root) {
  static const struct {
    const char *key, *kind;
  } kinds[] = {
      {"weight_map", "an index of Hugging Face weights in several files"},
      {"transformers_version", "a configuration of Hugging Face"},
      {"architectures", "a configuration of Hugging Face"},
      {"model_type", "a configuration of Hugging Face"},
      {"_diffusers_version", "a configuration of Hugging Face"},
      {"added_tokens", "a tokenizer of Hugging Face"},
      {"tokenizer_class", "a tokenizer of Hugging Face"},
      {"class_name", "a Keras model"},
      {"modelTopology", "a TensorFlow.js model"},
      {"opsetImport", "an ONNX model as JSON"},
      {"nbformat", "a Jupyter notebook"},
      {"$schema", "a JSON schema"},
      {"peak_gflops", "what nncc bench --json printed"},
      {"abi_version", "what nncc inspect --json printed"},
      {"object_bytes", "what nncc compile --json printed"}};
  for (auto &each : kinds)
    if (root.find(each.key))
      return each.kind;
  return nullptr;
}

/// Whether the top level is one of a model.
bool Importer::checkTop(const Json &root) {
  if (!root.isObject()) {
    diagnostics.error(root.span,
                      "a model is an object, got " + root.describe());
    return false;
  }
  // Of another file nothing else can be said.
  const Json *format = root.find("format");
  if (!format || format->string != "nncc-model/1") {
    const char *kind = foreignKind(root);
    std::string text = "\"format\" must be \"nncc-model/1\"";
    if (kind)
      text = std::string("this is ") + kind + ", not a model of nncc: " + text;
    diagnostics.error(format ? format->span : root.span, text);
    return false;
  }
  checkKeys(root,
            {"format", "name", "inputs", "dims", "classes", "modules",
             "parameters", "buffers", "nodes", "outputs", "tie", "training",
             "train"},
            "a model");
  if (!checkTrain(root, true))
    return false;
  const Json *outputs = root.find("outputs");
  if (!outputs || !(outputs->isArray() || outputs->isObject())) {
    diagnostics.error(outputs ? outputs->span : root.span,
                      "\"outputs\" must be a list or an object of values");
    return false;
  }
  return true;
}

/// A hash of what the model computes, as its file has it: two files with equal
/// ones differ in nothing but names, sizes of dims and training.
static std::string hashOfGraph(const Json &root) {
  Json graph = root;
  llvm::erase_if(graph.members, [](const JsonMember &member) {
    return llvm::is_contained({"format", "name", "dims", "training"},
                              llvm::StringRef(member.key));
  });
  return llvm::MD5::hash(llvm::arrayRefFromStringRef(graph.compact()))
      .digest()
      .str()
      .str();
}

/// The module that entries go to, with the model's name.
void Importer::beginModule(const Json &root) {
  module = ModuleOp::create(UnknownLoc::get(context));
  const Json *name = root.find("name");
  if (name && (!name->isString() || name->string.empty() ||
               name->string == "nncc" || name->string.rfind("nncc_", 0) == 0))
    diagnostics.error(name->span,
                      "\"name\" must be a name for symbols, none of the "
                      "runtime's (nncc_...), got " +
                          name->describe());
  // One identifier for symbols, the header and everything else.
  module.get()->setAttr(modelNameAttr, builder.b.getStringAttr(identifierOf(
                                           name ? name->string : "model")));
  if (const Json *training = root.find("training"))
    module.get()->setAttr(trainingAttr,
                          builder.b.getStringAttr(training->compact()));
  module.get()->setAttr(graphAttr, builder.b.getStringAttr(hashOfGraph(root)));
}

/// One body of each entry per combination of symbolic sizes.
bool Importer::importBodies(const Json &root) {
  Size bodies = 1;
  for (const auto &[name, list] : sizes)
    bodies = bodies * int64_t(list.size());
  if (bodies > maxBodies) {
    const Json *dims = root.find("dims");
    diagnostics.error(dims ? dims->span : root.span,
                      "the sizes of dims combine to more than " +
                          Twine(maxBodies) + " bodies");
    return false;
  }
  unsigned index = 0;
  auto combine = [&](auto &self, DimSizes::iterator dim) -> void {
    if (dim == sizes.end()) {
      for (const std::string &entry : entries)
        // One body is always looked at: all errors in one run.
        if (!diagnostics.hasErrors() ||
            (index == 0 && entry == entries.front()))
          importBody(root, entry, index);
      ++index;
      return;
    }
    for (int64_t size : dim->second) {
      current[dim->first] = size;
      self(self, std::next(dim));
    }
  };
  combine(combine, sizes.begin());
  return true;
}

void Importer::warnOfUncalled() {
  for (const auto &entry : instances) {
    const Instance &instance = *entry.second;
    if (!instance.called && instance.def)
      diagnostics.warning(instance.span, instance.path + " (" + instance.type +
                                             "): is never called");
  }
}

/// The table of state, the optimizer's behind the model's, and its other names.
void Importer::describeState() {
  SmallVector<Attribute> list, types;
  SmallVector<bool> fresh;
  auto add = [&](StringRef path, Type type, bool isFresh) {
    list.push_back(builder.b.getStringAttr(path));
    types.push_back(TypeAttr::get(type));
    fresh.push_back(isFresh);
  };
  for (const std::string &path : statePaths)
    if (!ties.count(path))
      add(path, RankedTensorType::get(state[path].shape, state[path].element),
          false);
  for (auto &[path, type] : optimizerStates)
    add(path, type, true);
  module.get()->setAttr(weightsAttr, builder.b.getArrayAttr(list));
  module.get()->setAttr(weightTypesAttr, builder.b.getArrayAttr(types));
  module.get()->setAttr(freshAttr, builder.b.getDenseBoolArrayAttr(fresh));
  for (const auto &tie : ties)
    aliases[tie.first().str()] = tie.second;
  SmallVector<NamedAttribute> others;
  for (auto &[alias, path] : aliases)
    others.push_back(
        builder.b.getNamedAttr(alias, builder.b.getStringAttr(path)));
  if (!others.empty())
    module.get()->setAttr(aliasesAttr, builder.b.getDictionaryAttr(others));
}

OwningOpRef<ModuleOp> Importer::run(const Json &root) {
  if (!checkTop(root))
    return nullptr;
  collectDims(root);
  for (auto &[name, list] : sizes)
    current[name] = list.front();
  if (const Json *list = root.find("classes"))
    declareClasses(*list);
  declareGraph(root, "");
  if (const Json *tie = root.find("tie"))
    declareTies(*tie);
  const Json *training = root.find("training");
  if (training)
    trainingFits = checkTraining(*training, statePaths, diagnostics);
  beginModule(root);
  if (!importBodies(root))
    return nullptr;
  checkDims();
  if (training && !diagnostics.hasErrors())
    checkLoss(root, *training);
  if (diagnostics.hasErrors())
    return nullptr;
  warnOfUncalled();
  describeState();
  return std::move(module);
}

OwningOpRef<ModuleOp> importModel(StringRef text, const DimSizes &dims,
                                  ArrayRef<std::string> entries,
                                  MLIRContext *context,
                                  Diagnostics &diagnostics) {
  std::optional<Json> root = parseJson(text, diagnostics);
  if (!root)
    return nullptr;
  return Importer(dims, entries, context, diagnostics).run(*root);
}

} // namespace nncc
