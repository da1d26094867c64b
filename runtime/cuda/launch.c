/* launch.c - steps and copies on a stream of a GPU. */
#include "cuda.h"

/* A kernel's fault is told by the next call, which it is not the fault of. */
nncc_status nncc_failed(const nncc_queue *queue, CUresult result) {
  return nncc_cuda_fail(queue->gpu->driver, result, "%s failed on GPU %u",
                        queue->running, queue->gpu->number);
}

static nncc_status launch(const nncc_queue *queue,
                          const nncc_device_kernel *kernel, CUfunction function,
                          int64_t tiles, void **parameters) {
  int64_t threads = (int64_t)kernel->threads;
  int64_t blocks = tiles / threads + (tiles % threads != 0);
  if (blocks > INT32_MAX)
    return nncc_fail(NNCC_ERROR_DEVICE,
                     "kernel %s has %lld tiles, more than a GPU can launch",
                     kernel->function, (long long)tiles);
  CUresult result = queue->gpu->driver->cuLaunchKernel(
      function, (unsigned)blocks, 1, 1, (unsigned)threads, 1, 1, 0,
      queue->stream, parameters, NULL);
  if (!result)
    return NNCC_OK;
  if (nncc_is_final(result))
    return nncc_failed(queue, result);
  return nncc_cuda_fail(queue->gpu->driver, result,
                        "kernel %s cannot be launched on GPU %u",
                        kernel->function, queue->gpu->number);
}

nncc_status nncc_launch(const nncc_walk *walk, const nncc_step *step,
                        uint64_t iteration) {
  const nncc_queue *queue = walk->device;
  if (!step->tiles) /* CUDA refuses a grid without blocks */
    return NNCC_OK;
  CUfunction function;
  nncc_status status = nncc_gpu_function(queue->gpu, step->device, &function);
  if (status)
    return status;
  /* The null behind the last tells the emulator how many there are; CUDA knows
   * it from the kernel. */
  CUdeviceptr addresses[NNCC_MAX_BUFFERS];
  void *parameters[NNCC_MAX_BUFFERS + 2];
  int64_t tiles = step->tiles;
  uint64_t count = step->buffer_count;
  for (uint64_t k = 0; k < count; ++k) {
    addresses[k] = (CUdeviceptr)(uintptr_t)nncc_buffer_address(
        &step->buffers[k], walk->memory, iteration);
    parameters[k] = &addresses[k];
  }
  parameters[count] = &tiles;
  parameters[count + 1] = NULL;
  return launch(queue, step->device, function, tiles, parameters);
}

nncc_status nncc_wait(const nncc_queue *queue) {
  CUresult result = queue->gpu->driver->cuStreamSynchronize(queue->stream);
  return result ? nncc_failed(queue, result) : NNCC_OK;
}

static nncc_status copied(const nncc_queue *queue, CUresult result,
                          const char *where, uint64_t bytes) {
  if (!result)
    return NNCC_OK;
  if (nncc_is_final(result))
    return nncc_failed(queue, result);
  return nncc_cuda_fail(queue->gpu->driver, result,
                        "%llu bytes cannot be copied %s GPU %u",
                        (unsigned long long)bytes, where, queue->gpu->number);
}

nncc_status nncc_copy_in(const nncc_queue *queue, const void *to,
                         const void *from, uint64_t bytes) {
  return bytes ? copied(queue,
                        queue->gpu->driver->cuMemcpyHtoDAsync_v2(
                            (CUdeviceptr)(uintptr_t)to, from, bytes,
                            queue->stream),
                        "to", bytes)
               : NNCC_OK;
}

nncc_status nncc_copy_out(const nncc_queue *queue, void *to, const void *from,
                          uint64_t bytes) {
  return bytes ? copied(queue,
                        queue->gpu->driver->cuMemcpyDtoHAsync_v2(
                            to, (CUdeviceptr)(uintptr_t)from, bytes,
                            queue->stream),
                        "from", bytes)
               : NNCC_OK;
}

nncc_status nncc_copy_there(const nncc_queue *queue, const void *to,
                            const void *from, uint64_t bytes) {
  return bytes ? copied(queue,
                        queue->gpu->driver->cuMemcpyDtoDAsync_v2(
                            (CUdeviceptr)(uintptr_t)to,
                            (CUdeviceptr)(uintptr_t)from, bytes, queue->stream),
                        "on", bytes)
               : NNCC_OK;
}
