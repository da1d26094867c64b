//===- Dims.cpp - symbolic sizes, and shapes that name them ---------------===//
#include "frontend/Dims.h"
#include "dialect/Expr.h"
#include "frontend/Call.h"
#include "support/Size.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace nncc {

/// The most bodies of an entry.
constexpr int64_t maxBodies = 1024;

Dims::Dims(const Json &root, DimSizes given, MLIRContext *context,
           Diagnostics &diagnostics)
    : sizes(std::move(given)), place(root.span), context(context),
      diagnostics(diagnostics) {
  const Json *dims = root.find("dims");
  if (!dims)
    return;
  place = dims->span;
  if (!dims->isObject()) {
    diagnostics.error(dims->span,
                      "dims must be an object, got " + dims->describe());
    return;
  }
  for (const JsonMember &member : dims->members) {
    if (member.key == "comment")
      continue;
    std::vector<int64_t> list;
    for (const Json &item : member.value.items)
      if (item.isInteger() && item.integer >= 0)
        list.push_back(item.integer);
    if (!member.value.isArray() || list.empty() ||
        list.size() != member.value.items.size()) {
      diagnostics.error(member.value.span,
                        "sizes of dim \"" + member.key +
                            "\" must be a list of non-negative integers");
      continue;
    }
    std::set<int64_t> different(list.begin(), list.end());
    if (different.size() != list.size())
      diagnostics.error(member.value.span,
                        "dim \"" + member.key + "\" has a size twice");
    if (sizes.try_emplace(member.key, list).second)
      ofModel.insert(member.key);
  }
}

BodySizes Dims::first() const {
  BodySizes body;
  for (const auto &[name, list] : sizes)
    body[name] = list.front();
  return body;
}

std::vector<BodySizes> Dims::combinations() const {
  Size count = 1;
  for (const auto &[name, list] : sizes)
    count = count * int64_t(list.size());
  if (count > maxBodies) {
    diagnostics.error(place, "the sizes of dims combine to more than " +
                                 Twine(maxBodies) + " bodies");
    return {};
  }
  std::vector<BodySizes> bodies = {{}};
  for (const auto &[name, list] : sizes) {
    std::vector<BodySizes> longer;
    for (const BodySizes &body : bodies)
      for (int64_t size : list)
        longer.emplace_back(body)[name] = size;
    bodies = std::move(longer);
  }
  return bodies;
}

bool Dims::parseShape(const Json &json, const BodySizes &sizes,
                      SmallVectorImpl<int64_t> &shape) {
  if (!json.isArray()) {
    diagnostics.error(json.span,
                      "shape must be a list, got " + json.describe());
    return false;
  }
  for (const Json &item : json.items) {
    int64_t size;
    auto dim = item.isString() ? sizes.find(item.string) : sizes.end();
    if (item.isInteger() && item.integer >= 0) {
      size = item.integer;
    } else if (dim != sizes.end()) {
      size = dim->second;
      used.insert(item.string);
    } else if (item.isString()) {
      diagnostics.error(item.span, "symbolic dim \"" + item.string +
                                       "\" has no sizes; list them in \"dims\" "
                                       "or give --dim " +
                                       item.string + "=1,8");
      return false;
    } else {
      diagnostics.error(item.span, "a shape entry must be a non-negative "
                                   "integer or the name of a dim, got " +
                                       item.describe());
      return false;
    }
    shape.push_back(size);
  }
  std::string problem = shapeProblem(shape);
  if (!problem.empty())
    diagnostics.error(json.span, problem);
  return problem.empty();
}

bool Dims::parseTensor(const Json &json, const BodySizes &sizes,
                       TensorSpec &spec) {
  if (!json.isObject()) {
    diagnostics.error(json.span, "expected {\"shape\": [...], \"dtype\": "
                                 "\"f32\"}, got " +
                                     json.describe());
    return false;
  }
  checkKeys(json, {"shape", "dtype", "grad", "init"}, "a tensor", diagnostics);
  const Json *shape = json.find("shape"), *dtype = json.find("dtype");
  if (!shape || !dtype) {
    diagnostics.error(json.span, Twine("a tensor needs \"") +
                                     (shape ? "dtype" : "shape") + "\"");
    return false;
  }
  if (dtype->isString())
    spec.element = parseDType(dtype->string, context);
  if (!spec.element) {
    diagnostics.error(dtype->span,
                      "unknown dtype" +
                          (dtype->isString() ? " \"" + dtype->string + "\""
                                             : ", got " + dtype->describe()) +
                          ", expected f32, f64, f16, bf16, i64, i32, i16, i8, "
                          "u8 or bool");
    return false;
  }
  return parseShape(*shape, sizes, spec.shape);
}

void Dims::checkUsed() const {
  for (auto &[name, list] : sizes) {
    if (used.count(name) || ofModel.count(name))
      continue;
    diagnostics.error(
        nowhere, "--dim " + name + ": no shape of the model has the dim \"" +
                     name + "\"" +
                     (used.empty() ? std::string(", or any other")
                                   : "; it has " + llvm::join(used, ", ")));
  }
}

std::string sizesText(const BodySizes &sizes) {
  std::string text;
  for (auto &[name, size] : sizes)
    text += (text.empty() ? "" : ",") + name + "=" + std::to_string(size);
  return text;
}

} // namespace nncc
