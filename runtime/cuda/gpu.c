/* gpu.c - programs opened on GPUs.
 *
 * One per model and GPU, so that contexts and weights share what the driver has
 * made of the kernels: compiling PTX takes seconds. A kernel is loaded when it
 * first runs.
 */
#include "cuda.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static nncc_gpu *opened;

nncc_status nncc_enter(const nncc_gpu *gpu) {
  CUresult result = gpu->driver->cuCtxPushCurrent_v2(gpu->context);
  return result ? nncc_cuda_fail(gpu->driver, result,
                                 "GPU %u cannot be used in this thread",
                                 gpu->number)
                : NNCC_OK;
}

void nncc_leave(const nncc_gpu *gpu) {
  CUcontext ignored;
  gpu->driver->cuCtxPopCurrent_v2(&ignored);
}

static void free_tables(nncc_gpu *gpu) {
  pthread_mutex_destroy(&gpu->mutex);
  free(gpu->modules);
  free((void *)gpu->functions);
  free(gpu);
}

/* Not in the list yet. */
static nncc_status create(const nncc_model *model, const nncc_driver *driver,
                          const nncc_cuda *program, uint32_t number,
                          nncc_gpu **result) {
  nncc_gpu *gpu = calloc(1, sizeof *gpu);
  if (!gpu)
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory for a context");
  pthread_mutex_init(&gpu->mutex, NULL);
  gpu->driver = driver;
  gpu->model = model;
  gpu->program = program;
  gpu->number = number;
  gpu->modules = calloc(program->kernel_count + 1, sizeof(CUmodule));
  gpu->functions = calloc(program->kernel_count + 1, sizeof *gpu->functions);
  nncc_status status =
      gpu->modules && gpu->functions
          ? nncc_find_device(driver, number, &gpu->device)
          : nncc_fail(NNCC_ERROR_MEMORY, "no memory for a context");
  if (!status)
    status = nncc_device_sm(driver, gpu->device, &gpu->sm);
  if (!status) {
    CUresult code =
        driver->cuDevicePrimaryCtxRetain(&gpu->context, gpu->device);
    if (code)
      status = nncc_cuda_fail(driver, code, "GPU %u cannot be opened", number);
  }
  if (status)
    free_tables(gpu);
  else
    *result = gpu;
  return status;
}

/* Under the mutex. */
static nncc_status find(const nncc_model *model, const nncc_driver *driver,
                        const nncc_cuda *program, uint32_t number,
                        nncc_gpu **result) {
  for (nncc_gpu *gpu = opened; gpu; gpu = gpu->next)
    if (gpu->program == program && gpu->number == number) {
      ++gpu->users;
      *result = gpu;
      return NNCC_OK;
    }
  nncc_status status = create(model, driver, program, number, result);
  if (status)
    return status;
  (*result)->users = 1;
  (*result)->next = opened;
  opened = *result;
  return NNCC_OK;
}

nncc_status nncc_gpu_open(const nncc_model *model, const nncc_cuda *program,
                          uint32_t number, nncc_gpu **result) {
  const nncc_driver *driver;
  nncc_status status = nncc_open_driver(&driver);
  if (status)
    return status;
  pthread_mutex_lock(&mutex);
  status = find(model, driver, program, number, result);
  pthread_mutex_unlock(&mutex);
  return status;
}

void nncc_gpu_hold(nncc_gpu *gpu) {
  pthread_mutex_lock(&mutex);
  ++gpu->users;
  pthread_mutex_unlock(&mutex);
}

/* After a kernel's fault the driver refuses all of this; then the process has
 * to end anyway. */
static void destroy(nncc_gpu *gpu) {
  const nncc_driver *driver = gpu->driver;
  CUresult result = driver->cuCtxPushCurrent_v2(gpu->context);
  nncc_free_there(gpu->embedded);
  for (uint64_t k = 0; k < gpu->program->kernel_count; ++k)
    if (gpu->modules[k])
      driver->cuModuleUnload(gpu->modules[k]);
  if (!result)
    nncc_leave(gpu);
  driver->cuDevicePrimaryCtxRelease_v2(gpu->device);
  free_tables(gpu);
}

