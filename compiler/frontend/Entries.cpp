//===- Entries.cpp - entry points of a model ------------------------------===//
//
// Inputs, the model's nodes, outputs, and what an entry that trains adds.
//
//===----------------------------------------------------------------------===//
#include "frontend/Entries.h"
#include "dialect/Names.h"
#include "frontend/TrainStep.h"
#include "frontend/Training.h"

using namespace mlir;

namespace nncc {

/// Whether the entry runs in train mode.
static bool isTraining(StringRef entry) {
  return entry != "forward" && entry != "loss";
}

/// Whether the entry's last value is the training section's.
static bool hasLoss(StringRef entry) {
  return entry == "loss" || entry == "loss_and_grad" || entry == "train_step";
}

/// The types and names of an object of inputs.
static bool parseSignature(Model &model, const Json *list,
                           const BodySizes &sizes, Signature &signature) {
  if (!list)
    return true;
  if (!list->isObject()) {
    model.diagnostics.error(list->span, "inputs must be an object, got " +
                                            list->describe());
    return false;
  }
  for (const JsonMember &member : list->members) {
    TensorSpec spec;
    if (member.key == "comment")
      continue;
    if (!model.dims.parseTensor(member.value, sizes, spec) ||
        !model.checkName(member.key, member.keySpan) ||
        !model.checkFree(member.key, "an input", member.keySpan))
      return false;
    if (member.key == "loss") {
      model.diagnostics.error(member.keySpan, "the name \"loss\" is reserved");
      return false;
    }
    if (llvm::is_contained(signature.names, member.key)) {
      model.diagnostics.error(member.keySpan, "input \"" + member.key +
                                                  "\" is an input of the model "
                                                  "already");
      return false;
    }
    signature.names.push_back(member.key);
    signature.types.push_back(RankedTensorType::get(spec.shape, spec.element));
  }
  return true;
}

/// The scalar that the training section's nodes, behind the model's, come to.
static Expr findLoss(BodyBuilder &body, const Json &training) {
  const Json &name = *training.find("loss");
  Result loss = body.lookup(name);
  if (!loss)
    return {};
  if (!loss.isTuple && loss.value.rank() == 0 && loss.value.isFloat())
    return loss.value;
  body.model.diagnostics.error(
      name.span, "the loss must be a floating scalar, but \"" + name.string +
                     "\" is " +
                     (loss.isTuple ? std::string("a tuple")
                                   : dtypeName(loss.value.element()) + " " +
                                         shapeText(loss.value.shape())));
  return {};
}

/// New values of buffers that the model names itself.
static void addUpdates(BodyBuilder &body) {
  const Model &model = body.model;
  const Json *train = model.root.find("train");
  const Json *list = train ? train->find("updates") : nullptr;
  if (!list)
    return;
  // All are of the time before: one may be another's.
  SmallVector<std::pair<const StateTensor *, Expr>> named;
  for (const JsonMember &member : list->members) {
    if (member.key == "comment")
      continue;
    const StateTensor *buffer = model.tree.findState(member.key);
    if (!buffer || !buffer->isBuffer) {
      model.diagnostics.error(member.keySpan,
                              "updates: no buffer \"" + member.key + "\"");
      continue;
    }
    if (!member.value.isString()) {
      model.diagnostics.error(member.value.span,
                              "updates: expected the name of a value, got " +
                                  member.value.describe());
      continue;
    }
    Result value = body.lookup(member.value);
    if (!value)
      continue;
    if (value.isTuple || value.value.shape() != Ints(buffer->shape) ||
        value.value.element() != buffer->element) {
      model.diagnostics.error(
          member.value.span,
          "updates: \"" + member.key + "\" is " + dtypeName(buffer->element) +
              " " + shapeText(buffer->shape) + ", but \"" +
              member.value.string + "\" is " +
              (value.isTuple ? std::string("a tuple")
                             : dtypeName(value.value.element()) + " " +
                                   shapeText(value.value.shape())));
      continue;
    }
    named.push_back({buffer, value.value});
  }
  for (auto &[buffer, value] : named)
    body.update(*buffer, value);
}

/// The model's outputs, by name.
static bool findOutputs(BodyBuilder &body, const Json &graph,
                        Outputs &outputs) {
  const Model &model = body.model;
  bool complete = true;
  auto output = [&](const Json &value, const std::string &as, Span span) {
    if (!value.isString()) {
      model.diagnostics.error(value.span,
                              "an output is the name of a value, got " +
                                  value.describe());
      complete = false;
      return;
    }
    Result result = body.lookup(value);
    complete &= bool(result);
    if (result.isTuple) {
      model.diagnostics.error(value.span,
                              "output \"" + value.string + "\" is a tuple");
      complete = false;
    } else if (llvm::is_contained(outputs.names, as)) {
      model.diagnostics.error(span, "output \"" + as + "\" is named twice");
      complete = false;
    } else if (result) {
      complete &=
          model.checkName(as, span) && model.checkFree(as, "an output", span);
      outputs.add(as, result.value);
    }
  };
  const Json &list = *graph.find("outputs");
  for (const Json &item : list.items)
    output(item, item.string, item.span);
  for (const JsonMember &member : list.members)
    if (member.key != "comment")
      output(member.value, member.key, member.keySpan);
  return complete;
}

/// The least that a model needs to train, for errors.
static constexpr const char *trainingExample =
    "\n  \"training\": {\"inputs\": {\"target\": {\"shape\": [16], \"dtype\": "
    "\"i64\"}}, \"loss\": \"l\", \"optimizer\": {\"type\": \"optim.SGD\", "
    "\"lr\": 0.1},"
    "\n   \"nodes\": [{\"name\": \"l\", \"op\": \"F.cross_entropy\", "
    "\"inputs\": [\"logits\", \"target\"]}]}";

/// Reports what a constraint refused in the formulas of an entry itself.
static bool hasProblem(BodyBuilder &body, const std::string &entry) {
  std::string problem = std::exchange(body.builder.problem, "");
  if (problem.empty())
    return false;
  const Json &root = body.model.root;
  const Json &place = hasLoss(entry) ? *root.find("training") : root;
  body.model.diagnostics.error(place.span,
                               "the entry " + entry + ": " + problem);
  return true;
}

/// Whether the model has what the entry needs.
static bool checkEntry(const Model &model, const std::string &entry) {
  const Json *training = model.root.find("training");
  const Json *train = model.root.find("train");
  if (isTraining(entry) && train && !train->isObject()) {
    model.diagnostics.error(
        train->span, "the entry " + entry +
                         " trains, and this model has no graph for that" +
                         (train->isString() ? ": " + train->string : ""));
    return false;
  }
  if (!hasLoss(entry))
    return true;
  if (!training) {
    model.diagnostics.error(nowhere, "the entry " + entry +
                                         " needs a \"training\" section: "
                                         "what to minimise and how, as in" +
                                         trainingExample);
    return false;
  }
  if (!bodyOf(*training, isTraining(entry)).find("loss") &&
      model.trainingFits) {
    model.diagnostics.error(
        training->span, "the entry " + entry + " needs a \"loss\"" +
                            (training->find("train") ? " in eval mode" : ""));
    return false;
  }
  if (entry == "train_step" && !training->find("optimizer")) {
    model.diagnostics.error(training->span,
                            "the entry train_step needs an \"optimizer\"");
    return false;
  }
  return true;
}

/// Runs the model's nodes, and those of the training section for a loss, which
/// comes back; the values to give go to `outputs`.
static FailureOr<Expr> runBody(BodyBuilder &body, const std::string &entry,
                               Outputs &outputs) {
  const Json &root = body.model.root, &graph = bodyOf(root, body.trains);
  bool isComplete = body.runNodes(graph);
  Expr total;
  if (!hasLoss(entry)) {
    if (!findOutputs(body, graph, outputs) || !isComplete)
      return failure();
  } else {
    if (!body.model.trainingFits)
      return failure();
    const Json &behind = bodyOf(*root.find("training"), body.trains);
    isComplete = isComplete && body.runNodes(behind);
    total = isComplete ? findLoss(body, behind) : Expr();
    if (!total)
      return failure();
    outputs.add("loss", total);
  }
  if (body.trains)
    addUpdates(body);
  return total;
}

/// Gradients, or what an optimizer makes of them, and new buffers.
static void addGradients(BodyBuilder &body, const std::string &entry,
                         Expr total, bool accumulates, Outputs &outputs) {
  bool steps = entry == "train_step";
  NamedValues of, parameters;
  if (entry != "train_forward")
    parameters = trainedParameters(body, steps);
  if (entry == "backward") {
    of = trainedInputs(body);
    NamedValues all = of;
    llvm::append_range(all, parameters);
    outputs.reached = outputsThatReach(all, outputs);
    total = addCotangents(body, outputs);
  }
  if (hasProblem(body, entry) || !body.trains)
    return;
  size_t reached = steps ? splitReached(parameters, total) : parameters.size();
  llvm::append_range(of, ArrayRef(parameters).take_front(reached));
  std::vector<Expr> gradients;
  if (total)
    gradients = gradientsOf(total, of, reached);
  if (steps)
    addOptimizer(body, parameters, gradients, accumulates, outputs);
  else
    for (auto [i, gradient] : llvm::enumerate(gradients))
      outputs.add("grad." + of[i].first, gradient);
  for (auto &[buffer, value] : body.updates)
    outputs.add(
        buffer->path, value,
        steps ? std::optional<int64_t>(parameters.size() + outputs.names.size())
              : std::nullopt);
}

/// One function; null after an error.
static func::FuncOp addBody(Model &model, const std::string &entry,
                            const std::string &name, const BodySizes &sizes,
                            bool accumulates) {
  const Json *training = model.root.find("training");
  Signature signature;
  if (!checkEntry(model, entry) ||
      !parseSignature(model, model.root.find("inputs"), sizes, signature) ||
      (hasLoss(entry) &&
       !parseSignature(model, training->find("inputs"), sizes, signature)))
    return {};
  BodyBuilder body(model, name, signature, isTraining(entry));
  OpBuilder &b = body.builder.b;
  if (!accumulates)
    body.function->setAttr(entryAttr, b.getStringAttr(entry));
  body.function->setAttr(sizesAttr, b.getStringAttr(sizesText(sizes)));
  Outputs outputs;
  FailureOr<Expr> total = runBody(body, entry, outputs);
  if (failed(total))
    return {};
  addGradients(body, entry, *total, accumulates, outputs);
  if (hasProblem(body, entry))
    return {};
  body.end(outputs);
  return body.function;
}

void addEntry(Model &model, const std::string &entry, const BodySizes &sizes,
              unsigned index) {
  std::string name = entry + (index ? "." + std::to_string(index) : "");
  func::FuncOp function = addBody(model, entry, name, sizes, false);
  if (!function || entry != "train_step")
    return;
  const Json *period = model.root.find("training")->find("accumulate_steps");
  if (!period || period->integer == 1)
    return;
  Builder b(function.getContext());
  name += ".accumulate";
  function->setAttr(periodAttr, b.getI64IntegerAttr(period->integer));
  function->setAttr(accumulateAttr, b.getStringAttr(name));
  addBody(model, entry, name, sizes, true);
}

void checkLoss(Model &model, const BodySizes &sizes) {
  const Json &root = model.root, &training = *root.find("training");
  const Json &behind = bodyOf(training, true);
  Signature signature;
  if (!behind.find("loss") ||
      !parseSignature(model, root.find("inputs"), sizes, signature) ||
      !parseSignature(model, training.find("inputs"), sizes, signature))
    return;
  BodyBuilder body(model, "loss", signature, true);
  if (body.runNodes(bodyOf(root, true)) && body.runNodes(behind)) {
    findLoss(body, behind);
    addUpdates(body);
  }
  body.function.erase();
}

} // namespace nncc
