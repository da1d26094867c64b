// Any bytes as a .npy file: an array whose data fits its shape, or an error.
#include "tools/nncc/Npy.h"
#include "tools/nncc/HostTensor.h"
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string bytes(reinterpret_cast<const char *>(data), size), error;
  nncc::HostTensor tensor = {};
  if (!nncc::parseNpy(bytes, tensor, error))
    return 0;
  size_t count = nncc_dtype_bytes(tensor.dtype);
  for (int64_t dim : tensor.dims)
    count *= size_t(dim);
  if (count != tensor.data.size())
    abort();
  return 0;
}
