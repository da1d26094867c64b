/* entry.c - a run of an entry on a GPU.
 *
 * With host pointers: copy in, launch, copy out, wait. With device pointers the
 * steps get them as they are and the run returns at once; an input that was
 * left out is copied in either way.
 */
#include "cuda.h"
#include <stdlib.h>
#include <string.h>

/* `device` of a walk begins with its queue. */
typedef struct run {
  nncc_queue queue;
  nncc_context *context;
  const nncc_entry *entry;
  const nncc_body *body;
} run;

static bool is_there(const nncc_context *context, const nncc_body *body,
                     uint64_t input) {
  return context->options.device_pointers &&
         context->inputs[input] != body->inputs[input].initial;
}

static nncc_status copy_inputs(const run *r) {
  nncc_place *place = r->context->device;
  char *at = place->inputs;
  nncc_status status = NNCC_OK;
  for (uint64_t i = 0; !status && i < r->entry->input_count; ++i) {
    const void *from = r->context->inputs[i];
    uint64_t bytes = r->body->inputs[i].bytes;
    place->in[i] = at;
    if (is_there(r->context, r->body, i))
      place->in[i] = from;
    else
      status = nncc_copy_in(&r->queue, at, from, bytes);
    at += nncc_gpu_aligned(bytes);
  }
  at = place->outputs;
  for (uint64_t o = 0; o < r->entry->output_count; ++o) {
    place->out[o] =
        r->context->options.device_pointers ? r->context->outputs[o] : at;
    at += nncc_gpu_aligned(r->body->outputs[o].bytes);
  }
  return status;
}

typedef nncc_status copy(const nncc_queue *queue, const nncc_place *place,
                         void *host, uint64_t o, uint64_t bytes);

static nncc_status output_in(const nncc_queue *queue, const nncc_place *place,
                             void *host, uint64_t o, uint64_t bytes) {
  return nncc_copy_in(queue, place->out[o], host, bytes);
}

static nncc_status output_out(const nncc_queue *queue, const nncc_place *place,
                              void *host, uint64_t o, uint64_t bytes) {
  return nncc_copy_out(queue, host, place->out[o], bytes);
}

static nncc_status copy_outputs(const run *r, copy *copy) {
  nncc_status status = NNCC_OK;
  if (r->context->options.device_pointers)
    return status;
  for (uint64_t o = 0; !status && o < r->entry->output_count; ++o)
    status = copy(&r->queue, r->context->device, r->context->outputs[o], o,
                  r->body->outputs[o].bytes);
  return status;
}

/* The words that differ: most often the step's lower one. */
static nncc_status write_key(const nncc_queue *queue, nncc_place *place,
                             const int64_t key[2]) {
  uint32_t words[4], there[4];
  memcpy(words, key, sizeof words);
  memcpy(there, place->key_there, sizeof there);
  for (int k = 0; k < 4; ++k) {
    if (place->has_key && words[k] == there[k])
      continue;
    CUresult result = queue->gpu->driver->cuMemsetD32Async(
        (CUdeviceptr)(uintptr_t)place->key + 4 * (unsigned)k, words[k], 1,
        queue->stream);
    if (result) {
      place->has_key = false;
      return nncc_failed(queue, result);
    }
  }
  memcpy(place->key_there, key, sizeof place->key_there);
  place->has_key = true;
  return NNCC_OK;
}

/* Gradients go to the host and back, unless it asked for device pointers. It
 * also sees the outputs as far as they are. */
