/* upload.c - weights on a GPU: those that steps of its program read.
 *
 * Weights that nobody changes are there once per weights object, or once per
 * model if they are embedded, whatever the number of contexts. What only
 * prepare reads goes when it has run.
 */
#include "cuda.h"
#include <stdlib.h>
#include <string.h>

enum { by_entries = 1, by_prepare = 2 };

static void mark(const nncc_body *body, unsigned char *readers,
                 unsigned char reader) {
  for (; body; body = body->accumulate)
    for (uint64_t s = 0; s < body->step_count; ++s)
      for (uint64_t k = 0; k < body->steps[s].buffer_count; ++k)
        if (body->steps[s].buffers[k].space == NNCC_WEIGHT)
          readers[body->steps[s].buffers[k].value] |= reader;
}

/* Who reads which tensor; null without memory. */
static unsigned char *find_readers(const nncc_gpu *gpu) {
  const nncc_model *model = gpu->model;
  unsigned char *readers = calloc(model->weight_count + 1, 1);
  for (uint64_t e = 0; readers && e < model->entry_count; ++e)
    for (uint64_t b = 0; b < model->entries[e].body_count; ++b)
      mark(&gpu->program->bodies[e][b], readers, by_entries);
  if (readers && gpu->program->prepare)
    mark(gpu->program->prepare, readers, by_prepare);
  return readers;
}

static nncc_status upload_tensor(const nncc_queue *queue,
                                 const nncc_tensor *tensor, const void *from,
                                 char *to) {
  if (from)
    return nncc_copy_in(queue, to, from, tensor->bytes);
  if (!tensor->fresh)
    return nncc_fail(NNCC_ERROR_WEIGHTS, "%s has no value", tensor->name);
  CUresult result = queue->gpu->driver->cuMemsetD8Async(
      (CUdeviceptr)(uintptr_t)to, 0, tensor->bytes, queue->stream);
  return result ? nncc_failed(queue, result) : NNCC_OK;
}

/* Which tensors to put together: those whose readers are `wanted`, any of them
 * or these alone. */
typedef struct group {
  const unsigned char *readers;
  unsigned wanted;
  bool alone;
} group;

static bool contains(const group *group, const nncc_tensor *tensor,
                     uint64_t i) {
  return tensor->bytes && (group->alone ? group->readers[i] == group->wanted
                                        : group->readers[i] & group->wanted);
}

/* With `extra` bytes in front, which `*front` gets. */
static nncc_status upload(const nncc_queue *queue, const group *group,
                          const void *const *from, uint64_t extra,
                          const char *what, const void **tensors,
                          CUdeviceptr *memory, char **front) {
  const nncc_model *model = queue->gpu->model;
  uint64_t bytes = nncc_gpu_aligned(extra);
  for (uint64_t i = 0; i < model->weight_count; ++i)
    if (contains(group, &model->weights[i], i))
      bytes += nncc_gpu_aligned(model->weights[i].bytes);
  nncc_status status = nncc_gpu_allocate(queue->gpu, bytes, what, memory);
  if (status)
    return status;
  char *at = *front = (char *)(uintptr_t)*memory;
  at += nncc_gpu_aligned(extra);
  for (uint64_t i = 0; !status && i < model->weight_count; ++i)
    if (contains(group, &model->weights[i], i)) {
      tensors[i] = at;
      status = upload_tensor(queue, &model->weights[i], from[i], at);
      at += nncc_gpu_aligned(model->weights[i].bytes);
    }
  return status;
}

static nncc_status run_prepare(const nncc_queue *queue,
                               const void *const *tensors, char *prepared,
                               char *arena) {
  static const nncc_options alone;
  nncc_memory memory = {arena, prepared, NULL, NULL, tensors, NULL};
  nncc_walk walk = {&memory, &alone, nncc_launch, NULL, (void *)queue};
  return nncc_walk_steps(queue->gpu->program->prepare, &walk);
}

nncc_status nncc_prepare_there(const nncc_queue *queue,
                               const nncc_device_weights *weights,
                               char *arena) {
  return queue->gpu->program->prepare
             ? run_prepare(queue, weights->tensors, weights->prepared, arena)
             : NNCC_OK;
}

