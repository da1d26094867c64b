//===- Schema.cpp - the JSON Schema of the model format -------------------===//
#include "frontend/Schema.h"
#include "frontend/ModuleDef.h"
#include "frontend/Optimizers.h"
#include "llvm/Support/JSON.h"
#include <cmath>

namespace json = llvm::json;

namespace nncc {

static json::Object typeIs(const char *type) {
  return json::Object{{"type", type}};
}

static json::Value numberJson(Number number) {
  if (number.isInteger())
    return number.toInteger();
  return number.toDouble();
}

/// A default: a number, a boolean, a word, integers or null.
static json::Value valueJson(const ArgValue &value) {
  if (const bool *flag = value.as<bool>())
    return *flag;
  if (const auto *word = value.as<std::string>())
    return *word;
  if (const auto *list = value.as<ArgValue::Integers>())
    return json::Array(*list);
  std::optional<Number> number = value.number();
  return number ? numberJson(*number) : json::Value(nullptr);
}

/// A number within the argument's bounds.
static json::Object numberSchema(const ArgDef &arg, const char *type) {
  json::Object object = typeIs(type);
  if (arg.least)
    object["minimum"] = numberJson(*arg.least);
  if (arg.most)
    object["maximum"] = numberJson(*arg.most);
  return object;
}

static json::Array wordsOf(const ArgDef &arg) {
  json::Array list;
  for (const std::string &word : arg.words)
    list.push_back(word);
  return list;
}

/// One integer or a list of them, or a word.
static json::Object integersSchema(const ArgDef &arg) {
  json::Object item = numberSchema(arg, "integer");
  if (arg.hasNullItems)
    item =
        json::Object{{"anyOf", json::Array{std::move(item), typeIs("null")}}};
  json::Array choices{
      numberSchema(arg, "integer"),
      json::Object{{"type", "array"}, {"items", std::move(item)}}};
  if (!arg.words.empty())
    choices.push_back(json::Object{{"enum", wordsOf(arg)}});
  return json::Object{{"anyOf", std::move(choices)}};
}

/// What an argument may be in a file.
static json::Object argumentSchema(const ArgDef &arg) {
  json::Object schema;
  switch (arg.kind) {
  case ArgKind::integer:
    schema = numberSchema(arg, "integer");
    break;
  case ArgKind::number:
    schema["anyOf"] =
        json::Array{numberSchema(arg, "number"),
                    json::Object{{"enum", json::Array{"inf", "-inf", "nan"}}}};
    break;
  case ArgKind::boolean:
    schema = typeIs("boolean");
    break;
  case ArgKind::mode:
    schema["enum"] = json::Array{true, false, "mode"};
    break;
  case ArgKind::integers:
    schema = integersSchema(arg);
    break;
  case ArgKind::word:
    schema["enum"] = wordsOf(arg);
    break;
  case ArgKind::state:
    schema["$ref"] = "#/$defs/tensor";
    break;
  case ArgKind::dtype:
    schema["$ref"] = "#/$defs/dtype";
    break;
  case ArgKind::tensor:
  case ArgKind::tensors:
  case ArgKind::index:
    break; // names, literals and lists of them
  }
  if (arg.isNullable && !schema.empty())
    schema =
        json::Object{{"anyOf", json::Array{std::move(schema), typeIs("null")}}};
  if (!arg.isRequired && (arg.isNullable || !arg.standard.isNull()))
    schema["default"] = valueJson(arg.standard);
  return schema;
}

static json::Object objectOf(json::Object properties, json::Array required) {
  properties["comment"] = json::Object{};
  return json::Object{{"type", "object"},
                      {"properties", std::move(properties)},
                      {"required", std::move(required)},
                      {"additionalProperties", false}};
}

static json::Object mapOf(json::Value value) {
  return json::Object{{"type", "object"},
                      {"additionalProperties", std::move(value)}};
}

static json::Object moduleSchema(const Face &face) {
  json::Array names, required{"type"};
  for (const std::string &name : face.names)
    names.push_back(name);
  json::Object properties{{"type", json::Object{{"enum", std::move(names)}}}};
  for (const ArgDef &arg : face.attributes) {
    properties[arg.name] = argumentSchema(arg);
    if (arg.isRequired)
      required.push_back(arg.name);
  }
  if (face.isModule())
    properties["parametrizations"] =
        mapOf(json::Object{{"$ref", "#/$defs/parametrization"}});
  json::Object schema = objectOf(std::move(properties), std::move(required));
  schema["description"] = face.of->doc;
  return schema;
}

static const char *typeRuleName(TypeRule rule) {
  switch (rule) {
  case TypeRule::any:
    return "any";
  case TypeRule::numeric:
    return "numeric";
  case TypeRule::same:
    return "same";
  case TypeRule::floating:
    return "floating";
  case TypeRule::floats:
    return "floats";
  }
  return "";
}

/// Where an operand's elements may lie; bounds that are none are left out.
static json::Object domainJson(const Domain &domain) {
  json::Object object;
  if (!std::isinf(domain.low))
    object["low"] = domain.low;
  if (!std::isinf(domain.high))
    object["high"] = domain.high;
  if (domain.isOpen)
    object["open"] = true;
  if (!domain.poles.empty())
    object["poles"] = json::Array(domain.poles);
  if (!domain.corners.empty())
    object["corners"] = json::Array(domain.corners);
  if (domain.period != 0)
    object["period"] = domain.period;
  return object;
}

/// A function as a node calls it. What a JSON Schema has no words for stands
/// under "x-...": the order of inputs, the type rule, the domains, the other
/// names of these.
static json::Object functionSchema(const Face &face, const Registry &registry) {
  json::Array names, positional;
  json::Object twins, aliases, domains;
  for (llvm::StringRef name : registry.names(Face::Kind::function)) {
    const Spelling &spelling = *registry.find(name);
    if (spelling.face != &face)
      continue;
    names.push_back(name);
    if (!spelling.of.empty())
      (spelling.isInPlace ? twins : aliases)[name] = spelling.of;
  }
  json::Object properties{{"op", json::Object{{"enum", std::move(names)}}},
                          {"name", json::Object{}},
                          {"inputs", typeIs("array")}};
  for (const ArgDef &arg : face.inputs) {
    positional.push_back(arg.name);
    properties[arg.name] = argumentSchema(arg);
    for (const std::string &synonym : arg.synonyms)
      properties[synonym] = argumentSchema(arg);
    if (json::Object domain = domainJson(arg.domain); !domain.empty())
      domains[arg.name] = std::move(domain);
  }
  json::Object schema =
      objectOf(std::move(properties), json::Array{"op", "name"});
  schema["description"] = face.of->doc;
  schema["x-positional"] = std::move(positional);
  schema["x-types"] = typeRuleName(face.of->types);
  if (!twins.empty())
    schema["x-twins"] = std::move(twins);
  if (!aliases.empty())
    schema["x-aliases"] = std::move(aliases);
  if (!domains.empty())
    schema["x-domains"] = std::move(domains);
  return schema;
}

static json::Object tensorSchema() {
  json::Object size{
      {"anyOf", json::Array{json::Object{{"type", "integer"}, {"minimum", 0}},
                            typeIs("string")}}};
  json::Object properties{
      {"shape", json::Object{{"type", "array"}, {"items", std::move(size)}}},
      {"dtype", json::Object{{"$ref", "#/$defs/dtype"}}},
      {"grad", typeIs("boolean")},
      {"init", typeIs("object")}};
  return objectOf(std::move(properties), json::Array{"shape", "dtype"});
}

static json::Object attributeSchema(const OptimizerAttribute &attribute) {
  auto value = [&](std::optional<double> number) -> json::Value {
    if (!number)
      return nullptr;
    if (attribute.kind == OptimizerAttribute::boolean)
      return *number != 0;
    return *number;
  };
  json::Object schema = typeIs("number");
  if (!std::isinf(attribute.least))
    schema["minimum"] = attribute.least;
  if (!std::isinf(attribute.below))
    schema[attribute.isClosed ? "maximum" : "exclusiveMaximum"] =
        attribute.below;
  if (attribute.nullable)
    schema["type"] = json::Array{"number", "null"};
  if (attribute.kind == OptimizerAttribute::boolean)
    schema = typeIs("boolean");
  if (attribute.kind != OptimizerAttribute::pair) {
    schema["default"] = value(attribute.standard[0]);
    return schema;
  }
  json::Array standard;
  for (std::optional<double> number : attribute.standard)
    standard.push_back(value(number));
  return json::Object{{"type", "array"},
                      {"items", std::move(schema)},
                      {"minItems", 2},
                      {"maxItems", 2},
                      {"default", std::move(standard)}};
}

/// An optimizer, its groups, and, for those who have state to hand over, the
/// names of what it keeps ("x-state").
static json::Object optimizerSchema(const Optimizer &optimizer) {
  json::Array states;
  json::Object group, whole;
  json::Object patterns{{"type", "array"}, {"items", typeIs("string")}};
  for (const OptimizerAttribute &attribute : optimizer.attributes) {
    group[attribute.name] = attributeSchema(attribute);
    whole[attribute.name] = attributeSchema(attribute);
  }
  for (const OptimizerState &state : optimizer.states)
    states.push_back(state.name);
  group["params"] = json::Object(patterns);
  whole["params"] = std::move(patterns);
  whole["type"] = json::Object{{"const", optimizer.name}};
  whole["groups"] = json::Object{
      {"type", "array"},
      {"items", objectOf(std::move(group), json::Array{"params"})}};
  json::Object schema = objectOf(std::move(whole), json::Array{"type"});
  schema["x-state"] = std::move(states);
  return schema;
}

/// Keys that the model and its classes share.
static json::Object graphProperties() {
  json::Object ref{{"$ref", "#/$defs/module"}};
  json::Object modules{
      {"anyOf", json::Array{mapOf(json::Object(ref)),
                            json::Object{{"type", "array"},
                                         {"items", json::Object(ref)}}}}};
  json::Object tensors = mapOf(json::Object{{"$ref", "#/$defs/tensor"}});
  return json::Object{
      {"modules", std::move(modules)},
      {"parameters", json::Object(tensors)},
      {"buffers", json::Object(tensors)},
      {"nodes",
       json::Object{{"type", "array"},
                    {"items", json::Object{{"$ref", "#/$defs/node"}}}}},
      {"outputs", json::Object{{"type", json::Array{"array", "object"}}}}};
}

/// What a graph runs in entries that train.
static json::Object trainSchema(llvm::StringRef key, json::Object value) {
  json::Object all = graphProperties();
  json::Object properties{{"nodes", std::move(*all.get("nodes"))},
                          {"outputs", std::move(*all.get("outputs"))},
                          {key, std::move(value)}};
  return objectOf(std::move(properties), {});
}

/// The top level of a file.
static json::Object topSchema() {
  json::Object properties = graphProperties();
  properties["train"] = json::Object{
      {"anyOf", json::Array{trainSchema("updates", mapOf(typeIs("string"))),
                            json::Object{{"const", false}}, typeIs("string")}}};
  properties["format"] = json::Object{{"const", "nncc-model/1"}};
  properties["name"] = typeIs("string");
  properties["inputs"] = mapOf(json::Object{{"$ref", "#/$defs/tensor"}});
  properties["dims"] = mapOf(typeIs("array"));
  properties["tie"] = mapOf(typeIs("string"));
  properties["training"] = json::Object{
      {"type", "object"},
      {"properties",
       json::Object{
           {"optimizer", json::Object{{"$ref", "#/$defs/optimizer"}}}}}};
  json::Object graph = graphProperties();
  json::Object names{{"type", "array"}, {"items", typeIs("string")}};
  graph["train"] = trainSchema("inputs", json::Object(names));
  graph["inputs"] = std::move(names);
  properties["classes"] =
      mapOf(objectOf(std::move(graph), json::Array{"outputs"}));
  return objectOf(std::move(properties), json::Array{"format", "outputs"});
}

std::string modelSchema() {
  Registry registry;
  json::Array modules, parametrizations, functions, ops, optimizerList;
  for (const Optimizer &optimizer : optimizers())
    optimizerList.push_back(optimizerSchema(optimizer));
  for (const Face &face : registry.faces())
    if (face.kind == Face::Kind::function)
      functions.push_back(functionSchema(face, registry));
    else
      (face.isModule() ? modules : parametrizations)
          .push_back(moduleSchema(face));
  for (llvm::StringRef name : registry.names(Face::Kind::function))
    ops.push_back(name);
  json::Object container{
      {"type",
       json::Object{{"enum", json::Array{"nn.Sequential", "nn.ModuleList",
                                         "nn.ModuleDict"}}}},
      {"modules", json::Object{{"type", json::Array{"array", "object"}}}}};
  modules.push_back(objectOf(std::move(container), json::Array{"type"}));
  json::Object ofClass{
      {"type", json::Object{{"type", "string"}, {"pattern", "^(?!nn\\.)"}}}};
  modules.push_back(objectOf(std::move(ofClass), json::Array{"type"}));
  json::Object node{
      {"type", "object"},
      {"required", json::Array{"name"}},
      {"properties",
       json::Object{{"op", json::Object{{"enum", std::move(ops)}}},
                    {"module", typeIs("string")},
                    {"inputs", typeIs("array")}}},
      {"anyOf", json::Array{json::Object{{"required", json::Array{"module"}}},
                            json::Object{{"$ref", "#/$defs/function"}}}}};
  json::Object schema = topSchema();
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "nncc-model/1";
  schema["$defs"] = json::Object{
      {"dtype", json::Object{{"enum", json::Array(dtypeNames())}}},
      {"tensor", tensorSchema()},
      {"module", json::Object{{"anyOf", std::move(modules)}}},
      {"parametrization", json::Object{{"anyOf", std::move(parametrizations)}}},
      {"function", json::Object{{"anyOf", std::move(functions)}}},
      {"optimizer", json::Object{{"anyOf", std::move(optimizerList)}}},
      {"node", std::move(node)}};
  std::string text;
  llvm::raw_string_ostream(text)
      << llvm::formatv("{0:2}", json::Value(std::move(schema))) << '\n';
  return text;
}

} // namespace nncc
