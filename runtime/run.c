/* run.c - running entries: by described tensors, by plain pointers, by steps.
 *
 * Everything that can be wrong about a call is said before the first step.
 */
#include "internal.h"
#include <string.h>

static const nncc_entry *find_entry(const nncc_model *model, const char *name) {
  for (uint64_t i = 0; i < model->entry_count; ++i)
    if (!strcmp(model->entries[i].name, name))
      return &model->entries[i];
  nncc_fail(NNCC_ERROR_ARGUMENT, "%s has no entry \"%s\"", model->name, name);
  return NULL;
}

/* Of random numbers: training counts steps by itself. */
static void key_of(const nncc_context *context, const nncc_entry *entry,
                   int64_t key[2]) {
  memcpy(key, context->key, sizeof context->key);
  int64_t i = entry->trains && context->own
                  ? nncc_find_tensor(context->model, "optimizer.step")
                  : -1;
  if (i >= 0)
    key[1] = *(const int64_t *)context->own->owned[i];
}

/* What the steps of an entry work on. */
static nncc_memory memory_of(nncc_context *context, const int64_t key[2]) {
  const nncc_weights *weights = context->weights;
  const nncc_embedded *embedded = context->model->embedded;
  nncc_memory memory = {context->arena,   NULL, context->inputs,
                        context->outputs, NULL, key};
  if (weights) {
    memory.prepared = weights->prepared;
    memory.weights = weights->tensors;
  } else if (embedded) {
    memory.prepared = (char *)(uintptr_t)embedded->prepared;
    memory.weights = embedded->tensors;
  }
  return memory;
}

/* Values for inputs that were left out; an error for those that have none. */
static nncc_status complete(nncc_context *context, const nncc_entry *entry,
                            const nncc_body *body) {
  for (uint64_t i = 0; i < entry->input_count; ++i) {
    if (!context->inputs[i])
      context->inputs[i] = body->inputs[i].initial;
    if (!context->inputs[i] && body->inputs[i].bytes)
      return nncc_fail(NNCC_ERROR_ARGUMENT, "input %s is null",
                       body->inputs[i].name);
  }
  for (uint64_t o = 0; o < entry->output_count; ++o)
    if (!context->outputs[o] && body->outputs[o].bytes)
      return nncc_fail(NNCC_ERROR_ARGUMENT, "output %s is null",
                       body->outputs[o].name);
  if (!entry->trains || context->own)
    return NNCC_OK;
  return nncc_fail(NNCC_ERROR_ARGUMENT,
                   "%s changes weights: create the context with "
                   "options.trains",
                   entry->name);
}

/* Packed forms of weights that a step has changed. */
static nncc_status refresh(nncc_context *context, const nncc_entry *entry) {
  if (!context->stale || entry->trains)
    return NNCC_OK;
  nncc_status status = NNCC_OK;
  if (context->program)
    status = nncc_backend_of(context->program)->prepare(context);
  else
    nncc_weights_refresh(context->own);
  context->stale = status;
  return status;
}

const nncc_body *nncc_context_body(const nncc_context *context,
                                   const nncc_entry *entry, uint32_t body) {
  if (!context || !entry || body >= entry->body_count)
    return NULL;
  return context->program
             ? &context->program->bodies[entry - context->model->entries][body]
             : &entry->bodies[body];
}

/* `context->inputs` and `context->outputs` are set. */
static nncc_status check(nncc_context *context, const nncc_entry *entry,
                         const nncc_body *body) {
  nncc_status status = complete(context, entry, body);
  if (!status && context->options.device_pointers)
    status = nncc_check_pointers(context, entry, body);
  if (!status)
    status = nncc_check_overlaps(context, entry, body);
  if (!status && !context->options.device_pointers)
    status = nncc_check_limits(body, context->inputs);
  return status;
}

static nncc_status run(nncc_context *context, const nncc_entry *entry,
                       uint32_t number) {
  const nncc_body *body = nncc_context_body(context, entry, number);
  nncc_status status = check(context, entry, body);
  if (!status)
    status = refresh(context, entry);
  if (status)
    return status;
  int64_t key[2];
  key_of(context, entry, key);
  if (entry->trains && entry->period > 1 &&
      (key[1] + 1) % (int64_t)entry->period)
    body = body->accumulate;
  if (context->program) {
    status = nncc_backend_of(context->program)->run(context, entry, body, key);
  } else {
    nncc_memory memory = memory_of(context, key);
    status = nncc_run_steps(body, &memory, &context->options);
  }
  if (entry->trains)
    context->stale = context->behind = true;
  else
    ++context->key[1];
  return status;
}

