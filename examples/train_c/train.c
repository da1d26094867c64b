/* train.c - trains LeNet-5 on images that the program makes: no Python, no
 * framework, no allocation in a step. */
#include "bars.h"
#include "lenet5.h"
#include <stdio.h>

enum { steps = 150 };

static int failed(const char *what) {
  fprintf(stderr, "%s: %s\n", what, nncc_last_error());
  return 1;
}

int main(void) {
  nncc_weights *weights;
  nncc_context *context;
  nncc_options options = {0};
  options.trains = 1;
  if (nncc_weights_create(lenet5_model(), &weights) ||
      initialise(lenet5_model(), weights))
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
  printf("step %3d: loss %.3f, %d of %d new images right\n", steps, loss,
         count_right(logits, t), batch);
  if (nncc_weights_save(nncc_context_weights(context), "lenet5.safetensors"))
    return failed("save");
  nncc_context_free(context);
  return loss < first / 2 ? 0 : 1;
}
