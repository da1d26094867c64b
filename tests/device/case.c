/* case.c - one case on a GPU, checked or timed.
 *
 * A check runs it in two contexts: tensors on the GPU, outputs full of ones
 * before, and tensors on the host. Both must give the same bits, which are the
 * expected ones.
 */
#include "device.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A case's context, with the addresses of its tensors. */
typedef struct place {
  const device_case *c;
  const nncc_entry *entry;
  const nncc_body *body;
  nncc_context *context;
  int is_there; /* tensors lie on the GPU */
  const void *inputs[4096];
  void *outputs[4096];
} place;

/* Ends a try with the runtime's own sentence, or this one. */
#define TRY(call)                                                              \
  do {                                                                         \
    nncc_status status_ = (call);                                              \
    if (status_)                                                               \
      return status_;                                                          \
  } while (0)

static CUcontext primary;

static nncc_status drive(CUresult result, const char *what) {
  const nncc_driver *driver;
  TRY(nncc_open_driver(&driver));
  return result ? nncc_cuda_fail(driver, result, "%s", what) : NNCC_OK;
}

/* This thread's own hold on the GPU, for memory there. */
static nncc_status hold(const nncc_driver **driver) {
  TRY(nncc_open_driver(driver));
  if (primary)
    return NNCC_OK;
  CUdevice device;
  TRY(nncc_find_device(*driver, 0, &device));
  TRY(drive((*driver)->cuDevicePrimaryCtxRetain(&primary, device), "retain"));
  return drive((*driver)->cuCtxPushCurrent_v2(primary), "push");
}

static nncc_status to_gpu(const void *data, uint64_t bytes, void **there) {
  const nncc_driver *driver;
  CUdeviceptr memory;
  TRY(hold(&driver));
  TRY(drive(driver->cuMemAlloc_v2(&memory, bytes ? bytes : 1), "memory"));
  *there = (void *)(uintptr_t)memory;
  CUresult result =
      data ? driver->cuMemcpyHtoDAsync_v2(memory, data, bytes, NULL)
           : driver->cuMemsetD8Async(memory, 0xff, bytes, NULL);
  TRY(drive(result, data ? "copy in" : "poison"));
  return drive(driver->cuStreamSynchronize(NULL), "wait");
}

static nncc_status free_there(const void *there) {
  const nncc_driver *driver;
  TRY(hold(&driver));
  return drive(driver->cuMemFree_v2((CUdeviceptr)(uintptr_t)there), "free");
}

static nncc_status from_gpu(void *data, const void *there, uint64_t bytes) {
  const nncc_driver *driver;
  TRY(hold(&driver));
  TRY(drive(driver->cuMemcpyDtoHAsync_v2(data, (CUdeviceptr)(uintptr_t)there,
                                         bytes, NULL),
            "copy out"));
  return drive(driver->cuStreamSynchronize(NULL), "wait");
}

static nncc_status load_weights(const nncc_model *model,
                                nncc_weights **weights) {
  *weights = NULL;
  if (!model->weight_count)
    return NNCC_OK;
  TRY(nncc_weights_create(model, weights));
  for (uint64_t i = 0; i < model->weight_count; ++i) {
    const nncc_tensor *tensor = &model->weights[i];
    void *data = take_number(model->name, 'w', tensor);
    if (!data && tensor->fresh)
      continue;
    if (!data)
      return nncc_fail(NNCC_ERROR_ARGUMENT, "no value of weight %s",
                       tensor->name);
    TRY(nncc_weights_set(*weights, tensor->name, data, tensor->bytes));
    free(data);
  }
  return nncc_weights_prepare(*weights);
}

