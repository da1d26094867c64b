// Any bytes as a safetensors file: tensors inside the file or an error.
#include "runtime/nncc.h"
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  nncc_file *file;
  if (nncc_file_parse(data, size, "fuzz", &file))
    return 0;
  for (uint32_t i = 0; i < nncc_file_count(file); ++i) {
    const nncc_file_tensor *t = nncc_file_get(file, i);
    const uint8_t *begin = static_cast<const uint8_t *>(t->data);
    if (begin < data || begin + t->bytes > data + size)
      abort();
  }
  nncc_file_free(file);
  return 0;
}
