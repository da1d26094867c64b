/* check.c - what can be wrong about the tensors of a call.
 *
 * Sizes and types, memory that overlaps, indices outside their tables.
 */
#include "internal.h"
#include <string.h>

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
nncc_status nncc_check_limits(const nncc_body *body,
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

/* An input that was left out lies in the object. */
nncc_status nncc_check_pointers(nncc_context *context, const nncc_entry *entry,
                                const nncc_body *body) {
  const nncc_backend *backend = nncc_backend_of(context->program);
  nncc_status status = NNCC_OK;
  for (uint64_t i = 0; !status && i < entry->input_count; ++i)
    if (body->inputs[i].bytes && context->inputs[i] != body->inputs[i].initial)
      status = backend->check_pointer(context, "input", body->inputs[i].name,
                                      context->inputs[i]);
  for (uint64_t o = 0; !status && o < entry->output_count; ++o)
    if (body->outputs[o].bytes)
      status = backend->check_pointer(context, "output", body->outputs[o].name,
                                      context->outputs[o]);
  return status;
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

/* Where the tensors of a context that trains lie: with device pointers, those
 * on the GPU. */
static const void *const *states_of(const nncc_context *context) {
  if (!context->own)
    return NULL;
  return context->options.device_pointers
             ? nncc_backend_of(context->program)->states(context)
             : (const void *const *)context->own->owned;
}

/* Steps write outputs, and state of the context's own, in any order: what they
 * write may be nothing else. */
nncc_status nncc_check_overlaps(const nncc_context *context,
                                const nncc_entry *entry,
                                const nncc_body *body) {
  const nncc_model *model = context->model;
  const void *const *owned = states_of(context);
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
      status = check_overlap("output", out[o], tensor, "the context's", owned,
                             model->weights, states);
  }
  for (uint64_t i = 0; !status && entry->trains && i < entry->input_count; ++i)
    status = check_overlap("input", in[i], &body->inputs[i], "the context's",
                           owned, model->weights, states);
  return status;
}

static bool same_shape(const nncc_tensor *tensor, const nncc_view *view) {
  return tensor->rank == view->rank &&
         (!view->rank ||
          !memcmp(tensor->dims, view->dims, view->rank * sizeof(int64_t)));
}

nncc_status nncc_check_views(const nncc_tensor *tensors, const nncc_view *views,
                             uint64_t count, const char *what) {
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
const nncc_body *nncc_find_body(const nncc_entry *entry,
                                const nncc_view *inputs, uint32_t count) {
  for (uint64_t b = 0; b < entry->body_count; ++b) {
    bool fits = true;
    for (uint32_t i = 0; i < count; ++i)
      fits = fits && same_shape(&entry->bodies[b].inputs[i], &inputs[i]);
    if (fits)
      return &entry->bodies[b];
  }
  if (entry->body_count == 1)
    return &entry->bodies[0]; /* nncc_check_views says what differs */
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
