/* gpu_pointer_test.c - inputs and outputs that lie on the GPU. */
#include "gpu_test.h"
#include <stdlib.h>

static nncc_context *open_pointers(const gpu_model *g,
                                   const nncc_weights *weights, void *stream) {
  nncc_options options = {0};
  options.device = NNCC_CUDA;
  options.device_pointers = 1;
  options.stream = stream;
  options.trains = 1;
  nncc_context *context;
  assert(!nncc_context_create(&g->model, weights, &options, &context));
  return context;
}

/* Runs follow each other without a wait; the last output is the first's input
 * doubled three times. */
static void chain(const gpu_model *g, const nncc_weights *weights,
                  void *stream) {
  float x[row], y[row], nan[row];
  memset(nan, 0xff, sizeof nan);
  for (int i = 0; i < row; ++i)
    x[i] = (float)i;
  void *a = device_copy(x, sizeof x), *b = device_copy(NULL, sizeof x);
  nncc_context *context = open_pointers(g, weights, stream);
  const void *in[] = {a};
  void *out[] = {b};
  for (int i = 0; i < 3; ++i) {
    assert(!nncc_run_body(context, "twice", 1, in, out));
    in[0] = out[0];
    out[0] = in[0] == a ? b : a;
  }
  if (stream) { /* which the null stream does not wait for */
    if (strstr(getenv("NNCC_EMULATOR"), "late")) {
      device_read(b, y, sizeof y);
      assert(!memcmp(y, nan, sizeof y));
    }
    assert(!nncc_context_synchronize(context));
  }
  device_read(b, y, sizeof y);
  for (int i = 0; i < row; ++i)
    assert(y[i] == 8 * x[i]);
  nncc_context_free(context);
  device_free(a);
  device_free(b);
}

