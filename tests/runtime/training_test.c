/* training_test.c - train_step from C, built plain and with sanitizers. */
#include "trained.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

static float x[4 * 8];
static int64_t t[4] = {0, 1, 2, 1};

static nncc_weights *make_weights(void) {
  const nncc_model *model = trained_model();
  nncc_weights *weights;
  assert(!nncc_weights_create(model, &weights));
  for (uint64_t i = 0; i < model->weight_count; ++i) {
    const nncc_tensor *tensor = &model->weights[i];
    if (tensor->fresh)
      continue;
    void *data = calloc(1, tensor->bytes);
    if (tensor->dtype == NNCC_F32)
      for (uint64_t k = 0; k < tensor->bytes / sizeof(float); ++k)
        ((float *)data)[k] = (float)((k * 37 + i * 11) % 19) / 19.0f + 0.1f;
    assert(!nncc_weights_set(weights, tensor->name, data, tensor->bytes));
    free(data);
  }
  assert(!nncc_weights_prepare(weights));
  return weights;
}

static nncc_context *make_context(const nncc_weights *weights,
                                  uint32_t threads) {
  nncc_options options = {0};
  options.threads = threads;
  options.trains = 1;
  options.seed = 3;
  nncc_context *context;
  assert(!nncc_context_create(trained_model(), weights, &options, &context));
  return context;
}

static void fails(nncc_status got, nncc_status expected, const char *text) {
  if (got != expected || strcmp(nncc_last_error(), text))
    fprintf(stderr, "status %d, text %s\n", got, nncc_last_error());
  assert(got == expected && !strcmp(nncc_last_error(), text));
}

static void equal_bits(const nncc_weights *weights) {
  static float losses[3][6], bias[3][3];
  for (int threads = 1; threads <= 3; ++threads) {
    nncc_context *context = make_context(weights, (uint32_t)threads);
    for (int i = 0; i < 6; ++i)
      assert(!trained_train_step(context, x, t, NULL, &losses[threads - 1][i]));
    assert(!nncc_weights_get(nncc_context_weights(context), "fc2.bias",
                             bias[threads - 1], sizeof bias[0]));
    nncc_context_free(context);
  }
  assert(!memcmp(losses[0], losses[1], sizeof losses[0]));
  assert(!memcmp(losses[0], losses[2], sizeof losses[0]));
  assert(!memcmp(bias[0], bias[1], sizeof bias[0]));
  assert(!memcmp(bias[0], bias[2], sizeof bias[0]));

  /* Stopped between two updates, saved, read back. */
  nncc_context *context = make_context(weights, 1);
  float loss;
  for (int i = 0; i < 3; ++i)
    assert(!trained_train_step(context, x, t, NULL, &loss));
  assert(!nncc_weights_save(nncc_context_weights(context),
                            "training_test.safetensors"));
  nncc_context_free(context);
  nncc_weights *half;
  assert(
      !nncc_weights_load(trained_model(), "training_test.safetensors", &half));
  context = make_context(half, 2);
  nncc_weights_free(half);
  for (int i = 3; i < 6; ++i) {
    assert(!trained_train_step(context, x, t, NULL, &loss));
    assert(loss == losses[0][i]);
  }
  nncc_context_free(context);
  remove("training_test.safetensors");
}

/* Parameters change with every second step, statistics with each; forward sees
 * what it should, and the weights that the context came from stay. */
static void updates(const nncc_weights *weights) {
  nncc_context *context = make_context(weights, 1);
  float before[3], after[3], y[12], z[12], loss, rate = 0;
  int64_t *steps = nncc_context_tensor(context, "optimizer.step");
  float *bias = nncc_context_tensor(context, "fc2.bias");
  assert(steps && *steps == 0 && bias);
  assert(!nncc_context_tensor(context, "nothing"));
  assert(!trained_forward(context, x, y));
  memcpy(before, bias, sizeof before);
  assert(!trained_train_step(context, x, t, NULL, &loss));
  assert(*steps == 1 && !memcmp(before, bias, sizeof before));
  assert(!trained_train_step(context, x, t, NULL, &loss));
  assert(*steps == 2 && memcmp(before, bias, sizeof before));
  assert(!trained_forward(context, x, z) && memcmp(y, z, sizeof y));
  memcpy(after, bias, sizeof after);
  for (int i = 0; i < 2; ++i) /* a rate of 0 changes nothing */
    assert(!trained_train_step(context, x, t, &rate, &loss));
  assert(*steps == 4 && !memcmp(after, bias, sizeof after));
  assert(!nncc_weights_get(weights, "fc2.bias", after, sizeof after));
  assert(!memcmp(before, after, sizeof before));
  bias[0] += 1;
  nncc_context_changed(context);
  assert(!trained_forward(context, x, y) && y[0] != z[0]);
  nncc_context_free(context);
}

