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

static int64_t integer_at(const void *data, uint64_t dtype, uint64_t i) {
  switch ((nncc_dtype)dtype) {
  case NNCC_I64:
    return ((const int64_t *)data)[i];
  case NNCC_I32:
    return ((const int32_t *)data)[i];
  case NNCC_I16:
    return ((const int16_t *)data)[i];
  case NNCC_I8:
    return ((const int8_t *)data)[i];
  default:
    return ((const uint8_t *)data)[i];
  }
}

/* Kernels clamp indices; here the first bad one is named. */
static nncc_status check_limits(const nncc_body *body,
                                const void *const *inputs) {
  for (uint64_t k = 0; k < body->limit_count; ++k) {
    const nncc_limit *limit = &body->limits[k];
    const nncc_tensor *tensor = &body->inputs[limit->input];
    uint64_t count = tensor->bytes / nncc_dtype_bytes(tensor->dtype);
    for (uint64_t i = 0; i < count; ++i) {
      int64_t value = integer_at(inputs[limit->input], tensor->dtype, i);
      if ((value < limit->first || value >= limit->limit) &&
          value != limit->except)
        return nncc_fail(NNCC_ERROR_RANGE,
                         "input %s: element %llu is %lld, outside [%lld, %lld)",
                         tensor->name, (unsigned long long)i, (long long)value,
                         (long long)limit->first, (long long)limit->limit);
    }
  }
  return NNCC_OK;
}

/* What the steps of an entry work on. `key` takes the random key. */
static nncc_memory memory_of(nncc_context *context, const nncc_entry *entry,
                             int64_t key[2]) {
  key[0] = context->key[0];
  key[1] = context->key[1];
  const int64_t *done =
      entry->trains ? nncc_context_tensor(context, "optimizer.step") : NULL;
  if (done)
    key[1] = *done;
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

static bool overlap(const void *x, const nncc_tensor *a, const void *y,
                    const nncc_tensor *b) {
  uintptr_t p = (uintptr_t)x, q = (uintptr_t)y;
  return x && y &&
         (p < q ? q - p < a->bytes && b->bytes : p - q < b->bytes && a->bytes);
}

/* An error if `data` lies in one of `count` other tensors. */
static nncc_status check_overlap(const char *what, const void *data,
                                 const nncc_tensor *tensor,
                                 const char *other_what,
                                 const void *const *others,
                                 const nncc_tensor *tensors, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i)
    if (overlap(data, tensor, others[i], &tensors[i]))
      return nncc_fail(NNCC_ERROR_ARGUMENT, "%s %s overlaps %s %s", what,
                       tensor->name, other_what, tensors[i].name);
  return NNCC_OK;
}

/* Steps write outputs, and state of the context's own, in any order: what they
 * write may be nothing else. */
static nncc_status check_overlaps(const nncc_context *context,
                                  const nncc_entry *entry,
                                  const nncc_body *body) {
  const nncc_model *model = context->model;
  void *const *owned = context->own ? context->own->owned : NULL;
  uint64_t states = owned ? model->weight_count : 0;
  const void *const *in = context->inputs;
  const void *const *out = (const void *const *)context->outputs;
  nncc_status status = NNCC_OK;
  for (uint64_t o = 0; !status && o < entry->output_count; ++o) {
    const nncc_tensor *tensor = &body->outputs[o];
    status = check_overlap("output", out[o], tensor, "input", in, body->inputs,
                           entry->input_count);
    if (!status)
      status = check_overlap("output", out[o], tensor, "output", out,
                             body->outputs, o);
    if (!status)
      status =
          check_overlap("output", out[o], tensor, "the context's",
                        (const void *const *)owned, model->weights, states);
  }
  for (uint64_t i = 0; !status && entry->trains && i < entry->input_count; ++i)
    status = check_overlap("input", in[i], &body->inputs[i], "the context's",
                           (const void *const *)owned, model->weights, states);
  return status;
}

/* Packed forms of weights that a step has changed. */
static void refresh(nncc_context *context, const nncc_entry *entry) {
  if (!context->stale || entry->trains)
    return;
  nncc_weights_refresh(context->own);
  context->stale = false;
}

/* `context->inputs` and `context->outputs` are set. */
static nncc_status run(nncc_context *context, const nncc_entry *entry,
                       const nncc_body *body) {
  nncc_status status = complete(context, entry, body);
  if (!status)
    status = check_overlaps(context, entry, body);
  if (!status)
    status = check_limits(body, context->inputs);
  if (status)
    return status;
  refresh(context, entry);
  int64_t key[2];
  nncc_memory memory = memory_of(context, entry, key);
  if (entry->trains && entry->period > 1 &&
      (key[1] + 1) % (int64_t)entry->period)
    body = body->accumulate;
  status = nncc_run_steps(body, &memory, &context->options);
  if (entry->trains)
    context->stale = true;
  else
    ++context->key[1];
  return status;
}

