// Any text as --input or --dim: parts of the text or an error.
#include "tools/nncc/Spec.h"
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string text(reinterpret_cast<const char *>(data), size), error;
  nncc::InputSpec tensor;
  if (nncc::parseInputSpec(text, tensor, error)) {
    if (tensor.name.empty() || tensor.name.size() + tensor.path.size() > size)
      abort();
  } else if (error.empty()) {
    abort();
  }
  nncc::DimSpec dim;
  error.clear();
  if (nncc::parseDimSpec(text, dim, error)) {
    if (dim.name.empty() || dim.sizes.empty())
      abort();
    for (int64_t dimSize : dim.sizes)
      if (dimSize < 0)
        abort();
  } else if (error.empty()) {
    abort();
  }
  return 0;
}