struct seen {
  int buckets, gradients, code;
};

static int count(void *host, const nncc_gradient *bucket, uint32_t n) {
  struct seen *seen = host;
  ++seen->buckets;
  for (uint32_t i = 0; i < n; ++i)
    assert(bucket[i].dtype == NNCC_F32 && bucket[i].count && bucket[i].data);
  if (seen->gradients == 0)
    assert(!strcmp(bucket[0].name, "fc2.bias"));
  seen->gradients += (int)n;
  return seen->code;
}

static void host_reduces(const nncc_weights *weights) {
  struct seen seen = {0, 0, 0};
  nncc_options options = {0};
  options.trains = 1;
  options.all_reduce = count;
  options.all_reduce_host = &seen;
  nncc_context *context;
  assert(!nncc_context_create(trained_model(), weights, &options, &context));
  float loss;
  assert(!trained_train_step(context, x, t, NULL, &loss));
  assert(seen.gradients == 6 && seen.buckets >= 1);
  seen.code = 7;
  fails(trained_train_step(context, x, t, NULL, &loss), NNCC_ERROR_HOST,
        "all_reduce gave 7");
  nncc_context_free(context);
}

static void wrong_calls(const nncc_weights *weights) {
  nncc_context *context;
  float loss;
  assert(!nncc_context_create(trained_model(), weights, NULL, &context));
  fails(trained_train_step(context, x, t, NULL, &loss), NNCC_ERROR_ARGUMENT,
        "train_step changes weights: create the context with options.trains");
  assert(!nncc_context_tensor(context, "fc2.bias"));
  nncc_context_free(context);
  context = make_context(weights, 1);
  fails(nncc_context_set_weights(context, weights), NNCC_ERROR_ARGUMENT,
        "a context that trains keeps its own weights");
  int64_t wide[4] = {0, 3, 0, 0};
  fails(trained_train_step(context, x, wide, NULL, &loss), NNCC_ERROR_RANGE,
        "input t: element 1 is 3, outside [0, 3)");
  int64_t xd[] = {4, 8}, td[] = {4};
  nncc_view in[] = {{x, NNCC_F32, 2, xd}, {t, NNCC_I64, 1, td}};
  nncc_view out = {&loss, NNCC_F32, 0, NULL};
  assert(!nncc_run(context, "train_step", in, 2, &out, 1));
  fails(nncc_run(context, "train_step", in, 1, &out, 1), NNCC_ERROR_ARGUMENT,
        "train_step takes 2 inputs and gives 1 outputs, got 1 and 1");
  float *own = nncc_context_tensor(context, "fc1.weight"), y[12];
  fails(trained_train_step(context, own + 500, t, NULL, &loss),
        NNCC_ERROR_ARGUMENT, "input x overlaps the context's fc1.weight");
  fails(trained_train_step(context, x, t, NULL, own), NNCC_ERROR_ARGUMENT,
        "output loss overlaps the context's fc1.weight");
  fails(trained_train_step(context, x, (int64_t *)&loss, NULL, &loss),
        NNCC_ERROR_ARGUMENT, "output loss overlaps input t");
  fails(trained_forward(context, x, own), NNCC_ERROR_ARGUMENT,
        "output y overlaps the context's fc1.weight");
  assert(!trained_forward(context, own, y)); /* it only reads */
  nncc_context_free(context);
}

int main(void) {
  for (int i = 0; i < 32; ++i)
    x[i] = (float)(i * 29 % 17) / 17.0f - 0.4f;
  nncc_weights *weights = make_weights();
  equal_bits(weights);
  updates(weights);
  host_reduces(weights);
  wrong_calls(weights);
  nncc_weights_free(weights);
  puts("ok");
  return 0;
}
