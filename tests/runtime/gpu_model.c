/* gpu_model.c - see gpu_model.h. */
#include "gpu_model.h"
#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

/* --- Kernels, a tile an element --- */

#define KERNEL(name) static void name(void *const *b, int64_t i, int64_t end)
#define F(k) ((float *)b[k])
#define I(k) ((int64_t *)b[k])

KERNEL(twice) {
  for (; i < end; ++i)
    F(1)[i] = 2 * F(0)[i];
}
KERNEL(multiply) {
  for (; i < end; ++i)
    F(2)[i] = F(0)[i] * F(1)[i];
}
KERNEL(add) {
  for (; i < end; ++i)
    F(2)[i] = F(0)[i] + F(1)[i];
}
KERNEL(zero) {
  for (; i < end; ++i)
    F(0)[i] = 0;
}
KERNEL(sum) {
  for (; i < end; ++i) {
    F(1)[i] = 0;
    for (int k = 0; k < row; ++k)
      F(1)[i] += F(0)[k];
  }
}
KERNEL(update) { /* m, lr, w */
  for (; i < end; ++i) {
    F(2)[i] -= F(1)[0] * F(0)[i];
    F(0)[i] = 0;
  }
}
KERNEL(accumulate) { /* gradient, m */
  for (; i < end; ++i)
    F(1)[i] += F(0)[i];
}
KERNEL(count) {
  for (; i < end; ++i)
    ++I(0)[i];
}
KERNEL(gather) {
  for (; i < end; ++i) {
    int64_t at = I(1)[i] < 0 ? 0 : I(1)[i] >= row ? row - 1 : I(1)[i];
    F(2)[i] = F(0)[at];
  }
}
KERNEL(copy_key) {
  for (; i < end; ++i)
    I(1)[i] = I(0)[i];
}
KERNEL(never) {
  (void)b;
  for (; i < end; ++i)
    abort();
}
KERNEL(wild) {
  for (; i < end; ++i)
    F(1)[i] = *(volatile float *)((uintptr_t)16 + 0 * (uintptr_t)b[0]);
}

/* --- The same as threads --- */

static void run_thread(nncc_kernel kernel, const nncc_emulator *host,
                       unsigned buffers, void *const *parameters) {
  void *b[4];
  for (unsigned k = 0; k < buffers; ++k)
    memcpy(&b[k], parameters[k], sizeof b[k]);
  int64_t tiles, tile = (int64_t)host->special(NNCC_SPECIAL_CTAID) *
                            host->special(NNCC_SPECIAL_NTID) +
                        host->special(NNCC_SPECIAL_TID);
  memcpy(&tiles, parameters[buffers], sizeof tiles);
  if (tile < tiles)
    kernel(b, tile, tile + 1);
}

#define THREAD(name, buffers)                                                  \
  static const nncc_emulator *name##_host;                                     \
  static void name##_thread(void *const *parameters) {                         \
    run_thread(name, name##_host, buffers, parameters);                        \
  }                                                                            \
  static const nncc_emulated name##_image = {#name, name##_thread,             \
                                             &name##_host};
#define KERNELS(X)                                                             \
  X(twice, 2)                                                                  \
  X(multiply, 3)                                                               \
  X(add, 3)                                                                    \
  X(zero, 1)                                                                   \
  X(sum, 2)                                                                    \
  X(update, 3)                                                                 \
  X(accumulate, 2)                                                             \
  X(count, 1)                                                                  \
  X(gather, 3)                                                                 \
  X(copy_key, 2)                                                               \
  X(never, 1)                                                                  \
  X(wild, 2)
KERNELS(THREAD)

#define ROW(name, buffers) {name, &name##_image},
static const struct {
  nncc_kernel kernel;
  const nncc_emulated *image;
} kernels[] = {KERNELS(ROW)};

/* --- Tables --- */

enum { row_bytes = row * sizeof(float) };
static const int64_t d4[] = {4}, d8[] = {8}, d48[] = {4, 8}, d2[] = {2};
static const float half = 0.5f;

