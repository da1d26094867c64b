/* classify.c - sets weights tensor by tensor and runs a compiled network. */
#include "classifier.h"
#include <stdio.h>

static int failed(const char *what) {
  fprintf(stderr, "%s: %s\n", what, nncc_last_error());
  return 1;
}

/* Any numbers do for a demonstration; a real app calls nncc_weights_load. */
static nncc_status fill(nncc_weights *weights) {
  const nncc_model *model = classifier_model();
  static float data[4096];
  for (uint64_t i = 0; i < model->weight_count; ++i) {
    const nncc_tensor *tensor = &model->weights[i];
    for (uint64_t k = 0; k < tensor->bytes / sizeof(float); ++k)
      data[k] = (float)((k * 37 + i * 11) % 19) / 19.0f - 0.5f;
    nncc_status status =
        nncc_weights_set(weights, tensor->name, data, tensor->bytes);
    if (status)
      return status;
  }
  return nncc_weights_prepare(weights);
}

int main(void) {
  nncc_weights *weights;
  nncc_context *context;
  if (nncc_weights_create(classifier_model(), &weights) || fill(weights))
    return failed("weights");
  if (nncc_context_create(classifier_model(), weights, NULL, &context))
    return failed("context");
  float x[64], p[3];
  for (int i = 0; i < 64; ++i)
    x[i] = (float)(i % 8) / 8.0f;
  if (classifier_forward(context, x, p))
    return failed("forward");
  printf("%.4f %.4f %.4f\n", p[0], p[1], p[2]);
  nncc_context_free(context);
  nncc_weights_free(weights);
  return 0;
}
