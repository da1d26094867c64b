/* match.c - weights from files: which tensors of a file are which. */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

/* A file beside the model: which tensors are which. */
typedef struct match {
  int64_t *weight_of; /* file tensor -> number in the model, or -1 */
  const nncc_file_tensor **first; /* number -> first of its names in the file */
} match;

static bool match_names(const nncc_model *model, const nncc_file *file,
                        match *m) {
  uint32_t count = nncc_file_count(file);
  m->weight_of = calloc(count + 1, sizeof *m->weight_of);
  m->first = calloc(model->weight_count + 1, sizeof *m->first);
  for (uint32_t i = 0; m->weight_of && m->first && i < count; ++i) {
    int64_t weight = nncc_find_tensor(model, nncc_file_get(file, i)->name);
    m->weight_of[i] = weight;
    if (weight >= 0 && !m->first[weight])
      m->first[weight] = nncc_file_get(file, i);
  }
  return m->weight_of && m->first;
}

/* State of an optimizer that a checkpoint holds and the model has no use for:
 * of an entry that does not train. */
static bool is_left_over(const nncc_file *file, const char *name) {
  bool is_checkpoint = false;
  for (uint32_t i = 0; i < nncc_file_count(file) && !is_checkpoint; ++i) {
    const nncc_file_tensor *t = nncc_file_get(file, i);
    is_checkpoint =
        !strcmp(t->name, "optimizer.step") && t->dtype == NNCC_I64 && !t->rank;
  }
  return is_checkpoint && !strncmp(name, "optimizer.", 10);
}

/* The texts of an error that lists things: the first ones, and how many more
 * there are. */
enum { most_listed = 12 };
static bool is_listed(unsigned *problems) { return ++*problems <= most_listed; }

/* What does not fit one tensor of the model; what is missing. */
static void check_tensor(const nncc_tensor *tensor,
                         const nncc_file_tensor *stored, unsigned *problems) {
  char expected[64], got[64];
  if (!stored) {
    if (!tensor->fresh && is_listed(problems))
      nncc_fail_more("\n  %s is missing", tensor->name);
  } else if (stored->dtype != tensor->dtype) {
    if (is_listed(problems))
      nncc_fail_more("\n  %s must be %s, the file has %s", tensor->name,
                     nncc_dtype_name((nncc_dtype)tensor->dtype),
                     nncc_dtype_name(stored->dtype));
  } else if (stored->rank != tensor->rank ||
             (tensor->rank && memcmp(stored->dims, tensor->dims,
                                     tensor->rank * sizeof(int64_t)))) {
    if (is_listed(problems))
      nncc_fail_more(
          "\n  %s must have shape %s, the file has %s", tensor->name,
          nncc_shape_text(expected, sizeof expected, tensor->dims,
                          tensor->rank),
          nncc_shape_text(got, sizeof got, stored->dims, stored->rank));
  }
}

/* How many names of the file the model does not know, and whether it knows them
 * all without their first part, as in "module.conv.weight". */
static uint32_t count_unknown(const nncc_model *model, const nncc_file *file,
                              const match *m, bool *is_prefixed) {
  uint32_t unknown = 0;
  *is_prefixed = true;
  for (uint32_t i = 0; i < nncc_file_count(file); ++i) {
    const char *name = nncc_file_get(file, i)->name;
    if (m->weight_of[i] >= 0 || is_left_over(file, name))
      continue;
    const char *dot = strchr(name, '.');
    ++unknown;
    *is_prefixed = *is_prefixed && dot && nncc_find_tensor(model, dot + 1) >= 0;
  }
  return unknown;
}