enum { w, b, p, spare, m, done };
static const nncc_tensor weights[] = {
    {"w", NNCC_F32, 1, d8, row_bytes, 0, NULL, NULL},
    {"b", NNCC_F32, 1, d8, row_bytes, 0, NULL, NULL},
    {"p", NNCC_F32, 1, d8, row_bytes, 0, NULL, NULL},
    {"spare", NNCC_F32, 1, d2, 8, 0, NULL, NULL},
    {"m", NNCC_F32, 1, d8, row_bytes, 1, NULL, NULL},
    {"optimizer.step", NNCC_I64, 0, NULL, 8, 1, NULL, NULL}};
static const nncc_tensor x8 = {"x", NNCC_F32, 1, d8, row_bytes, 0, NULL, NULL};
static const nncc_tensor y8 = {"y", NNCC_F32, 1, d8, row_bytes, 0, NULL, NULL};
static const nncc_tensor x4 = {"x", NNCC_F32, 1, d4, 16, 0, NULL, NULL};
static const nncc_tensor y4 = {"y", NNCC_F32, 1, d4, 16, 0, NULL, NULL};
static const nncc_tensor xs = {"x",           NNCC_F32, 2,    d48,
                               4 * row_bytes, 0,        NULL, NULL};
static const nncc_tensor ys = {"y",           NNCC_F32, 2,    d48,
                               4 * row_bytes, 0,        NULL, NULL};
static const nncc_tensor trained[] = {
    {"x", NNCC_F32, 1, d8, row_bytes, 0, NULL, NULL},
    {"lr", NNCC_F32, 0, NULL, 4, 0, &half, NULL}};
static const nncc_tensor loss = {"loss", NNCC_F32, 0, NULL, 4, 0, NULL, NULL};
static const nncc_tensor index2 = {"i", NNCC_I64, 1, d2, 16, 0, NULL, NULL};
static const nncc_tensor y2 = {"y", NNCC_F32, 1, d2, 8, 0, NULL, NULL};
static const nncc_tensor key2 = {"key", NNCC_I64, 1, d2, 16, 0, NULL, NULL};
static const nncc_limit limit = {0, 0, row, 0};

#define AT(space, value) {space, value, 0, row_bytes, 0, 0}
#define IN(number) AT(NNCC_INPUT, number)
#define OUT(number) AT(NNCC_OUTPUT, number)
#define STATE(number) AT(NNCC_WEIGHT, number)
#define BUFFERS(name, ...) static const nncc_buffer name[] = {__VA_ARGS__}
BUFFERS(of_p, STATE(p), AT(NNCC_ARENA, 64));
BUFFERS(of_prepared, AT(NNCC_ARENA, 64), AT(NNCC_ARENA, 0));
BUFFERS(to_prepared, AT(NNCC_ARENA, 64), AT(NNCC_ARENA, 128),
        AT(NNCC_PREPARED, 256));
BUFFERS(of_product, IN(0), AT(NNCC_PREPARED, 256), AT(NNCC_ARENA, 256));
BUFFERS(of_sum, AT(NNCC_ARENA, 256), STATE(b), OUT(0));
BUFFERS(of_zero, AT(NNCC_ARENA, 128));
BUFFERS(of_gradient, IN(0), STATE(w), AT(NNCC_ARENA, 0));
BUFFERS(of_loss, AT(NNCC_ARENA, 0), {NNCC_OUTPUT, 0, 0, 4, 0, 0});
BUFFERS(of_reduce, AT(NNCC_ARENA, 0));
BUFFERS(of_moment, AT(NNCC_ARENA, 0), STATE(m));
BUFFERS(of_update, STATE(m), {NNCC_INPUT, 1, 0, 4, 0, 0}, STATE(w));
BUFFERS(of_count, {NNCC_WEIGHT, done, 0, 8, 0, 0});
BUFFERS(of_gather, STATE(w), {NNCC_INPUT, 0, 0, 16, 0, 0},
        {NNCC_OUTPUT, 0, 0, 8, 0, 0});
BUFFERS(of_twice4, {NNCC_INPUT, 0, 0, 16, 0, 0}, {NNCC_OUTPUT, 0, 0, 16, 0, 0});
BUFFERS(of_twice8, IN(0), OUT(0));
BUFFERS(of_key, {NNCC_KEY, 0, 0, 16, 0, 0}, {NNCC_OUTPUT, 0, 0, 16, 0, 0});
/* The state goes to and fro between the arena's rows at 0 and at 32. */
BUFFERS(of_state, AT(NNCC_ARENA, 0));
BUFFERS(of_scan, {NNCC_INPUT, 0, 0, row_bytes, row_bytes, 0},
        {NNCC_ARENA, 0, 0, row_bytes, 0, row_bytes},
        {NNCC_ARENA, row_bytes, 0, row_bytes, 0, -row_bytes});
