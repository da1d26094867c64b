//===- Arguments.cpp - JSON values as arguments ---------------------------===//
#include "frontend/Arguments.h"
#include <limits>

namespace nncc {

bool isNumberLiteral(const Json &json, double &value) {
  if (json.isNumber()) {
    value = json.number;
    return true;
  }
  if (!json.isString())
    return false;
  double infinity = std::numeric_limits<double>::infinity();
  if (json.string == "inf")
    value = infinity;
  else if (json.string == "-inf")
    value = -infinity;
  else if (json.string == "nan")
    value = std::numeric_limits<double>::quiet_NaN();
  else
    return false;
  return true;
}

namespace {

/// What a kind expects, for error texts.
std::string expected(const ArgDef &def) {
  switch (def.kind) {
  case ArgKind::tensor:
    return "a value";
  case ArgKind::tensors:
    return "a list of values";
  case ArgKind::integer:
    return "an integer";
  case ArgKind::integers: {
    std::string text = "an integer or a list of integers";
    for (llvm::StringRef word : def.words)
      text += (" or \"" + word + "\"").str();
    return text;
  }
  case ArgKind::number:
    return "a number";
  case ArgKind::boolean:
    return "true or false";
  case ArgKind::mode:
    return "true, false or \"mode\"";
  case ArgKind::word: {
    std::string text = "one of";
    for (llvm::StringRef word : def.words)
      text += (" \"" + word + "\"").str();
    return text;
  }
  case ArgKind::dtype:
    return "an element type such as \"f32\"";
  case ArgKind::state:
    return "{\"shape\": [...], \"dtype\": \"f32\"}";
  case ArgKind::index:
    return "an index";
  }
  return "";
}

class Parser {
public:
  Parser(Call &call, const ArgDef &def, ValueLookup lookup)
      : call(call), def(def), lookup(lookup) {}

  bool parse(const Json &json, Arg &arg) {
    arg.json = &json;
    arg.literal = json;
    if (json.isNull() && def.nullable)
      return true;
    switch (def.kind) {
    case ArgKind::tensor:
      return tensor(json, arg.result);
    case ArgKind::tensors:
      return tensors(json, arg);
    case ArgKind::integer:
      return json.isInteger() ? inRange(json) : mismatch(json);
    case ArgKind::integers:
      if (json.isString() && llvm::is_contained(def.words, json.string))
        return true;
      if (json.isInteger())
        return inRange(json);
      if (!json.isArray())
        return mismatch(json);
      return llvm::all_of(json.items, [&](const Json &item) {
        if (item.isNull() && def.nullItems)
          return true;
        return item.isInteger() ? inRange(item) : mismatch(item);
      });
    case ArgKind::number:
      if (!isNumberLiteral(json, arg.literal.number))
        return mismatch(json);
      return inRange(arg.literal);
    case ArgKind::boolean:
      return json.isBoolean() || mismatch(json);
    case ArgKind::mode:
      return json.isBoolean() || (json.isString() && json.string == "mode") ||
             mismatch(json);
    case ArgKind::word:
      return (json.isString() && llvm::is_contained(def.words, json.string)) ||
             mismatch(json);
    case ArgKind::dtype:
      return isDType(json) || mismatch(json);
    case ArgKind::state:
      return isState(json) || mismatch(json);
    case ArgKind::index:
      return llvm::all_of(json.items, [&](const Json &entry) {
        const Json *value = entry.find("value");
        return !value ||
               tensor(*value, call.indexTensors[value->string].result);
      });
    }
    return false;
  }

private:
  /// A constructor's tensor: static sizes and a known type.
  bool isState(const Json &json) {
    const Json *shape = json.find("shape"), *dtype = json.find("dtype");
    return shape && shape->isArray() && dtype &&
           llvm::all_of(shape->items,
                        [](const Json &size) {
                          return size.isInteger() && size.integer >= 0;
                        }) &&
           isDType(*dtype);
  }
  static bool isDType(const Json &json) {
    static const char *const names[] = {"f32", "f64", "f16", "bf16", "i64",
                                        "i32", "i16", "i8",  "u8",   "bool"};
    return json.isString() && llvm::is_contained(names, json.string);
  }
  bool fail(const Json &json, const llvm::Twine &text) {
    std::string where = call.path.empty() ? "" : call.path + " ";
    call.diagnostics.error(json.span, where + "(" + call.name + "): " + text);
    call.failed = true;
    return false;
  }
  bool mismatch(const Json &json) {
    return fail(json, def.name + " must be " + expected(def) + ", got " +
                          json.describe());
  }
  bool inRange(const Json &json) {
    if (def.most && json.number > *def.most)
      return fail(json, def.name + " must be at most " +
                            llvm::Twine(int64_t(*def.most)) + ", got " +
                            json.describe());
    if (!def.least || json.number >= *def.least)
      return true;
    return fail(json, def.name + " must be at least " +
                          llvm::Twine(int64_t(*def.least)) + ", got " +
                          json.describe());
  }
  bool tensor(const Json &json, Result &result) {
    double value;
    if (json.isBoolean() || isNumberLiteral(json, value)) {
      // Its type depends on the other tensors: settleTypes.
      result = scalar(*call.builder, call.builder->b.getF32Type(), 0);
      return true;
    }
    if (!json.isString())
      return mismatch(json);
    result = lookup(json);
    if (!result) {
      call.failed = true;
      return false;
    }
    if (result.isTuple)
      return fail(json, def.name + " must be a tensor, but \"" + json.string +
                            "\" is a tuple");
    return true;
  }
  bool tensors(const Json &json, Arg &arg) {
    arg.result.isTuple = true;
    if (json.isString()) {
      arg.result = lookup(json);
      if (!arg.result || !arg.result.isTuple) {
        call.failed = true;
        return arg.result ? mismatch(json) : false;
      }
      return true;
    }
    if (!json.isArray())
      return mismatch(json);
    for (const Json &item : json.items) {
      arg.result.items.emplace_back();
      if (!tensor(item, arg.result.items.back()))
        return false;
    }
    return true;
  }

  Call &call;
  const ArgDef &def;
  ValueLookup lookup;
};

} // namespace

bool parseArgument(Call &call, const ArgDef &def, const Json &json,
                   ValueLookup lookup) {
  return Parser(call, def, lookup).parse(json, call.args[def.name]);
}

void completeArguments(Call &call, llvm::ArrayRef<ArgDef> list) {
  for (const ArgDef &def : list) {
    if (call.args.count(def.name))
      continue;
    if (def.required) {
      call.error("", "missing " + def.name);
      continue;
    }
    Diagnostics none("", def.standard);
    Arg &arg = call.args[def.name];
    if (auto value = parseJson(def.standard, none))
      arg.literal = *value;
  }
}

} // namespace nncc
