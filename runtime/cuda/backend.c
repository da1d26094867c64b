/* backend.c - contexts on a GPU: what the runtime calls.
 *
 * A context has one piece of memory: arena, room for inputs and outputs, the
 * key of random numbers. Addresses never change.
 */
#include "cuda.h"
#include <stdlib.h>
#include <string.h>

static nncc_status choose(const nncc_model *model, uint32_t number,
                          const nncc_cuda **program) {
  const nncc_driver *driver;
  CUdevice device;
  uint32_t sm;
  nncc_status status = nncc_open_driver(&driver);
  if (!status)
    status = nncc_find_device(driver, number, &device);
  if (!status)
    status = nncc_device_sm(driver, device, &sm);
  return status ? status : nncc_choose_program(model, driver, sm, program);
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* The most that an entry needs. */
typedef struct needs {
  uint64_t arena, inputs, outputs, gradients;
  uint64_t input_count, output_count;
} needs;

static uint64_t total(const nncc_tensor *tensors, uint64_t count) {
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < count; ++i)
    bytes += nncc_gpu_aligned(tensors[i].bytes);
  return bytes;
}

static void add_body(needs *needs, const nncc_entry *entry,
                     const nncc_body *body) {
  needs->inputs =
      larger(needs->inputs, total(body->inputs, entry->input_count));
  needs->outputs =
      larger(needs->outputs, total(body->outputs, entry->output_count));
  for (; body; body = body->accumulate) {
    needs->arena = larger(needs->arena, body->arena_bytes);
    for (uint64_t s = 0; s < body->step_count; ++s)
      if (body->steps[s].reduced)
        needs->gradients =
            larger(needs->gradients,
                   total(body->steps[s].reduced, body->steps[s].buffer_count));
  }
}

static needs find_needs(const nncc_context *context) {
  const nncc_model *model = context->model;
  needs needs = {0, 0, 0, 0, 0, 0};
  for (uint64_t e = 0; e < model->entry_count; ++e) {
    const nncc_entry *entry = &model->entries[e];
    needs.input_count = larger(needs.input_count, entry->input_count);
    needs.output_count = larger(needs.output_count, entry->output_count);
    for (uint64_t b = 0; b < entry->body_count; ++b)
      add_body(&needs, entry, &context->program->bodies[e][b]);
  }
  if (context->own && context->program->prepare)
    needs.arena = larger(needs.arena, context->program->prepare->arena_bytes);
  return needs;
}

static nncc_status allocate(nncc_context *context, nncc_place *place) {
  needs needs = find_needs(context);
  place->in = calloc(needs.input_count + 1, sizeof *place->in);
  place->out = calloc(needs.output_count + 1, sizeof *place->out);
  if (!place->in || !place->out)
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory for a context");
  uint64_t arena = nncc_gpu_aligned(needs.arena);
  nncc_status status = nncc_gpu_allocate(
      place->queue.gpu, arena + needs.inputs + needs.outputs + 256, "a context",
      &place->memory);
  place->arena = (char *)(uintptr_t)place->memory;
  place->inputs = place->arena + arena;
  place->outputs = place->inputs + needs.inputs;
  place->key = place->outputs + needs.outputs;
  return status;
}

/* Room for gradients on the host, where all_reduce wants them there. */
static nncc_status allocate_gradients(nncc_context *context,
                                      uint32_t device_pointers) {
  nncc_place *place = context->device;
  if (!context->options.all_reduce || device_pointers || place->gradients)
    return NNCC_OK;
  place->gradients = malloc(find_needs(context).gradients + 1);
  return place->gradients
             ? NNCC_OK
             : nncc_fail(NNCC_ERROR_MEMORY, "no memory for gradients");
}

/* The host's stream, or the context's own. */
static nncc_status use_stream(nncc_place *place, void *stream) {
  const nncc_driver *driver = place->queue.gpu->driver;
  /* In order with the null stream, where hosts fill device memory. */
  CUresult result = stream || place->own_stream
                        ? CUDA_SUCCESS
                        : driver->cuStreamCreate(&place->own_stream, 0);
  if (result)
    return nncc_cuda_fail(driver, result, "a stream cannot be made on GPU %u",
                          place->queue.gpu->number);
  place->queue.stream = stream ? stream : place->own_stream;
  return NNCC_OK;
}

/* Of a context that trains: its own, of any other: shared. */
static nncc_status place_weights(nncc_context *context,
                                 const nncc_weights *weights) {
  nncc_place *place = context->device;
  if (!context->model->weight_count)
    return NNCC_OK;
  if (!context->own)
    return nncc_share_weights(&place->queue, weights, &place->weights);
  nncc_status status =
      nncc_own_weights(&place->queue, context->own, &place->own);
  place->weights = place->own;
  return status;
}

