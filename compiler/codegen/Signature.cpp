//===- Signature.cpp - what a model's callers see -------------------------===//
#include "codegen/Signature.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace nncc {

nncc_dtype dtypeOf(Type type) {
  if (type.isF32())
    return NNCC_F32;
  if (type.isF64())
    return NNCC_F64;
  if (type.isF16())
    return NNCC_F16;
  if (type.isBF16())
    return NNCC_BF16;
  if (type.isUnsignedInteger(8))
    return NNCC_U8;
  switch (type.getIntOrFloatBitWidth()) {
  case 64:
    return NNCC_I64;
  case 32:
    return NNCC_I32;
  case 16:
    return NNCC_I16;
  case 8:
    return NNCC_I8;
  default:
    return NNCC_BOOL;
  }
}

std::string originOf(Location loc) {
  if (auto named = dyn_cast<NameLoc>(loc))
    return named.getName().str();
  SmallVector<std::string> origins;
  if (auto fused = dyn_cast<FusedLoc>(loc))
    for (Location part : fused.getLocations())
      if (std::string origin = originOf(part);
          !origin.empty() && !llvm::is_contained(origins, origin))
        origins.push_back(origin);
  return llvm::join(origins, " + ");
}

std::string valueName(DictionaryAttr attrs, unsigned index) {
  if (attrs)
    if (auto name = attrs.getAs<StringAttr>(valueNameAttr))
      return name.str();
  return std::to_string(index);
}

std::vector<TensorInfo> inputsOf(func::FuncOp entry) {
  std::vector<TensorInfo> list;
  for (auto [i, type] : llvm::enumerate(entry.getArgumentTypes()))
    if (!entry.getArgAttr(i, keyAttr)) {
      TensorInfo &info = list.emplace_back();
      info.name = valueName(entry.getArgAttrDict(i), i);
      info.type = cast<RankedTensorType>(type);
      if (auto initial = entry.getArgAttrOfType<FloatAttr>(i, defaultAttr))
        info.initial = initial.getValueAsDouble();
    }
  return list;
}

uint64_t inputNumber(func::FuncOp entry, unsigned argument) {
  uint64_t number = argument;
  for (unsigned i = 0; i < argument; ++i)
    number -= bool(entry.getArgAttr(i, keyAttr));
  return number;
}

std::vector<TensorInfo> outputsOf(func::FuncOp entry) {
  std::vector<TensorInfo> list;
  for (auto [i, type] : llvm::enumerate(entry.getResultTypes()))
    if (!entry.getResultAttr(i, updateAttr)) {
      TensorInfo &info = list.emplace_back();
      info.name = valueName(entry.getResultAttrDict(i), i);
      info.type = cast<RankedTensorType>(type);
      if (auto from = entry.getResultAttrOfType<StringAttr>(i, reachedAttr))
        info.reached = from.str();
    }
  return list;
}

std::vector<TensorInfo> weightsOf(ModuleOp model) {
  std::vector<TensorInfo> list;
  auto names = model->getAttrOfType<ArrayAttr>(weightsAttr);
  auto types = model->getAttrOfType<ArrayAttr>(weightTypesAttr);
  auto fresh = model->getAttrOfType<DenseBoolArrayAttr>(freshAttr);
  if (names && types)
    for (auto [i, name, type] : llvm::enumerate(names, types))
      list.push_back({cast<StringAttr>(name).str(),
                      cast<RankedTensorType>(cast<TypeAttr>(type).getValue()),
                      std::nullopt, fresh && fresh[i]});
  return list;
}

} // namespace nncc
