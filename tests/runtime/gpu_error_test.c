/* gpu_error_test.c - what goes wrong, and what is said then.
 *
 * `tell` makes a context of some variation of the model and runs entries; it
 * prints each status with its sentence, for the tables of test_gpu_runtime.py.
 */
#include "gpu_test.h"
#include <stdio.h>
#include <stdlib.h>

/* --- Variations of the model --- */

static const char ptx[] = ".version 7.0";
static nncc_image text = {NNCC_IMAGE_PTX, sizeof ptx, ptx};
static const char elf[] = "\177ELF\2\1\1\0";
static const nncc_image both[] = {{NNCC_IMAGE_PTX, sizeof ptx, ptx},
                                  {NNCC_IMAGE_CUBIN, sizeof elf, elf}};

static void use_images(gpu_model *g, const nncc_image *images, uint64_t count) {
  for (int k = 0; k < kernel_count; ++k) {
    g->kernels[k].images = images;
    g->kernels[k].image_count = count;
  }
}

static void vary(gpu_model *g, const char *name) {
  static const nncc_emulated unnamed = {"nobody", NULL, NULL};
  nncc_cuda *programs = g->cudas;
  if (!strcmp(name, "cpu only")) {
    g->model.cuda_count = 0;
  } else if (!strcmp(name, "gpu only")) {
    g->model.cpu = "";
    g->model.prepare = NULL;
  } else if (!strcmp(name, "gpu only, ptx")) {
    g->model.cpu = "";
    g->model.prepare = NULL;
    programs[0].sm = 80;
    use_images(g, &text, 1);
  } else if (!strcmp(name, "no kernel")) {
    programs[0].sm = 80;
    programs[0].kernels = NULL;
    programs[0].kernel_count = 0;
  } else if (!strcmp(name, "no image")) { /* that the driver takes */
    text.kind = NNCC_IMAGE_EMULATOR;
    use_images(g, &text, 1);
  } else if (!strcmp(name, "many tiles")) {
    ((nncc_step *)programs[0].bodies[0]->steps)->tiles = INT64_C(1) << 40;
  } else if (!strcmp(name, "renamed")) {
    g->kernels[0].function = unnamed.function;
  } else if (strcmp(name, "plain")) { /* "80", "80 90a", "80cubin", "80both" */
    use_images(g, strstr(name, "cubin") ? &both[1] : both,
               strstr(name, "both") ? 2 : 1);
    g->model.cuda_count = strchr(name, ' ') ? 2 : 1;
    for (uint64_t i = 0; i < g->model.cuda_count; ++i) {
      char *end;
      programs[i].sm = strtoul(name, &end, 10);
      programs[i].exact = *end == 'a';
      name = end + (*end == 'a') + 1;
    }
  }
}

/* --- Telling --- */

static void say(nncc_status status, const char *otherwise) {
  if (status)
    printf("%d: %s\n", status, nncc_last_error());
  else
    puts(otherwise);
}

static nncc_context *try_context(const gpu_model *g,
                                 const nncc_weights *weights,
                                 const char *device) {
  static const char *const names[] = {"cpu", "cuda", "auto"};
  nncc_options options = {0};
  options.device = (uint32_t)atoi(device);
  for (uint32_t d = 0; d < 3; ++d)
    if (!strncmp(device, names[d], strlen(names[d])))
      options.device = d;
  const char *number = strchr(device, ':');
  options.device_number = number ? (uint32_t)atoi(number + 1) : 0;
  options.device_pointers = strstr(device, "pointers") != NULL;
  nncc_context *context = NULL;
  nncc_status status =
      nncc_context_create(&g->model, weights, &options, &context);
  say(status, context && nncc_context_device(context) ? "cuda" : "cpu");
  return context;
}

/* tell VARIATION DEVICE... ENTRY...; "wait" and "again" are no entries. */
void tell(int count, char **words) {
  gpu_model *g = make_gpu_model();
  vary(g, words[0]);
  nncc_weights *weights = make_gpu_weights(g);
  nncc_context *context = try_context(g, weights, words[1]);
  float x[4 * row] = {0}, y[4 * row];
  for (int i = 2; i < count; ++i) {
    const void *in[] = {x};
    void *out[] = {y};
    if (!strcmp(words[i], "wait")) {
      say(nncc_context_synchronize(context), "ok");
    } else if (!strcmp(words[i], "again")) {
      nncc_context_free(context);
      context = try_context(g, weights, words[1]);
    } else {
      say(nncc_run_body(context, words[i], 0, in, out), "ok");
    }
  }
  nncc_context_free(context);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* --- Cases --- */

/* NNCC_EMULATOR makes the kernel gather fault: the run that returned at once
 * is known to have failed when somebody waits. */
static void fail_late(void) {
  static const char said[] =
      "gather failed on GPU 0: CUDA_ERROR_MISALIGNED_ADDRESS (716), misaligned "
      "address; no call of CUDA works in this process any more, it has to end";
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  nncc_options options = {0};
  options.device = NNCC_CUDA;
  options.device_pointers = 1;
  options.trains = 1;
  nncc_context *context;
  assert(!nncc_context_create(&g->model, weights, &options, &context));
  void *memory = device_copy(NULL, 64);
  call(context, "gather", memory, (char *)memory + 32);
  fails(nncc_context_synchronize(context), NNCC_ERROR_DEVICE, said);
  fails(nncc_context_synchronize(context), NNCC_ERROR_DEVICE, said);
  assert(nncc_context_write(context, "w", memory, 32) == NNCC_ERROR_DEVICE);
  assert(
      !nncc_run_step(context, &g->model.entries[2],
                     nncc_context_body(context, &g->model.entries[2], 0)->steps,
                     0, (const void *const[]){memory}, (void *[]){memory}));
  nncc_context_free(context);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

/* A training that cannot be read back any more says so wherever it is asked. */
static void fail_reading(void) {
  gpu_model *g = make_gpu_model();
  nncc_weights *weights = make_gpu_weights(g);
  nncc_context *context = open_context(g, weights, NNCC_CUDA, 1), *other;
  const nncc_weights *own = nncc_context_weights(context);
  int64_t i[2] = {0, 0};
  float x[row] = {0}, loss;
  call(context, "train_step", x, &loss);
  const void *in[] = {i};
  void *out[] = {x};
  static const char said[] =
      "gather failed on GPU 0: CUDA_ERROR_ILLEGAL_ADDRESS (700), an illegal "
      "memory access was encountered; no call of CUDA works in this process "
      "any more, it has to end";
  fails(nncc_run_body(context, "gather", 0, in, out), NNCC_ERROR_DEVICE, said);
  fails(nncc_weights_get(own, "w", x, sizeof x), NNCC_ERROR_DEVICE, said);
  fails(nncc_weights_save(own, "never.safetensors"), NNCC_ERROR_DEVICE, said);
  fails(nncc_context_read(context, "w", x, sizeof x), NNCC_ERROR_DEVICE, said);
  assert(!nncc_weights_data(own, 0));
  nncc_options options = {0};
  options.trains = 1;
  fails(nncc_context_create(&g->model, own, &options, &other),
        NNCC_ERROR_DEVICE, said);
  nncc_context_free(context);
  /* The CPU still works. */
  context = open_context(g, weights, NNCC_CPU, 1);
  call(context, "train_step", x, &loss);
  nncc_context_free(context);
  nncc_weights_free(weights);
  free_gpu_model(g);
}

const test_case error_cases[] = {
    {"fail_late", fail_late}, {"fail_reading", fail_reading}, {NULL, NULL}};