void *nncc_run_step(nncc_context *context, const nncc_entry *entry,
                    const nncc_step *step, uint64_t iteration,
                    const void *const *inputs, void *const *outputs) {
  static const nncc_options alone;
  if (!context || !entry || !step || !inputs || !outputs) {
    nncc_fail(NNCC_ERROR_ARGUMENT, "an argument of run is null");
    return NULL;
  }
  for (uint64_t i = 0; i < entry->input_count; ++i)
    context->inputs[i] = inputs[i];
  for (uint64_t o = 0; o < entry->output_count; ++o)
    context->outputs[o] = outputs[o];
  if (complete(context, entry, &entry->bodies[0]))
    return NULL;
  refresh(context, entry);
  int64_t key[2];
  nncc_memory memory = memory_of(context, entry, key);
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
  return run(context, entry, &entry->bodies[body]);
}

static bool same_shape(const nncc_tensor *tensor, const nncc_view *view) {
  return tensor->rank == view->rank &&
         (!view->rank ||
          !memcmp(tensor->dims, view->dims, view->rank * sizeof(int64_t)));
}

static nncc_status check_views(const nncc_tensor *tensors,
                               const nncc_view *views, uint64_t count,
                               const char *what) {
  char expected[64], got[64];
  for (uint64_t i = 0; i < count; ++i) {
    if (views[i].dtype != tensors[i].dtype)
      return nncc_fail(NNCC_ERROR_ARGUMENT, "%s %s must be %s, got %s", what,
                       tensors[i].name,
                       nncc_dtype_name((nncc_dtype)tensors[i].dtype),
                       nncc_dtype_name(views[i].dtype));
    if (!same_shape(&tensors[i], &views[i]))
      return nncc_fail(
          NNCC_ERROR_ARGUMENT, "%s %s must have shape %s, got %s", what,
          tensors[i].name,
          nncc_shape_text(expected, sizeof expected, tensors[i].dims,
                          tensors[i].rank),
          nncc_shape_text(got, sizeof got, views[i].dims, views[i].rank));
    if (!views[i].data && tensors[i].bytes)
      return nncc_fail(NNCC_ERROR_ARGUMENT, "%s %s has no data", what,
                       tensors[i].name);
    if ((uintptr_t)views[i].data % nncc_dtype_bytes(views[i].dtype))
      return nncc_fail(NNCC_ERROR_ARGUMENT,
                       "%s %s is not aligned to its "
                       "elements",
                       what, tensors[i].name);
  }
  return NNCC_OK;
}

/* The body whose inputs have these shapes; lists what was compiled if none. */
static const nncc_body *find_body(const nncc_entry *entry,
                                  const nncc_view *inputs, uint32_t count) {
  for (uint64_t b = 0; b < entry->body_count; ++b) {
    bool fits = true;
    for (uint32_t i = 0; i < count; ++i)
      fits = fits && same_shape(&entry->bodies[b].inputs[i], &inputs[i]);
    if (fits)
      return &entry->bodies[b];
  }
  if (entry->body_count == 1)
    return &entry->bodies[0]; /* check_views says what differs */
  char text[64];
  nncc_fail(NNCC_ERROR_ARGUMENT,
            "no compiled size fits these inputs; compiled:");
  for (uint64_t b = 0; b < entry->body_count; ++b) {
    for (uint32_t i = 0; i < count; ++i) {
      const nncc_tensor *tensor = &entry->bodies[b].inputs[i];
      nncc_fail_more(
          "%s %s %s",
          i   ? ","
          : b ? ";"
              : "",
          tensor->name,
          nncc_shape_text(text, sizeof text, tensor->dims, tensor->rank));
    }
  }
  return NULL;
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
  const nncc_body *body = find_body(entry, inputs, input_count);
  if (!body)
    return NNCC_ERROR_ARGUMENT;
  nncc_status status = check_views(body->inputs, inputs, input_count, "input");
  if (!status)
    status = check_views(body->outputs, outputs, output_count, "output");
  if (status)
    return status;
  const void **in = context->inputs;
  void **out = context->outputs;
  for (uint64_t i = 0; i < entry->input_count; ++i)
    in[i] = i < input_count ? inputs[i].data : NULL;
  for (uint32_t o = 0; o < output_count; ++o)
    out[o] = outputs[o].data;
  return run(context, entry, body);
}
