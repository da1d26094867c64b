//===- HostTensor.cpp - tensors that own their data -----------------------===//
#include "HostTensor.h"
#include "llvm/ADT/APFloat.h"
#include <cmath>
#include <cstring>

namespace nncc {

HostTensor emptyTensor(const nncc_tensor &tensor) {
  return {tensor.name, static_cast<nncc_dtype>(tensor.dtype),
          std::vector<int64_t>(tensor.dims, tensor.dims + tensor.rank),
          std::vector<char>(tensor.bytes)};
}

static double smallFloat(uint16_t bits, const llvm::fltSemantics &semantics) {
  llvm::APFloat value(semantics, llvm::APInt(16, bits));
  bool isRounded;
  value.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven,
                &isRounded);
  return value.convertToDouble();
}

bool isFloat(uint64_t dtype) {
  return dtype == NNCC_F32 || dtype == NNCC_F64 || dtype == NNCC_F16 ||
         dtype == NNCC_BF16;
}

double elementAt(const void *data, uint64_t dtype, size_t i) {
  switch (static_cast<nncc_dtype>(dtype)) {
  case NNCC_F32:
    return static_cast<const float *>(data)[i];
  case NNCC_F64:
    return static_cast<const double *>(data)[i];
  case NNCC_F16:
    return smallFloat(static_cast<const uint16_t *>(data)[i],
                      llvm::APFloat::IEEEhalf());
  case NNCC_BF16:
    return smallFloat(static_cast<const uint16_t *>(data)[i],
                      llvm::APFloat::BFloat());
  default:
    return double(integerAt(data, dtype, i));
  }
}

int64_t integerAt(const void *data, uint64_t dtype, size_t i) {
  switch (static_cast<nncc_dtype>(dtype)) {
  case NNCC_I64:
    return static_cast<const int64_t *>(data)[i];
  case NNCC_I32:
    return static_cast<const int32_t *>(data)[i];
  case NNCC_I16:
    return static_cast<const int16_t *>(data)[i];
  case NNCC_I8:
    return static_cast<const int8_t *>(data)[i];
  default:
    return static_cast<const uint8_t *>(data)[i];
  }
}

template <typename T> static void put(char *at, double value) {
  T narrow = static_cast<T>(value);
  memcpy(at, &narrow, sizeof narrow);
}

static void putSmall(char *at, double value,
                     const llvm::fltSemantics &semantics) {
  llvm::APFloat narrow(value);
  bool isRounded;
  narrow.convert(semantics, llvm::APFloat::rmNearestTiesToEven, &isRounded);
  uint16_t bits = uint16_t(narrow.bitcastToAPInt().getZExtValue());
  memcpy(at, &bits, sizeof bits);
}

void setElement(HostTensor &tensor, size_t i, double value) {
  char *at = tensor.data.data() + i * nncc_dtype_bytes(tensor.dtype);
  switch (tensor.dtype) {
  case NNCC_F32:
    return put<float>(at, value);
  case NNCC_F64:
    return put<double>(at, value);
  case NNCC_F16:
    return putSmall(at, value, llvm::APFloat::IEEEhalf());
  case NNCC_BF16:
    return putSmall(at, value, llvm::APFloat::BFloat());
  case NNCC_I64:
    return put<int64_t>(at, value);
  case NNCC_I32:
    return put<int32_t>(at, value);
  case NNCC_I16:
    return put<int16_t>(at, value);
  case NNCC_I8:
    return put<int8_t>(at, value);
  case NNCC_U8:
    return put<uint8_t>(at, value);
  case NNCC_BOOL:
    return put<uint8_t>(at, value != 0);
  }
}

} // namespace nncc
