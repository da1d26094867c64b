//===- Checks.cpp - what definitions say about sizes ----------------------===//
//
// Dimensions, shape formulas, broadcasting, divisions: for the state of modules
// and for the tensors of calls.
//
//===----------------------------------------------------------------------===//
#include "frontend/Arguments.h"

namespace nncc {

/// The integers among the arguments.
static Sizes sizesOf(const Call &call) {
  Sizes sizes;
  for (const ArgDefs *list : {&call.def.attributes, &call.def.inputs})
    for (const ArgDef &def : *list) {
      bool isSize =
          def.kind == ArgKind::integer || def.kind == ArgKind::integers;
      if (!isSize || !call.has(def.name) || !call.word(def.name).empty())
        continue;
      sizes[def.name] = call.integers(def.name);
      for (auto [i, size] : llvm::enumerate(call.integers(def.name)))
        sizes[def.name + "." + std::to_string(i)] = {size};
    }
  return sizes;
}

static bool checkDivisions(Call &call, const Sizes &sizes) {
  for (const Division &division : call.def.of->divisions) {
    int64_t divisor = sizes.at(division.divisor).front();
    for (const std::string &name : division.multiples) {
      int64_t multiple = sizes.at(name).front();
      if (divisor == 0 || multiple % divisor)
        call.error(division.divisor, division.divisor + " must divide " + name +
                                         ", got " + division.divisor + " = " +
                                         llvm::Twine(divisor) + ", " + name +
                                         " = " + llvm::Twine(multiple));
    }
  }
  return !call.failed;
}

std::vector<StateDef> stateOf(Call &call) {
  std::vector<StateDef> list;
  const Definition &def = *call.def.of;
  Sizes sizes = sizesOf(call);
  if (!checkDivisions(call, sizes))
    return list;
  llvm::StringRef dtype =
      call.find("dtype") ? call.word("dtype") : llvm::StringRef("f32");
  for (const TensorDef &tensor : def.tensors) {
    if (tensor.isGiven) {
      if (!call.has(tensor.name))
        continue;
      const auto *type = call.find(tensor.name)->value->as<StateType>();
      list.push_back({tensor.name, type->shape, true, type->dtype});
      continue;
    }
    if (!llvm::all_of(tensor.conditions,
                      [&](const std::string &flag) { return call.flag(flag); }))
      continue;
    SizeError error;
    auto shape = tensor.shape.evaluate(sizes, error);
    if (!shape) {
      call.error(error.argument, error.text);
      return {};
    }
    list.push_back({tensor.name, *shape, tensor.isBuffer,
                    tensor.dtype.empty() ? dtype.str() : tensor.dtype});
  }
  if (def.declare)
    def.declare(call, list);
  return list;
}

/// One dimension of an operand of this rank, from the front; of a scalar as of
/// a vector.
static bool countFromFront(Call &call, const ArgDef &def, int64_t rank,
                           bool isScalar, int64_t &dim) {
  int64_t most = isScalar ? std::max<int64_t>(rank, 1) : rank;
  if (dim < -most || dim >= most) {
    call.error(def.name, def.name + " = " + llvm::Twine(dim) +
                             " is out of range for " + llvm::Twine(rank) +
                             " dimensions");
    return false;
  }
  dim += dim < 0 ? most : 0;
  return true;
}

/// As PyTorch has it, a scalar counts as a vector where a dimension of it is
/// asked for. A list of dimensions has none left of it; a single one needs the
/// vector, see `asVector`.
static bool settleDims(Call &call, const ArgDef &def, bool &needsVector) {
  const Arg &operand = call.args[def.dimOf];
  bool isTuple = operand.result.isTuple;
  Expr of = isTuple ? operand.result.items.front().value : operand.result.value;
  bool isScalar = !isTuple && of.rank() == 0;
  int64_t rank = of.rank() + def.moreDims;
  Arg &arg = call.args[def.name];
  bool isList = def.kind == ArgKind::integers;
  if (!arg.isNull())
    arg.dims = call.integers(def.name);
  if (isList && arg.dims.empty()) { // PyTorch reduces over all
    arg.dims = llvm::to_vector(llvm::seq<int64_t>(0, rank));
    return true;
  }
  for (int64_t &dim : arg.dims)
    if (!countFromFront(call, def, rank, isScalar, dim))
      return false;
  needsVector |= isScalar && rank == 0 && !isList && !def.isScalarToo;
  if (!isList)
    return true;
  llvm::sort(arg.dims);
  if (std::adjacent_find(arg.dims.begin(), arg.dims.end()) != arg.dims.end()) {
    call.error(def.name, def.name + " names a dimension twice");
    return false;
  }
  if (isScalar)
    arg.dims.clear();
  return true;
}

static bool checkShape(Call &call, const std::string &name,
                       const ShapeFormula &formula, bool onlyBroadcasts,
                       Sizes &sizes) {
  Expr x = call.tensor(name);
  SizeError error;
  if (!x)
    return true;
  if (onlyBroadcasts) {
    auto target = formula.evaluate(sizes, error);
    auto shape = target ? broadcastShape(x.shape(), *target) : std::nullopt;
    if (shape && *shape == *target)
      return true;
  } else if (formula.match(x.shape(), sizes, error)) {
    return true;
  }
  if (!error.text.empty())
    call.error(error.argument, error.text);
  else
    call.error(name, name + " must " +
                         (onlyBroadcasts ? "broadcast to " : "have shape ") +
                         formula.text(sizes) + ", got " + shapeText(x.shape()));
  return false;
}

static bool checkBroadcasting(Call &call) {
  llvm::SmallVector<int64_t> all;
  std::string before;
  for (const std::string &name : call.def.of->broadcasting) {
    Expr x = call.tensor(name);
    auto shape = broadcastShape(all, x.shape());
    if (!shape) {
      call.error(name, "shapes of " + before + " " + shapeText(all) + " and " +
                           name + " " + shapeText(x.shape()) +
                           " do not broadcast");
      return false;
    }
    all = *shape;
    before += (before.empty() ? "" : ", ") + name;
  }
  return true;
}

static bool checkShapes(Call &call) {
  const Definition &def = *call.def.of;
  Sizes sizes = sizesOf(call);
  auto isTensor = [&](const ArgDef &arg) {
    return llvm::any_of(def.tensors, [&](const TensorDef &tensor) {
      return tensor.name == arg.name;
    });
  };
  for (const ArgDef &arg : call.def.inputs)
    if (arg.shape && !isTensor(arg) &&
        !checkShape(call, arg.name, *arg.shape, arg.onlyBroadcasts, sizes))
      return false;
  for (const TensorDef &tensor : def.tensors)
    if (!checkShape(call, tensor.name, tensor.shape, tensor.onlyBroadcasts,
                    sizes))
      return false;
  return checkDivisions(call, sizes) && checkBroadcasting(call);
}

/// Emits with the scalar, the operand of `dim`, as a vector of one element, and
/// gives the element back; what gives more than one needs a dimension.
static Result asVector(Call &call, const std::string &operand) {
  Expr &x = call.args[operand].result.value;
  x = reshape(x, {1});
  Result result = call.def.of->emit(call);
  if (!result)
    return result;
  if (!result.isTuple && result.value.shape() == Ints({1}))
    return reshape(result.value, {});
  return call.error("", "needs a tensor of at least one dimension");
}

Result runCall(Call &call) {
  if (call.failed || !settleTypes(call))
    return {};
  std::string scalar;
  for (const ArgDefs *list : {&call.def.attributes, &call.def.inputs})
    for (const ArgDef &def : *list) {
      bool needsVector = false;
      if (!def.dimOf.empty() && !settleDims(call, def, needsVector))
        return {};
      if (needsVector)
        scalar = def.dimOf;
    }
  if (!checkShapes(call))
    return {};
  mlir::Type rounded = call.def.of->isInF32 ? widenHalves(call) : mlir::Type();
  Result result =
      scalar.empty() ? call.def.of->emit(call) : asVector(call, scalar);
  if (rounded && result.value && result.value.element().isF32())
    result.value = convert(result.value, rounded);
  return result;
}

} // namespace nncc
