/* program.c - which program of an object runs on a GPU, and which images.
 *
 * PTX runs on its architecture and later ones, that of sm_90a on sm_90 alone;
 * a cubin on its own and on later minor versions of it. The emulator takes host
 * code only.
 */
#include "cuda.h"
#include <stdio.h>
#include <string.h>

/* The lowest that nncc makes code for; the driver that knows PTX 8.0, in which
 * that of sm_90a is. */
enum { lowest_sm = 80, exact_driver = 12000 };

static bool fits(const nncc_cuda *program, const nncc_driver *driver,
                 uint32_t sm) {
  if (driver->is_emulator || !program->sm)
    return driver->is_emulator && !program->sm;
  return program->exact ? program->sm == sm && driver->version >= exact_driver
                        : program->sm <= sm;
}

static bool usable(const nncc_image *image, const nncc_cuda *program,
                   const nncc_driver *driver, uint32_t sm) {
  switch ((nncc_image_kind)image->kind) {
  case NNCC_IMAGE_PTX:
    return !driver->is_emulator;
  case NNCC_IMAGE_CUBIN:
    return !driver->is_emulator && program->sm / 10 == sm / 10;
  case NNCC_IMAGE_EMULATOR:
    return driver->is_emulator;
  }
  return false;
}

const nncc_image *nncc_choose_image(const nncc_device_kernel *kernel,
                                    const nncc_cuda *program,
                                    const nncc_driver *driver, uint32_t sm,
                                    uint64_t choice) {
  for (int is_text = 0; is_text < 2; ++is_text)
    for (uint64_t i = 0; i < kernel->image_count; ++i) {
      const nncc_image *image = &kernel->images[i];
      if ((image->kind == NNCC_IMAGE_PTX) == is_text &&
          usable(image, program, driver, sm) && !choice--)
        return image;
    }
  return NULL;
}

static bool has_images(const nncc_cuda *program, const nncc_driver *driver,
                       uint32_t sm) {
  for (uint64_t k = 0; k < program->kernel_count; ++k)
    if (!nncc_choose_image(&program->kernels[k], program, driver, sm, 0))
      return false;
  return true;
}

/* "sm_80, sm_90a (cubin)" */
static void list_programs(const nncc_model *model, char *text, size_t bytes) {
  size_t used = 0;
  text[0] = 0;
  for (uint64_t i = 0; i < model->cuda_count && used < bytes; ++i) {
    const nncc_cuda *program = &model->cudas[i];
    bool has_ptx = !program->kernel_count;
    for (uint64_t k = 0; !has_ptx && k < program->kernels[0].image_count; ++k)
      has_ptx = program->kernels[0].images[k].kind != NNCC_IMAGE_CUBIN;
    used += (size_t)snprintf(text + used, bytes - used, "%s", i ? ", " : "");
    if (used >= bytes)
      return;
    if (program->sm)
      used += (size_t)snprintf(text + used, bytes - used, "sm_%llu%s%s",
                               (unsigned long long)program->sm,
                               program->exact ? "a" : "",
                               has_ptx ? "" : " (cubin)");
    else
      used += (size_t)snprintf(text + used, bytes - used, "the emulator");
  }
}

static nncc_status none_fits(const nncc_model *model, const nncc_driver *driver,
                             uint32_t sm) {
  char list[256];
  list_programs(model, list, sizeof list);
  if (driver->is_emulator)
    return nncc_fail(NNCC_ERROR_DEVICE,
                     "%s has code for %s, the driver is the emulator: compile "
                     "with --target=cuda:emulator",
                     model->name, list);
  if (sm < lowest_sm)
    return nncc_fail(NNCC_ERROR_DEVICE,
                     "%s has code for %s, the GPU is sm_%u: nncc needs sm_%d",
                     model->name, list, sm, lowest_sm);
  nncc_fail(NNCC_ERROR_DEVICE, "%s has code for %s, the GPU is sm_%u",
            model->name, list, sm);
  if (driver->version < exact_driver)
    nncc_fail_more(", its driver for CUDA %d.%d", driver->version / 1000,
                   driver->version % 1000 / 10);
  nncc_fail_more(": compile with --target=cuda:sm_%d", lowest_sm);
  return NNCC_ERROR_DEVICE;
}

nncc_status nncc_choose_program(const nncc_model *model,
                                const nncc_driver *driver, uint32_t sm,
                                const nncc_cuda **result) {
  const nncc_cuda *best = NULL;
  for (uint64_t i = 0; i < model->cuda_count; ++i) {
    const nncc_cuda *program = &model->cudas[i];
    bool is_better = !best || program->sm > best->sm ||
                     (program->sm == best->sm && program->exact);
    if (is_better && fits(program, driver, sm) &&
        has_images(program, driver, sm))
      best = program;
  }
  *result = best;
  return best ? NNCC_OK : none_fits(model, driver, sm);
}
