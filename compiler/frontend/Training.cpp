//===- Training.cpp - checks of the training section ----------------------===//
//
// What optimizers take is in their table (Optimizers.cpp).
//
//===----------------------------------------------------------------------===//
#include "frontend/Training.h"
#include "frontend/Optimizers.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/GlobPattern.h"

namespace nncc {

namespace {

constexpr auto number = Json::Kind::number, boolean = Json::Kind::boolean,
               array = Json::Kind::array;

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
        "comment"};
    for (const JsonMember &member : training.members)
      if (!llvm::is_contained(keys, member.key))
        unknown(member, "in training", keys);
    const Json *loss = training.find("loss");
    if (!loss || !loss->isString())
      diagnostics.error(loss ? loss->span : training.span,
                        "training needs \"loss\", the name of a scalar value");
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

  void checkAttributes(const Json &object, const Optimizer &optimizer,
                       llvm::StringRef extra) {
    std::vector<llvm::StringRef> known = {"comment", extra};
    if (extra == "type")
      known.push_back("groups");
    for (const OptimizerAttribute &attribute : optimizer.attributes)
      known.push_back(attribute.name);
    for (const JsonMember &member : object.members) {
      if (!llvm::is_contained(known, member.key)) {
        unknown(member, "of " + optimizer.name, known);
        continue;
      }
      for (const OptimizerAttribute &attribute : optimizer.attributes)
        if (attribute.name == member.key)
          checkValue(member.value, attribute, optimizer.name);
    }
  }

  void checkValue(const Json &value, const OptimizerAttribute &attribute,
                  llvm::StringRef optimizer) {
    bool fits = value.kind == attribute.kind ||
                (attribute.kind == number && value.isInteger());
    const char *expected = attribute.kind == boolean ? "true or false"
                           : attribute.kind == array ? "a list of two numbers"
                                                     : "a number";
    if (fits && attribute.kind == array)
      fits = value.items.size() == 2 && value.items[0].isNumber() &&
             value.items[1].isNumber();
    if (!fits)
      diagnostics.error(value.span, optimizer + llvm::Twine(": ") +
                                        attribute.name + " must be " +
                                        expected + ", got " + value.describe());
    else if (attribute.kind == number && value.number < 0)
      diagnostics.error(value.span,
                        optimizer + llvm::Twine(": ") + attribute.name +
                            " must not be negative, got " + value.describe());
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
    checkAttributes(json, optimizer, "type");
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
      checkAttributes(group, optimizer, "params");
      const Json *params = group.find("params");
      if (params)
        checkPatterns(*params, "params");
      else
        diagnostics.error(group.span, "a group needs \"params\"");
    }
  }

  llvm::ArrayRef<std::string> state;
  Diagnostics &diagnostics;
};

} // namespace

void checkTraining(const Json &training, llvm::ArrayRef<std::string> state,
                   Diagnostics &diagnostics) {
  Checker(state, diagnostics).check(training);
}

bool matchesAny(const Json &list, llvm::StringRef name) {
  return llvm::any_of(list.items, [&](const Json &item) {
    auto pattern = llvm::GlobPattern::create(item.string);
    return pattern && pattern->match(name);
  });
}

} // namespace nncc
