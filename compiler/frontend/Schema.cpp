//===- Schema.cpp - the JSON Schema of the model format -------------------===//
#include "frontend/Schema.h"
#include "frontend/Optimizers.h"
#include "frontend/Parametrizations.h"
#include "llvm/Support/JSON.h"
#include <cmath>

namespace json = llvm::json;

namespace nncc {

static json::Object typeIs(const char *type) {
  return json::Object{{"type", type}};
}

/// What an argument may be in a file.
static json::Object argumentSchema(const ArgDef &arg) {
  json::Object schema;
  auto number = [&](const char *type) {
    json::Object object = typeIs(type);
    if (arg.least)
      object["minimum"] = *arg.least;
    if (arg.most)
      object["maximum"] = *arg.most;
    return object;
  };
  auto words = [&] {
    json::Array list;
    for (llvm::StringRef word : arg.words)
      list.push_back(word);
    return list;
  };
  switch (arg.kind) {
  case ArgKind::integer:
    schema = number("integer");
    break;
  case ArgKind::number:
    schema["anyOf"] =
        json::Array{number("number"),
                    json::Object{{"enum", json::Array{"inf", "-inf", "nan"}}}};
    break;
  case ArgKind::boolean:
    schema = typeIs("boolean");
    break;
  case ArgKind::mode:
    schema["enum"] = json::Array{true, false, "mode"};
    break;
  case ArgKind::integers: {
    json::Object item = number("integer");
    if (arg.nullItems)
      item =
          json::Object{{"anyOf", json::Array{std::move(item), typeIs("null")}}};
    schema["anyOf"] = json::Array{
        number("integer"),
        json::Object{{"type", "array"}, {"items", std::move(item)}}};
    if (!arg.words.empty())
      schema["anyOf"].getAsArray()->push_back(json::Object{{"enum", words()}});
    break;
  }
  case ArgKind::word:
    schema["enum"] = words();
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
  if (arg.nullable && !schema.empty())
    return json::Object{
        {"anyOf", json::Array{std::move(schema), typeIs("null")}}};
  if (!arg.standard.empty())
    if (auto value = json::parse(arg.standard))
      schema["default"] = std::move(*value);
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

static json::Object moduleSchema(const OpDef &def) {
  json::Array names, required{"type"};
  for (const std::string &name : def.names)
    names.push_back(name);
  json::Object properties{{"type", json::Object{{"enum", std::move(names)}}}};
  for (const ArgDef &arg : def.attributes) {
    properties[arg.name] = argumentSchema(arg);
    if (arg.required)
      required.push_back(arg.name);
  }
  if (!findParametrization(def.names.front()))
    properties["parametrizations"] =
        mapOf(json::Object{{"$ref", "#/$defs/parametrization"}});
  json::Object schema = objectOf(std::move(properties), std::move(required));
  schema["description"] = def.doc;
  return schema;
}

static json::Object parametrizationSchema() {
  json::Array list;
  for (const Parametrization &one : parametrizations())
    list.push_back(moduleSchema(one.def));
  return json::Object{{"anyOf", std::move(list)}};
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

std::string modelSchema() {
  Registry registry;
  json::Array modules, ops, optimizerList;
  for (const Optimizer &optimizer : optimizers())
    optimizerList.push_back(optimizerSchema(optimizer));
  for (const OpDef &def : registry.all()) {
    if (def.isModule()) {
      modules.push_back(moduleSchema(def));
      continue;
    }
    for (const std::string &name : def.names)
      ops.push_back(name);
  }
  json::Object container{
      {"type",
       json::Object{{"enum", json::Array{"nn.Sequential", "nn.ModuleList",
                                         "nn.ModuleDict"}}}},
      {"modules", json::Object{{"type", json::Array{"array", "object"}}}}};
  modules.push_back(objectOf(std::move(container), json::Array{"type"}));
  json::Object ofClass{
      {"type", json::Object{{"type", "string"}, {"pattern", "^(?!nn\\.)"}}}};
  modules.push_back(objectOf(std::move(ofClass), json::Array{"type"}));

  json::Object properties = graphProperties();
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
  graph["inputs"] =
      json::Object{{"type", "array"}, {"items", typeIs("string")}};
  properties["classes"] =
      mapOf(objectOf(std::move(graph), json::Array{"outputs"}));

  json::Object node{
      {"type", "object"},
      {"required", json::Array{"name"}},
      {"properties",
       json::Object{{"op", json::Object{{"enum", std::move(ops)}}},
                    {"module", typeIs("string")},
                    {"inputs", typeIs("array")}}}};
  json::Object schema =
      objectOf(std::move(properties), json::Array{"format", "outputs"});
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "nncc-model/1";
  schema["$defs"] = json::Object{
      {"dtype",
       json::Object{{"enum", json::Array{"f32", "f64", "f16", "bf16", "i64",
                                         "i32", "i16", "i8", "u8", "bool"}}}},
      {"tensor", tensorSchema()},
      {"module", json::Object{{"anyOf", std::move(modules)}}},
      {"parametrization", parametrizationSchema()},
      {"optimizer", json::Object{{"anyOf", std::move(optimizerList)}}},
      {"node", std::move(node)}};
  std::string text;
  llvm::raw_string_ostream(text)
      << llvm::formatv("{0:2}", json::Value(std::move(schema))) << '\n';
  return text;
}

} // namespace nncc
