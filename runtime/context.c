/* context.c - contexts and running entries. */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(nncc_buffer) == 40, "abi");
_Static_assert(sizeof(nncc_step) == 80, "abi");
_Static_assert(sizeof(nncc_tensor) == 56, "abi");
_Static_assert(sizeof(nncc_body) == 64, "abi");
_Static_assert(sizeof(nncc_entry) == 56, "abi");
_Static_assert(sizeof(nncc_alias) == 16, "abi");
_Static_assert(sizeof(nncc_model) == 128, "abi");

enum { max_buffers = NNCC_MAX_BUFFERS };

struct nncc_context {
  const nncc_model *model;
  const nncc_weights *weights;
  nncc_weights *own; /* of a context that trains: the same, to be changed */
  bool stale;        /* own weights changed since they were prepared */
  int64_t key[2];    /* seed and step of random numbers */
  nncc_pool *pool;
  nncc_options options;
  char *arena;
  /* Room for the addresses of an entry's tensors. */
  const void **inputs;
  void **outputs;
};

void *nncc_allocate(size_t bytes) {
  size_t rounded = (bytes + 63) / 64 * 64 + 64;
  if (rounded < bytes)
    return NULL;
  return aligned_alloc(64, rounded);
}

/* --- Steps ---------------------------------------------------------------- */

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
    return (char *)(uintptr_t)memory->prepared + buffer->value;
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

void nncc_run_step(const nncc_step *step, const nncc_memory *memory,
                   uint64_t iteration, const nncc_options *options) {
  void *buffers[max_buffers];
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
          nncc_run_step(step + k, memory, iteration, options);
      i += step->loop_steps;
    } else if (step->kernel) {
      nncc_run_step(step, memory, 0, options);
    } else if (options->all_reduce) {
      nncc_status status = all_reduce(step, memory, options);
      if (status)
        return status;
    }
  }
  return NNCC_OK;
}

/* --- Contexts ------------------------------------------------------------- */

static void run_in_pool(void *host, int64_t count, nncc_range_body body,
                        void *argument) {
  nncc_pool_run(host, count, body, argument);
}

/* Why this machine cannot run the object; empty if it can. */
nncc_status nncc_check_model(const nncc_model *model) {
  if (!model)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the model is null");
  if (model->abi_version != NNCC_ABI_VERSION)
    return nncc_fail(NNCC_ERROR_ABI,
                     "the object has ABI version %u, this runtime %d: compile "
                     "the model again",
                     model->abi_version, NNCC_ABI_VERSION);
  static const struct {
    uint64_t bit;
    const char *name;
  } names[] = {
      {NNCC_CPU_SSE42, "SSE4.2"},       {NNCC_CPU_AVX, "AVX"},
      {NNCC_CPU_AVX2, "AVX2"},          {NNCC_CPU_FMA, "FMA"},
      {NNCC_CPU_F16C, "F16C"},          {NNCC_CPU_BMI2, "BMI2"},
      {NNCC_CPU_AVX512F, "AVX-512F"},   {NNCC_CPU_AVX512VL, "AVX-512VL"},
      {NNCC_CPU_AVX512BW, "AVX-512BW"}, {NNCC_CPU_AVX512DQ, "AVX-512DQ"}};
  uint64_t missing = model->cpu_features & ~nncc_cpu_features();
  if (!missing)
    return NNCC_OK;
  const char *name = "a feature that this runtime does not know";
  for (size_t i = sizeof names / sizeof names[0]; i-- > 0;)
    if (missing & names[i].bit)
      name = names[i].name;
  return nncc_fail(NNCC_ERROR_CPU,
                   "%s was compiled for %s, but this CPU lacks %s: compile "
                   "with -mcpu=native here or -mcpu=x86-64",
                   model->name, model->cpu, name);
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

nncc_status nncc_context_create(const nncc_model *model,
                                const nncc_weights *weights,
                                const nncc_options *options,
                                nncc_context **result) {
  nncc_status status = nncc_check_model(model);
  if (status)
    return status;
  if (!result)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the place for the context is null");
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

/* --- Running -------------------------------------------------------------- */

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
      if ((value < 0 || value >= limit->limit) && value != limit->except)
        return nncc_fail(NNCC_ERROR_RANGE,
                         "input %s: element %llu is %lld, outside [0, %lld)",
                         tensor->name, (unsigned long long)i, (long long)value,
                         (long long)limit->limit);
    }
  }
  return NNCC_OK;
}

/* `context->inputs` and `context->outputs` are set. */
static nncc_status run(nncc_context *context, const nncc_entry *entry,
                       const nncc_body *body) {
  if (entry->trains && !context->own)
    return nncc_fail(NNCC_ERROR_ARGUMENT,
                     "%s changes weights: create the context with "
                     "options.trains",
                     entry->name);
  for (uint64_t i = 0; i < entry->input_count; ++i)
    if (!context->inputs[i])
      context->inputs[i] = body->inputs[i].initial;
  nncc_status status = check_limits(body, context->inputs);
  if (status)
    return status;
  if (context->stale && !entry->trains) {
    nncc_weights_refresh(context->own);
    context->stale = false;
  }
  int64_t key[2] = {context->key[0], context->key[1]};
  int64_t *done =
      entry->trains ? nncc_context_tensor(context, "optimizer.step") : NULL;
  if (done) {
    key[1] = *done;
    if (entry->period > 1 && (*done + 1) % (int64_t)entry->period)
      body = body->accumulate;
  }
  const nncc_weights *weights = context->weights;
  const nncc_embedded *embedded = context->model->embedded;
  nncc_memory memory = {context->arena,   NULL, context->inputs,
                        context->outputs, NULL, key};
  if (weights) {
    memory.prepared = weights->prepared;
    memory.weights = weights->tensors;
  } else if (embedded) {
    memory.prepared = embedded->prepared;
    memory.weights = embedded->tensors;
  }
  status = nncc_run_steps(body, &memory, &context->options);
  if (entry->trains)
    context->stale = true;
  else
    ++context->key[1];
  return status;
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
    if (!views[i].data && tensors[i].bytes)
      return nncc_fail(NNCC_ERROR_ARGUMENT, "%s %s has no data", what,
                       tensors[i].name);
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
    if ((uintptr_t)views[i].data % nncc_dtype_bytes(views[i].dtype))
      return nncc_fail(NNCC_ERROR_ARGUMENT,
                       "%s %s is not aligned to its "
                       "elements",
                       what, tensors[i].name);
  }
  return NNCC_OK;
}

static bool overlap(const nncc_view *x, uint64_t x_bytes, const nncc_view *y,
                    uint64_t y_bytes) {
  const char *a = x->data, *b = y->data;
  return x_bytes && y_bytes && a < b + y_bytes && b < a + x_bytes;
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
  for (uint32_t o = 0; o < output_count; ++o) {
    out[o] = outputs[o].data;
    for (uint32_t i = 0; i < input_count; ++i)
      if (overlap(&outputs[o], body->outputs[o].bytes, &inputs[i],
                  body->inputs[i].bytes))
        return nncc_fail(NNCC_ERROR_ARGUMENT, "output %s overlaps input %s",
                         body->outputs[o].name, body->inputs[i].name);
    for (uint32_t p = 0; p < o; ++p)
      if (overlap(&outputs[o], body->outputs[o].bytes, &outputs[p],
                  body->outputs[p].bytes))
        return nncc_fail(NNCC_ERROR_ARGUMENT, "output %s overlaps output %s",
                         body->outputs[o].name, body->outputs[p].name);
  }
  return run(context, entry, body);
}