static nncc_status open_place(place *p, const device_case *c,
                              const nncc_weights *weights, int is_there) {
  const nncc_model *model = c->model();
  p->c = c;
  p->is_there = is_there;
  for (uint64_t e = 0; e < model->entry_count; ++e)
    if (!strcmp(model->entries[e].name, c->entry))
      p->entry = &model->entries[e];
  if (!p->entry)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "no entry %s", c->entry);
  p->body = &p->entry->bodies[0];
  nncc_options options = {0};
  options.trains = p->entry->trains != 0;
  options.device = NNCC_CUDA;
  options.device_pointers = is_there != 0;
  TRY(nncc_context_create(model, weights, &options, &p->context));
  for (uint64_t i = 0; i < p->entry->input_count; ++i) {
    const nncc_tensor *tensor = &p->body->inputs[i];
    void *data = take_number(c->name, 'i', tensor);
    if (!data && !tensor->initial)
      return nncc_fail(NNCC_ERROR_ARGUMENT, "no value of input %s",
                       tensor->name);
    p->inputs[i] = data;
    if (data && is_there) {
      TRY(to_gpu(data, tensor->bytes, (void **)&p->inputs[i]));
      free(data);
    }
  }
  for (uint64_t o = 0; o < p->entry->output_count; ++o) {
    uint64_t bytes = p->body->outputs[o].bytes;
    if (is_there)
      TRY(to_gpu(NULL, bytes, &p->outputs[o]));
    else
      p->outputs[o] = memset(malloc(bytes ? bytes : 1), 0xff, bytes);
  }
  return NNCC_OK;
}

/* What an error left open ends with the process. */
static nncc_status close_place(place *p) {
  for (uint64_t i = 0; i < p->entry->input_count; ++i)
    if (!p->is_there)
      free((void *)p->inputs[i]);
    else if (p->inputs[i])
      TRY(free_there(p->inputs[i]));
  for (uint64_t o = 0; o < p->entry->output_count; ++o)
    if (!p->is_there)
      free(p->outputs[o]);
    else
      TRY(free_there(p->outputs[o]));
  nncc_context_free(p->context);
  free(p);
  return NNCC_OK;
}

static nncc_status run_place(place *p) {
  TRY(nncc_run_body(p->context, p->c->entry, 0, p->inputs, p->outputs));
  return nncc_context_synchronize(p->context);
}

/* On the host. */
static nncc_status output_of(place *p, uint64_t o, void **data) {
  *data = p->outputs[o];
  if (!p->is_there)
    return NNCC_OK;
  uint64_t bytes = p->body->outputs[o].bytes;
  *data = malloc(bytes ? bytes : 1);
  return from_gpu(*data, p->outputs[o], bytes);
}

/* A tensor of the state after the run, on the host. */
static nncc_status state_of(place *p, const nncc_tensor *tensor, void **data) {
  *data = malloc(tensor->bytes ? tensor->bytes : 1);
  if (!p->is_there)
    return nncc_context_read(p->context, tensor->name, *data, tensor->bytes);
  void *there;
  TRY(to_gpu(NULL, tensor->bytes, &there));
  TRY(nncc_context_read(p->context, tensor->name, there, tensor->bytes));
  TRY(nncc_context_synchronize(p->context));
  TRY(from_gpu(*data, there, tensor->bytes));
  return free_there(there);
}

/* What is known of a case while its results are looked at. */
typedef struct verdict {
  uint64_t tensors, differ;
  FILE *out, *text;
} verdict;

static nncc_status look_at(verdict *v, const device_case *c, char what,
                           const nncc_tensor *tensor, const void *first,
                           const void *second) {
  ++v->tensors;
  if (memcmp(first, second, tensor->bytes)) {
    ++v->differ;
    fprintf(v->out, "%s{\"tensor\": \"%s\", \"runs\": \"differ\"}",
            v->differ > 1 ? ", " : "", tensor->name);
    fprintf(v->text, "  %s %s: two runs give other bits\n", c->name,
            tensor->name);
  }
  char *json = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&json, &bytes);
  int unlike = compare_number(c, what, tensor, second, out, v->text);
  fclose(out);
  if (unlike > 0)
    fprintf(v->out, "%s%s", v->differ++ ? ", " : "", json);
  free(json);
  return unlike >= 0 ? NNCC_OK
                     : nncc_fail(NNCC_ERROR_ARGUMENT, "no value of result %s",
                                 tensor->name);
}

static nncc_status compare(place *p, place *q, verdict *v) {
  void *x, *y;
  for (uint64_t o = 0; o < p->entry->output_count; ++o) {
    TRY(output_of(p, o, &x));
    TRY(output_of(q, o, &y));
    TRY(look_at(v, p->c, 'o', &p->body->outputs[o], x, y));
    free(p->is_there ? x : NULL);
  }
  const nncc_model *model = p->c->model();
  for (uint64_t i = 0; p->entry->trains && i < model->weight_count; ++i) {
    TRY(state_of(p, &model->weights[i], &x));
    TRY(state_of(q, &model->weights[i], &y));
    TRY(look_at(v, p->c, 's', &model->weights[i], x, y));
    free(x);
    free(y);
  }
  return NNCC_OK;
}

