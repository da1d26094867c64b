/* runtime_test.c - the runtime from C, built plain and with sanitizers.
 *
 * Links the examples' classifier. Threads, host threads, wrong calls, files.
 */
#include "classifier.h"
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x

static float x[64];

static nncc_weights *make_weights(void) {
  const nncc_model *model = classifier_model();
  nncc_weights *weights;
  assert(!nncc_weights_create(model, &weights));
  assert(nncc_weights_prepare(weights) == NNCC_ERROR_WEIGHTS);
  assert(!strcmp(nncc_last_error(), "missing tensors: conv.weight conv.bias "
                                    "fc.weight fc.bias"));
  for (uint64_t i = 0; i < model->weight_count; ++i) {
    const nncc_tensor *tensor = &model->weights[i];
    float *data = malloc(tensor->bytes);
    for (uint64_t k = 0; k < tensor->bytes / sizeof(float); ++k)
      data[k] = (float)((k * 37 + i * 11) % 19) / 19.0f - 0.5f;
    assert(nncc_weights_set(weights, tensor->name, data, tensor->bytes - 4) ==
           NNCC_ERROR_WEIGHTS);
    assert(!nncc_weights_set(weights, tensor->name, data, tensor->bytes));
    free(data);
  }
  assert(nncc_weights_set(weights, "nothing", x, 4) == NNCC_ERROR_WEIGHTS);
  nncc_context *context;
  assert(nncc_context_create(model, weights, NULL, &context) ==
         NNCC_ERROR_WEIGHTS);
  assert(!nncc_weights_prepare(weights));
  assert(nncc_weights_set(weights, "conv.bias", x, 16) == NNCC_ERROR_ARGUMENT);
  return weights;
}

/* Runs all tiles backwards, one by one: any order gives the same bits. */
static void backwards(void *host, int64_t count, nncc_range_body body,
                      void *argument) {
  ++*(int *)host;
  for (int64_t i = count; i-- > 0;)
    body(argument, i, i + 1);
}

struct job {
  const nncc_weights *weights;
  uint32_t threads;
  float p[3];
};

static void *run_job(void *argument) {
  struct job *job = argument;
  nncc_options options = {job->threads, NULL, NULL};
  nncc_context *context;
  assert(!nncc_context_create(classifier_model(), job->weights, &options,
                              &context));
  for (int i = 0; i < 50; ++i)
    assert(!classifier_forward(context, x, job->p));
  nncc_context_free(context);
  return NULL;
}

static void test_contexts(const nncc_weights *weights) {
  struct job jobs[4];
  pthread_t threads[4];
  for (uint32_t i = 0; i < 4; ++i) {
    jobs[i].weights = weights;
    jobs[i].threads = i;
    assert(!pthread_create(&threads[i], NULL, run_job, &jobs[i]));
  }
  for (int i = 0; i < 4; ++i)
    pthread_join(threads[i], NULL);
  for (int i = 1; i < 4; ++i)
    assert(!memcmp(jobs[0].p, jobs[i].p, sizeof jobs[0].p));
  float sum = jobs[0].p[0] + jobs[0].p[1] + jobs[0].p[2];
  assert(sum > 0.999f && sum < 1.001f);

  int calls = 0;
  nncc_options options = {1, backwards, &calls};
  nncc_context *context;
  float p[3];
  assert(!nncc_context_create(classifier_model(), weights, &options, &context));
  assert(!classifier_forward(context, x, p));
  assert(!memcmp(p, jobs[0].p, sizeof p));
  nncc_context_free(context);
}

/* Saves, then reads, maps and copies back: the same bits each time. */
static void test_round_trip(const nncc_weights *weights) {
  const nncc_model *model = classifier_model();
  const char *path = "runtime_test.weights.safetensors";
  assert(!nncc_weights_save(weights, path));
  nncc_weights *loaded[2];
  assert(!nncc_weights_load(model, path, &loaded[0]));
  assert(!nncc_weights_map(model, path, &loaded[1]));
  float bias[4], again[4], expected[3], p[3];
  assert(!nncc_weights_get(weights, "conv.bias", bias, sizeof bias));
  nncc_context *context;
  assert(!nncc_context_create(model, weights, NULL, &context));
  assert(!classifier_forward(context, x, expected));
  for (int i = 0; i < 2; ++i) {
    assert(!nncc_weights_get(loaded[i], "conv.bias", again, sizeof again));
    assert(!memcmp(bias, again, sizeof bias));
    assert(!nncc_context_set_weights(context, loaded[i]));
    assert(!classifier_forward(context, x, p));
    assert(!memcmp(expected, p, sizeof p));
  }
  nncc_context_free(context);
  nncc_weights_free(loaded[0]);
  nncc_weights_free(loaded[1]);
  remove(path);
  assert(nncc_weights_get(weights, "conv.bias", bias, 4) == NNCC_ERROR_WEIGHTS);
  assert(nncc_weights_get(weights, "none", bias, 4) == NNCC_ERROR_WEIGHTS);
  assert(nncc_weights_save(weights, "no/such/folder") == NNCC_ERROR_IO);
  assert(nncc_weights_map(model, path, &loaded[0]) == NNCC_ERROR_IO);
}

