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

using namespace mlir;

namespace nncc {

OwningOpRef<ModuleOp> Importer::run(const Json &root) {
  if (!root.isObject()) {
    diagnostics.error(root.span,
                      "a model is an object, got " + root.describe());
    return nullptr;
  }
  checkKeys(root,
            {"format", "name", "inputs", "dims", "classes", "modules",
             "parameters", "buffers", "nodes", "outputs", "tie", "training",
             "train"},
            "a model");
  if (!checkTrain(root, true))
    return nullptr;
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
    for (const JsonMember &member : list->members) {
      classes[member.key] = &member.value;
      (void)checkTrain(member.value, false); // its other graph runs instead
    }
  if (const Json *tie = root.find("tie"))
    for (const JsonMember &member : tie->members)
      ties[member.key] = member.value.string;
  declareGraph(root, "");
  for (const auto &tie : ties)
    if (!state.count(tie.second))
      diagnostics.error(root.find("tie")->span,
                        "tie names no state \"" + tie.second + "\"");

  const Json *training = root.find("training");
  if (training)
    trainingFits = checkTraining(*training, statePaths, diagnostics);

  module = ModuleOp::create(UnknownLoc::get(context));
  const Json *name = root.find("name");
  if (name && (!name->isString() || name->string.empty() ||
               name->string == "nncc" || name->string.rfind("nncc_", 0) == 0))
    diagnostics.error(name->span,
                      "\"name\" must be a name for symbols, none of the "
                      "runtime's (nncc_...), got " +
                          name->describe());
  // One identifier for symbols, the header and everything else.
  module.get()->setAttr(
      modelNameAttr,
      builder.b.getStringAttr(identifierOf(name ? name->string : "model")));
  if (training)
    module.get()->setAttr(trainingAttr,
                          builder.b.getStringAttr(training->compact()));
  // One body per combination of symbolic sizes.
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
  checkDims();
  if (training && !diagnostics.hasErrors())
    checkLoss(root, *training);
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
  for (auto &[path, type] : optimizerStates) {
    list.push_back(builder.b.getStringAttr(path));
    types.push_back(TypeAttr::get(type));
  }
  module.get()->setAttr(weightsAttr, builder.b.getArrayAttr(list));
  module.get()->setAttr(weightTypesAttr, builder.b.getArrayAttr(types));
  for (const auto &tie : ties)
    aliases[tie.first().str()] = tie.second;
  SmallVector<NamedAttribute> others;
  for (auto &[alias, path] : aliases)
    others.push_back(
        builder.b.getNamedAttr(alias, builder.b.getStringAttr(path)));
  if (!others.empty())
    module.get()->setAttr(aliasesAttr, builder.b.getDictionaryAttr(others));
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
