/* gpu_support.c - see gpu_test.h. */
#include "gpu_test.h"
#include "cuda/driver.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

void fails(nncc_status got, nncc_status expected, const char *text) {
  if (got != expected || strcmp(nncc_last_error(), text))
    fprintf(stderr, "status %d, text %s\n", got, nncc_last_error());
  assert(got == expected && !strcmp(nncc_last_error(), text));
}

nncc_context *open_context(const gpu_model *g, const nncc_weights *weights,
                           nncc_device device, uint32_t trains) {
  nncc_options options = {0};
  options.device = device;
  options.trains = trains;
  nncc_context *context;
  nncc_status status =
      nncc_context_create(&g->model, weights, &options, &context);
  if (status)
    fprintf(stderr, "%s\n", nncc_last_error());
  assert(!status);
  return context;
}

void call(nncc_context *context, const char *entry, const void *x, void *y) {
  const void *in[] = {x, NULL};
  void *out[] = {y};
  nncc_status status = nncc_run_body(context, entry, 0, in, out);
  if (status)
    fprintf(stderr, "%s\n", nncc_last_error());
  assert(!status);
}

/* --- The driver, as a host that has memory of its own --- */

static void *function(const char *name) {
  static void *library;
  if (!library)
    library = dlopen(getenv("NNCC_CUDA_DRIVER"), RTLD_NOW);
  void *result = dlsym(library, name);
  assert(result);
  return result;
}

#define DRIVER(name, ...)                                                      \
  assert(!((__typeof__(((nncc_driver *)0)->name))function(#name))(__VA_ARGS__))

static void enter(void) {
  static CUcontext context;
  DRIVER(cuInit, 0);
  if (!context)
    DRIVER(cuDevicePrimaryCtxRetain, &context, 0);
  DRIVER(cuCtxPushCurrent_v2, context);
}

static void leave(void) {
  CUcontext context;
  DRIVER(cuCtxPopCurrent_v2, &context);
}

size_t unused_memory(void) {
  size_t unused, total;
  enter();
  DRIVER(cuMemGetInfo_v2, &unused, &total);
  leave();
  return unused;
}

void *device_copy(const void *data, size_t bytes) {
  CUdeviceptr memory;
  enter();
  DRIVER(cuMemAlloc_v2, &memory, bytes);
  if (data) {
    DRIVER(cuMemcpyHtoDAsync_v2, memory, data, bytes, NULL);
    DRIVER(cuStreamSynchronize, NULL);
  }
  leave();
  return (void *)(uintptr_t)memory;
}

void device_read(const void *from, void *data, size_t bytes) {
  enter();
  DRIVER(cuMemcpyDtoHAsync_v2, data, (CUdeviceptr)(uintptr_t)from, bytes, NULL);
  DRIVER(cuStreamSynchronize, NULL);
  leave();
}

void device_write(void *to, const void *data, size_t bytes) {
  enter();
  DRIVER(cuMemcpyHtoDAsync_v2, (CUdeviceptr)(uintptr_t)to, data, bytes, NULL);
  DRIVER(cuStreamSynchronize, NULL);
  leave();
}

void device_free(void *memory) {
  enter();
  DRIVER(cuMemFree_v2, (CUdeviceptr)(uintptr_t)memory);
  leave();
}

void *device_stream(void) {
  CUstream stream;
  enter();
  DRIVER(cuStreamCreate, &stream, 1);
  leave();
  return stream;
}

void device_stream_free(void *stream) {
  enter();
  DRIVER(cuStreamDestroy_v2, stream);
  leave();
}
