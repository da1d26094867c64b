//===- Importer.cpp - model files to the nncc dialect ---------------------===//
//
// The top level of a model: what it must have, its modules and state, and one
// body of each entry per combination of symbolic sizes.
//
//===----------------------------------------------------------------------===//
#include "frontend/Importer.h"
#include "dialect/Names.h"
#include "dialect/Nncc.h"
#include "frontend/Entries.h"
#include "frontend/Training.h"
#include "support/Identifier.h"
#include "llvm/Support/MD5.h"

using namespace mlir;

namespace nncc {

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
static bool checkTop(const Json &root, Diagnostics &diagnostics) {
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
            "a model", diagnostics);
  if (!checkTrain(root, true, diagnostics))
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
static OwningOpRef<ModuleOp> beginModule(const Json &root, MLIRContext *context,
                                         Diagnostics &diagnostics) {
  Builder b(context);
  OwningOpRef<ModuleOp> module = ModuleOp::create(b.getUnknownLoc());
  const Json *name = root.find("name");
  if (name && (!name->isString() || name->string.empty() ||
               name->string == "nncc" || name->string.rfind("nncc_", 0) == 0))
    diagnostics.error(name->span,
                      "\"name\" must be a name for symbols, none of the "
                      "runtime's (nncc_...), got " +
                          name->describe());
  // One identifier for symbols, the header and everything else.
  module.get()->setAttr(modelNameAttr, b.getStringAttr(identifierOf(
                                           name ? name->string : "model")));
  if (const Json *training = root.find("training"))
    module.get()->setAttr(trainingAttr, b.getStringAttr(training->compact()));
  module.get()->setAttr(graphAttr, b.getStringAttr(hashOfGraph(root)));
  return module;
}

static void warnOfUncalled(const Model &model) {
  for (const auto &entry : model.tree.instances) {
    const Instance &instance = entry.second;
    if (instance.def && !model.called.contains(&instance))
      model.diagnostics.warning(instance.span, instance.path + " (" +
                                                   instance.type +
                                                   "): is never called");
  }
}

/// The table of state, the optimizer's behind the model's, and its other names.
static void describeState(const Model &model) {
  ModuleOp module = model.module;
  Builder b(module.getContext());
  SmallVector<Attribute> list, types;
  SmallVector<bool> fresh;
  auto add = [&](StringRef path, Type type, bool isFresh) {
    list.push_back(b.getStringAttr(path));
    types.push_back(TypeAttr::get(type));
    fresh.push_back(isFresh);
  };
  for (const std::string &path : model.tree.statePaths) {
    const StateTensor &tensor = *model.tree.findState(path);
    if (!tensor.tiedTo)
      add(path, RankedTensorType::get(tensor.shape, tensor.element), false);
  }
  for (auto &[path, type] : model.optimizerStates)
    add(path, type, true);
  module->setAttr(weightsAttr, b.getArrayAttr(list));
  module->setAttr(weightTypesAttr, b.getArrayAttr(types));
  module->setAttr(freshAttr, b.getDenseBoolArrayAttr(fresh));
  SmallVector<NamedAttribute> others;
  for (auto &[alias, path] : model.tree.aliases)
    others.push_back(b.getNamedAttr(alias, b.getStringAttr(path)));
  if (!others.empty())
    module->setAttr(aliasesAttr, b.getDictionaryAttr(others));
}

/// Null after an error.
static OwningOpRef<ModuleOp> importTree(const Json &root, const DimSizes &given,
                                        ArrayRef<std::string> entries,
                                        MLIRContext *context,
                                        Diagnostics &diagnostics) {
  if (!checkTop(root, diagnostics))
    return nullptr;
  Registry registry;
  Dims dims(root, given, context, diagnostics);
  ModuleTree tree =
      declareModules(root, dims, dims.first(), registry, context, diagnostics);
  const Json *training = root.find("training");
  bool trainingFits =
      !training || checkTraining(*training, tree.statePaths, diagnostics);
  OwningOpRef<ModuleOp> module = beginModule(root, context, diagnostics);
  Model model{root, registry, tree, dims, diagnostics, *module, trainingFits};

  std::vector<BodySizes> bodies = dims.combinations();
  if (bodies.empty())
    return nullptr;
  for (auto [index, sizes] : llvm::enumerate(bodies))
    for (const std::string &entry : entries)
      // One body is always looked at: all errors in one run.
      if (!diagnostics.hasErrors() || (index == 0 && entry == entries.front()))
        addEntry(model, entry, sizes, index);
  if (!diagnostics.hasErrors())
    dims.checkUsed();
  if (training && !diagnostics.hasErrors())
    checkLoss(model, bodies.back());
  if (diagnostics.hasErrors())
    return nullptr;
  warnOfUncalled(model);
  describeState(model);
  return module;
}

OwningOpRef<ModuleOp> importModel(StringRef text, const DimSizes &dims,
                                  ArrayRef<std::string> entries,
                                  MLIRContext *context,
                                  Diagnostics &diagnostics) {
  context->loadDialect<NnccDialect, func::FuncDialect>();
  std::optional<Json> root = parseJson(text, diagnostics);
  if (!root)
    return nullptr;
  return importTree(*root, dims, entries, context, diagnostics);
}

} // namespace nncc
