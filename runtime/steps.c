/* steps.c - the steps of a body on given memory. */
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

enum { max_gradients = 64 };

/* In groups of at most `max_gradients`. */
static nncc_status all_reduce(const nncc_step *step, const nncc_memory *memory,
                              const nncc_options *options) {
  nncc_gradient bucket[max_gradients];
  uint32_t count = 0;
  for (uint64_t k = 0; k < step->buffer_count; ++k) {
    const nncc_tensor *tensor = &step->reduced[k];
    nncc_dtype dtype = (nncc_dtype)tensor->dtype;
    bucket[count++] = (nncc_gradient){
        tensor->name, dtype, tensor->bytes / nncc_dtype_bytes(dtype),
        nncc_buffer_address(&step->buffers[k], memory, 0)};
    if (count < max_gradients && k + 1 < step->buffer_count)
      continue;
    int code = options->all_reduce(options->all_reduce_host, bucket, count);
    if (code)
      return nncc_fail(NNCC_ERROR_HOST, "all_reduce gave %d", code);
    count = 0;
  }
  return NNCC_OK;
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

nncc_status nncc_run_steps(const nncc_body *body, const nncc_memory *memory,
                           const nncc_options *options) {
  for (uint64_t i = 0; i < body->step_count; ++i) {
    const nncc_step *step = &body->steps[i];
    if (step->iterations) {
      for (uint64_t iteration = 0; iteration < step->iterations; ++iteration)
        for (uint64_t k = 1; k <= step->loop_steps; ++k)
          nncc_call_step(step + k, memory, iteration, options);
      i += step->loop_steps;
    } else if (step->kernel) {
      nncc_call_step(step, memory, 0, options);
    } else if (options->all_reduce) {
      nncc_status status = all_reduce(step, memory, options);
      if (status)
        return status;
    }
  }
  return NNCC_OK;
}