static nncc_status open_there(nncc_context *context) {
  nncc_place *place = context->device;
  nncc_status status = nncc_enter(place->queue.gpu);
  if (status)
    return status;
  status = use_stream(place, context->options.stream);
  if (!status)
    status = allocate_gradients(context, context->options.device_pointers);
  if (!status)
    status = allocate(context, place);
  if (!status)
    status = place_weights(context, context->weights);
  nncc_leave(place->queue.gpu);
  return status;
}

static nncc_status open_context(nncc_context *context) {
  nncc_place *place = calloc(1, sizeof *place);
  if (!place)
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory for a context");
  nncc_status status =
      nncc_gpu_open(context->model, context->program,
                    context->options.device_number, &place->queue.gpu);
  if (status) {
    free(place);
    return status;
  }
  context->device = place;
  place->queue.running = "preparing the weights";
  return open_there(context);
}

/* After a fault no call works; the rest is freed all the same. */
static void close_context(nncc_context *context) {
  nncc_place *place = context->device;
  if (!place)
    return;
  nncc_gpu *gpu = place->queue.gpu;
  const nncc_driver *driver = gpu->driver;
  CUresult result = driver->cuCtxPushCurrent_v2(gpu->context);
  if (place->queue.stream)
    driver->cuStreamSynchronize(place->queue.stream);
  if (place->own_stream)
    driver->cuStreamDestroy_v2(place->own_stream);
  if (place->memory)
    driver->cuMemFree_v2(place->memory);
  nncc_free_there(place->own);
  if (!result)
    nncc_leave(gpu);
  nncc_gpu_release(gpu);
  free(place->in);
  free(place->out);
  free(place->gradients);
  free(place->result);
  free(place);
  context->device = NULL;
}

static nncc_status set_weights(nncc_context *context,
                               const nncc_weights *weights) {
  nncc_place *place = context->device;
  nncc_status status = nncc_enter(place->queue.gpu);
  if (status)
    return status;
  status = place_weights(context, weights);
  nncc_leave(place->queue.gpu);
  return status;
}

static nncc_status set_pointers(nncc_context *context, uint32_t device_pointers,
                                void *stream) {
  nncc_place *place = context->device;
  nncc_status status = nncc_enter(place->queue.gpu);
  if (status)
    return status;
  if (stream != context->options.stream) {
    status = nncc_wait(&place->queue);
    if (!status)
      status = use_stream(place, stream);
  }
  if (!status)
    status = allocate_gradients(context, device_pointers);
  if (!status) {
    context->options.device_pointers = device_pointers;
    context->options.stream = stream;
  }
  nncc_leave(place->queue.gpu);
  return status;
}

static nncc_status prepare(nncc_context *context) {
  nncc_place *place = context->device;
  nncc_status status = nncc_enter(place->queue.gpu);
  if (status)
    return status;
  status = nncc_prepare_there(&place->queue, place->own, place->arena);
  nncc_leave(place->queue.gpu);
  return status;
}

static nncc_status run_entry(nncc_context *context, const nncc_entry *entry,
                             const nncc_body *body, const int64_t key[2]) {
  nncc_place *place = context->device;
  nncc_status status = nncc_enter(place->queue.gpu);
  if (status)
    return status;
  status = nncc_run_there(context, entry, body, key);
  nncc_leave(place->queue.gpu);
  return status;
}

static void *run_step(nncc_context *context, const nncc_entry *entry,
                      const nncc_body *body, const nncc_step *step,
                      uint64_t iteration, const int64_t key[2]) {
  nncc_place *place = context->device;
  if (nncc_enter(place->queue.gpu))
    return NULL;
  void *result =
      nncc_run_step_there(context, entry, body, step, iteration, key);
  nncc_leave(place->queue.gpu);
  return result;
}

static nncc_status synchronize(nncc_context *context) {
  nncc_place *place = context->device;
  nncc_status status = nncc_enter(place->queue.gpu);
  if (status)
    return status;
  status = nncc_wait(&place->queue);
  nncc_leave(place->queue.gpu);
  return status;
}

const nncc_backend nncc_cuda_backend = {
    choose,        open_context, close_context,      set_weights,
    set_pointers,  prepare,      nncc_check_pointer, nncc_states_there,
    run_entry,     run_step,     nncc_read_there,    nncc_write_there,
    nncc_read_all, synchronize,  nncc_free_shared};