struct swap {
  const nncc_weights *weights[2];
  float p[2][3];
};

static void *run_swaps(void *argument) {
  struct swap *swap = argument;
  nncc_context *context;
  assert(!nncc_context_create(classifier_model(), swap->weights[0], NULL,
                              &context));
  for (int i = 0; i < 50; ++i) {
    assert(!nncc_context_set_weights(context, swap->weights[i % 2]));
    assert(!classifier_forward(context, x, swap->p[i % 2]));
  }
  nncc_context_free(context);
  return NULL;
}

/* Contexts exchange their weights while others run. */
static void test_replace(const nncc_weights *first) {
  const nncc_model *model = classifier_model();
  nncc_weights *second;
  assert(!nncc_weights_create(model, &second));
  for (uint64_t i = 0; i < model->weight_count; ++i) {
    const nncc_tensor *tensor = &model->weights[i];
    void *zeros = calloc(1, tensor->bytes);
    assert(!nncc_weights_set(second, tensor->name, zeros, tensor->bytes));
    free(zeros);
  }
  nncc_context *context;
  assert(!nncc_context_create(model, first, NULL, &context));
  assert(nncc_context_set_weights(context, second) == NNCC_ERROR_WEIGHTS);
  nncc_context_free(context);
  assert(!nncc_weights_prepare(second));
  struct swap jobs[2] = {{{first, second}, {{0}}}, {{second, first}, {{0}}}};
  pthread_t threads[2];
  for (int i = 0; i < 2; ++i)
    assert(!pthread_create(&threads[i], NULL, run_swaps, &jobs[i]));
  for (int i = 0; i < 2; ++i)
    pthread_join(threads[i], NULL);
  for (int i = 0; i < 2; ++i)
    assert(!memcmp(jobs[0].p[i], jobs[1].p[1 - i], sizeof jobs[0].p[i]));
  assert(jobs[0].p[1][0] == jobs[0].p[1][1]); /* zeros: all classes alike */
  assert(jobs[0].p[0][0] != jobs[0].p[0][1]);
  nncc_weights_free(second);
}

static void expect(nncc_status status, nncc_status wanted, const char *text) {
  if (status != wanted || strcmp(nncc_last_error(), text)) {
    fprintf(stderr, "status %d, text %s\n", (int)status, nncc_last_error());
    abort();
  }
}