static nncc_status reduce(const nncc_walk *walk, const nncc_gradient *bucket,
                          uint32_t count) {
  const run *r = walk->device;
  const nncc_place *place = r->context->device;
  if (r->context->options.device_pointers) {
    nncc_status status = nncc_wait(&r->queue);
    return status ? status : nncc_call_host(walk->options, bucket, count);
  }
  nncc_gradient there[nncc_max_gradients];
  uint64_t used = 0;
  nncc_status status = copy_outputs(r, output_out);
  for (uint32_t i = 0; !status && i < count; ++i) {
    uint64_t bytes = bucket[i].count * nncc_dtype_bytes(bucket[i].dtype);
    there[i] = bucket[i];
    there[i].data = place->gradients + used;
    used += nncc_gpu_aligned(bytes);
    status = nncc_copy_out(&r->queue, there[i].data, bucket[i].data, bytes);
  }
  if (!status)
    status = nncc_wait(&r->queue);
  if (!status)
    status = nncc_call_host(walk->options, there, count);
  for (uint32_t i = 0; !status && i < count; ++i)
    status = nncc_copy_in(&r->queue, bucket[i].data, there[i].data,
                          bucket[i].count * nncc_dtype_bytes(bucket[i].dtype));
  return status;
}

static nncc_memory memory_of(const nncc_place *place) {
  return (nncc_memory){place->arena,
                       place->weights ? place->weights->prepared : NULL,
                       place->in,
                       place->out,
                       place->weights ? place->weights->tensors : NULL,
                       (const int64_t *)place->key};
}

/* The host counts along, since the counter picks body and key; after an error
 * it asks. */
static void count_step(const run *r, bool is_done) {
  const nncc_place *place = r->context->device;
  int64_t i = nncc_find_tensor(r->context->model, "optimizer.step");
  if (!r->entry->trains || i < 0)
    return;
  int64_t *counter = r->context->own->owned[i];
  if (is_done)
    ++*counter;
  else if (place->own->tensors[i] &&
           !nncc_copy_out(&r->queue, counter, place->own->tensors[i],
                          sizeof *counter))
    r->queue.gpu->driver->cuStreamSynchronize(r->queue.stream);
}

/* An error that is kept while others come and go. */
static nncc_status wait_after(nncc_status status, const run *r) {
  if (!status)
    return nncc_wait(&r->queue);
  r->queue.gpu->driver->cuStreamSynchronize(r->queue.stream);
  return status;
}

nncc_status nncc_run_there(nncc_context *context, const nncc_entry *entry,
                           const nncc_body *body, const int64_t key[2]) {
  nncc_place *place = context->device;
  place->queue.running = entry->name;
  run r = {place->queue, context, entry, body};
  bool is_host = !context->options.device_pointers;
  nncc_status status = copy_inputs(&r);
  if (!status && context->options.all_reduce && entry->trains)
    status = copy_outputs(&r, output_in);
  if (!status)
    status = write_key(&r.queue, place, key);
  nncc_memory memory = memory_of(place);
  nncc_walk walk = {&memory, &context->options, nncc_launch, reduce, &r};
  if (!status)
    status = nncc_walk_steps(body, &walk);
  if (!status)
    status = copy_outputs(&r, output_out);
  if (is_host)
    status = wait_after(status, &r);
  count_step(&r, !status);
  return status;
}

void *nncc_run_step_there(nncc_context *context, const nncc_entry *entry,
                          const nncc_body *body, const nncc_step *step,
                          uint64_t iteration, const int64_t key[2]) {
  nncc_place *place = context->device;
  place->queue.running = step->name;
  run r = {place->queue, context, entry, body};
  const nncc_buffer *last = &step->buffers[step->buffer_count - 1];
  char *result = realloc(place->result, last->bytes ? last->bytes : 1);
  if (!result) {
    nncc_fail(NNCC_ERROR_MEMORY, "no memory for the result of a step");
    return NULL;
  }
  place->result = result;
  nncc_status status = copy_inputs(&r);
  if (!status)
    status = write_key(&r.queue, place, key);
  nncc_memory memory = memory_of(place);
  nncc_walk walk = {&memory, &context->options, nncc_launch, reduce, &r};
  if (!status && step->device)
    status = nncc_launch(&walk, step, iteration);
  if (!status)
    status = nncc_copy_out(&r.queue, result,
                           nncc_buffer_address(last, &memory, iteration),
                           last->bytes);
  return wait_after(status, &r) ? NULL : result;
}
