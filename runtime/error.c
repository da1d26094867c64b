/* error.c - texts for people. */
#include "internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char text[4096];

const char *nncc_last_error(void) { return text; }

nncc_status nncc_fail(nncc_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return status;
}

void nncc_fail_more(const char *format, ...) {
  size_t used = strlen(text);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + used, sizeof text - used, format, arguments);
  va_end(arguments);
}

const char *nncc_shape_text(char *buffer, size_t bytes, const int64_t *dims,
                            uint64_t rank) {
  size_t used = (size_t)snprintf(buffer, bytes, "[");
  for (uint64_t d = 0; d < rank && used + 24 < bytes; ++d)
    used += (size_t)snprintf(buffer + used, bytes - used, "%s%lld",
                             d ? ", " : "", (long long)dims[d]);
  snprintf(buffer + used, bytes - used, "]");
  return buffer;
}

size_t nncc_dtype_bytes(nncc_dtype dtype) {
  static const unsigned char bytes[] = {4, 8, 2, 2, 8, 4, 2, 1, 1, 1};
  return (unsigned)dtype < sizeof bytes ? bytes[dtype] : 0;
}

const char *nncc_dtype_name(nncc_dtype dtype) {
  static const char *const names[] = {"f32", "f64", "f16", "bf16", "i64",
                                      "i32", "i16", "i8",  "u8",   "bool"};
  return (unsigned)dtype < 10 ? names[dtype] : "?";
}
