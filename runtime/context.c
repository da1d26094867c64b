/* context.c - contexts: an arena, threads, weights. */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

enum { max_threads = 4096 };

static void run_in_pool(void *host, int64_t count, nncc_range_body body,
                        void *argument) {
  nncc_pool_run(host, count, body, argument);
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

/* Room for the tensors and the arena of the largest entry, which may fail; the
   arena's bytes. */
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
  context->arena = nncc_allocate(bytes);
  return bytes;
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
  if (context->options.trains) {
    status = nncc_weights_copy(model, weights, &context->own);
    if (status) {
      free(context);
      return status;
    }
    context->weights = context->own;
    context->stale = true;
  }
  uint64_t bytes = allocate_for_entries(context);
  if (!context->options.parallel_for && context->options.threads > 1) {
    context->pool = nncc_pool_create(context->options.threads);
    context->options.parallel_for = run_in_pool;
    context->options.host = context->pool;
  }
  if (!context->arena || !context->inputs || !context->outputs ||
      (context->options.threads > 1 && !options->parallel_for &&
       !context->pool)) {
    nncc_context_free(context);
    return nncc_fail(NNCC_ERROR_MEMORY,
                     "no memory for an arena of %llu bytes and %u threads",
                     (unsigned long long)bytes, options ? options->threads : 1);
  }
  *result = context;
  return NNCC_OK;
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
    context->weights = weights;
  return status;
}

const nncc_weights *nncc_context_weights(const nncc_context *context) {
  return context ? context->weights : NULL;
}

void *nncc_context_tensor(nncc_context *context, const char *name) {
  if (!context || !context->own || !name)
    return NULL;
  int64_t i = nncc_find_tensor(context->model, name);
  return i < 0 ? NULL : context->own->owned[i];
}

void nncc_context_changed(nncc_context *context) {
  if (context && context->own)
    context->stale = true;
}

nncc_status nncc_context_seed(nncc_context *context, uint64_t seed,
                              uint64_t step) {
  if (!context)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the context is null");
  context->key[0] = (int64_t)seed;
  context->key[1] = (int64_t)step;
  return NNCC_OK;
}

void nncc_context_free(nncc_context *context) {
  if (!context)
    return;
  nncc_pool_free(context->pool);
  nncc_weights_free(context->own);
  free(context->arena);
  free(context->inputs);
  free(context->outputs);
  free(context);
}
