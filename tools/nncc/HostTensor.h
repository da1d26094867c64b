//===- HostTensor.h - tensors that own their data ---------------*- C++ -*-===//
#ifndef NNCC_TOOLS_HOSTTENSOR_H
#define NNCC_TOOLS_HOSTTENSOR_H

#include "runtime/nncc.h"
#include <string>
#include <vector>

namespace nncc {

struct HostTensor {
  std::string name;
  nncc_dtype dtype;
  std::vector<int64_t> dims;
  std::vector<char> data;

  nncc_view view() {
    return {data.data(), dtype, static_cast<uint32_t>(dims.size()),
            dims.data()};
  }
  size_t count() const { return data.size() / nncc_dtype_bytes(dtype); }
};

/// Zeros in the shape of a tensor of the descriptor.
HostTensor emptyTensor(const nncc_tensor &tensor);
/// Element `i` of a row-major tensor.
double elementAt(const void *data, uint64_t dtype, size_t i);
/// The same of a type that is none of floats, exact.
int64_t integerAt(const void *data, uint64_t dtype, size_t i);
bool isFloat(uint64_t dtype);
/// Rounds to the nearest value of the tensor's type.
void setElement(HostTensor &tensor, size_t i, double value);

} // namespace nncc
#endif // NNCC_TOOLS_HOSTTENSOR_H
