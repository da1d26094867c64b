/* context.c - contexts: an arena, threads, weights. */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

enum { max_threads = 4096 };

static void run_in_pool(void *host, int64_t count, nncc_range_body body,
                        void *argument) {
  nncc_pool_run(host, count, body, argument);
}

/* Weights that a training context changes are nobody else's on a GPU. */
static nncc_status check_owner(const nncc_context *context,
                               const nncc_weights *weights) {
  const nncc_context *owner = weights ? weights->trained_by : NULL;
  if (!owner || context->options.trains ||
      (!owner->program && !context->program))
    return NNCC_OK;
  return nncc_fail(NNCC_ERROR_WEIGHTS,
                   "these weights belong to a context that trains: on a GPU "
                   "another one needs weights of its own");
}

static nncc_status check_weights(const nncc_model *model,
                                 const nncc_weights *weights) {
  if (model->weight_count && !weights && !model->embedded)
    return nncc_fail(NNCC_ERROR_WEIGHTS,
                     "%s has %llu tensors of state, but no "
                     "weights were given",
                     model->name, (unsigned long long)model->weight_count);
  if (weights && (weights->model != model || !weights->ready))
    return nncc_fail(NNCC_ERROR_WEIGHTS,
                     weights->ready ? "the weights belong to another model"
                                    : "the weights are not prepared");
  return NNCC_OK;
}

/* Room for the tensors of the largest entry, and on a CPU its arena, which may
   fail; the arena's bytes. */
static uint64_t allocate_for_entries(nncc_context *context) {
  const nncc_model *model = context->model;
  uint64_t bytes = 0, inputs = 1, outputs = 1;
  for (uint64_t e = 0; e < model->entry_count; ++e) {
    if (model->entries[e].input_count > inputs)
      inputs = model->entries[e].input_count;
    if (model->entries[e].output_count > outputs)
      outputs = model->entries[e].output_count;
    for (uint64_t b = 0; b < model->entries[e].body_count; ++b)
      for (const nncc_body *body = &model->entries[e].bodies[b]; body;
           body = body->accumulate)
        if (body->arena_bytes > bytes)
          bytes = body->arena_bytes;
  }
  context->inputs = calloc(inputs, sizeof *context->inputs);
  context->outputs = calloc(outputs, sizeof *context->outputs);
  context->arena = nncc_allocate(context->program ? 0 : bytes);
  return bytes;
}

/* The pool, room, and a GPU's part. */
static nncc_status open_context(nncc_context *context) {
  nncc_options *options = &context->options;
  uint32_t threads = options->threads;
  uint64_t bytes = allocate_for_entries(context);
  bool needs_pool = !context->program && !options->parallel_for && threads > 1;
  if (needs_pool) {
    context->pool = nncc_pool_create(threads);
    options->parallel_for = run_in_pool;
    options->host = context->pool;
  }
  if (!context->arena || !context->inputs || !context->outputs ||
      (needs_pool && !context->pool))
    return nncc_fail(NNCC_ERROR_MEMORY,
                     "no memory for an arena of %llu bytes and %u threads",
                     (unsigned long long)bytes, threads ? threads : 1);
  if (context->program)
    return nncc_backend_of(context->program)->open(context);
  return context->own ? nncc_weights_allocate_prepared(context->own) : NNCC_OK;
}

static nncc_status choose_cpu(const nncc_context *context) {
  const nncc_model *model = context->model;
  if (!model->cpu[0])
    return nncc_fail(NNCC_ERROR_DEVICE,
                     "%s has no code for a CPU: compile without --device-only",
                     model->name);
  if (context->options.device_pointers)
    return nncc_fail(NNCC_ERROR_ARGUMENT,
                     "options.device_pointers is for a GPU, the context is to "
                     "run on a CPU");
  return NNCC_OK;
}

static nncc_status choose_gpu(nncc_context *context) {
  const nncc_model *model = context->model;
  if (!model->cuda_count)
    return nncc_fail(NNCC_ERROR_DEVICE,
                     "%s has no code for a GPU: compile with --target=cuda",
                     model->name);
  return nncc_backend_of(model->cudas)
      ->choose(model, context->options.device_number, &context->program);
}

