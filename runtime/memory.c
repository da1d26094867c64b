/* memory.c - memory of tensors. */
#include "internal.h"
#include <stdlib.h>

void *nncc_allocate(size_t bytes) {
  size_t rounded = (bytes + 63) / 64 * 64 + 64;
  if (rounded < bytes)
    return NULL;
  return aligned_alloc(64, rounded);
}
