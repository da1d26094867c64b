/* steps.c - the steps of a body on given memory, on any device; on a CPU. */
#include "internal.h"

typedef struct call {
  nncc_kernel kernel;
  void *const *buffers;
} call;

static void run_tiles(void *argument, int64_t begin, int64_t end) {
  const call *c = argument;
  c->kernel(c->buffers, begin, end);
}

static void *place(const nncc_buffer *buffer, const nncc_memory *memory) {
  switch ((nncc_space)buffer->space) {
  case NNCC_ARENA:
    return memory->arena + buffer->value;
  case NNCC_INPUT:
    return (void *)(uintptr_t)memory->inputs[buffer->value];
  case NNCC_OUTPUT:
    return memory->outputs[buffer->value];
  case NNCC_WEIGHT:
    return (void *)(uintptr_t)memory->weights[buffer->value];
  case NNCC_KEY:
    return (void *)(uintptr_t)memory->key;
  case NNCC_PREPARED:
    return memory->prepared + buffer->value;
  }
  return NULL;
}

void *nncc_buffer_address(const nncc_buffer *buffer, const nncc_memory *memory,
                          uint64_t iteration) {
  return (char *)place(buffer, memory) + buffer->offset +
         (int64_t)iteration * buffer->stride +
         (int64_t)(iteration & 1) * buffer->alternate;
}

/* In groups of at most nncc_max_gradients. */
static nncc_status all_reduce(const nncc_step *step, const nncc_walk *walk) {
  nncc_gradient bucket[nncc_max_gradients];
  uint32_t count = 0;
  for (uint64_t k = 0; k < step->buffer_count; ++k) {
    const nncc_tensor *tensor = &step->reduced[k];
    nncc_dtype dtype = (nncc_dtype)tensor->dtype;
    bucket[count++] = (nncc_gradient){
        tensor->name, dtype, tensor->bytes / nncc_dtype_bytes(dtype),
        nncc_buffer_address(&step->buffers[k], walk->memory, 0)};
    if (count < nncc_max_gradients && k + 1 < step->buffer_count)
      continue;
    nncc_status status = walk->reduce(walk, bucket, count);
    if (status)
      return status;
    count = 0;
  }
  return NNCC_OK;
}

nncc_status nncc_call_host(const nncc_options *options,
                           const nncc_gradient *bucket, uint32_t count) {
  int code = options->all_reduce(options->all_reduce_host, bucket, count);
  return code ? nncc_fail(NNCC_ERROR_HOST, "all_reduce gave %d", code)
              : NNCC_OK;
}

nncc_status nncc_walk_steps(const nncc_body *body, const nncc_walk *walk) {
  nncc_status status = NNCC_OK;
  for (uint64_t i = 0; !status && i < body->step_count; ++i) {
    const nncc_step *step = &body->steps[i];
    if (step->iterations) {
      for (uint64_t iteration = 0; iteration < step->iterations; ++iteration)
        for (uint64_t k = 1; !status && k <= step->loop_steps; ++k)
          status = walk->call(walk, step + k, iteration);
      i += step->loop_steps;
    } else if (step->kernel || step->device) {
      status = walk->call(walk, step, 0);
    } else if (walk->options->all_reduce) {
      status = all_reduce(step, walk);
    }
  }
  return status;
}

void nncc_call_step(const nncc_step *step, const nncc_memory *memory,
                    uint64_t iteration, const nncc_options *options) {
  void *buffers[NNCC_MAX_BUFFERS];
  for (uint64_t k = 0; k < step->buffer_count; ++k)
    buffers[k] = nncc_buffer_address(&step->buffers[k], memory, iteration);
  if (step->tiles > 1 && options->parallel_for) {
    call c = {step->kernel, buffers};
    options->parallel_for(options->host, step->tiles, run_tiles, &c);
  } else {
    step->kernel(buffers, 0, step->tiles);
  }
}

static nncc_status call_kernel(const nncc_walk *walk, const nncc_step *step,
                               uint64_t iteration) {
  nncc_call_step(step, walk->memory, iteration, walk->options);
  return NNCC_OK;
}

static nncc_status reduce(const nncc_walk *walk, const nncc_gradient *bucket,
                          uint32_t count) {
  return nncc_call_host(walk->options, bucket, count);
}

nncc_status nncc_run_steps(const nncc_body *body, const nncc_memory *memory,
                           const nncc_options *options) {
  nncc_walk walk = {memory, options, call_kernel, reduce, NULL};
  return nncc_walk_steps(body, &walk);
}