void nncc_gpu_release(nncc_gpu *gpu) {
  pthread_mutex_lock(&mutex);
  bool is_last = !--gpu->users;
  if (is_last)
    for (nncc_gpu **at = &opened; *at; at = &(*at)->next)
      if (*at == gpu) {
        *at = gpu->next;
        break;
      }
  pthread_mutex_unlock(&mutex);
  if (is_last)
    destroy(gpu);
}

nncc_status nncc_gpu_allocate(const nncc_gpu *gpu, uint64_t bytes,
                              const char *what, CUdeviceptr *memory) {
  CUresult result = gpu->driver->cuMemAlloc_v2(memory, bytes ? bytes : 1);
  if (!result)
    return NNCC_OK;
  size_t unused = 0, total = 0;
  if (result != CUDA_ERROR_OUT_OF_MEMORY ||
      gpu->driver->cuMemGetInfo_v2(&unused, &total))
    return nncc_cuda_fail(gpu->driver, result, "no memory on GPU %u for %s",
                          gpu->number, what);
  return nncc_fail(NNCC_ERROR_MEMORY,
                   "no memory on GPU %u for %s of %s: %llu bytes asked, %llu "
                   "free",
                   gpu->number, what, gpu->model->name,
                   (unsigned long long)bytes, (unsigned long long)unused);
}

static nncc_status load(const nncc_gpu *gpu, const nncc_device_kernel *kernel,
                        const nncc_image *image, CUmodule *module) {
  char log[2048] = "";
  int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
  CUresult result = gpu->driver->cuModuleLoadDataEx(
      module, image->data, image->kind == NNCC_IMAGE_PTX ? 2 : 0, options,
      values);
  if (!result)
    return NNCC_OK;
  *module = NULL;
  if (nncc_is_final(result)) /* it is told here first */
    return nncc_cuda_fail(gpu->driver, result,
                          "a kernel before %s failed on GPU %u",
                          kernel->function, gpu->number);
  nncc_status status =
      nncc_cuda_fail(gpu->driver, result, "kernel %s does not load on GPU %u",
                     kernel->function, gpu->number);
  for (size_t n = strlen(log); n && log[n - 1] == '\n';)
    log[--n] = 0;
  if (log[0])
    nncc_fail_more(":\n%s", log);
  return status;
}

/* A driver older than the assembler that made a cubin refuses it, and takes the
 * PTX. */
static nncc_status load_best(const nncc_gpu *gpu,
                             const nncc_device_kernel *kernel,
                             CUmodule *module) {
  nncc_status status = NNCC_ERROR_DEVICE;
  const nncc_image *image;
  for (uint64_t choice = 0;
       status == NNCC_ERROR_DEVICE &&
       (image = nncc_choose_image(kernel, gpu->program, gpu->driver, gpu->sm,
                                  choice));
       ++choice)
    status = load(gpu, kernel, image, module);
  return status;
}

/* Under the gpu's mutex. */
static nncc_status load_function(nncc_gpu *gpu,
                                 const nncc_device_kernel *kernel,
                                 CUfunction *function) {
  uint64_t k = (uint64_t)(kernel - gpu->program->kernels);
  *function = atomic_load(&gpu->functions[k]);
  if (*function)
    return NNCC_OK;
  if (!gpu->modules[k]) {
    nncc_status status = load_best(gpu, kernel, &gpu->modules[k]);
    if (status)
      return status;
  }
  CUresult result = gpu->driver->cuModuleGetFunction(function, gpu->modules[k],
                                                     kernel->function);
  if (result)
    return nncc_cuda_fail(gpu->driver, result, "kernel %s is not in its image",
                          kernel->function);
  atomic_store(&gpu->functions[k], *function);
  return NNCC_OK;
}

nncc_status nncc_gpu_function(nncc_gpu *gpu, const nncc_device_kernel *kernel,
                              CUfunction *function) {
  *function = atomic_load(&gpu->functions[kernel - gpu->program->kernels]);
  if (*function)
    return NNCC_OK;
  pthread_mutex_lock(&gpu->mutex);
  nncc_status status = load_function(gpu, kernel, function);
  pthread_mutex_unlock(&gpu->mutex);
  return status;
}