BUFFERS(of_stack, {NNCC_ARENA, row_bytes, 0, row_bytes, 0, -row_bytes},
        {NNCC_OUTPUT, 0, 0, row_bytes, row_bytes, 0});

static const nncc_tensor reduced[] = {
    {"w", NNCC_F32, 1, d8, row_bytes, 0, NULL, NULL}};

#define STEP(kernel, tiles, buffers)                                           \
  {kernel, NULL, tiles, buffers, COUNT(buffers), #kernel, "", 0, NULL, 0, 0}
#define REDUCE {NULL, NULL, 0, of_reduce, 1, "all_reduce", "", 0, reduced, 0, 0}
#define LOOP(steps, times)                                                     \
  {NULL, NULL, 0, NULL, 0, "loop", "", 0, NULL, steps, times}
#define STEPS(name, ...) static const nncc_step name[] = {__VA_ARGS__}
STEPS(prepare_steps, STEP(twice, row, of_p), STEP(zero, row, of_zero),
      STEP(add, row, to_prepared), STEP(twice, 0, of_prepared));
STEPS(forward_steps, STEP(multiply, row, of_product), STEP(add, row, of_sum),
      STEP(never, 0, of_zero));
STEPS(train_steps, STEP(multiply, row, of_gradient), STEP(sum, 1, of_loss),
      REDUCE, STEP(accumulate, row, of_moment), STEP(update, row, of_update),
      STEP(count, 1, of_count));
STEPS(accumulate_steps, STEP(multiply, row, of_gradient), REDUCE,
      STEP(sum, 1, of_loss), STEP(accumulate, row, of_moment),
      STEP(count, 1, of_count));
STEPS(gather_steps, STEP(gather, 2, of_gather));
STEPS(twice4_steps, STEP(twice, 4, of_twice4));
STEPS(twice8_steps, STEP(twice, row, of_twice8));
STEPS(noise_steps, STEP(copy_key, 2, of_key));
STEPS(scan_steps, STEP(zero, row, of_state), LOOP(2, 4),
      STEP(add, row, of_scan), STEP(twice, row, of_stack));
STEPS(crash_steps, STEP(wild, row, of_twice8));

#define BODY(in, out, steps, arena)                                            \
  {in, out, steps, COUNT(steps), arena, NULL, 0, NULL, ""}
static const nncc_body prepare = BODY(NULL, NULL, prepare_steps, 192);
static const nncc_body accumulating =
    BODY(trained, &loss, accumulate_steps, 64);
static const nncc_body bodies[] = {
    BODY(&x8, &y8, forward_steps, 320),
    {trained, &loss, train_steps, COUNT(train_steps), 64, NULL, 0,
     &accumulating, ""},
    {&index2, &y2, gather_steps, 1, 0, &limit, 1, NULL, ""},
    BODY(NULL, &key2, noise_steps, 0),
    BODY(&xs, &ys, scan_steps, 64),
    BODY(&x8, &y8, crash_steps, 0),
    {&x4, &y4, twice4_steps, 1, 0, NULL, 0, NULL, "N=4"},
    {&x8, &y8, twice8_steps, 1, 0, NULL, 0, NULL, "N=8"}};
static const nncc_entry entries[] = {{"forward", 1, 1, &bodies[0], 1, 1, 0},
                                     {"train_step", 2, 1, &bodies[1], 1, 2, 1},
                                     {"gather", 1, 1, &bodies[2], 1, 1, 0},
                                     {"noise", 0, 1, &bodies[3], 1, 1, 0},
                                     {"scan", 1, 1, &bodies[4], 1, 1, 0},
                                     {"crash", 1, 1, &bodies[5], 1, 1, 0},
                                     {"twice", 1, 1, &bodies[6], 2, 1, 0}};

/* --- The program for the emulator: the CPU's with other kernels --- */

static const nncc_step *convert(gpu_model *g, const nncc_step *steps,
                                uint64_t n) {
  nncc_step *result = calloc(n, sizeof *result);
  memcpy(result, steps, n * sizeof *result);
  for (uint64_t s = 0; s < n; ++s)
    for (int k = 0; k < kernel_count && steps[s].kernel; ++k)
      if (kernels[k].kernel == steps[s].kernel) {
        result[s].kernel = NULL;
        result[s].device = &g->kernels[k];
      }
  return result;
}

static const nncc_body *convert_bodies(gpu_model *g, const nncc_body *from,
                                       uint64_t n) {
  nncc_body *result = calloc(n, sizeof *result);
  for (uint64_t k = 0; k < n; ++k) {
    result[k] = from[k];
    result[k].steps = convert(g, from[k].steps, from[k].step_count);
    if (from[k].accumulate)
      result[k].accumulate = convert_bodies(g, from[k].accumulate, 1);
  }
  return result;
}

gpu_model *make_gpu_model(void) {
  extern const struct nncc_backend nncc_cuda_backend;
  gpu_model *g = calloc(1, sizeof *g);
  for (int k = 0; k < kernel_count; ++k) {
    g->images[k] = (nncc_image){NNCC_IMAGE_EMULATOR, sizeof(nncc_emulated),
                                kernels[k].image};
    g->kernels[k] =
        (nncc_device_kernel){kernels[k].image->function, &g->images[k], 1, 3};
  }
  memcpy(g->entries, entries, sizeof entries);
  const nncc_body **lists = calloc(COUNT(entries), sizeof *lists);
  for (uint64_t e = 0; e < COUNT(entries); ++e)
    lists[e] = convert_bodies(g, entries[e].bodies, entries[e].body_count);
  for (int i = 0; i < 3; ++i)
    g->cudas[i] = (nncc_cuda){0,
                              0,
                              g->kernels,
                              kernel_count,
                              lists,
                              convert_bodies(g, &prepare, 1),
                              256 + row_bytes,
                              &nncc_cuda_backend};
  g->model = (nncc_model){.abi_version = NNCC_ABI_VERSION,
                          .compiler = "by hand",
                          .name = "toy",
                          .cpu = "any",
                          .entries = g->entries,
                          .entry_count = COUNT(entries),
                          .weights = weights,
                          .weight_count = COUNT(weights),
                          .prepare = &prepare,
                          .prepared_bytes = 256 + row_bytes,
                          .training = "",
                          .graph = "",
                          .cudas = g->cudas,
                          .cuda_count = 1};
  return g;
}

static float values[3][row], spares[] = {1, 2};

static void fill(void) {
  for (int i = 0; i < row; ++i) {
    values[w][i] = (float)i + 1;
    values[b][i] = 10 * (float)i;
    values[p][i] = (float)i - 3;
  }
}

gpu_model *make_embedded_model(void) {
  static float prepared[64 + row];
  static const void *tensors[] = {values[w], values[b], values[p],
                                  NULL,      NULL,      NULL};
  static const nncc_embedded embedded = {tensors, prepared};
  fill();
  for (int i = 0; i < row; ++i)
    prepared[64 + i] = 2 * values[p][i];
  gpu_model *g = make_gpu_model();
  g->model.embedded = &embedded;
  return g;
}

static void free_bodies(const nncc_body *list, uint64_t n) {
  for (uint64_t k = 0; k < n; ++k) {
    free((void *)list[k].steps);
    if (list[k].accumulate)
      free_bodies(list[k].accumulate, 1);
  }
  free((void *)list);
}

void free_gpu_model(gpu_model *g) {
  for (uint64_t e = 0; e < COUNT(entries); ++e)
    free_bodies(g->cudas[0].bodies[e], entries[e].body_count);
  free((void *)g->cudas[0].bodies);
  for (int i = 0; i < 3; ++i)
    free_bodies(g->cudas[i].prepare, 1);
  free(g);
}

nncc_weights *make_gpu_weights(const gpu_model *g) {
  nncc_weights *result;
  fill();
  assert(!nncc_weights_create(&g->model, &result));
  for (int i = 0; i < 3; ++i)
    assert(!nncc_weights_set(result, weights[i].name, values[i], row_bytes));
  assert(!nncc_weights_set(result, "spare", spares, sizeof spares));
  assert(!nncc_weights_prepare(result));
  return result;
}
