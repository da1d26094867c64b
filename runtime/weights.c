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
  free(weights->owned);
  free(weights->tensors);
  nncc_file_free(weights->file);
  free(weights->prepared);
  free(weights->prepare_arena);
  free(weights->prepare_outputs);
  free(weights);
}

int64_t nncc_find_tensor(const nncc_model *model, const char *name) {
  for (uint64_t i = 0; i < model->weight_count; ++i)
    if (!strcmp(model->weights[i].name, name))
      return (int64_t)i;
  for (uint64_t i = 0; i < model->alias_count; ++i)
    if (!strcmp(model->aliases[i].name, name))
      return (int64_t)model->aliases[i].weight;
  return -1;
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
  if (bytes)
    memcpy(data, weights->tensors[i], bytes);
  return NNCC_OK;
}

nncc_status nncc_weights_save(const nncc_weights *weights, const char *path) {
  if (!weights || !path)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  const nncc_model *model = weights->model;
  nncc_status status = all_set(weights);
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

static nncc_status allocate_prepared(nncc_weights *weights) {
  const nncc_model *model = weights->model;
  const nncc_body *body = model->prepare;
  /* Results lie one after the other, each on a 64-byte boundary. */
  uint64_t count = 0, bytes = 0;
  while (bytes < model->prepared_bytes)
    bytes += (body->outputs[count++].bytes + 63) / 64 * 64;
  weights->prepared = nncc_allocate(model->prepared_bytes);
  weights->prepare_arena = nncc_allocate(body->arena_bytes);
  weights->prepare_outputs = calloc(count + 1, sizeof(void *));
  if (!weights->prepared || !weights->prepare_arena ||
      !weights->prepare_outputs)
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory to prepare weights");
  bytes = 0;
  for (uint64_t i = 0; i < count; ++i) {
    weights->prepare_outputs[i] = (char *)weights->prepared + bytes;
    bytes += (body->outputs[i].bytes + 63) / 64 * 64;
  }
  return NNCC_OK;
}

void nncc_weights_refresh(nncc_weights *weights) {
  static const nncc_options alone;
  nncc_memory memory = {
      weights->prepare_arena, NULL, NULL, weights->prepare_outputs,
      weights->tensors,       NULL};
  if (weights->model->prepare)
    nncc_run_steps(weights->model->prepare, &memory, &alone);
}

nncc_status nncc_weights_prepare(nncc_weights *weights) {
  if (!weights)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the weights are null");
  if (weights->ready)
    return NNCC_OK;
  nncc_status status = all_set(weights);
  if (!status && weights->model->prepare)
    status = allocate_prepared(weights);
  if (status)
    return status;
  nncc_weights_refresh(weights);
  free(weights->prepare_arena);
  free(weights->prepare_outputs);
  weights->prepare_arena = NULL;
  weights->prepare_outputs = NULL;
  weights->ready = true;
  return NNCC_OK;
}

nncc_status nncc_weights_copy(const nncc_model *model, const nncc_weights *from,
                              nncc_weights **result) {
  nncc_weights *copy;
  nncc_status status = nncc_weights_create(model, &copy);
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
  if (!status && model->prepare)
    status = allocate_prepared(copy);
  copy->ready = true;
  if (status)
    nncc_weights_free(copy);
  else
    *result = copy;
  return status;
}

/* --- From a file ---------------------------------------------------------- */

/* A file beside the model: which tensors are which. */
typedef struct match {
  int64_t *weight_of; /* file tensor -> number in the model, or -1 */
  const nncc_file_tensor **first; /* number -> first of its names in the file */
} match;

static bool match_names(const nncc_model *model, const nncc_file *file,
                        match *m) {
  uint32_t count = nncc_file_count(file);
  m->weight_of = calloc(count + 1, sizeof *m->weight_of);
  m->first = calloc(model->weight_count + 1, sizeof *m->first);
  for (uint32_t i = 0; m->weight_of && m->first && i < count; ++i) {
    int64_t weight = nncc_find_tensor(model, nncc_file_get(file, i)->name);
    m->weight_of[i] = weight;
    if (weight >= 0 && !m->first[weight])
      m->first[weight] = nncc_file_get(file, i);
  }
  return m->weight_of && m->first;
}

static bool is_optimizer_state(const char *name) {
  return !strncmp(name, "optimizer.", 10);
}

/* Lists every tensor that does not fit. */
static nncc_status check_file(const nncc_model *model, const nncc_file *file,
                              const match *m) {
  unsigned problems = 0;
  char expected[64], got[64];
  nncc_fail(NNCC_ERROR_WEIGHTS, "the weights do not fit %s:", model->name);
  for (uint64_t i = 0; i < model->weight_count; ++i) {
    const nncc_tensor *tensor = &model->weights[i];
    const nncc_file_tensor *stored = m->first[i];
    if (!stored && tensor->fresh) {
      continue;
    } else if (!stored) {
      nncc_fail_more("\n  %s is missing", tensor->name);
    } else if (stored->dtype != tensor->dtype) {
      nncc_fail_more("\n  %s must be %s, the file has %s", tensor->name,
                     nncc_dtype_name((nncc_dtype)tensor->dtype),
                     nncc_dtype_name(stored->dtype));
    } else if (stored->rank != tensor->rank ||
               (tensor->rank && memcmp(stored->dims, tensor->dims,
                                       tensor->rank * sizeof(int64_t)))) {
      nncc_fail_more(
          "\n  %s must have shape %s, the file has %s", tensor->name,
          nncc_shape_text(expected, sizeof expected, tensor->dims,
                          tensor->rank),
          nncc_shape_text(got, sizeof got, stored->dims, stored->rank));
    } else {
      continue;
    }
    ++problems;
  }
  for (uint32_t i = 0; i < nncc_file_count(file); ++i) {
    const nncc_file_tensor *stored = nncc_file_get(file, i);
    int64_t weight = m->weight_of[i];
    if (weight < 0 && !is_optimizer_state(stored->name)) {
      nncc_fail_more("\n  %s is not part of the model", stored->name);
      ++problems;
    }
    const nncc_file_tensor *first = weight < 0 ? stored : m->first[weight];
    if (first != stored && (first->bytes != stored->bytes ||
                            memcmp(first->data, stored->data, stored->bytes))) {
      nncc_fail_more("\n  %s and %s are one tensor of the model, but differ",
                     first->name, stored->name);
      ++problems;
    }
  }
  if (!problems)
    nncc_fail(NNCC_OK, "%s", "");
  return problems ? NNCC_ERROR_WEIGHTS : NNCC_OK;
}

/* Takes over the file, unless it `borrows` its bytes from the caller. Tensors
 * that are aligned in the file stay there. */
static nncc_status from_file(const nncc_model *model, nncc_file *file,
                             bool borrows, nncc_weights **result) {
  match m;
  nncc_status status = match_names(model, file, &m)
                           ? check_file(model, file, &m)
                           : nncc_fail(NNCC_ERROR_MEMORY, "no memory to load");
  nncc_weights *weights = NULL;
  if (!status)
    status = nncc_weights_create(model, &weights);
  for (uint64_t i = 0; !status && i < model->weight_count; ++i) {
    const nncc_file_tensor *stored = m.first[i];
    if (!stored)
      continue;
    bool aligned =
        (uintptr_t)stored->data % nncc_dtype_bytes(stored->dtype) == 0;
    if (borrows || !aligned)
      status =
          nncc_weights_set(weights, stored->name, stored->data, stored->bytes);
    else
      weights->tensors[i] = stored->data;
  }
  free(m.weight_of);
  free(m.first);
  if (!status)
    status = nncc_weights_prepare(weights);
  if (!status && !borrows)
    weights->file = file;
  else
    nncc_file_free(file);
  if (status)
    nncc_weights_free(weights);
  else
    *result = weights;
  return status;
}

static nncc_status from_path(const nncc_model *model, const char *path,
                             nncc_status (*open)(const char *, nncc_file **),
                             nncc_weights **result) {
  if (!model || !path || !result)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  nncc_file *file;
  nncc_status status = open(path, &file);
  return status ? status : from_file(model, file, false, result);
}

nncc_status nncc_weights_load(const nncc_model *model, const char *path,
                              nncc_weights **result) {
  return from_path(model, path, nncc_file_read, result);
}

nncc_status nncc_weights_map(const nncc_model *model, const char *path,
                             nncc_weights **result) {
  return from_path(model, path, nncc_file_map, result);
}

nncc_status nncc_weights_from_memory(const nncc_model *model, const void *data,
                                     size_t bytes, nncc_weights **result) {
  if (!model || !data || !result)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  nncc_file *file;
  nncc_status status = nncc_file_parse(data, bytes, "weights", &file);
  return status ? status : from_file(model, file, true, result);
}
