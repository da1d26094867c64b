//===- Entries.cpp - entry points of a model ------------------------------===//
//
// The importer's functions: inputs, the model's nodes, outputs, and what an
// entry that trains adds.
//
//===----------------------------------------------------------------------===//
#include "frontend/ImporterImpl.h"
#include "frontend/Training.h"

using namespace mlir;

namespace nncc {

/// The types and names of an object of inputs.
bool Importer::parseInputs(const Json *list, Signature &signature) {
  if (!list)
    return true;
  if (!list->isObject()) {
    diagnostics.error(list->span,
                      "inputs must be an object, got " + list->describe());
    return false;
  }
  for (const JsonMember &member : list->members) {
    TensorSpec spec;
    if (member.key == "comment")
      continue;
    if (!parseTensor(member.value, spec) ||
        !checkName(member.key, member.keySpan) ||
        !checkFree(member.key, "an input", member.keySpan))
      return false;
    if (member.key == "loss") {
      diagnostics.error(member.keySpan, "the name \"loss\" is reserved");
      return false;
    }
    if (llvm::is_contained(signature.names, member.key)) {
      diagnostics.error(member.keySpan, "input \"" + member.key +
                                            "\" is an input of the model "
                                            "already");
      return false;
    }
    signature.names.push_back(member.key);
    signature.types.push_back(RankedTensorType::get(spec.shape, spec.element));
  }
  return true;
}

/// Begins a function with these arguments; its values go to `scope`.
func::FuncOp Importer::beginFunction(StringRef name, const Signature &signature,
                                     Scope &scope) {
  builder.room = maxPrimitives;
  builder.most = maxElements;
  builder.b.setInsertionPointToEnd(module->getBody());
  body.function =
      func::FuncOp::create(builder.b, UnknownLoc::get(context), name,
                           FunctionType::get(context, signature.types, {}));
  Block *entry = body.function.addEntryBlock();
  builder.b.setInsertionPointToStart(entry);
  for (auto [i, input] : llvm::enumerate(signature.names)) {
    body.function.setArgAttr(i, valueNameAttr, builder.b.getStringAttr(input));
    scope.values[input] = Expr(builder, entry->getArgument(i));
  }
  return body.function;
}

/// The scalar that the training section's nodes, behind the model's, come to.
Expr Importer::findLoss(const Json &training, Scope &scope) {
  const Json &name = *training.find("loss");
  Result loss = lookup(name, scope);
  if (!loss)
    return {};
  if (!loss.isTuple && loss.value.rank() == 0 && loss.value.isFloat())
    return loss.value;
  diagnostics.error(name.span,
                    "the loss must be a floating scalar, but \"" + name.string +
                        "\" is " +
                        (loss.isTuple ? std::string("a tuple")
                                      : dtypeName(loss.value.element()) + " " +
                                            shapeText(loss.value.shape())));
  return {};
}

/// Reports what is wrong with the training section's nodes, also where no entry
/// is made of them.
void Importer::checkLoss(const Json &root, const Json &training) {
  Scope scope;
  Signature signature;
  body = Body(true);
  if (!bodyOf(training).find("loss") ||
      !parseInputs(root.find("inputs"), signature) ||
      !parseInputs(training.find("inputs"), signature))
    return;
  beginFunction("loss", signature, scope);
  if (runNodes(bodyOf(root), scope) && runNodes(bodyOf(training), scope)) {
    findLoss(bodyOf(training), scope);
    addUpdates(root, scope);
  }
  body.function.erase();
}

/// What runs of a graph: in entries that train, its "train" where it has one.
const Json &Importer::bodyOf(const Json &graph) const {
  const Json *train = body.trains ? graph.find("train") : nullptr;
  bool isGraph = train && (train->find("nodes") || train->find("loss"));
  return isGraph ? *train : graph;
}

/// The keys of a graph's "train"; false if it cannot be run.
bool Importer::checkTrain(const Json &graph, bool isModel) {
  const Json *train = graph.find("train");
  bool isFalse = train && train->isBoolean() && !train->boolean;
  if (!train || (isModel && (isFalse || train->isString())))
    return true; // none, or why there is none
  if (!train->isObject()) {
    diagnostics.error(train->span,
                      "train must be an object, got " + train->describe());
    return false;
  }
  if (isModel)
    checkKeys(*train, {"nodes", "outputs", "updates"}, "train");
  else
    checkKeys(*train, {"inputs", "nodes", "outputs"}, "train");
  if (const Json *list = train->find("updates"); list && !list->isObject())
    diagnostics.error(list->span,
                      "updates must be an object, got " + list->describe());
  const Json *outputs = train->find("outputs");
  bool isGraph = train->find("nodes") || outputs;
  if (!isModel || !isGraph ||
      (outputs && (outputs->isArray() || outputs->isObject())))
    return true;
  diagnostics.error(outputs ? outputs->span : train->span,
                    "\"outputs\" must be a list or an object of values");
  return false;
}

/// New values of buffers that the model names itself.
void Importer::addUpdates(const Json &root, Scope &scope) {
  const Json *train = root.find("train");
  const Json *list = train ? train->find("updates") : nullptr;
  if (!list)
    return;
  NamedValues named; // all are of the time before
  for (const JsonMember &member : list->members) {
    if (member.key == "comment")
      continue;
    auto spec = state.find(member.key);
    if (spec == state.end() || !spec->second.isBuffer) {
      diagnostics.error(member.keySpan,
                        "updates: no buffer \"" + member.key + "\"");
      continue;
    }
    if (!member.value.isString()) {
      diagnostics.error(member.value.span,
                        "updates: expected the name of a value, got " +
                            member.value.describe());
      continue;
    }
    Result value = lookup(member.value, scope);
    if (!value)
      continue;
    if (value.isTuple || value.value.shape() != Ints(spec->second.shape) ||
        value.value.element() != spec->second.element) {
      diagnostics.error(member.value.span,
                        "updates: \"" + member.key + "\" is " +
                            dtypeName(spec->second.element) + " " +
                            shapeText(spec->second.shape) + ", but \"" +
                            member.value.string + "\" is " +
                            (value.isTuple
                                 ? std::string("a tuple")
                                 : dtypeName(value.value.element()) + " " +
                                       shapeText(value.value.shape())));
      continue;
    }
    named.push_back({member.key, value.value});
  }
  for (auto &[path, value] : named) { // not by values: one may be another's
    auto tie = ties.find(path);
    StringRef own = state.find(tie == ties.end() ? path : tie->second)->first();
    body.weights[own] = body.updates[own] = value;
  }
}

/// The model's outputs, by name.
bool Importer::findOutputs(const Json &root, Scope &scope, Outputs &outputs) {
  bool complete = true;
  auto output = [&](const Json &value, const std::string &as, Span span) {
    if (!value.isString()) {
      diagnostics.error(value.span, "an output is the name of a value, got " +
                                        value.describe());
      complete = false;
      return;
    }
    Result result = lookup(value, scope);
    complete &= bool(result);
    if (result.isTuple) {
      diagnostics.error(value.span,
                        "output \"" + value.string + "\" is a tuple");
      complete = false;
    } else if (llvm::is_contained(outputs.names, as)) {
      diagnostics.error(span, "output \"" + as + "\" is named twice");
      complete = false;
    } else if (result) {
      complete &= checkName(as, span) && checkFree(as, "an output", span);
      outputs.add(as, result.value);
    }
  };
  const Json &list = *root.find("outputs");
  for (const Json &item : list.items)
    output(item, item.string, item.span);
  for (const JsonMember &member : list.members)
    if (member.key != "comment")
      output(member.value, member.key, member.keySpan);
  return complete;
}

/// The names of parameters that are trained: floating, not frozen, and in a
/// `step` those that the optimizer has.
std::vector<std::string> Importer::trainedParameters(const Json &root,
                                                     bool step) {
  const Json *training = root.find("training");
  const Json *frozen = training ? training->find("frozen") : nullptr;
  const Json *only =
      step ? training->find("optimizer")->find("params") : nullptr;
  std::vector<std::string> names;
  for (const std::string &path : statePaths) {
    const TensorSpec &spec = state[path];
    if (!ties.count(path) && !spec.isBuffer &&
        !(frozen && matchesAny(*frozen, path)) &&
        !(only && !matchesAny(*only, path)) && isa<FloatType>(spec.element))
      names.push_back(path);
  }
  return names;
}

/// What autograd has a path to from `value`: through floats, and not through
/// what is detached. A function whose derivative is 0 everywhere (floor) is on
/// the path: it gives a gradient of zeros, not none.
static llvm::DenseSet<Value> reachedFrom(Expr value) {
  llvm::DenseSet<Value> reached;
  SmallVector<Value> open;
  auto visit = [&](Value next) {
    if (isa<FloatType>(tensorType(next).getElementType()) &&
        reached.insert(next).second)
      open.push_back(next);
  };
  visit(value.value());
  while (!open.empty()) {
    Operation *op = open.pop_back_val().getDefiningOp();
    if (op && !isa<DetachOp>(op))
      llvm::for_each(op->getOperands(), visit);
  }
  return reached;
}

/// For each of `of` the outputs that autograd has a path from.
static llvm::StringMap<std::string> outputsThatReach(const NamedValues &of,
                                                     const Outputs &outputs) {
  llvm::StringMap<std::string> result;
  for (auto [name, value] : llvm::zip_equal(outputs.names, outputs.values)) {
    llvm::DenseSet<Value> reached = reachedFrom(value);
    for (const std::pair<std::string, Expr> &one : of)
      if (reached.contains(one.second.value())) {
        std::string &list = result["grad." + one.first];
        list += (list.empty() ? "" : ",") + name;
      }
  }
  return result;
}

/// Moves the parameters without a gradient to the end; gives the number of the
/// others.
static size_t splitReached(NamedValues &parameters, Expr loss) {
  llvm::DenseSet<Value> reached = reachedFrom(loss);
  auto end =
      std::stable_partition(parameters.begin(), parameters.end(),
                            [&](const std::pair<std::string, Expr> &named) {
                              return reached.contains(named.second.value());
                            });
  return end - parameters.begin();
}

/// Another argument of the function.
Expr Importer::argument(StringRef name, RankedTensorType type) {
  unsigned number = body.function.getNumArguments();
  auto attr =
      builder.b.getNamedAttr(valueNameAttr, builder.b.getStringAttr(name));
  (void)body.function.insertArgument(
      number, type, builder.b.getDictionaryAttr(attr), builder.loc);
  return Expr(builder, body.function.getArgument(number));
}

/// [seed, step] of the run.
Expr Importer::key() {
  for (unsigned i = 0; i < body.function.getNumArguments(); ++i)
    if (body.function.getArgAttr(i, keyAttr))
      return Expr(builder, body.function.getArgument(i));
  Expr key =
      argument("seed", RankedTensorType::get({2}, builder.b.getI64Type()));
  body.function.setArgAttr(body.function.getNumArguments() - 1, keyAttr,
                           builder.b.getUnitAttr());
  return key;
}

/// The outputs of `backward` times their cotangents, summed: what it
/// differentiates. A cotangent per floating output becomes an argument.
Expr Importer::addCotangents(const Outputs &outputs) {
  Expr total;
  for (auto [name, value] : llvm::zip_equal(outputs.names, outputs.values)) {
    if (!value.isFloat())
      continue;
    Expr part = sumAll(value * argument("grad." + name, value.type()));
    total = total ? total + part : part;
  }
  return total;
}

/// Floating inputs that ask for a gradient.
std::vector<std::string> Importer::trainedInputs(const Json &root,
                                                 Scope &scope) {
  std::vector<std::string> names;
  if (const Json *inputs = root.find("inputs"))
    for (const JsonMember &member : inputs->members) {
      const Json *grad = member.value.find("grad");
      if (member.key != "comment" && (!grad || grad->boolean) &&
          scope.values[member.key].value.isFloat())
        names.push_back(member.key);
    }
  return names;
}

/// The most bytes of a bucket of gradients, as torch's DistributedDataParallel
/// has it.
static constexpr int64_t bucketBytes = 25 << 20;

/// Gradients of the values in `of`. The last `parameters` of them go through
/// `all_reduce` in buckets, last ones first: the order in which backward has
/// them.
std::vector<Expr> Importer::gradientsOf(Expr total, const NamedValues &of,
                                        size_t parameters) {
  SmallVector<Value> values;
  SmallVector<Type> types;
  for (auto &[name, value] : of) {
    values.push_back(value.value());
    types.push_back(value.type());
  }
  Expr one = full(builder, total.element(), {}, 1);
  auto gradient = GradientOp::create(builder.b, builder.loc, types,
                                     total.value(), one.value(), values);
  SmallVector<Value> results(gradient.getResults());
  SmallVector<size_t> bucket;
  int64_t filled = 0;
  auto flush = [&] {
    SmallVector<Value> operands;
    SmallVector<Type> operandTypes;
    SmallVector<Attribute> names;
    for (size_t i : bucket) {
      operands.push_back(results[i]);
      operandTypes.push_back(types[i]);
      names.push_back(builder.b.getStringAttr(of[i].first));
    }
    auto reduced = AllReduceOp::create(builder.b, builder.loc, operandTypes,
                                       operands, builder.b.getArrayAttr(names));
    for (auto [i, result] : llvm::zip_equal(bucket, reduced.getResults()))
      results[i] = result;
    bucket.clear();
    filled = 0;
  };
  for (size_t i = of.size(); i-- > of.size() - parameters;) {
    bucket.push_back(i);
    auto type = cast<RankedTensorType>(types[i]);
    filled += type.getNumElements() * type.getElementTypeBitWidth() / 8;
    if (filled >= bucketBytes)
      flush();
  }
  if (!bucket.empty())
    flush();
  std::vector<Expr> gradients;
  for (Value result : results)
    gradients.push_back(Expr(builder, result));
  return gradients;
}

/// The least that a model needs to train, for errors.
static constexpr const char *trainingExample =
    "\n  \"training\": {\"inputs\": {\"target\": {\"shape\": [16], \"dtype\": "
    "\"i64\"}}, \"loss\": \"l\", \"optimizer\": {\"type\": \"optim.SGD\", "
    "\"lr\": 0.1},"
    "\n   \"nodes\": [{\"name\": \"l\", \"op\": \"F.cross_entropy\", "
    "\"inputs\": [\"logits\", \"target\"]}]}";

/// Reports what a constraint refused in the formulas of an entry itself.
bool Importer::hasProblem(Span span, const std::string &entry) {
  std::string problem = std::exchange(builder.problem, "");
  if (!problem.empty())
    diagnostics.error(span, "the entry " + entry + ": " + problem);
  return !problem.empty();
}

/// Whether the entry's last value is the training section's.
static bool hasLoss(StringRef entry) {
  return entry == "loss" || entry == "loss_and_grad" || entry == "train_step";
}

/// Whether the model has what the entry needs.
bool Importer::checkEntry(const Json &root, const std::string &entry) {
  const Json *training = root.find("training"), *train = root.find("train");
  if (body.trains && train && !train->isObject()) {
    diagnostics.error(train->span,
                      "the entry " + entry +
                          " trains, and this model has no graph for that" +
                          (train->isString() ? ": " + train->string : ""));
    return false;
  }
  if (!hasLoss(entry))
    return true;
  if (!training) {
    diagnostics.error(nowhere, "the entry " + entry +
                                   " needs a \"training\" section: what to "
                                   "minimise and how, as in" +
                                   trainingExample);
    return false;
  }
  if (!bodyOf(*training).find("loss") && trainingFits) {
    diagnostics.error(training->span,
                      "the entry " + entry + " needs a \"loss\"" +
                          (training->find("train") ? " in eval mode" : ""));
    return false;
  }
  if (entry == "train_step" && !training->find("optimizer")) {
    diagnostics.error(training->span,
                      "the entry train_step needs an \"optimizer\"");
    return false;
  }
  return true;
}

/// Runs the model's nodes, and those of the training section for a loss, which
/// comes back; the values to give go to `outputs`.
FailureOr<Expr> Importer::runBody(const Json &root, const std::string &entry,
                                  Scope &scope, Outputs &outputs) {
  const Json &nodes = bodyOf(root);
  bool isComplete = runNodes(nodes, scope);
  Expr total;
  if (!hasLoss(entry)) {
    if (!findOutputs(nodes, scope, outputs) || !isComplete)
      return failure();
  } else {
    if (!trainingFits)
      return failure();
    const Json &behind = bodyOf(*root.find("training"));
    isComplete = isComplete && runNodes(behind, scope);
    total = isComplete ? findLoss(behind, scope) : Expr();
    if (!total)
      return failure();
    outputs.add("loss", total);
  }
  if (body.trains)
    addUpdates(root, scope);
  return total;
}

/// Gradients, or what an optimizer makes of them, and new buffers.
void Importer::addGradients(const Json &root, const std::string &entry,
                            Expr total, Scope &scope, bool accumulates,
                            Outputs &outputs) {
  bool steps = entry == "train_step";
  NamedValues of, parameters;
  if (entry != "train_forward")
    for (const std::string &path : trainedParameters(root, steps))
      parameters.push_back({path, stateValue(path).value});
  if (entry == "backward") {
    for (const std::string &input : trainedInputs(root, scope))
      of.push_back({input, scope.values[input].value});
    NamedValues all = of;
    llvm::append_range(all, parameters);
    outputs.reached = outputsThatReach(all, outputs);
    total = addCotangents(outputs);
  }
  const Json *training = hasLoss(entry) ? root.find("training") : nullptr;
  if (hasProblem((training ? *training : root).span, entry) || !body.trains)
    return;
  size_t reached = steps ? splitReached(parameters, total) : parameters.size();
  llvm::append_range(of, ArrayRef(parameters).take_front(reached));
  std::vector<Expr> gradients;
  if (total)
    gradients = gradientsOf(total, of, reached);
  if (steps)
    addOptimizer(*training, parameters, gradients, accumulates, outputs);
  else
    for (auto [i, gradient] : llvm::enumerate(gradients))
      outputs.add("grad." + of[i].first, gradient);
  for (auto &[path, value] : body.updates)
    outputs.add(
        path.str(), value,
        steps ? std::optional<int64_t>(parameters.size() + outputs.names.size())
              : std::nullopt);
}

/// Gives the function its results.
void Importer::endFunction(const Outputs &outputs) {
  SmallVector<Value> results;
  SmallVector<Type> types;
  for (const Expr &value : outputs.values) {
    results.push_back(value.value());
    types.push_back(value.type());
  }
  func::ReturnOp::create(builder.b, UnknownLoc::get(context), results);
  func::FuncOp function = body.function;
  function.setFunctionType(
      FunctionType::get(context, function.getArgumentTypes(), types));
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

void Importer::importBody(const Json &root, const std::string &entry,
                          unsigned index, bool accumulates) {
  Scope scope;
  Signature signature;
  Outputs outputs;
  const Json *training = root.find("training");
  body = Body(entry != "forward" && entry != "loss");
  if (!checkEntry(root, entry) ||
      !parseInputs(root.find("inputs"), signature) ||
      (hasLoss(entry) && !parseInputs(training->find("inputs"), signature)))
    return;
  std::string name = entry + (index ? "." + std::to_string(index) : "");
  beginFunction(name + (accumulates ? ".accumulate" : ""), signature, scope);
  func::FuncOp function = body.function;
  if (!accumulates)
    function->setAttr(entryAttr, builder.b.getStringAttr(entry));
  function->setAttr(sizesAttr, builder.b.getStringAttr(currentSizes()));
  FailureOr<Expr> total = runBody(root, entry, scope, outputs);
  if (failed(total))
    return;
  addGradients(root, entry, *total, scope, accumulates, outputs);
  if (hasProblem((hasLoss(entry) ? *training : root).span, entry))
    return;
  endFunction(outputs);
  const Json *period =
      entry == "train_step" ? training->find("accumulate_steps") : nullptr;
  if (accumulates || !period || period->integer == 1)
    return;
  function->setAttr(periodAttr, builder.b.getI64IntegerAttr(period->integer));
  function->setAttr(accumulateAttr,
                    builder.b.getStringAttr(name + ".accumulate"));
  importBody(root, entry, index, true);
}

} // namespace nncc
