/* gpu_test.h - what the sources of the GPU's tests share. */
#ifndef NNCC_TESTS_RUNTIME_GPU_TEST_H
#define NNCC_TESTS_RUNTIME_GPU_TEST_H

#include "gpu_model.h"
#include <string.h>

#undef NDEBUG
#include <assert.h>

typedef struct test_case {
  const char *name;
  void (*run)(void);
} test_case;

extern const test_case run_cases[], pointer_cases[], training_cases[],
    error_cases[];

/* `gpu_test tell WORDS`: see gpu_error_test.c. */
void tell(int count, char **words);

void fails(nncc_status got, nncc_status expected, const char *text);
nncc_context *open_context(const gpu_model *g, const nncc_weights *weights,
                           nncc_device device, uint32_t trains);
/* Body 0 with one input and one output. */
void call(nncc_context *context, const char *entry, const void *x, void *y);
/* Of the first GPU, asked of the driver itself. */
size_t unused_memory(void);
/* Device memory of the host's own; its functions wait. */
void *device_copy(const void *data, size_t bytes);
void device_read(const void *from, void *data, size_t bytes);
void device_free(void *memory);
void device_write(void *to, const void *data, size_t bytes);
void *device_stream(void);
void device_stream_free(void *stream);

#endif
