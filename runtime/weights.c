/* weights.c - weights objects: filled, checked, prepared. */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

nncc_status nncc_weights_create(const nncc_model *model,
                                nncc_weights **result) {
  if (!result)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  nncc_status status = nncc_check_model(model); /* prepare runs its code */
  if (status)
    return status;
  nncc_weights *weights = calloc(1, sizeof *weights);
  if (weights) {
    weights->tensors = calloc(model->weight_count + 1, sizeof(void *));
    weights->owned = calloc(model->weight_count + 1, sizeof(void *));
  }
  if (!weights || !weights->tensors || !weights->owned) {
    if (weights) {
      free(weights->tensors);
      free(weights->owned);
    }
    free(weights);
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory for weights");
  }
  weights->model = model;
  *result = weights;
  return NNCC_OK;
}

void nncc_weights_free(nncc_weights *weights) {
  if (!weights)
    return;
  for (uint64_t i = 0; i < weights->model->weight_count; ++i)
    free(weights->owned[i]);
  if (weights->devices)
    nncc_backend_of(weights->model->cudas)->free_weights(weights->devices);
  free(weights->owned);
  free(weights->tensors);
  nncc_file_free(weights->file);
  free(weights->prepared);
  free(weights->prepare_arena);
  free(weights);
}

/* An error that lists the tensors without a value. */
static nncc_status all_set(const nncc_weights *weights) {
  unsigned missing = 0;
  for (uint64_t i = 0; i < weights->model->weight_count; ++i)
    if (!weights->tensors[i] && !weights->model->weights[i].fresh) {
      if (!missing++)
        nncc_fail(NNCC_ERROR_WEIGHTS, "missing tensors:");
      nncc_fail_more(" %s", weights->model->weights[i].name);
    }
  return missing ? NNCC_ERROR_WEIGHTS : NNCC_OK;
}

nncc_status nncc_weights_set(nncc_weights *weights, const char *name,
                             const void *data, size_t bytes) {
  if (!weights || !name || (!data && bytes))
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  if (weights->ready)
    return nncc_fail(NNCC_ERROR_ARGUMENT,
                     "weights cannot change after prepare");
  int64_t i = nncc_find_tensor(weights->model, name);
  if (i < 0)
    return nncc_fail(NNCC_ERROR_WEIGHTS, "%s has no tensor \"%s\"",
                     weights->model->name, name);
  const nncc_tensor *tensor = &weights->model->weights[i];
  if (bytes != tensor->bytes)
    return nncc_fail(NNCC_ERROR_WEIGHTS, "%s takes %llu bytes, got %zu", name,
                     (unsigned long long)tensor->bytes, bytes);
  if (!weights->owned[i])
    weights->owned[i] = nncc_allocate(bytes);
  if (!weights->owned[i])
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory for %s (%zu bytes)", name,
                     bytes);
  if (bytes)
    memcpy(weights->owned[i], data, bytes);
  weights->tensors[i] = weights->owned[i];
  return NNCC_OK;
}

nncc_status nncc_weights_get(const nncc_weights *weights, const char *name,
                             void *data, size_t bytes) {
  if (!weights || !name || (!data && bytes))
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  int64_t i = nncc_find_tensor(weights->model, name);
  if (i < 0)
    return nncc_fail(NNCC_ERROR_WEIGHTS, "%s has no tensor \"%s\"",
                     weights->model->name, name);
  if (bytes != weights->model->weights[i].bytes)
    return nncc_fail(NNCC_ERROR_WEIGHTS, "%s has %llu bytes, got %zu", name,
                     (unsigned long long)weights->model->weights[i].bytes,
                     bytes);
  if (!weights->tensors[i])
    return nncc_fail(NNCC_ERROR_WEIGHTS, "%s was not set", name);
  nncc_status status = nncc_weights_read(weights);
  if (status)
    return status;
  if (bytes)
    memcpy(data, weights->tensors[i], bytes);
  return NNCC_OK;
}

