//===- Training.cpp - what a model says about training --------------------===//
//
// What optimizers take is in their table (Optimizers.cpp).
//
//===----------------------------------------------------------------------===//
#include "frontend/Training.h"
#include "frontend/Optimizers.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/GlobPattern.h"
#include <cmath>

namespace nncc {

namespace {

class Checker {
public:
  Checker(llvm::ArrayRef<std::string> state, Diagnostics &diagnostics)
      : state(state), diagnostics(diagnostics) {}

  void check(const Json &training) {
    if (!isObject(training, "training"))
      return;
    static const llvm::StringRef keys[] = {
        "inputs",         "nodes",           "loss",   "optimizer",
        "clip_grad_norm", "clip_grad_value", "frozen", "accumulate_steps",
        "train",          "comment"};
    for (const JsonMember &member : training.members)
      if (!llvm::is_contained(keys, member.key))
        unknown(member, "in training", keys);
    checkLoss(training);
    for (const char *key : {"clip_grad_norm", "clip_grad_value"})
      if (const Json *value = training.find(key))
        if (!value->isNumber() || value->number <= 0)
          diagnostics.error(value->span,
                            llvm::Twine(key) +
                                " must be a positive number, got " +
                                value->describe());
    if (const Json *steps = training.find("accumulate_steps"))
      if (!steps->isInteger() || steps->integer < 1)
        diagnostics.error(steps->span,
                          "accumulate_steps must be a positive integer, got " +
                              steps->describe());
    if (const Json *frozen = training.find("frozen"))
      checkPatterns(*frozen, "frozen");
    if (const Json *optimizer = training.find("optimizer"))
      checkOptimizer(*optimizer);
  }

private:
  bool isObject(const Json &json, const char *what) {
    if (json.isObject())
      return true;
    diagnostics.error(json.span, llvm::Twine(what) +
                                     " must be an object, got " +
                                     json.describe());
    return false;
  }

  /// The loss of entries that train stands in "train" where it is another one
  /// than in eval mode, or there is none in eval mode.
  void checkLoss(const Json &training) {
    const Json *train = training.find("train");
    if (train && !isObject(*train, "train"))
      return;
    if (train)
      for (const JsonMember &member : train->members)
        if (member.key != "nodes" && member.key != "loss" &&
            member.key != "comment")
          unknown(member, "in train", {"nodes", "loss"});
    const Json *loss = training.find("loss");
    if (train && (!loss || loss->isString()))
      loss = train->find("loss");
    bool onlyFreezes =
        training.find("frozen") &&
        llvm::all_of(training.members, [](const JsonMember &member) {
          return member.key == "frozen" || member.key == "comment";
        });
    if (loss ? !loss->isString() : !onlyFreezes)
      diagnostics.error(loss    ? loss->span
                        : train ? train->span
                                : training.span,
                        "training needs \"loss\", the name of a scalar value");
  }

  void unknown(const JsonMember &member, const llvm::Twine &where,
               llvm::ArrayRef<llvm::StringRef> known) {
    diagnostics.error(member.keySpan, "unknown key \"" + member.key + "\" " +
                                          where +
                                          didYouMean(member.key, known));
  }

  /// A list of patterns, each of which names some state.
  void checkPatterns(const Json &list, const char *what) {
    if (!list.isArray()) {
      diagnostics.error(list.span,
                        llvm::Twine(what) +
                            " must be a list of name patterns, got " +
                            list.describe());
      return;
    }
    for (const Json &item : list.items) {
      if (!item.isString()) {
        diagnostics.error(item.span,
                          "a name pattern is a string, got " + item.describe());
        continue;
      }
      auto pattern = llvm::GlobPattern::create(item.string);
      bool matches = false;
      if (pattern)
        matches = llvm::any_of(state, [&](const std::string &name) {
          return pattern->match(name);
        });
      else
        llvm::consumeError(pattern.takeError());
      if (!matches)
        diagnostics.error(item.span,
                          "pattern \"" + item.string + "\" matches no state");
    }
  }

  /// False after an error.
  bool checkAttributes(const Json &object, const Optimizer &optimizer,
                       llvm::ArrayRef<llvm::StringRef> others) {
    std::vector<llvm::StringRef> known = {"comment", "params"};
    llvm::append_range(known, others);
    bool fits = true;
    for (const OptimizerAttribute &attribute : optimizer.attributes)
      known.push_back(attribute.name);
    for (const JsonMember &member : object.members) {
      if (!llvm::is_contained(known, member.key)) {
        unknown(member, "of " + optimizer.name, known);
        fits = false;
        continue;
      }
      for (const OptimizerAttribute &attribute : optimizer.attributes)
        if (attribute.name == member.key)
          fits &= checkValue(member.value, attribute, optimizer.name);
    }
    if (const Json *params = object.find("params"))
      checkPatterns(*params, "params");
    return fits;
  }

  /// What does not go together, in the optimizer or with a group's attributes.
  void checkConflict(const Json &at, const Optimizer &optimizer,
                     llvm::ArrayRef<const Json *> sources) {
    Update update;
    setAttributes(update, optimizer, sources);
    if (const char *conflict =
            optimizer.conflict ? optimizer.conflict(update) : nullptr)
      diagnostics.error(at.span, optimizer.name + llvm::Twine(": ") + conflict);
  }