/* Lists the tensors that do not fit, first what the cause may be. */
static nncc_status check_file(const nncc_model *model, const nncc_file *file,
                              const match *m) {
  unsigned problems = 0;
  bool is_prefixed;
  uint32_t count = nncc_file_count(file);
  uint32_t unknown = count_unknown(model, file, m, &is_prefixed);
  if (unknown && !model->weight_count)
    return nncc_fail(NNCC_ERROR_WEIGHTS,
                     "the weights do not fit %s: it has no state, the file has "
                     "%u tensors",
                     model->name, unknown);
  if (unknown && unknown == count) {
    const char *name = nncc_file_get(file, 0)->name;
    if (is_prefixed)
      return nncc_fail(NNCC_ERROR_WEIGHTS,
                       "the weights do not fit %s: their names begin with "
                       "\"%.*s.\", which the model's do not",
                       model->name, (int)(strchr(name, '.') - name), name);
    return nncc_fail(NNCC_ERROR_WEIGHTS,
                     "the weights do not fit %s: these are the weights of "
                     "another model (%u of %u names unknown, as %s)",
                     model->name, unknown, count, name);
  }
  nncc_fail(NNCC_ERROR_WEIGHTS, "the weights do not fit %s:", model->name);
  if (2 * (uint64_t)unknown > count)
    nncc_fail_more(" they may be of another model, %u of %u names are unknown",
                   unknown, count);
  for (uint64_t i = 0; i < model->weight_count; ++i)
    check_tensor(&model->weights[i], m->first[i], &problems);
  for (uint32_t i = 0; i < count; ++i) {
    const nncc_file_tensor *stored = nncc_file_get(file, i);
    int64_t weight = m->weight_of[i];
    if (weight < 0 && !is_left_over(file, stored->name) && is_listed(&problems))
      nncc_fail_more("\n  %s is not part of the model", stored->name);
    const nncc_file_tensor *first = weight < 0 ? stored : m->first[weight];
    if (first != stored &&
        (first->bytes != stored->bytes ||
         memcmp(first->data, stored->data, stored->bytes)) &&
        is_listed(&problems))
      nncc_fail_more("\n  %s and %s are one tensor of the model, but differ",
                     first->name, stored->name);
  }
  if (problems > most_listed)
    nncc_fail_more("\n  and %u more", problems - most_listed);
  if (!problems)
    nncc_fail(NNCC_OK, "%s", "");
  return problems ? NNCC_ERROR_WEIGHTS : NNCC_OK;
}

/* Takes over the file, unless it `borrows` its bytes from the caller. Tensors
 * that are aligned in the file stay there. */
static nncc_status from_file(const nncc_model *model, nncc_file *file,
                             bool borrows, nncc_weights **result) {
  match m;
  nncc_status status = match_names(model, file, &m)
                           ? check_file(model, file, &m)
                           : nncc_fail(NNCC_ERROR_MEMORY, "no memory to load");
  nncc_weights *weights = NULL;
  if (!status)
    status = nncc_weights_create(model, &weights);
  for (uint64_t i = 0; !status && i < model->weight_count; ++i) {
    const nncc_file_tensor *stored = m.first[i];
    if (!stored)
      continue;
    bool aligned =
        (uintptr_t)stored->data % nncc_dtype_bytes(stored->dtype) == 0;
    if (borrows || !aligned)
      status =
          nncc_weights_set(weights, stored->name, stored->data, stored->bytes);
    else
      weights->tensors[i] = stored->data;
  }
  free(m.weight_of);
  free(m.first);
  if (!status)
    status = nncc_weights_prepare(weights);
  if (!status && !borrows)
    weights->file = file;
  else
    nncc_file_free(file);
  if (status)
    nncc_weights_free(weights);
  else
    *result = weights;
  return status;
}

static nncc_status from_path(const nncc_model *model, const char *path,
                             nncc_status (*open)(const char *, nncc_file **),
                             nncc_weights **result) {
  if (!model || !path || !result)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  nncc_file *file;
  nncc_status status = open(path, &file);
  return status ? status : from_file(model, file, false, result);
}

nncc_status nncc_weights_load(const nncc_model *model, const char *path,
                              nncc_weights **result) {
  return from_path(model, path, nncc_file_read, result);
}

nncc_status nncc_weights_map(const nncc_model *model, const char *path,
                             nncc_weights **result) {
  return from_path(model, path, nncc_file_map, result);
}

nncc_status nncc_weights_from_memory(const nncc_model *model, const void *data,
                                     size_t bytes, nncc_weights **result) {
  if (!model || !data || !result)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  nncc_file *file;
  nncc_status status = nncc_file_parse(data, bytes, "weights", &file);
  return status ? status : from_file(model, file, true, result);
}
