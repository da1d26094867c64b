/* train.c - trains LeNet-5 on a GPU if there is one, else on the CPU: one
 * object has both programs, and the weights lie where the context runs. */
#include "bars.h"
#include "lenet5_cuda.h"
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
  options.device = NNCC_AUTO;
  if (nncc_weights_create(lenet5_cuda_model(), &weights) ||
      initialise(lenet5_cuda_model(), weights))
    return failed("weights");
  if (nncc_context_create(lenet5_cuda_model(), weights, &options, &context))
    return failed("context");
  nncc_weights_free(weights); /* the context has its own */
  nncc_device_facts facts;
  if (nncc_device_info(nncc_context_device(context), 0, &facts))
    return failed("device");
  printf("on %s\n", facts.name);

  static float x[batch * side * side], logits[batch * classes];
  static int64_t t[batch];
  float loss, first = 0;
  for (int step = 0; step < steps; ++step) {
    make_batch(x, t);
    if (lenet5_cuda_train_step(context, x, t, NULL, &loss))
      return failed("train_step");
    if (step == 0)
      first = loss;
    if (step % 30 == 0)
      printf("step %3d: loss %.3f\n", step, loss);
  }
  make_batch(x, t);
  if (lenet5_cuda_forward(context, x, logits))
    return failed("forward");
  printf("step %3d: loss %.3f, %d of %d new images right\n", steps, loss,
         count_right(logits, t), batch);
  if (nncc_weights_save(nncc_context_weights(context), "lenet5.safetensors"))
    return failed("save");
  nncc_context_free(context);
  return loss < first / 2 ? 0 : 1;
}
