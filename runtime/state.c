/* state.c - tensors that a training context owns, to be read and written. */
#include "internal.h"
#include <string.h>

void *nncc_context_tensor(nncc_context *context, const char *name) {
  if (!context || !context->own || !name)
    return NULL;
  if (context->program) {
    nncc_fail(NNCC_ERROR_DEVICE,
              "%s lies on a GPU: nncc_context_read and _write reach it", name);
    return NULL;
  }
  int64_t i = nncc_find_tensor(context->model, name);
  return i < 0 ? NULL : context->own->owned[i];
}

void nncc_context_changed(nncc_context *context) {
  if (context && context->own)
    context->stale = true;
}

/* The number of a tensor of that many bytes. */
static nncc_status find(const nncc_context *context, const char *name,
                        const void *data, size_t bytes, int64_t *number) {
  if (!context || !name || (!data && bytes))
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  const nncc_model *model = context->model;
  if (!context->own)
    return nncc_fail(NNCC_ERROR_ARGUMENT,
                     "the context owns no weights: create it with "
                     "options.trains");
  int64_t i = *number = nncc_find_tensor(model, name);
  if (i < 0)
    return nncc_fail(NNCC_ERROR_WEIGHTS, "%s has no tensor \"%s\"", model->name,
                     name);
  if (bytes != model->weights[i].bytes)
    return nncc_fail(NNCC_ERROR_WEIGHTS, "%s has %llu bytes, got %zu", name,
                     (unsigned long long)model->weights[i].bytes, bytes);
  if (!context->own->owned[i])
    return nncc_fail(NNCC_ERROR_WEIGHTS, "%s was not set", name);
  if (bytes && context->options.device_pointers)
    return nncc_backend_of(context->program)
        ->check_pointer((nncc_context *)(uintptr_t)context, "the memory for",
                        name, data);
  return NNCC_OK;
}

nncc_status nncc_context_read(nncc_context *context, const char *name,
                              void *data, size_t bytes) {
  int64_t i;
  nncc_status status = find(context, name, data, bytes, &i);
  if (status || !bytes)
    return status;
  if (context->program)
    return nncc_backend_of(context->program)->read(context, (uint64_t)i, data);
  memcpy(data, context->own->owned[i], bytes);
  return NNCC_OK;
}

nncc_status nncc_context_write(nncc_context *context, const char *name,
                               const void *data, size_t bytes) {
  int64_t i;
  nncc_status status = find(context, name, data, bytes, &i);
  if (status || !bytes)
    return status;
  context->stale = context->behind = true;
  if (context->program)
    return nncc_backend_of(context->program)->write(context, (uint64_t)i, data);
  memcpy(context->own->owned[i], data, bytes);
  return NNCC_OK;
}
