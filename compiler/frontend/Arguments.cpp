//===- Arguments.cpp - JSON as typed values -------------------------------===//
#include "frontend/Arguments.h"
#include <limits>

namespace nncc {

llvm::ArrayRef<const char *> dtypeNames() {
  static const char *const names[] = {"f32", "f64", "f16", "bf16", "i64",
                                      "i32", "i16", "i8",  "u8",   "bool"};
  return names;
}

namespace {

/// A number, "inf", "-inf" or "nan".
std::optional<Number> numberOf(const Json &json) {
  if (json.isInteger())
    return Number(json.integer);
  if (json.isNumber())
    return Number(json.number);
  double infinity = std::numeric_limits<double>::infinity();
  if (json.isString() && json.string == "inf")
    return Number(infinity);
  if (json.isString() && json.string == "-inf")
    return Number(-infinity);
  if (json.isString() && json.string == "nan")
    return Number(std::numeric_limits<double>::quiet_NaN());
  return std::nullopt;
}

bool isAtLeast(Number x, Number y) {
  if (x.isInteger() && y.isInteger())
    return x.toInteger() >= y.toInteger();
  return x.toDouble() >= y.toDouble();
}

std::string wordsOf(const ArgDef &def, const char *between) {
  std::string text;
  for (const std::string &word : def.words)
    text += between + ("\"" + word + "\"");
  return text;
}

/// What a kind expects, for error texts.
std::string expected(const ArgDef &def) {
  switch (def.kind) {
  case ArgKind::tensor:
    return "a value";
  case ArgKind::tensors:
    return "a list of values";
  case ArgKind::integer:
    return "an integer";
  case ArgKind::integers:
    return "an integer or a list of integers" + wordsOf(def, " or ");
  case ArgKind::number:
    return "a number";
  case ArgKind::boolean:
    return "true or false";
  case ArgKind::mode:
    return "true, false or \"mode\"";
  case ArgKind::word:
    return "one of" + wordsOf(def, " ");
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
  Parser(const Site &site, const ArgDef &def) : site(site), def(def) {}

  bool parse(const Json &json, ArgValue &value) {
    value.span = json.span;
    if (json.isNull() && def.isNullable)
      return true;
    switch (def.kind) {
    case ArgKind::tensor:
      return tensor(json, value);
    case ArgKind::tensors:
      return tensors(json, value);
    case ArgKind::integer:
      return json.isInteger() ? number(json, value) : mismatch(json);
    case ArgKind::integers:
      return integers(json, value);
    case ArgKind::number:
      return numberOf(json) ? number(json, value) : mismatch(json);
    case ArgKind::boolean:
      value.data = json.boolean;
      return json.isBoolean() || mismatch(json);
    case ArgKind::mode:
      value.data = json.boolean;
      if (json.isString() && json.string == "mode")
        value.data = Mode();
      return json.isBoolean() || value.as<Mode>() || mismatch(json);
    case ArgKind::word:
    case ArgKind::dtype: {
      value.data = json.string;
      bool known = def.kind == ArgKind::word
                       ? llvm::is_contained(def.words, json.string)
                       : llvm::is_contained(dtypeNames(), json.string);
      return (json.isString() && known) || mismatch(json);
    }
    case ArgKind::state:
      return state(json, value);
    case ArgKind::index:
      return index(json, value);
    }
    return false;
  }

  /// One more integer of an argument that takes all the rest.
  bool parseMore(const Json &json, ArgValue &value) {
    if (value.isNull())
      value = {ArgValue::Integers(), json.span};
    std::get_if<ArgValue::Integers>(&value.data)->push_back(json.integer);
    return inRange(json, Number(json.integer));
  }

private:
  bool fail(const Json &json, const llvm::Twine &text) {
    site.report(json.span, text);
    return false;
  }
  bool mismatch(const Json &json) {
    return fail(json, def.name + " must be " + expected(def) + ", got " +
                          json.describe());
  }
  bool inRange(const Json &json, Number number) {
    if (def.least && !isAtLeast(number, *def.least))
      return fail(json, def.name + " must be at least " + def.least->text() +
                            ", got " + json.describe());
    if (!def.most || isAtLeast(*def.most, number))
      return true;
    return fail(json, def.name + " must be at most " + def.most->text() +
                          ", got " + json.describe());
  }
  bool number(const Json &json, ArgValue &value) {
    Number number = *numberOf(json);
    value.data = number;
    return inRange(json, number);
  }
  bool integers(const Json &json, ArgValue &value) {
    if (json.isString() && llvm::is_contained(def.words, json.string)) {
      value.data = json.string;
      return true;
    }
    if (json.isInteger() && !def.count)
      return number(json, value);
    ArgValue::Integers list;
    for (const Json &item : json.isInteger() ? std::vector{json} : json.items) {
      bool isNone = item.isNull() && def.hasNullItems;
      if (!isNone && !item.isInteger())
        return mismatch(item);
      if (!isNone && !inRange(item, Number(item.integer)))
        return false;
      list.push_back(item.integer); // null: 0
    }
    if (!json.isInteger() && !json.isArray())
      return mismatch(json);
    if (def.count && list.size() == 1 && !(def.isWhole && json.isArray()))
      list.assign(def.count, list[0]);
    if (def.count && int64_t(list.size()) != def.count)
      return fail(json, def.name + " needs one integer or a list of " +
                            llvm::Twine(def.count) + ", got " +
                            shapeText(list));
    value.data = std::move(list);
    return true;
  }
  /// A constructor's tensor: static sizes and a known type.
  bool state(const Json &json, ArgValue &value) {
    const Json *shape = json.find("shape"), *dtype = json.find("dtype");
    if (!shape || !shape->isArray() || !dtype || !dtype->isString() ||
        !llvm::is_contained(dtypeNames(), dtype->string))
      return mismatch(json);
    StateType type{{}, dtype->string};
    for (const Json &size : shape->items) {
      if (!size.isInteger() || size.integer < 0)
        return mismatch(json);
      type.shape.push_back(size.integer);
    }
    value.data = std::move(type);
    return true;
  }
  bool tensor(const Json &json, ArgValue &value) {
    value.span = json.span;
    if (json.isBoolean())
      value.data = json.boolean;
    else if (auto number = numberOf(json))
      value.data = *number;
    else if (json.isString())
      value.data = ValueName{json.string};
    else
      return mismatch(json);
    return true;
  }
  bool tensors(const Json &json, ArgValue &value) {
    if (json.isString())
      return tensor(json, value);
    if (!json.isArray())
      return mismatch(json);
    ArgValue::List list(json.items.size());
    for (auto [item, one] : llvm::zip_equal(json.items, list))
      if (!tensor(item, one))
        return false;
    value.data = std::move(list);
    return true;
  }
  bool index(const Json &json, ArgValue &value) {
    std::vector<Json> single;
    if (!json.isArray())
      single.push_back(json);
    const std::vector<Json> &items = json.isArray() ? json.items : single;
    ArgValue::List list(items.size());
    for (auto [item, one] : llvm::zip_equal(items, list))
      if (!indexEntry(item, one))
        return false;
    value.data = std::move(list);
    return true;
  }
  bool indexEntry(const Json &json, ArgValue &value) {
    value.span = json.span;
    const Json *name = json.find("value");
    if (json.isNull())
      return true;
    if (json.isInteger())
      value.data = Number(json.integer);
    else if (json.isString() && json.string == "...")
      value.data = Ellipsis();
    else if (json.isString())
      return slice(json, value);
    else if (name && name->isString())
      value.data = ValueName{name->string};
    else
      return fail(json, "an entry of an index is an integer, a slice, null, "
                        "\"...\" or {\"value\": name}");
    return true;
  }
  bool slice(const Json &json, ArgValue &value) {
    Slice slice;
    llvm::SmallVector<llvm::StringRef> parts;
    llvm::StringRef(json.string).split(parts, ':');
    auto read = [&](size_t i, std::optional<int64_t> &part) {
      int64_t number;
      if (i >= parts.size() || parts[i].empty())
        return true;
      bool isNumber = !parts[i].getAsInteger(10, number);
      part = number;
      return isNumber;
    };
    std::optional<int64_t> step;
    if (parts.size() < 2 || parts.size() > 3 || !read(0, slice.start) ||
        !read(1, slice.stop) || !read(2, step) || step.value_or(1) <= 0)
      return fail(json, "\"" + json.string +
                            "\" is no slice start:stop:step with a positive "
                            "step");
    slice.step = step.value_or(1);
    value.data = slice;
    return true;
  }

  const Site &site;
  const ArgDef &def;
};

/// "1 input", "2 inputs".
std::string plural(size_t count, const char *noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

void requireAll(const Site &site, llvm::ArrayRef<ArgDef> list,
                ParsedCall &call) {
  for (const ArgDef &def : list)
    if (def.isRequired && !call.values.count(def.name)) {
      site.report(site.span, "missing " + def.name);
      call.failed = true;
    }
}

/// A member of an object as an argument by name.
void parseNamed(const Site &site, llvm::ArrayRef<ArgDef> list, const char *noun,
                llvm::ArrayRef<llvm::StringRef> others,
                const JsonMember &member, ParsedCall &call) {
  const ArgDef *arg = findArgument(list, member.key);
  bool isNew = arg && call.values.try_emplace(arg->name).second;
  if (!arg) {
    std::vector<llvm::StringRef> known(others);
    for (const ArgDef &one : list)
      known.push_back(one.name);
    site.report(member.keySpan, llvm::Twine("unknown ") + noun + " \"" +
                                    member.key + "\"" +
                                    didYouMean(member.key, known));
  } else if (!isNew) {
    site.report(member.keySpan,
                llvm::Twine(noun) + " \"" + member.key + "\" is given twice");
  }
  if (!isNew || !Parser(site, *arg).parse(member.value, call.values[arg->name]))
    call.failed = true;
}

void parsePositional(const Site &site, const Face &face,
                     const std::vector<Json> &items, ParsedCall &call) {
  size_t i = 0;
  for (const Json &item : items) {
    if (i == face.inputs.size()) {
      site.report(site.span, "takes at most " +
                                 plural(face.inputs.size(), "input") +
                                 ", got " + llvm::Twine(items.size()));
      call.failed = true;
      return;
    }
    const ArgDef &arg = face.inputs[i];
    ArgValue &value = call.values[arg.name];
    if (arg.isVariadic && item.isInteger()) {
      call.failed |= !Parser(site, arg).parseMore(item, value);
      continue;
    }
    if (face.isModule() && (item.isNumber() || item.isBoolean())) {
      site.diagnostics.error(item.span, "an input of a module is the name of a "
                                        "value, got " +
                                            item.describe());
      call.failed = true;
    } else {
      call.failed |= !Parser(site, arg).parse(item, value);
    }
    ++i;
  }
}

} // namespace

ParsedCall parseAttributes(const Site &site, const Face &face, const Json &json,
                           llvm::ArrayRef<llvm::StringRef> others) {
  ParsedCall call;
  std::vector<llvm::StringRef> known = {"type"};
  llvm::append_range(known, others);
  for (const JsonMember &member : json.members)
    if (member.key != "comment" && !llvm::is_contained(known, member.key))
      parseNamed(site, face.attributes, "attribute", known, member, call);
  requireAll(site, face.attributes, call);
  return call;
}

ParsedCall parseInputs(const Site &site, const Face &face, const Json &node) {
  ParsedCall call;
  if (const Json *inputs = node.find("inputs"); inputs && inputs->isArray())
    parsePositional(site, face, inputs->items, call);
  for (const JsonMember &member : node.members) {
    static const char *const own[] = {"name", "op", "module", "inputs",
                                      "comment"};
    bool isMode = member.key == "training" && node.find("module");
    if (!isMode && !llvm::is_contained(own, member.key))
      parseNamed(site, face.inputs, "argument", {}, member, call);
  }
  if (!call.failed)
    requireAll(site, face.inputs, call);
  return call;
}

//===----------------------------------------------------------------------===//
// Binding
//===----------------------------------------------------------------------===//

static Arg &bindOne(Call &call, const ArgDef &def, const ParsedCall &parsed) {
  Arg &arg = call.args[def.name];
  auto it = parsed.values.find(def.name);
  arg.isGiven = it != parsed.values.end();
  arg.value = arg.isGiven ? &it->second : &def.standard;
  return arg;
}

void bindAttributes(Call &call, const ParsedCall &parsed) {
  call.failed |= parsed.failed;
  for (const ArgDef &def : call.def.attributes)
    bindOne(call, def, parsed);
}

/// The value that `written` names, a tensor; numbers stay for settleTypes.
static Result bindTensor(Call &call, const ArgDef &def, const ArgValue &written,
                         ValueLookup lookup) {
  const auto *name = written.as<ValueName>();
  if (!name)
    return {};
  Result result = lookup(*name, written.span);
  call.failed |= !result;
  if (result.isTuple && def.kind != ArgKind::tensors) {
    call.report(written.span, def.name + " must be a tensor, but \"" +
                                  name->name + "\" is a tuple");
    call.failed = true;
  }
  return result;
}

static void bindTensors(Call &call, const ArgDef &def, Arg &arg,
                        ValueLookup lookup) {
  if (const auto *list = arg.value->as<ArgValue::List>()) {
    ArgDef one(def.name, ArgKind::tensor);
    arg.result.isTuple = true;
    for (const ArgValue &item : *list)
      arg.result.items.push_back(bindTensor(call, one, item, lookup));
  } else if (!arg.value->isNull()) {
    arg.result = bindTensor(call, def, *arg.value, lookup);
  }
  if (arg.value->isNull() || call.failed)
    return;
  bool isList = arg.result.isTuple;
  for (const Result &item : arg.result.items)
    isList &= !item.isTuple;
  const auto *name = arg.value->as<ValueName>();
  if (!isList)
    call.error(def.name, def.name + " must be a list of values, got " +
                             (name ? "the string \"" + name->name + "\""
                                   : std::string("a number")));
  else if (def.isRequired && arg.result.items.empty())
    call.error(def.name, "needs at least one tensor");
}

void bindInputs(Call &call, const ParsedCall &parsed, ValueLookup lookup) {
  call.failed |= parsed.failed;
  if (call.failed)
    return;
  for (const ArgDef &def : call.def.inputs) {
    Arg &arg = bindOne(call, def, parsed);
    if (def.kind == ArgKind::tensor)
      arg.result = bindTensor(call, def, *arg.value, lookup);
    else if (def.isTensor())
      bindTensors(call, def, arg, lookup);
    else if (def.kind == ArgKind::index)
      for (const ArgValue &entry : *arg.value->as<ArgValue::List>())
        arg.result.items.push_back(
            bindTensor(call, ArgDef(def.name, ArgKind::tensor), entry, lookup));
  }
}

void bindInput(Call &call, const Result &input) {
  if (call.def.inputs.empty()) {
    call.error("", "takes no input, got 1");
    return;
  }
  ParsedCall none;
  const ArgDef &first = call.def.inputs.front();
  for (const ArgDef &def : call.def.inputs) {
    bindOne(call, def, none);
    if (&def != &first && def.isRequired)
      call.error("", "missing " + def.name);
  }
  if (input.isTuple && first.kind == ArgKind::tensor)
    call.error("", first.name + " must be a tensor, but is a tuple");
  call.args[first.name].result = input;
}

} // namespace nncc