nncc_status nncc_weights_save(const nncc_weights *weights, const char *path) {
  if (!weights || !path)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  const nncc_model *model = weights->model;
  nncc_status status = all_set(weights);
  if (!status)
    status = nncc_weights_read(weights);
  if (status)
    return status;
  nncc_file_tensor *list = calloc(model->weight_count + 1, sizeof *list);
  if (!list)
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory to save weights");
  uint32_t count = 0;
  for (uint64_t i = 0; i < model->weight_count; ++i) {
    const nncc_tensor *tensor = &model->weights[i];
    if (weights->tensors[i])
      list[count++] = (nncc_file_tensor){
          tensor->name, (nncc_dtype)tensor->dtype, (uint32_t)tensor->rank,
          tensor->dims, weights->tensors[i],       tensor->bytes};
  }
  status = nncc_file_write(path, list, count);
  free(list);
  return status;
}

nncc_status nncc_weights_allocate_prepared(nncc_weights *weights) {
  const nncc_model *model = weights->model;
  if (!model->prepare)
    return NNCC_OK;
  weights->prepared = nncc_allocate(model->prepared_bytes);
  weights->prepare_arena = nncc_allocate(model->prepare->arena_bytes);
  if (!weights->prepared || !weights->prepare_arena)
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory to prepare weights");
  return NNCC_OK;
}

void nncc_weights_refresh(nncc_weights *weights) {
  static const nncc_options alone;
  nncc_memory memory = {weights->prepare_arena,
                        weights->prepared,
                        NULL,
                        NULL,
                        weights->tensors,
                        NULL};
  if (weights->model->prepare)
    nncc_run_steps(weights->model->prepare, &memory, &alone);
}

nncc_status nncc_weights_prepare(nncc_weights *weights) {
  if (!weights)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the weights are null");
  if (weights->ready)
    return NNCC_OK;
  nncc_status status = all_set(weights);
  if (!status)
    status = nncc_weights_allocate_prepared(weights);
  if (status)
    return status;
  nncc_weights_refresh(weights);
  free(weights->prepare_arena);
  weights->prepare_arena = NULL;
  weights->ready = true;
  return NNCC_OK;
}

nncc_status nncc_weights_copy(const nncc_model *model, const nncc_weights *from,
                              nncc_weights **result) {
  nncc_weights *copy;
  nncc_status status = from ? nncc_weights_read(from) : NNCC_OK;
  if (!status)
    status = nncc_weights_create(model, &copy);
  if (status)
    return status;
  const void *const *tensors = from              ? from->tensors
                               : model->embedded ? model->embedded->tensors
                                                 : NULL;
  for (uint64_t i = 0; !status && i < model->weight_count; ++i) {
    const nncc_tensor *tensor = &model->weights[i];
    if (!tensors[i] && !tensor->fresh)
      continue; /* embedded, but nothing reads it */
    copy->tensors[i] = copy->owned[i] = nncc_allocate(tensor->bytes);
    if (!copy->owned[i])
      status = nncc_fail(NNCC_ERROR_MEMORY, "no memory for %s (%llu bytes)",
                         tensor->name, (unsigned long long)tensor->bytes);
    else if (tensors[i])
      memcpy(copy->owned[i], tensors[i], tensor->bytes);
    else
      memset(copy->owned[i], 0, tensor->bytes);
  }
  copy->ready = true;
  if (status)
    nncc_weights_free(copy);
  else
    *result = copy;
  return status;
}

const void *nncc_weights_data(const nncc_weights *weights, uint64_t number) {
  return weights && number < weights->model->weight_count &&
                 !nncc_weights_read(weights)
             ? weights->tensors[number]
             : NULL;
}

nncc_status nncc_weights_read(const nncc_weights *weights) {
  nncc_context *context = weights->trained_by;
  if (!context || !context->program || !context->behind)
    return NNCC_OK;
  nncc_status status = nncc_backend_of(context->program)->read_all(context);
  context->behind = status;
  return status;
}

const void *nncc_weights_prepared(const nncc_weights *weights) {
  return weights ? weights->prepared : NULL;
}