/* The body that has the step. */
static const nncc_body *body_of(const nncc_context *context,
                                const nncc_entry *entry,
                                const nncc_step *step) {
  for (uint32_t b = 0; b < entry->body_count; ++b)
    for (const nncc_body *body = nncc_context_body(context, entry, b); body;
         body = body->accumulate)
      if (step >= body->steps && step < body->steps + body->step_count)
        return body;
  nncc_fail(NNCC_ERROR_ARGUMENT, "%s has no such step on this device",
            entry->name);
  return NULL;
}

void *nncc_run_step(nncc_context *context, const nncc_entry *entry,
                    const nncc_step *step, uint64_t iteration,
                    const void *const *inputs, void *const *outputs) {
  static const nncc_options alone;
  if (!context || !entry || !step || !inputs || !outputs) {
    nncc_fail(NNCC_ERROR_ARGUMENT, "an argument of run is null");
    return NULL;
  }
  const nncc_body *body = body_of(context, entry, step);
  if (!body)
    return NULL;
  for (uint64_t i = 0; i < entry->input_count; ++i)
    context->inputs[i] = inputs[i];
  for (uint64_t o = 0; o < entry->output_count; ++o)
    context->outputs[o] = outputs[o];
  nncc_status status = complete(context, entry, body);
  if (!status && context->options.device_pointers)
    status = nncc_check_pointers(context, entry, body);
  if (!status)
    status = refresh(context, entry);
  if (status)
    return NULL;
  int64_t key[2];
  key_of(context, entry, key);
  if (context->program)
    return nncc_backend_of(context->program)
        ->run_step(context, entry, body, step, iteration, key);
  nncc_memory memory = memory_of(context, key);
  if (step->kernel)
    nncc_call_step(step, &memory, iteration, &alone);
  return nncc_buffer_address(&step->buffers[step->buffer_count - 1], &memory,
                             iteration);
}

nncc_status nncc_run_body(nncc_context *context, const char *name,
                          uint32_t body, const void *const *inputs,
                          void *const *outputs) {
  if (!context || !name || !inputs || !outputs)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument of run is null");
  const nncc_entry *entry = find_entry(context->model, name);
  if (!entry)
    return NNCC_ERROR_ARGUMENT;
  if (body >= entry->body_count)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "%s has %llu bodies, not number %u",
                     name, (unsigned long long)entry->body_count, body);
  for (uint64_t i = 0; i < entry->input_count; ++i)
    context->inputs[i] = inputs[i];
  for (uint64_t o = 0; o < entry->output_count; ++o)
    context->outputs[o] = outputs[o];
  return run(context, entry, body);
}

nncc_status nncc_run(nncc_context *context, const char *name,
                     const nncc_view *inputs, uint32_t input_count,
                     const nncc_view *outputs, uint32_t output_count) {
  if (!context || !name || (input_count && !inputs) ||
      (output_count && !outputs))
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument of run is null");
  const nncc_entry *entry = find_entry(context->model, name);
  if (!entry)
    return NNCC_ERROR_ARGUMENT;
  uint64_t needed = entry->input_count;
  while (needed && entry->bodies[0].inputs[needed - 1].initial)
    --needed;
  if (input_count < needed || input_count > entry->input_count ||
      output_count != entry->output_count)
    return nncc_fail(NNCC_ERROR_ARGUMENT,
                     "%s takes %llu inputs and gives %llu outputs, got %u and "
                     "%u",
                     name, (unsigned long long)needed,
                     (unsigned long long)entry->output_count, input_count,
                     output_count);
  const nncc_body *body = nncc_find_body(entry, inputs, input_count);
  if (!body)
    return NNCC_ERROR_ARGUMENT;
  nncc_status status =
      nncc_check_views(body->inputs, inputs, input_count, "input");
  if (!status)
    status = nncc_check_views(body->outputs, outputs, output_count, "output");
  if (status)
    return status;
  const void **in = context->inputs;
  void **out = context->outputs;
  for (uint64_t i = 0; i < entry->input_count; ++i)
    in[i] = i < input_count ? inputs[i].data : NULL;
  for (uint32_t o = 0; o < output_count; ++o)
    out[o] = outputs[o].data;
  return run(context, entry, (uint32_t)(body - entry->bodies));
}
