/* gpu_test.c - contexts on a GPU, in the emulator, on a model made by hand.
 *
 * One case a process, since CUDA does not outlive a fault and reads its
 * settings once: tests/cli/test_gpu_runtime.py.
 */
#include "gpu_test.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static float x[row], y[row], expected[row];

static void expect_forward(const float *got) {
  for (int i = 0; i < row; ++i)
    assert(got[i] == x[i] * 2 * (float)(i - 3) + 10 * (float)i);
}

/* --- Host pointers --- */

static void run_on_host(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  nncc_context *cpu = open_context(g, weights, NNCC_CPU, 0);
  nncc_context *gpu = open_context(g, weights, NNCC_CUDA, 0);
  nncc_context *either = open_context(g, weights, NNCC_AUTO, 0);
  assert(nncc_context_device(cpu) == NNCC_CPU);
  assert(nncc_context_device(gpu) == NNCC_CUDA);
  assert(nncc_context_device(either) == NNCC_CUDA);
  call(cpu, "forward", x, y);
  expect_forward(y);
  memset(y, 0, sizeof y);
  call(gpu, "forward", x, y);
  expect_forward(y);
  memset(y, 0, sizeof y);
  call(either, "forward", x, y);
  expect_forward(y);

  float xs[4 * row], on_cpu[4 * row], on_gpu[4 * row];
  for (int i = 0; i < 4 * row; ++i)
    xs[i] = (float)(i * i);
  call(cpu, "scan", xs, on_cpu);
  call(gpu, "scan", xs, on_gpu);
  assert(!memcmp(on_cpu, on_gpu, sizeof on_cpu));
  assert(on_gpu[3 * row] == 2 * (xs[0] + xs[8] + xs[16] + xs[24]));

  int64_t indices[] = {7, 2}, wrong[] = {7, 8};
  call(gpu, "gather", indices, y);
  assert(y[0] == 8 && y[1] == 3);
  const void *in[] = {wrong};
  void *out[] = {y};
  fails(nncc_run_body(gpu, "gather", 0, in, out), NNCC_ERROR_RANGE,
        "input i: element 1 is 8, outside [0, 8)");

  const int64_t four[] = {4};
  nncc_view four_in = {x, NNCC_F32, 1, four}, four_out = {y, NNCC_F32, 1, four};
  assert(!nncc_run(gpu, "twice", &four_in, 1, &four_out, 1));
  assert(y[3] == 2 * x[3]);
  assert(!nncc_context_synchronize(gpu) && !nncc_context_synchronize(cpu));
  assert(!nncc_context_tensor(gpu, "w"));
  nncc_context_free(cpu);
  nncc_context_free(gpu);
  nncc_context_free(either);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* --- Random numbers --- */

static void count_keys(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  nncc_context *gpu = open_context(g, weights, NNCC_CUDA, 0);
  int64_t key[2];
  for (int i = 0; i < 3; ++i) {
    call(gpu, "noise", NULL, key);
    assert(key[0] == 0 && key[1] == i);
  }
  assert(!nncc_context_seed(gpu, (uint64_t)-5, UINT64_C(1) << 40 | 7));
  for (int i = 0; i < 2; ++i) {
    call(gpu, "noise", NULL, key);
    assert(key[0] == -5 && key[1] == (INT64_C(1) << 40 | 7) + i);
  }
  nncc_context_free(gpu);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* --- Weights --- */

static void share_weights(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g), *others = make_gpu_weights(g);
  nncc_context *first = open_context(g, weights, NNCC_CUDA, 0);
  size_t before = unused_memory();
  nncc_context *second = open_context(g, weights, NNCC_CUDA, 0);
  size_t contexts = before - unused_memory();
  nncc_context *third = open_context(g, others, NNCC_CUDA, 0);
  size_t with_weights = before - contexts - unused_memory();
  assert(with_weights > contexts); /* the second shares the first's weights */
  nncc_context_free(first);
  call(second, "forward", x, y);
  expect_forward(y);
  assert(!nncc_context_set_weights(second, others));
  nncc_weights_free(weights); /* nobody's any more */
  memset(y, 0, sizeof y);
  call(second, "forward", x, y);
  expect_forward(y);
  nncc_context_free(second);
  nncc_context_free(third);
  nncc_context *fourth = open_context(g, others, NNCC_CUDA, 0);
  call(fourth, "forward", x, y);
  nncc_context_free(fourth);
  nncc_weights_free(others);
  free_gpu_model(g);
}

static void run_embedded(void) {
  gpu_model *g = make_embedded_model();
  nncc_context *contexts[3];
  for (int i = 0; i < 3; ++i) {
    contexts[i] = open_context(g, NULL, i ? NNCC_CUDA : NNCC_CPU, 0);
    memset(y, 0, sizeof y);
    call(contexts[i], "forward", x, y);
    expect_forward(y);
  }
  nncc_context *trains = open_context(g, NULL, NNCC_CUDA, 1);
  call(trains, "forward", x, y);
  expect_forward(y);
  for (int i = 0; i < 3; ++i)
    nncc_context_free(contexts[i]);
  nncc_context_free(trains);
  free_gpu_model(g);
}

struct job {
  gpu_model *g;
  const nncc_weights *weights;
  pthread_barrier_t start;
};

static void *run_job(void *argument) {
  struct job *job = argument;
  float out[row];
  pthread_barrier_wait(&job->start);
  for (int k = 0; k < 4; ++k) {
    nncc_context *context = open_context(job->g, job->weights, NNCC_CUDA, 0);
    for (int i = 0; i < 10; ++i) {
      memset(out, 0, sizeof out);
      call(context, "forward", x, out);
      expect_forward(out);
    }
    nncc_context_free(context);
  }
  return NULL;
}

static void run_in_threads(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  struct job job = {.g = g, .weights = weights};
  pthread_barrier_init(&job.start, NULL, 4);
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i)
    assert(!pthread_create(&threads[i], NULL, run_job, &job));
  for (int i = 0; i < 4; ++i)
    assert(!pthread_join(threads[i], NULL));
  pthread_barrier_destroy(&job.start);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* --- Steps --- */

static void run_steps(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  nncc_context *cpu = open_context(g, weights, NNCC_CPU, 1);
  nncc_context *gpu = open_context(g, weights, NNCC_CUDA, 1);
  for (uint32_t e = 0; e < 2; ++e) {
    const nncc_entry *entry = &g->model.entries[e];
    const nncc_body *here = nncc_context_body(cpu, entry, 0);
    const nncc_body *there = nncc_context_body(gpu, entry, 0);
    assert(here == entry->bodies && there == g->cudas[0].bodies[e]);
    const void *in[] = {x, NULL};
    void *out[] = {expected}, *other[] = {y};
    for (uint64_t s = 0; s < here->step_count; ++s) {
      const nncc_step *step = &here->steps[s];
      const void *a = nncc_run_step(cpu, entry, step, 0, in, out);
      const void *b = nncc_run_step(gpu, entry, &there->steps[s], 0, in, other);
      if (step->kernel && !step->tiles)
        continue; /* what was never written */
      assert(a && b);
      assert(!memcmp(a, b, step->buffers[step->buffer_count - 1].bytes));
    }
  }
  assert(!nncc_context_body(gpu, g->model.entries, 1));
  const void *in[] = {x};
  void *out[] = {y};
  assert(!nncc_run_step(gpu, g->model.entries, g->entries[0].bodies->steps, 0,
                        in, out));
  fails(NNCC_OK, NNCC_OK, "forward has no such step on this device");
  const nncc_entry *scan = &g->model.entries[4];
  const nncc_step *steps = nncc_context_body(gpu, scan, 0)->steps;
  float xs[4 * row], zs[4 * row];
  for (int i = 0; i < 4 * row; ++i)
    xs[i] = (float)i;
  const void *rows_in[] = {xs};
  void *rows_out[] = {zs};
  assert(nncc_run_step(gpu, scan, &steps[0], 0, rows_in, rows_out));
  for (uint64_t t = 0; t < 4; ++t) {
    assert(nncc_run_step(gpu, scan, &steps[2], t, rows_in, rows_out));
    const float *got =
        nncc_run_step(gpu, scan, &steps[3], t, rows_in, rows_out);
    float sum = 0;
    for (uint64_t k = 0; k <= t; ++k)
      sum += xs[k * row + 5];
    assert(got && got[5] == 2 * sum);
  }
  nncc_context_free(cpu);
  nncc_context_free(gpu);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* --- The machine --- */

static void ask_facts(void) {
  nncc_device_facts facts;
  assert(!nncc_device_info(NNCC_CUDA, 0, &facts));
  assert(!strcmp(facts.name, "nncc emulator") && facts.sm == 0);
  assert(facts.multiprocessors == 132 && facts.driver == 13000);
  assert(facts.memory == UINT64_C(80) << 30 && facts.unused == facts.memory);
  fails(nncc_device_info(NNCC_CUDA, 3, &facts), NNCC_ERROR_DEVICE,
        "there is no GPU number 3, there is 1");
  assert(!nncc_device_info(NNCC_AUTO, 0, &facts) && facts.driver == 13000);
  assert(!nncc_device_info(NNCC_AUTO, 3, &facts) && facts.driver == 0);
  assert(!nncc_device_info(NNCC_CPU, 0, &facts));
  assert(facts.sm == 0 && facts.name[0] && facts.multiprocessors > 0);
  assert(facts.memory >= facts.unused && facts.unused > 0 && !facts.driver);
  fails(nncc_device_info((nncc_device)9, 0, &facts), NNCC_ERROR_ARGUMENT,
        "the device is 9: 0 is the CPU, 1 a GPU, 2 either");
  fails(nncc_device_info(NNCC_CPU, 0, NULL), NNCC_ERROR_ARGUMENT,
        "the place for the facts is null");
}

const test_case run_cases[] = {
    {"run_on_host", run_on_host},       {"count_keys", count_keys},
    {"share_weights", share_weights},   {"run_embedded", run_embedded},
    {"run_in_threads", run_in_threads}, {"run_steps", run_steps},
    {"ask_facts", ask_facts},           {NULL, NULL}};

int main(int count, char **arguments) {
  const test_case *lists[] = {run_cases, pointer_cases, training_cases,
                              error_cases};
  for (int i = 0; i < row; ++i)
    x[i] = (float)(i * 3 % 7) - 2;
  if (count > 3 && !strcmp(arguments[1], "tell")) {
    tell(count - 2, arguments + 2);
    return 0;
  }
  for (int l = 0; l < 4; ++l)
    for (const test_case *c = lists[l]; c->name; ++c) {
      if (count == 1) {
        puts(c->name);
      } else if (!strcmp(c->name, arguments[1])) {
        c->run();
        puts("ok");
        return 0;
      }
    }
  return count > 1;
}