static void test_wrong_calls(const nncc_weights *weights) {
  nncc_context *context;
  assert(!nncc_context_create(classifier_model(), weights, NULL, &context));
  float p[3], both[80];
  int64_t in[] = {1, 1, 8, 8}, out[] = {1, 3};
  nncc_view input = {x, NNCC_F32, 4, in}, output = {p, NNCC_F32, 2, out};
  assert(!nncc_run(context, "forward", &input, 1, &output, 1));
  expect(nncc_run(context, "back", &input, 1, &output, 1), NNCC_ERROR_ARGUMENT,
         "classifier has no entry \"back\"");
  expect(nncc_run(context, "forward", &input, 1, &output, 0),
         NNCC_ERROR_ARGUMENT,
         "forward takes 1 inputs and gives 1 outputs, got 1 and 0");
  nncc_view wrong = input;
  wrong.dtype = NNCC_F64;
  expect(nncc_run(context, "forward", &wrong, 1, &output, 1),
         NNCC_ERROR_ARGUMENT, "input x must be f32, got f64");
  wrong = input;
  wrong.data = (char *)x + 1;
  expect(nncc_run(context, "forward", &wrong, 1, &output, 1),
         NNCC_ERROR_ARGUMENT, "input x is not aligned to its elements");
  wrong.data = NULL;
  expect(nncc_run(context, "forward", &wrong, 1, &output, 1),
         NNCC_ERROR_ARGUMENT, "input x has no data");
  nncc_view a = {both, NNCC_F32, 4, in}, b = {both + 62, NNCC_F32, 2, out};
  expect(nncc_run(context, "forward", &a, 1, &b, 1), NNCC_ERROR_ARGUMENT,
         "output p overlaps input x");
  wrong = input;
  wrong.dims = out;
  wrong.rank = 2;
  wrong.data = NULL; /* the shape says more */
  expect(nncc_run(context, "forward", &wrong, 1, &output, 1),
         NNCC_ERROR_ARGUMENT,
         "input x must have shape [1, 1, 8, 8], got [1, 3]");
  expect(classifier_forward(context, both, both + 62), NNCC_ERROR_ARGUMENT,
         "output p overlaps input x");
  expect(classifier_forward(context, both + 2, both), NNCC_ERROR_ARGUMENT,
         "output p overlaps input x");
  assert(!classifier_forward(context, both + 3, both)); /* beside it */
  assert(!classifier_forward(context, both, both + 64));
  nncc_model foreign = *classifier_model();
  foreign.abi_version = 99;
  nncc_context *none;
  expect(nncc_context_create(&foreign, weights, NULL, &none), NNCC_ERROR_ABI,
         "the object has ABI version 99, this runtime " TEXT(
             NNCC_ABI_VERSION) ": compile the model "
                               "again");
  foreign = *classifier_model();
  foreign.cpu = "z80";
  foreign.cpu_features |= 1ull << 40;
  expect(nncc_context_create(&foreign, weights, NULL, &none), NNCC_ERROR_CPU,
         "classifier was compiled for z80, but this CPU lacks a feature that "
         "this runtime does not know: compile with -mcpu=native here or "
         "-mcpu=x86-64");
  foreign = *classifier_model();
  assert(nncc_context_create(&foreign, weights, NULL, &none) ==
         NNCC_ERROR_WEIGHTS);
  nncc_context_free(context);
}

/* An error of each status that this model can give, with its text. */
static void test_every_status(const nncc_weights *weights) {
  nncc_context *context;
  nncc_weights *none;
  nncc_file *file;
  float p[3];
  const void *in[] = {x};
  void *out[] = {p};
  expect(nncc_context_create(NULL, weights, NULL, &context),
         NNCC_ERROR_ARGUMENT, "the model is null");
  nncc_options options = {1u << 20, NULL, NULL};
  expect(nncc_context_create(classifier_model(), weights, &options, &context),
         NNCC_ERROR_ARGUMENT, "1048576 threads, at most 4096 can be had");
  assert(!nncc_context_create(classifier_model(), weights, NULL, &context));
  expect(nncc_run_body(context, "forward", 7, in, out), NNCC_ERROR_ARGUMENT,
         "forward has 1 bodies, not number 7");
  in[0] = NULL;
  expect(nncc_run_body(context, "forward", 0, in, out), NNCC_ERROR_ARGUMENT,
         "input x is null");
  in[0] = x;
  out[0] = NULL;
  expect(nncc_run_body(context, "forward", 0, in, out), NNCC_ERROR_ARGUMENT,
         "output p is null");
  nncc_context_free(context);
  expect(nncc_context_create(classifier_model(), NULL, NULL, &context),
         NNCC_ERROR_WEIGHTS,
         "classifier has 4 tensors of state, but no weights were given");
  expect(nncc_weights_from_memory(classifier_model(), "\x89PNG\r\n\x1a\n", 8,
                                  &none),
         NNCC_ERROR_FORMAT, "weights is a PNG image, not a safetensors file");
  expect(nncc_weights_load(classifier_model(), "no", &none), NNCC_ERROR_IO,
         "cannot read no: No such file or directory");
  nncc_body body = classifier_model()->entries[0].bodies[0];
  nncc_entry entry = classifier_model()->entries[0];
  nncc_model model = *classifier_model();
  body.arena_bytes = 1ull << 60;
  entry.bodies = &body;
  model.entries = &entry;
  model.weight_count = 0;
  expect(nncc_context_create(&model, NULL, NULL, &context), NNCC_ERROR_MEMORY,
         "no memory for an arena of 1152921504606846976 bytes and 1 threads");
  nncc_tensor two[] = {body.outputs[0], body.outputs[0]};
  float q[5];
  void *outs[] = {q, q + 2};
  two[1].name = "q";
  body.arena_bytes = 64;
  body.outputs = two;
  entry.output_count = 2;
  assert(!nncc_context_create(&model, NULL, NULL, &context));
  expect(nncc_run_body(context, "forward", 0, in, outs), NNCC_ERROR_ARGUMENT,
         "output q overlaps output p");
  nncc_context_free(context);
  expect(nncc_file_parse(NULL, 1, "a", &file), NNCC_ERROR_ARGUMENT,
         "an argument is null");
  expect(nncc_file_parse("", 0, "a", &file), NNCC_ERROR_FORMAT,
         "a is an empty file");
}

