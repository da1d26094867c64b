/* gpu_training_test.c - train_step in place on the GPU, the host's copy. */
#include "gpu_test.h"
#include <stdio.h>

static float x[row] = {1, -2, 3, -4, 5, -6, 7, -8};

/* All tensors of both contexts are equal, by every way to them. */
static void expect_equal(nncc_context *cpu, nncc_context *gpu) {
  const nncc_weights *a = nncc_context_weights(cpu);
  const nncc_weights *b = nncc_context_weights(gpu);
  static const struct {
    const char *name;
    size_t bytes;
  } tensors[] = {{"w", 32},    {"b", 32}, {"p", 32},
                 {"spare", 8}, {"m", 32}, {"optimizer.step", 8}};
  for (uint64_t i = 0; i < 6; ++i) {
    char here[32], there[32], read[32];
    size_t bytes = tensors[i].bytes;
    assert(!nncc_context_read(gpu, tensors[i].name, read, bytes));
    assert(!nncc_weights_get(a, tensors[i].name, here, bytes));
    assert(!nncc_weights_get(b, tensors[i].name, there, bytes));
    assert(!memcmp(here, there, bytes) && !memcmp(here, read, bytes));
    assert(!memcmp(here, nncc_weights_data(b, i), bytes));
  }
}

static void train_in_place(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  nncc_context *cpu = open_context(g, weights, NNCC_CPU, 1);
  nncc_context *gpu = open_context(g, weights, NNCC_CUDA, 1);
  assert(!nncc_weights_prepared(nncc_context_weights(gpu)));
  for (int step = 0; step < 5; ++step) {
    float a, b, rate = 0.25f, y[row], z[row];
    const void *in[] = {x, step == 3 ? &rate : NULL};
    void *out[] = {&a}, *other[] = {&b};
    assert(!nncc_run_body(cpu, "train_step", 0, in, out));
    assert(!nncc_run_body(gpu, "train_step", 0, in, other));
    assert(a == b);
    call(cpu, "forward", x, y);
    call(gpu, "forward", x, z);
    assert(!memcmp(y, z, sizeof y));
    if (step % 2)
      expect_equal(cpu, gpu);
  }
  /* The weights that it came from stay. */
  float w[row];
  assert(!nncc_weights_get(weights, "w", w, sizeof w) && w[7] == 8);
  assert(!nncc_weights_save(nncc_context_weights(gpu), "gpu_test.safetensors"));
  nncc_weights *saved;
  assert(!nncc_weights_load(&g->model, "gpu_test.safetensors", &saved));
  remove("gpu_test.safetensors");
  nncc_context *again = open_context(g, saved, NNCC_CUDA, 1);
  /* And one from the context itself, which has moved on meanwhile. */
  nncc_context *copy = open_context(g, nncc_context_weights(gpu), NNCC_CPU, 1);
  for (int step = 0; step < 3; ++step) {
    float loss[4];
    nncc_context *all[] = {cpu, gpu, again, copy};
    for (int k = 0; k < 4; ++k)
      call(all[k], "train_step", x, &loss[k]);
    for (int k = 1; k < 4; ++k)
      assert(loss[0] == loss[k]);
  }
  expect_equal(cpu, gpu);
  expect_equal(cpu, again);
  expect_equal(copy, gpu);
  nncc_context_free(copy);
  copy = open_context(g, nncc_context_weights(gpu), NNCC_CUDA, 1);
  expect_equal(cpu, copy);
  nncc_context *all[] = {cpu, gpu, again, copy};
  for (int k = 0; k < 4; ++k)
    nncc_context_free(all[k]);
  nncc_weights_free(saved);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* Packed forms, the counter, what lies on the host alone. */
static void write_state(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  nncc_context *contexts[] = {open_context(g, weights, NNCC_CPU, 1),
                              open_context(g, weights, NNCC_CUDA, 1)};
  for (int k = 0; k < 2; ++k) {
    nncc_context *c = contexts[k];
    float p[row] = {1, 2, 3, 4, 5, 6, 7, 8}, y[row], spare[2] = {5, 6}, loss;
    int64_t steps = 11, key[2];
    call(c, "forward", x, y);
    assert(!nncc_context_write(c, "p", p, sizeof p));
    call(c, "forward", x, y);
    assert(y[1] == -2 * 2 * 2 + 10);
    assert(!nncc_context_write(c, "optimizer.step", &steps, 8));
    assert(!nncc_context_write(c, "spare", spare, 8));
    spare[0] = 0;
    assert(!nncc_context_read(c, "spare", spare, 8) && spare[0] == 5);
    call(c, "train_step", x, &loss); /* the twelfth: an update */
    assert(!nncc_context_read(c, "w", y, sizeof y) && y[7] == 8 + 0.5f * 64);
    assert(!nncc_context_read(c, "optimizer.step", key, 8) && key[0] == 12);
    fails(nncc_context_read(c, "w", y, 4), NNCC_ERROR_WEIGHTS,
          "w has 32 bytes, got 4");
    fails(nncc_context_write(c, "v", y, 4), NNCC_ERROR_WEIGHTS,
          "toy has no tensor \"v\"");
    fails(nncc_context_read(c, "w", NULL, 32), NNCC_ERROR_ARGUMENT,
          "an argument is null");
  }
  assert(!nncc_context_tensor(contexts[1], "w"));
  fails(NNCC_OK, NNCC_OK,
        "w lies on a GPU: nncc_context_read and _write reach it");
  expect_equal(contexts[0], contexts[1]);
  nncc_context_free(contexts[0]);
  nncc_context_free(contexts[1]);
  contexts[0] = open_context(g, weights, NNCC_CUDA, 0);
  float y[row];
  fails(nncc_context_read(contexts[0], "w", y, 32), NNCC_ERROR_ARGUMENT,
        "the context owns no weights: create it with options.trains");
  nncc_context_free(contexts[0]);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* --- all_reduce --- */

typedef struct host {
  int code, calls;
  float *loss;
  float seen;
  int is_device;
} host;

/* Doubles the gradients. */
static int reduce(void *self, const nncc_gradient *bucket, uint32_t count) {
  host *h = self;
  ++h->calls;
  assert(count == 1 && bucket->count == row && !strcmp(bucket->name, "w"));
  float gradient[row];
  if (h->is_device)
    device_read(bucket->data, gradient, sizeof gradient);
  else
    memcpy(gradient, bucket->data, sizeof gradient);
  assert(gradient[1] == -2 * 2);
  for (int i = 0; i < row; ++i)
    gradient[i] *= 2;
  if (h->is_device)
    device_write(bucket->data, gradient, sizeof gradient);
  else
    memcpy(bucket->data, gradient, sizeof gradient);
  if (h->loss)
    h->seen = *h->loss;
  return h->code;
}

static nncc_context *open_reducing(const gpu_model *g,
                                   const nncc_weights *weights,
                                   nncc_device device, host *h) {
  nncc_options options = {0};
  options.device = device;
  options.trains = 1;
  options.device_pointers = (uint32_t)h->is_device;
  options.all_reduce = reduce;
  options.all_reduce_host = h;
  nncc_context *context;
  assert(!nncc_context_create(&g->model, weights, &options, &context));
  return context;
}

/* The host sees on a GPU what it sees on a CPU: the loss of this run as far as
 * it is computed. x w adds up to -36. */
static void reduce_on_host(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  nncc_context *contexts[2];
  for (int k = 0; k < 2; ++k) {
    float loss = -1, m[row];
    host h = {0, 0, &loss, 0, 0};
    nncc_context *c = contexts[k] = open_reducing(g, weights, k, &h);
    call(c, "train_step", x, &loss);
    assert(h.calls == 1 && h.seen == -1 && loss == 2 * -36);
    assert(!nncc_context_read(c, "m", m, sizeof m) && m[1] == -8);
    h.code = 7;
    const void *in[] = {x, NULL};
    void *out[] = {&loss};
    loss = -1;
    fails(nncc_run_body(c, "train_step", 0, in, out), NNCC_ERROR_HOST,
          "all_reduce gave 7");
    assert(h.seen == -36 && loss == -36);
    int64_t steps;
    assert(!nncc_context_read(c, "optimizer.step", &steps, 8) && steps == 1);
    h.code = 0;
    call(c, "train_step", x, &loss);
  }
  expect_equal(contexts[0], contexts[1]);
  nncc_context_free(contexts[0]);
  nncc_context_free(contexts[1]);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

static void reduce_on_device(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  host h = {0, 0, NULL, 0, 1};
  nncc_context *c = open_reducing(g, weights, NNCC_CUDA, &h);
  void *a = device_copy(x, sizeof x), *l = device_copy(NULL, 16);
  const void *in[] = {a, NULL};
  void *out[] = {l};
  float m[row];
  call(c, "train_step", a, l);
  assert(!nncc_weights_get(nncc_context_weights(c), "m", m, sizeof m));
  assert(h.calls == 1 && m[1] == -8);
  h.code = 3;
  fails(nncc_run_body(c, "train_step", 0, in, out), NNCC_ERROR_HOST,
        "all_reduce gave 3");
  int64_t steps;
  assert(
      !nncc_weights_get(nncc_context_weights(c), "optimizer.step", &steps, 8) &&
      steps == 1);
  nncc_context_free(c);
  device_free(a);
  device_free(l);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* --- Whose weights --- */

static void keep_weights_apart(void) {
  static const char text[] = "these weights belong to a context that trains: "
                             "on a GPU another one needs weights of its own";
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  for (int trainer = 0; trainer < 2; ++trainer)
    for (int other = 0; other < 2; ++other) {
      nncc_context *trains = open_context(g, weights, trainer, 1);
      nncc_context *uses = open_context(g, weights, other, 0), *made = NULL;
      const nncc_weights *own = nncc_context_weights(trains);
      nncc_options options = {0};
      options.device = (uint32_t)other;
      nncc_status a = nncc_context_create(&g->model, own, &options, &made);
      if (trainer || other) {
        fails(a, NNCC_ERROR_WEIGHTS, text);
        fails(nncc_context_set_weights(uses, own), NNCC_ERROR_WEIGHTS, text);
      } else {
        assert(!a && !nncc_context_set_weights(uses, own));
      }
      nncc_context_free(made);
      nncc_context_free(uses);
      nncc_context_free(trains);
    }
  nncc_context *gpu = open_context(g, weights, NNCC_CUDA, 1);
  fails(nncc_context_set_weights(gpu, weights), NNCC_ERROR_ARGUMENT,
        "a context that trains keeps its own weights");
  nncc_context_free(gpu);
  gpu = open_context(g, weights, NNCC_CUDA, 0);
  const void *in[] = {x, NULL};
  float loss;
  void *out[] = {&loss};
  fails(nncc_run_body(gpu, "train_step", 0, in, out), NNCC_ERROR_ARGUMENT,
        "train_step changes weights: create the context with options.trains");
  nncc_context_free(gpu);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

const test_case training_cases[] = {{"train_in_place", train_in_place},
                                    {"write_state", write_state},
                                    {"reduce_on_host", reduce_on_host},
                                    {"reduce_on_device", reduce_on_device},
                                    {"keep_weights_apart", keep_weights_apart},
                                    {NULL, NULL}};