  static bool isKind(const Json &value, const OptimizerAttribute &attribute) {
    if (attribute.kind == OptimizerAttribute::boolean)
      return value.isBoolean();
    if (attribute.kind == OptimizerAttribute::number)
      return value.isNumber();
    return value.isArray() && value.items.size() == 2 &&
           (value.items[0].isNumber() ||
            (attribute.nullable && value.items[0].isNull())) &&
           value.items[1].isNumber();
  }

  /// "not be negative", "be at least 1 and below 2"; empty if all numbers are
  /// right.
  static std::string range(const OptimizerAttribute &attribute) {
    auto text = [](double value) {
      return llvm::formatv("{0}", llvm::format("%g", value)).str();
    };
    std::string least = text(attribute.least), most = text(attribute.below);
    bool open = std::isinf(attribute.below);
    if (attribute.least == 0)
      return open ? "not be negative" : "be in [0, " + most + ")";
    if (std::isinf(attribute.least))
      return open
                 ? ""
                 : "be " +
                       std::string(attribute.isClosed ? "at most " : "below ") +
                       most;
    return "be at least " + least;
  }

  bool checkValue(const Json &value, const OptimizerAttribute &attribute,
                  llvm::StringRef optimizer) {
    auto must = [&](const llvm::Twine &what) {
      diagnostics.error(value.span, optimizer + llvm::Twine(": ") +
                                        attribute.name + " must " + what +
                                        ", got " + value.describe());
      return false;
    };
    if (!isKind(value, attribute))
      return must(attribute.kind == OptimizerAttribute::boolean
                      ? "be true or false"
                  : attribute.kind == OptimizerAttribute::pair
                      ? "be a list of two numbers"
                      : "be a number");
    if (attribute.kind == OptimizerAttribute::boolean)
      return true;
    auto inRange = [&](const Json &item) {
      return item.isNull() ||
             (item.number >= attribute.least &&
              (attribute.isClosed ? item.number <= attribute.below
                                  : item.number < attribute.below));
    };
    for (const Json &item : value.isArray() ? value.items : std::vector{value})
      if (!inRange(item)) {
        diagnostics.error(item.span, optimizer + llvm::Twine(": ") +
                                         attribute.name + " must " +
                                         range(attribute) + ", got " +
                                         item.describe());
        return false;
      }
    return true;
  }

  void checkOptimizer(const Json &json) {
    if (!isObject(json, "optimizer"))
      return;
    const Json *type = json.find("type");
    const std::vector<Optimizer> &all = optimizers();
    std::vector<llvm::StringRef> names;
    for (const Optimizer &optimizer : all)
      names.push_back(optimizer.name);
    if (!type || !type->isString()) {
      diagnostics.error(json.span, "an optimizer needs a \"type\"");
      return;
    }
    auto found = llvm::find(names, type->string);
    if (found == names.end()) {
      diagnostics.error(type->span, "unknown optimizer \"" + type->string +
                                        "\"" + didYouMean(type->string, names));
      return;
    }
    const Optimizer &optimizer = all[found - names.begin()];
    bool fits = checkAttributes(json, optimizer, {"type", "groups"});
    if (fits)
      checkConflict(json, optimizer, {&json});
    const Json *groups = json.find("groups");
    if (!groups)
      return;
    if (!groups->isArray()) {
      diagnostics.error(groups->span,
                        "groups must be a list, got " + groups->describe());
      return;
    }
    for (const Json &group : groups->items) {
      if (!isObject(group, "a group"))
        continue;
      if (!group.find("params"))
        diagnostics.error(group.span, "a group needs \"params\"");
      if (checkAttributes(group, optimizer, {}) && fits)
        checkConflict(group, optimizer, {&json, &group});
    }
  }

  llvm::ArrayRef<std::string> state;
  Diagnostics &diagnostics;
};

} // namespace

bool checkTraining(const Json &training, llvm::ArrayRef<std::string> state,
                   Diagnostics &diagnostics) {
  unsigned before = diagnostics.errorCount();
  Checker(state, diagnostics).check(training);
  return diagnostics.errorCount() == before;
}

bool checkTrain(const Json &graph, bool isModel, Diagnostics &diagnostics) {
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
    checkKeys(*train, {"nodes", "outputs", "updates"}, "train", diagnostics);
  else
    checkKeys(*train, {"inputs", "nodes", "outputs"}, "train", diagnostics);
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

const Json &bodyOf(const Json &graph, bool trains) {
  const Json *train = trains ? graph.find("train") : nullptr;
  bool isGraph = train && (train->find("nodes") || train->find("loss"));
  return isGraph ? *train : graph;
}

bool matchesAny(const Json &list, llvm::StringRef name) {
  return llvm::any_of(list.items, [&](const Json &item) {
    auto pattern = llvm::GlobPattern::create(item.string);
    return pattern && pattern->match(name);
  });
}

} // namespace nncc
