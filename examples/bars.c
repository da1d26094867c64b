/* bars.c - images of bars, and weights to begin with. */
#include "bars.h"
#include <math.h>

/* A uniform number in [-1, 1). */
static float noise(void) {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (float)(int32_t)(state >> 32) / 2147483648.0f;
}

nncc_status initialise(const nncc_model *model, nncc_weights *weights) {
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

void make_batch(float *x, int64_t *t) {
  for (int i = 0; i < batch; ++i) {
    t[i] = (int64_t)((noise() + 1) * classes / 2) % classes;
    draw(x + i * side * side, t[i]);
  }
}

int count_right(const float *logits, const int64_t *t) {
  int right = 0;
  for (int i = 0; i < batch; ++i) {
    int best = 0;
    for (int c = 1; c < classes; ++c)
      if (logits[i * classes + c] > logits[i * classes + best])
        best = c;
    right += best == t[i];
  }
  return right;
}