/* With what prepare alone reads there as long as it runs. */
static nncc_status prepare_once(const nncc_queue *queue,
                                const unsigned char *readers,
                                const void *const *from,
                                const nncc_device_weights *weights) {
  const nncc_gpu *gpu = queue->gpu;
  const nncc_body *prepare = gpu->program->prepare;
  if (!prepare)
    return NNCC_OK;
  uint64_t count = gpu->model->weight_count;
  const void **tensors = calloc(count + 1, sizeof *tensors);
  if (!tensors)
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory to prepare weights");
  memcpy(tensors, weights->tensors, count * sizeof *tensors);
  group group = {readers, by_prepare, true};
  CUdeviceptr memory = 0;
  char *arena;
  nncc_status status =
      upload(queue, &group, from, prepare->arena_bytes, "preparing the weights",
             tensors, &memory, &arena);
  if (!status)
    status = run_prepare(queue, tensors, weights->prepared, arena);
  /* What follows runs on other streams, and the memory goes. */
  nncc_status waited = nncc_wait(queue);
  gpu->driver->cuMemFree_v2(memory);
  free(tensors);
  return status ? status : waited;
}

void nncc_free_there(nncc_device_weights *list) {
  while (list) {
    nncc_device_weights *next = list->next;
    if (list->memory)
      list->gpu->driver->cuMemFree_v2(list->memory);
    free(list->tensors);
    free(list);
    list = next;
  }
}

static nncc_status create(const nncc_queue *queue, const unsigned char *readers,
                          unsigned wanted, const void *const *from,
                          nncc_device_weights **result) {
  nncc_gpu *gpu = queue->gpu;
  nncc_device_weights *weights = calloc(1, sizeof *weights);
  const void **tensors = calloc(gpu->model->weight_count + 1, sizeof *tensors);
  *result = weights;
  if (!weights || !tensors) {
    free(weights);
    free(tensors);
    *result = NULL;
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory for weights");
  }
  weights->gpu = gpu;
  weights->tensors = tensors;
  group group = {readers, wanted, false};
  return upload(queue, &group, from, gpu->program->prepared_bytes,
                "the weights", tensors, &weights->memory, &weights->prepared);
}

/* Uploads, and prepares unless the context keeps what prepare reads. */
static nncc_status build(const nncc_queue *queue, const void *const *from,
                         bool is_own, nncc_device_weights **result) {
  *result = NULL;
  unsigned char *readers = find_readers(queue->gpu);
  if (!readers)
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory for weights");
  nncc_status status =
      create(queue, readers, is_own ? by_entries | by_prepare : by_entries,
             from, result);
  if (!status && !is_own)
    status = prepare_once(queue, readers, from, *result);
  /* The host's memory may be pinned, then copies read it until here. */
  if (!status)
    status = nncc_wait(queue);
  free(readers);
  if (status) {
    nncc_free_there(*result);
    *result = NULL;
  }
  return status;
}

static nncc_status share(const nncc_queue *queue, const void *const *from,
                         nncc_device_weights **list, bool holds,
                         nncc_device_weights **result) {
  for (*result = *list; *result; *result = (*result)->next)
    if ((*result)->gpu == queue->gpu)
      return NNCC_OK;
  nncc_status status = build(queue, from, false, result);
  if (status)
    return status;
  if (holds)
    nncc_gpu_hold(queue->gpu);
  (*result)->next = *list;
  *list = *result;
  return NNCC_OK;
}

nncc_status nncc_share_weights(const nncc_queue *queue,
                               const nncc_weights *weights,
                               nncc_device_weights **result) {
  static const void *const *const nothing;
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of all lists */
  nncc_gpu *gpu = queue->gpu;
  const nncc_embedded *embedded = gpu->model->embedded;
  pthread_mutex_lock(&mutex);
  nncc_status status =
      weights
          ? share(queue, weights->tensors,
                  &((nncc_weights *)(uintptr_t)weights)->devices, true, result)
          : share(queue, embedded ? embedded->tensors : nothing, &gpu->embedded,
                  false, result);
  pthread_mutex_unlock(&mutex);
  return status;
}

nncc_status nncc_own_weights(const nncc_queue *queue,
                             const nncc_weights *weights,
                             nncc_device_weights **result) {
  return build(queue, weights->tensors, true, result);
}

void nncc_free_shared(nncc_device_weights *list) {
  while (list) {
    nncc_device_weights *next = list->next;
    nncc_gpu *gpu = list->gpu;
    list->next = NULL;
    CUresult result = gpu->driver->cuCtxPushCurrent_v2(gpu->context);
    nncc_free_there(list);
    if (!result)
      nncc_leave(gpu);
    nncc_gpu_release(gpu);
    list = next;
  }
}