static nncc_status check(const device_case *c, verdict *v) {
  place *there = calloc(1, sizeof *there), *here = calloc(1, sizeof *here);
  nncc_weights *weights;
  TRY(load_weights(c->model(), &weights));
  TRY(open_place(there, c, weights, 1));
  TRY(open_place(here, c, weights, 0));
  TRY(run_place(there));
  TRY(run_place(here));
  TRY(compare(there, here, v));
  TRY(close_place(there));
  TRY(close_place(here));
  nncc_weights_free(weights);
  return NNCC_OK;
}

/* A sentence as JSON has it. */
static void quote(FILE *out, const char *text) {
  fputc('"', out);
  for (; *text; ++text)
    if (*text == '\n')
      fputs("\\n", out);
    else if ((unsigned char)*text >= 32)
      fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
  fputc('"', out);
}

static int failed(const char *name, FILE *out, FILE *text) {
  fputs(", \"error\": ", out);
  quote(out, nncc_last_error());
  fprintf(text, "  %s: %s\n", name, nncc_last_error());
  return case_failed;
}

int check_case(const device_case *c, FILE *out, FILE *text) {
  verdict v = {.out = out, .text = text};
  fprintf(out, "\"differs\": [");
  nncc_status status = check(c, &v);
  fprintf(out, "], \"tensors\": %llu", (unsigned long long)v.tensors);
  if (status)
    return failed(c->name, out, text);
  return v.differ ? case_differs : case_same;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_size(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return (a > b) - (a < b);
}

/* The median of at least 5 runs, of half a second if there are more. */
static nncc_status median(const device_case *c, const nncc_weights *weights,
                          int is_there, double *result) {
  enum { fewest = 5, most = 501 };
  static double times[most];
  place *p = calloc(1, sizeof *p);
  TRY(open_place(p, c, weights, is_there));
  for (int i = 0; i < 3; ++i)
    TRY(run_place(p));
  int count = 0;
  for (double start = now();
       count < fewest || (count < most && now() - start < 0.5); ++count) {
    double before = now();
    TRY(run_place(p));
    times[count] = (now() - before) * 1e3;
  }
  qsort(times, (size_t)count, sizeof *times, by_size);
  *result = times[count / 2];
  return close_place(p);
}

static nncc_status measure(const device_case *c, double times[2]) {
  nncc_weights *weights;
  TRY(load_weights(c->model(), &weights));
  TRY(median(c, weights, 0, &times[0]));
  TRY(median(c, weights, 1, &times[1]));
  nncc_weights_free(weights);
  return NNCC_OK;
}

int time_case(const device_case *c, FILE *out, FILE *text) {
  double times[2] = {0};
  nncc_status status = measure(c, times);
  fprintf(out, "\"host_ms\": %.4f, \"device_ms\": %.4f", times[0], times[1]);
  if (status)
    return failed(c->name, out, text);
  fprintf(text, "  %-24s %10.3f %10.3f\n", c->name, times[0], times[1]);
  return case_same;
}

int print_facts(FILE *out, FILE *text) {
  nncc_device_facts facts;
  fprintf(out, "\"images\": \"%s\"", device_images);
  if (nncc_device_info(NNCC_CUDA, 0, &facts))
    return failed("device", out, text);
  fprintf(out,
          ", \"name\": \"%s\", \"sm\": %u, \"multiprocessors\": %u, "
          "\"driver\": %u, \"memory\": %llu, \"unused\": %llu",
          facts.name, facts.sm, facts.multiprocessors, facts.driver,
          (unsigned long long)facts.memory, (unsigned long long)facts.unused);
  fprintf(text,
          "  %s, sm_%u, %u multiprocessors, driver for CUDA %u.%u, %.1f of "
          "%.1f GB unused\n",
          facts.name, facts.sm, facts.multiprocessors, facts.driver / 1000,
          facts.driver % 1000 / 10, (double)facts.unused / 1e9,
          (double)facts.memory / 1e9);
  return case_same;
}
