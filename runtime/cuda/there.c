/* there.c - the weights of a context that trains on a GPU, and pointers.
 *
 * Tensors that no step reads stay on the host alone. The host's copy of the
 * others is as old as the last nncc_read_all, but for optimizer.step.
 */
#include "cuda.h"
#include <string.h>

const void *const *nncc_states_there(const nncc_context *context) {
  const nncc_place *place = context->device;
  return place->own ? place->own->tensors : NULL;
}

static nncc_status read_tensor(nncc_context *context, uint64_t i, void *data) {
  nncc_place *place = context->device;
  const void *there = place->own->tensors[i], *here = context->own->owned[i];
  uint64_t bytes = context->model->weights[i].bytes;
  if (context->options.device_pointers)
    return there ? nncc_copy_there(&place->queue, data, there, bytes)
                 : nncc_copy_in(&place->queue, data, here, bytes);
  if (!there) {
    memcpy(data, here, bytes);
    return NNCC_OK;
  }
  nncc_status status = nncc_copy_out(&place->queue, data, there, bytes);
  return status ? status : nncc_wait(&place->queue);
}

/* The host's copy follows where it is looked at between runs: a tensor that
 * nothing reads there, and the counter. */
static nncc_status write_tensor(nncc_context *context, uint64_t i,
                                const void *data) {
  nncc_place *place = context->device;
  const nncc_tensor *tensor = &context->model->weights[i];
  const void *there = place->own->tensors[i];
  void *here = context->own->owned[i];
  bool is_device = context->options.device_pointers;
  bool follows = !there || !strcmp(tensor->name, "optimizer.step");
  nncc_status status = NNCC_OK;
  if (there)
    status = is_device
                 ? nncc_copy_there(&place->queue, there, data, tensor->bytes)
                 : nncc_copy_in(&place->queue, there, data, tensor->bytes);
  if (!status && follows && is_device)
    status = nncc_copy_out(&place->queue, here, data, tensor->bytes);
  else if (!status && follows)
    memcpy(here, data, tensor->bytes);
  if (status || (is_device && !follows))
    return status;
  return nncc_wait(&place->queue);
}

static nncc_status read_all(nncc_context *context) {
  nncc_place *place = context->device;
  const nncc_model *model = context->model;
  nncc_status status = NNCC_OK;
  for (uint64_t i = 0; !status && i < model->weight_count; ++i)
    if (place->own->tensors[i])
      status = nncc_copy_out(&place->queue, context->own->owned[i],
                             place->own->tensors[i], model->weights[i].bytes);
  return status ? status : nncc_wait(&place->queue);
}

nncc_status nncc_read_there(nncc_context *context, uint64_t number,
                            void *data) {
  nncc_place *place = context->device;
  nncc_status status = nncc_enter(place->queue.gpu);
  if (status)
    return status;
  status = read_tensor(context, number, data);
  nncc_leave(place->queue.gpu);
  return status;
}

nncc_status nncc_write_there(nncc_context *context, uint64_t number,
                             const void *data) {
  nncc_place *place = context->device;
  nncc_status status = nncc_enter(place->queue.gpu);
  if (status)
    return status;
  status = write_tensor(context, number, data);
  nncc_leave(place->queue.gpu);
  return status;
}

nncc_status nncc_read_all(nncc_context *context) {
  nncc_place *place = context->device;
  nncc_status status = nncc_enter(place->queue.gpu);
  if (status)
    return status;
  status = read_all(context);
  nncc_leave(place->queue.gpu);
  return status;
}

static nncc_status check_pointer(const nncc_gpu *gpu, const char *what,
                                 const char *name, const void *pointer) {
  CUdeviceptr address = (CUdeviceptr)(uintptr_t)pointer;
  int kind = 0, number = (int)gpu->number;
  CUresult result = gpu->driver->cuPointerGetAttribute(
      &kind, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address);
  if (result == CUDA_ERROR_INVALID_VALUE ||
      (!result && kind != CU_MEMORYTYPE_DEVICE))
    return nncc_fail(NNCC_ERROR_ARGUMENT,
                     "%s %s lies in host memory, but options.device_pointers "
                     "promised that of a GPU",
                     what, name);
  if (!result)
    result = gpu->driver->cuPointerGetAttribute(
        &number, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address);
  if (result)
    return nncc_cuda_fail(gpu->driver, result, "GPU %u does not know %s %s",
                          gpu->number, what, name);
  if (number != (int)gpu->number)
    return nncc_fail(NNCC_ERROR_ARGUMENT,
                     "%s %s lies on GPU %d, the context runs on GPU %u", what,
                     name, number, gpu->number);
  return address % 16
             ? nncc_fail(NNCC_ERROR_ARGUMENT,
                         "%s %s is not aligned to 16 bytes", what, name)
             : NNCC_OK;
}

nncc_status nncc_check_pointer(nncc_context *context, const char *what,
                               const char *name, const void *pointer) {
  nncc_place *place = context->device;
  nncc_status status = nncc_enter(place->queue.gpu);
  if (status)
    return status;
  status = check_pointer(place->queue.gpu, what, name, pointer);
  nncc_leave(place->queue.gpu);
  return status;
}