/* Step by step gives what a run gives. */
static void test_steps(const nncc_weights *weights) {
  nncc_context *context;
  float p[3], q[3] = {0};
  const void *in[] = {x};
  void *out[] = {q};
  assert(!nncc_context_create(classifier_model(), weights, NULL, &context));
  assert(!classifier_forward(context, x, p));
  const nncc_entry *entry = &classifier_model()->entries[0];
  void *last = NULL;
  const nncc_body *body = &entry->bodies[0];
  for (uint64_t i = 0; i < body->step_count; ++i)
    last = nncc_run_step(context, entry, &body->steps[i], 0, in, out);
  assert(last == q && !memcmp(p, q, sizeof p));
  assert(!nncc_run_step(context, entry, NULL, 0, in, out));
  assert(!strcmp(nncc_last_error(), "an argument of run is null"));
  nncc_context_free(context);
  float bias[4];
  assert(!nncc_weights_get(weights, "conv.bias", bias, sizeof bias));
  for (uint64_t i = 0; i < classifier_model()->weight_count; ++i)
    if (!strcmp(classifier_model()->weights[i].name, "conv.bias"))
      assert(!memcmp(nncc_weights_data(weights, i), bias, sizeof bias));
  assert(!nncc_weights_data(weights, 99) && !nncc_weights_data(NULL, 0));
  assert((nncc_weights_prepared(weights) != NULL) ==
         (classifier_model()->prepared_bytes != 0));
}

static void test_metadata(void) {
  float one = 1;
  nncc_file_tensor tensor = {"a", NNCC_F32, 0, NULL, &one, sizeof one};
  nncc_metadata texts[] = {{"seed", "5"}, {"a \"b\"\n", ""}};
  assert(!nncc_file_write_with("metadata_test", &tensor, 1, texts, 2));
  nncc_file *file;
  assert(!nncc_file_read("metadata_test", &file));
  assert(!strcmp(nncc_file_metadata(file, "seed"), "5"));
  assert(!strcmp(nncc_file_metadata(file, "a \"b\"\n"), ""));
  assert(!nncc_file_metadata(file, "b"));
  nncc_file_free(file);
  remove("metadata_test");
  expect(nncc_file_write(".", &tensor, 1), NNCC_ERROR_IO,
         "cannot write .: it is a directory");
}

static void test_files(void) {
  float data[6] = {1, 2, 3, 4, 5, 6};
  int64_t dims[] = {2, 3};
  nncc_file_tensor tensor = {"a \"b\"", NNCC_F32, 2, dims, data, sizeof data};
  assert(!nncc_file_write("runtime_test.safetensors", &tensor, 1));
  nncc_file *file;
  assert(!nncc_file_read("runtime_test.safetensors", &file));
  assert(nncc_file_count(file) == 1);
  const nncc_file_tensor *read = nncc_file_get(file, 0);
  assert(!strcmp(read->name, tensor.name) && read->rank == 2 &&
         read->dims[1] == 3 && !memcmp(read->data, data, sizeof data));
  assert(!nncc_file_get(file, 1));
  nncc_file_free(file);
  remove("runtime_test.safetensors");
  assert(nncc_file_write("no/such/folder", &tensor, 1) == NNCC_ERROR_IO);
  assert(nncc_file_read("no", &file) == NNCC_ERROR_IO);
}

int main(void) {
  for (int i = 0; i < 64; ++i)
    x[i] = (float)(i % 8) / 8.0f;
  nncc_weights *weights = make_weights();
  test_contexts(weights);
  test_round_trip(weights);
  test_replace(weights);
  test_wrong_calls(weights);
  test_every_status(weights);
  test_steps(weights);
  test_metadata();
  test_files();
  nncc_weights_free(weights);
  puts("ok");
  return 0;
}
