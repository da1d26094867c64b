/* cuda.h - what the sources of runtime/cuda share.
 *
 * A `gpu` is a program opened on a GPU: its modules, and the weights of one
 * model there. Contexts and weights hold it; the last one closes it. All calls
 * of the driver stand between nncc_enter and nncc_leave of its context.
 */
#ifndef NNCC_RUNTIME_CUDA_CUDA_H
#define NNCC_RUNTIME_CUDA_CUDA_H

#include "driver.h"
#include "internal.h"
#include <pthread.h>

/* --- driver.c --- */

nncc_status nncc_open_driver(const nncc_driver **driver);
nncc_status nncc_find_device(const nncc_driver *driver, uint32_t number,
                             CUdevice *device);
nncc_status nncc_device_sm(const nncc_driver *driver, CUdevice device,
                           uint32_t *sm);
/* Errors of kernels after which no call works in the process any more, whatever
 * the call: docs/cuda.md, section 3. */
bool nncc_is_final(CUresult result);
/* "WHAT: CUDA_ERROR_X (700), its text" as this thread's error. */
nncc_status nncc_cuda_fail(const nncc_driver *driver, CUresult result,
                           const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- program.c --- */

/* The model's best program for a GPU, an error that says what would fit. */
nncc_status nncc_choose_program(const nncc_model *model,
                                const nncc_driver *driver, uint32_t sm,
                                const nncc_cuda **program);
/* Of a kernel's images the one to load, cubins first: number `choice`, from 0;
 * null if not so many fit. */
const nncc_image *nncc_choose_image(const nncc_device_kernel *kernel,
                                    const nncc_cuda *program,
                                    const nncc_driver *driver, uint32_t sm,
                                    uint64_t choice);

/* --- gpu.c --- */

typedef struct nncc_gpu {
  struct nncc_gpu *next;
  const nncc_driver *driver;
  const nncc_model *model;
  const nncc_cuda *program;
  uint32_t number, sm;
  CUdevice device;
  CUcontext context;
  uint64_t users;
  nncc_device_weights *embedded;
  pthread_mutex_t mutex; /* of what follows */
  CUmodule *modules;     /* by kernel; null: never ran */
  _Atomic(CUfunction) *functions;
} nncc_gpu;

nncc_status nncc_gpu_open(const nncc_model *model, const nncc_cuda *program,
                          uint32_t number, nncc_gpu **gpu);
void nncc_gpu_hold(nncc_gpu *gpu);
void nncc_gpu_release(nncc_gpu *gpu);
/* Makes the GPU's context this thread's until nncc_leave. */
nncc_status nncc_enter(const nncc_gpu *gpu);
void nncc_leave(const nncc_gpu *gpu);
/* Memory; the error names `what` and how much is unused. */
nncc_status nncc_gpu_allocate(const nncc_gpu *gpu, uint64_t bytes,
                              const char *what, CUdeviceptr *memory);
/* A kernel of the program, loaded when it is first asked for. */
nncc_status nncc_gpu_function(nncc_gpu *gpu, const nncc_device_kernel *kernel,
                              CUfunction *function);

/* --- launch.c --- */

/* `device` of an nncc_walk. */
typedef struct nncc_queue {
  nncc_gpu *gpu;
  CUstream stream;
  const char *running; /* for errors: an entry */
} nncc_queue;
/* "WHAT RUNS failed on GPU 0: ..." */
nncc_status nncc_failed(const nncc_queue *queue, CUresult result);
nncc_status nncc_launch(const nncc_walk *walk, const nncc_step *step,
                        uint64_t iteration);
/* Waits; an error says what had been running. */
nncc_status nncc_wait(const nncc_queue *queue);
/* Copies on the queue, of nothing too. */
nncc_status nncc_copy_in(const nncc_queue *queue, const void *to,
                         const void *from, uint64_t bytes);
nncc_status nncc_copy_out(const nncc_queue *queue, void *to, const void *from,
                          uint64_t bytes);
nncc_status nncc_copy_there(const nncc_queue *queue, const void *to,
                            const void *from, uint64_t bytes);
/* As offsets in the GPU's memory are rounded. */
static inline uint64_t nncc_gpu_aligned(uint64_t bytes) {
  return (bytes + 255) / 256 * 256;
}

/* --- upload.c --- */

/* Weights of one object on one GPU. */
struct nncc_device_weights {
  nncc_device_weights *next;
  nncc_gpu *gpu;
  const void **tensors; /* by number; null: no step reads it */
  char *prepared;
  CUdeviceptr memory;
};

/* Those of `weights`, or the model's embedded ones if it is null, put there if
 * they are not yet. Nobody changes them. */
nncc_status nncc_share_weights(const nncc_queue *queue,
                               const nncc_weights *weights,
                               nncc_device_weights **result);
/* A copy of a context's own, with all that prepare reads; not prepared. */
nncc_status nncc_own_weights(const nncc_queue *queue,
                             const nncc_weights *weights,
                             nncc_device_weights **result);
/* Runs the program's prepare on an arena that it fits. */
nncc_status nncc_prepare_there(const nncc_queue *queue,
                               const nncc_device_weights *weights, char *arena);
/* A list, between nncc_enter and nncc_leave; that of a weights object. */
void nncc_free_there(nncc_device_weights *list);
void nncc_free_shared(nncc_device_weights *list);

/* --- backend.c --- */

/* What a context has on a GPU: nncc_context.device. */
typedef struct nncc_place {
  nncc_queue queue;
  CUstream own_stream; /* once one was needed */
  CUdeviceptr memory;
  char *arena, *inputs, *outputs, *key; /* its parts */
  /* The addresses of a run's tensors there. */
  const void **in;
  void **out;
  nncc_device_weights *weights, *own; /* in use; of a context that trains */
  int64_t key_there[2];
  bool has_key;
  char *gradients, *result; /* on the host, for all_reduce and for steps */
} nncc_place;

/* --- there.c --- */

const void *const *nncc_states_there(const nncc_context *context);
nncc_status nncc_read_there(nncc_context *context, uint64_t number, void *data);
nncc_status nncc_write_there(nncc_context *context, uint64_t number,
                             const void *data);
nncc_status nncc_read_all(nncc_context *context);
nncc_status nncc_check_pointer(nncc_context *context, const char *what,
                               const char *name, const void *pointer);

/* --- entry.c --- */

nncc_status nncc_run_there(nncc_context *context, const nncc_entry *entry,
                           const nncc_body *body, const int64_t key[2]);
void *nncc_run_step_there(nncc_context *context, const nncc_entry *entry,
                          const nncc_body *body, const nncc_step *step,
                          uint64_t iteration, const int64_t key[2]);

#endif /* NNCC_RUNTIME_CUDA_CUDA_H */
