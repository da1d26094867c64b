/* train.c - trains LeNet-5 on images that the program makes: no Python, no
 * framework, no allocation in a step.
 *
 * The images show a bright bar in one of ten directions, with noise; the label
 * is the direction. */
#include "lenet5.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { batch = 16, side = 28, classes = 10, steps = 150 };

static int failed(const char *what) {
  fprintf(stderr, "%s: %s\n", what, nncc_last_error());
  return 1;
}

/* A uniform number in [-1, 1). */
static float noise(void) {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (float)(int32_t)(state >> 32) / 2147483648.0f;
}

/* Uniform in +-1 / sqrt(inputs of a unit), as torch.nn initialises. */
static nncc_status initialise(nncc_weights *weights) {
  const nncc_model *model = lenet5_model();
  static float data[400 * 120];
  uint64_t inputs = 1;
  for (uint64_t i = 0; i < model->weight_count; ++i) {
    const nncc_tensor *tensor = &model->weights[i];
    if (tensor->fresh) /* the optimizer's: zeros */
      continue;
    if (tensor->rank > 1) { /* a bias comes behind its weight */
      inputs = 1;
      for (uint64_t d = 1; d < tensor->rank; ++d)
        inputs *= (uint64_t)tensor->dims[d];
    }
    for (uint64_t k = 0; k < tensor->bytes / sizeof(float); ++k)
      data[k] = noise() / sqrtf((float)inputs);
    nncc_status status =
        nncc_weights_set(weights, tensor->name, data, tensor->bytes);
    if (status)
      return status;
  }
  return nncc_weights_prepare(weights);
}

static void draw(float *image, int64_t label) {
  float angle = (float)label * 3.14159265f / classes;
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) {
      float off = cosf(angle) * (float)(y - side / 2) -
                  sinf(angle) * (float)(x - side / 2);
      image[y * side + x] = (fabsf(off) < 2.5f ? 1.0f : 0.0f) + 0.3f * noise();
    }
}

static void make_batch(float *x, int64_t *t) {
  for (int i = 0; i < batch; ++i) {
    t[i] = (int64_t)((noise() + 1) * classes / 2) % classes;
    draw(x + i * side * side, t[i]);
  }
}

int main(void) {
  nncc_weights *weights;
  nncc_context *context;
  nncc_options options = {0};
  options.trains = 1;
  if (nncc_weights_create(lenet5_model(), &weights) || initialise(weights))
    return failed("weights");
  if (nncc_context_create(lenet5_model(), weights, &options, &context))
    return failed("context");
  nncc_weights_free(weights); /* the context has its own */

  static float x[batch * side * side], logits[batch * classes];
  static int64_t t[batch];
  float loss, first = 0;
  for (int step = 0; step < steps; ++step) {
    make_batch(x, t);
    if (lenet5_train_step(context, x, t, NULL, &loss))
      return failed("train_step");
    if (step == 0)
      first = loss;
    if (step % 30 == 0)
      printf("step %3d: loss %.3f\n", step, loss);
  }
  make_batch(x, t);
  if (lenet5_forward(context, x, logits))
    return failed("forward");
  int right = 0;
  for (int i = 0; i < batch; ++i) {
    int best = 0;
    for (int c = 1; c < classes; ++c)
      if (logits[i * classes + c] > logits[i * classes + best])
        best = c;
    right += best == t[i];
  }
  printf("step %3d: loss %.3f, %d of %d new images right\n", steps, loss, right,
         (int)batch);
  if (nncc_weights_save(nncc_context_weights(context), "lenet5.safetensors"))
    return failed("save");
  nncc_context_free(context);
  return loss < first / 2 ? 0 : 1;
}