static void run_by_pointers(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  void *stream = device_stream();
  chain(g, weights, NULL);
  chain(g, weights, stream);
  device_stream_free(stream);

  /* Nobody checks indices there; kernels clamp. */
  nncc_context *context = open_pointers(g, weights, NULL);
  int64_t indices[] = {3, 99};
  float y[2];
  void *i = device_copy(indices, sizeof indices), *o = device_copy(NULL, 8);
  call(context, "gather", i, o);
  device_read(o, y, sizeof y);
  assert(y[0] == 4 && y[1] == 8);
  /* A step's result comes to the host all the same. */
  const void *in[] = {i};
  void *out[] = {o};
  const nncc_entry *gather = &g->model.entries[2];
  const float *result =
      nncc_run_step(context, gather,
                    nncc_context_body(context, gather, 0)->steps, 0, in, out);
  assert(result && result[0] == 4 && result[1] == 8);
  /* A context that goes waits for its work. */
  assert(!nncc_run_body(context, "gather", 0, in, out));
  nncc_context_free(context);
  device_read(o, y, sizeof y);
  assert(y[0] == 4);
  device_free(i);
  device_free(o);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* An input that is left out, state read and written there, no wait between. */
static void train_by_pointers(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  nncc_context *context = open_pointers(g, weights, NULL);
  nncc_context *cpu = open_context(g, weights, NNCC_CPU, 1);
  float x[row] = {1, 2, 3, 4, 5, 6, 7, 8}, loss, on_cpu, w[row], there[row];
  void *a = device_copy(x, sizeof x), *l = device_copy(NULL, 256);
  void *state = device_copy(NULL, sizeof w);
  for (int i = 0; i < 3; ++i) {
    call(context, "train_step", a, l);
    call(cpu, "train_step", x, &on_cpu);
  }
  assert(!nncc_context_read(context, "w", state, sizeof w));
  device_read(state, there, sizeof there);
  assert(!nncc_context_read(cpu, "w", w, sizeof w));
  assert(!memcmp(w, there, sizeof w));
  device_read(l, &loss, sizeof loss);
  assert(loss == on_cpu);
  assert(!nncc_context_write(context, "p", a, sizeof x)); /* prepared anew */
  call(context, "forward", a, state);
  device_read(state, there, sizeof there);
  assert(there[2] == 3 * 2 * 3 + 20);
  /* The counter follows, and with it the body; spare is on the host alone. */
  int64_t even = 8;
  void *counter = device_copy(&even, sizeof even);
  assert(!nncc_context_write(context, "optimizer.step", counter, 8));
  assert(!nncc_context_write(cpu, "optimizer.step", &even, 8));
  for (int i = 0; i < 2; ++i) {
    call(context, "train_step", a, l);
    call(cpu, "train_step", x, &on_cpu);
  }
  assert(!nncc_context_write(context, "spare", a, 8));
  assert(!nncc_context_read(context, "spare", state, 8));
  device_read(state, there, 8);
  assert(there[0] == 1 && there[1] == 2);
  const nncc_weights *own = nncc_context_weights(context);
  assert(!nncc_weights_get(own, "w", there, sizeof there));
  assert(!nncc_context_read(cpu, "w", w, sizeof w));
  assert(!memcmp(w, there, sizeof w));
  assert(!nncc_weights_get(own, "optimizer.step", &even, 8) && even == 10);
  nncc_context_free(context);
  nncc_context_free(cpu);
  device_free(a);
  device_free(l);
  device_free(state);
  device_free(counter);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* --- What is refused --- */

static void refuse_pointers(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  nncc_context *context = open_pointers(g, weights, NULL);
  float x[row] = {0};
  char *a = device_copy(NULL, 4096), *b = a + 1024;
  const void *in[] = {x, NULL};
  void *out[] = {b};
  fails(nncc_run_body(context, "forward", 0, in, out), NNCC_ERROR_ARGUMENT,
        "input x lies in host memory, but options.device_pointers promised "
        "that of a GPU");
  in[0] = a + 4;
  fails(nncc_run_body(context, "forward", 0, in, out), NNCC_ERROR_ARGUMENT,
        "input x is not aligned to 16 bytes");
  in[0] = a;
  out[0] = x;
  fails(nncc_run_body(context, "forward", 0, in, out), NNCC_ERROR_ARGUMENT,
        "output y lies in host memory, but options.device_pointers promised "
        "that of a GPU");
  assert(!nncc_run_step(context, g->model.entries,
                        nncc_context_body(context, g->model.entries, 0)->steps,
                        0, in, out));
  out[0] = b + 8;
  fails(nncc_run_body(context, "forward", 0, in, out), NNCC_ERROR_ARGUMENT,
        "output y is not aligned to 16 bytes");
  out[0] = a + 16;
  fails(nncc_run_body(context, "forward", 0, in, out), NNCC_ERROR_ARGUMENT,
        "output y overlaps input x");
  in[1] = x;
  out[0] = b;
  fails(nncc_run_body(context, "train_step", 0, in, out), NNCC_ERROR_ARGUMENT,
        "input lr lies in host memory, but options.device_pointers promised "
        "that of a GPU");
  fails(nncc_context_read(context, "w", x, sizeof x), NNCC_ERROR_ARGUMENT,
        "the memory for w lies in host memory, but options.device_pointers "
        "promised that of a GPU");
  fails(nncc_context_write(context, "w", a + 4, sizeof x), NNCC_ERROR_ARGUMENT,
        "the memory for w is not aligned to 16 bytes");
  nncc_context_free(context);
  device_free(a);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* With two GPUs: pointers of the first, a context on the second. */
static void refuse_another_gpu(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  nncc_options options = {0};
  options.device = NNCC_CUDA;
  options.device_number = 1;
  nncc_context *first = open_context(g, weights, NNCC_CUDA, 0), *second;
  assert(!nncc_context_create(&g->model, weights, &options, &second));
  float x[row] = {0}, y[row], z[row];
  call(first, "forward", x, y); /* both have the weights */
  call(second, "forward", x, z);
  assert(!memcmp(y, z, sizeof y));
  nncc_context_free(second);
  options.device_pointers = 1;
  assert(!nncc_context_create(&g->model, weights, &options, &second));
  char *a = device_copy(NULL, 4096);
  const void *in[] = {a};
  void *out[] = {a + 1024};
  fails(nncc_run_body(second, "forward", 0, in, out), NNCC_ERROR_ARGUMENT,
        "input x lies on GPU 0, the context runs on GPU 1");
  nncc_context_free(first);
  nncc_context_free(second);
  device_free(a);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

const test_case pointer_cases[] = {{"run_by_pointers", run_by_pointers},
                                   {"train_by_pointers", train_by_pointers},
                                   {"refuse_pointers", refuse_pointers},
                                   {"refuse_another_gpu", refuse_another_gpu},
                                   {NULL, NULL}};