/* Where the context runs: sets `program`. */
static nncc_status choose_device(nncc_context *context) {
  nncc_status status;
  switch (context->options.device) {
  case NNCC_CPU:
    return choose_cpu(context);
  case NNCC_CUDA:
    return choose_gpu(context);
  case NNCC_AUTO:
    status = choose_gpu(context);
    /* Where the CPU cannot do, the GPU's sentence is the better one. */
    if (status != NNCC_ERROR_DEVICE || !context->model->cpu[0] ||
        context->options.device_pointers)
      return status;
    return choose_cpu(context);
  default:
    return nncc_fail(NNCC_ERROR_ARGUMENT,
                     "options.device is %u: 0 is the CPU, 1 a GPU, 2 either",
                     context->options.device);
  }
}

static nncc_status own_weights(nncc_context *context) {
  if (!context->options.trains)
    return NNCC_OK;
  nncc_status status =
      nncc_weights_copy(context->model, context->weights, &context->own);
  if (status)
    return status;
  context->own->trained_by = context;
  context->weights = context->own;
  context->stale = true;
  return NNCC_OK;
}

nncc_status nncc_context_create(const nncc_model *model,
                                const nncc_weights *weights,
                                const nncc_options *options,
                                nncc_context **result) {
  nncc_status status = nncc_check_model(model);
  if (status)
    return status;
  if (!result)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the place for the context is null");
  if (options && options->threads > max_threads)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "%u threads, at most %d can be had",
                     options->threads, max_threads);
  status = check_weights(model, weights);
  if (status)
    return status;
  nncc_context *context = calloc(1, sizeof *context);
  if (!context)
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory for a context");
  context->model = model;
  context->weights = weights;
  if (options)
    context->options = *options;
  context->key[0] = (int64_t)context->options.seed;
  status = choose_device(context);
  if (!status)
    status = check_owner(context, weights);
  if (!status)
    status = own_weights(context);
  if (!status)
    status = open_context(context);
  if (status)
    nncc_context_free(context);
  else
    *result = context;
  return status;
}

nncc_status nncc_context_set_weights(nncc_context *context,
                                     const nncc_weights *weights) {
  if (!context)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the context is null");
  if (context->own)
    return nncc_fail(NNCC_ERROR_ARGUMENT,
                     "a context that trains keeps its own weights");
  nncc_status status = check_weights(context->model, weights);
  if (!status)
    status = check_owner(context, weights);
  if (!status && context->program)
    status = nncc_backend_of(context->program)->set_weights(context, weights);
  if (!status)
    context->weights = weights;
  return status;
}

const nncc_weights *nncc_context_weights(const nncc_context *context) {
  return context ? context->weights : NULL;
}

nncc_status nncc_context_seed(nncc_context *context, uint64_t seed,
                              uint64_t step) {
  if (!context)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the context is null");
  context->key[0] = (int64_t)seed;
  context->key[1] = (int64_t)step;
  return NNCC_OK;
}

nncc_status nncc_context_set_pointers(nncc_context *context,
                                      uint32_t device_pointers, void *stream) {
  if (!context)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the context is null");
  if (context->program)
    return nncc_backend_of(context->program)
        ->set_pointers(context, device_pointers, stream);
  return device_pointers ? nncc_fail(NNCC_ERROR_ARGUMENT,
                                     "device pointers are for a GPU, the "
                                     "context runs on a CPU")
                         : NNCC_OK;
}

nncc_device nncc_context_device(const nncc_context *context) {
  return context && context->program ? NNCC_CUDA : NNCC_CPU;
}

nncc_status nncc_context_synchronize(nncc_context *context) {
  if (!context)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the context is null");
  return context->program
             ? nncc_backend_of(context->program)->synchronize(context)
             : NNCC_OK;
}

void nncc_context_free(nncc_context *context) {
  if (!context)
    return;
  if (context->program)
    nncc_backend_of(context->program)->close(context);
  nncc_pool_free(context->pool);
  nncc_weights_free(context->own);
  free(context->arena);
  free(context->inputs);
  free(context->outputs);
  free(context);
}
