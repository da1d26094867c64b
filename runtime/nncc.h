/* nncc.h - the runtime of compiled models.
 *
 * Load weights, make contexts, run entries. Plain C, no global state but a
 * text per thread that explains the last error. Nothing is printed, nothing
 * aborts. Any number of contexts share one weights object; a context is used by
 * one thread at a time.
 */
#ifndef NNCC_RUNTIME_NNCC_H
#define NNCC_RUNTIME_NNCC_H

#include "abi.h"
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NNCC_API __attribute__((visibility("default")))
#else
#define NNCC_API
#endif

typedef enum nncc_status {
  NNCC_OK = 0,
  NNCC_ERROR_ARGUMENT, /* a call that cannot be meant */
  NNCC_ERROR_WEIGHTS,  /* weights do not fit the model */
  NNCC_ERROR_FORMAT,   /* a file is not what it should be */
  NNCC_ERROR_IO,       /* the system could not read or write */
  NNCC_ERROR_MEMORY,
  NNCC_ERROR_CPU,   /* the object needs features that this CPU lacks */
  NNCC_ERROR_ABI,   /* the object is from another version of nncc */
  NNCC_ERROR_RANGE, /* an index input points outside its table */
  NNCC_ERROR_HOST,  /* a function of the host gave up */
  NNCC_ERROR_DEVICE /* no driver, no GPU, no code for it; the driver's error */
} nncc_status;

typedef struct nncc_weights nncc_weights;
typedef struct nncc_context nncc_context;

/* A sentence about the last error in this thread; "" if there was none. */
NNCC_API const char *nncc_last_error(void);

/* --- Weights --------------------------------------------------------------
 * Immutable once prepared. Sizes and types are checked against the model; all
 * tensors that do not fit are listed at once. */

/* Reads a safetensors file and prepares. */
NNCC_API nncc_status nncc_weights_load(const nncc_model *model,
                                       const char *path,
                                       nncc_weights **weights);
/* The same, but the file's pages are mapped, not read: quick to open, shared
 * between processes, no second copy in memory. The file must not change or
 * shrink while the weights live. */
NNCC_API nncc_status nncc_weights_map(const nncc_model *model, const char *path,
                                      nncc_weights **weights);
/* The same from memory, which may be freed afterwards. */
NNCC_API nncc_status nncc_weights_from_memory(const nncc_model *model,
                                              const void *data, size_t bytes,
                                              nncc_weights **weights);
/* Tensor by tensor: create, set each, prepare. */
NNCC_API nncc_status nncc_weights_create(const nncc_model *model,
                                         nncc_weights **weights);
NNCC_API nncc_status nncc_weights_set(nncc_weights *weights, const char *name,
                                      const void *data, size_t bytes);
NNCC_API nncc_status nncc_weights_prepare(nncc_weights *weights);
/* A tensor under its state_dict name, as it was set: back into `data`. */
NNCC_API nncc_status nncc_weights_get(const nncc_weights *weights,
                                      const char *name, void *data,
                                      size_t bytes);
/* The bytes of tensor `number` of the model's table; null if it is fresh, or
 * cannot be read from the GPU where it was trained. */
NNCC_API const void *nncc_weights_data(const nncc_weights *weights,
                                       uint64_t number);
/* What prepare made of them: the model's prepared_bytes; null if nothing. */
NNCC_API const void *nncc_weights_prepared(const nncc_weights *weights);
/* All tensors, atomically, as a safetensors file. */
NNCC_API nncc_status nncc_weights_save(const nncc_weights *weights,
                                       const char *path);
/* No context may use them any more. */
NNCC_API void nncc_weights_free(nncc_weights *weights);

/* --- Contexts ------------------------------------------------------------- */

/* Runs body(argument, begin, end) over [0, count) in any split and order and
 * returns when all is done; a host may give its own. */
typedef void (*nncc_range_body)(void *argument, int64_t begin, int64_t end);
/* The gradient of a parameter, row-major. */
typedef struct nncc_gradient {
  const char *name; /* of the parameter */
  nncc_dtype dtype;
  uint64_t count; /* of elements */
  void *data;
} nncc_gradient;
/* Where a context runs. */
typedef enum nncc_device {
  NNCC_CPU,
  NNCC_CUDA, /* an error if there is no GPU that the model has code for */
  NNCC_AUTO  /* a GPU if one fits, else the CPU */
} nncc_device;
typedef struct nncc_options {
  /* Threads of the context's own pool; 0 and 1: none. */
  uint32_t threads;
  /* Instead of the pool, if not null. */
  void (*parallel_for)(void *host, int64_t count, nncc_range_body body,
                       void *argument);
  void *host;
  /* The context keeps weights of its own, copied from those that it is created
   * with, which train_step changes. */
  uint32_t trains;
  /* Keys random numbers, with the step: dropout in entries that train. */
  uint64_t seed;
  /* Replaces each gradient of a bucket by its mean over all processes that
   * train together; 0 if that worked. Called in the order in which backward has
   * them; null: there is one process. On a GPU all steps before have ended
   * then; gradients lie on the host, as copies that go back to the GPU, unless
   * device_pointers is set: then they are there, and what the host does to them
   * has to be done when it returns, or be in order with `stream`. */
  int (*all_reduce)(void *host, const nncc_gradient *bucket, uint32_t count);
  void *all_reduce_host;
  uint32_t device;        /* an nncc_device */
  uint32_t device_number; /* which GPU */
  /* On a GPU: inputs and outputs of a run lie in its memory, aligned to 16
   * bytes, and what nncc_context_read and _write take too. A run returns at
   * once; nncc_context_synchronize tells how it ended. */
  uint32_t device_pointers;
  void *stream; /* a CUstream of the host's; null: one of the context's own */
} nncc_options;

/* `weights` may be null for a model without state or with embedded weights;
 * `options` may be null. */
NNCC_API nncc_status nncc_context_create(const nncc_model *model,
                                         const nncc_weights *weights,
                                         const nncc_options *options,
                                         nncc_context **context);
/* Other weights of the same model from the next run on, while other contexts
 * keep theirs. */
NNCC_API nncc_status nncc_context_set_weights(nncc_context *context,
                                              const nncc_weights *weights);
/* The weights in use: of a context that trains, the present state of its own.
 * They live as long as the context does. */
NNCC_API const nncc_weights *nncc_context_weights(const nncc_context *context);
/* Memory of a tensor of the weights that a training context owns, to be read
 * and written between runs; null if there is none, and on a GPU (read and write
 * below). After a write: nncc_context_changed. */
NNCC_API void *nncc_context_tensor(nncc_context *context, const char *name);
NNCC_API void nncc_context_changed(nncc_context *context);
/* Random numbers of the next run that does not count steps itself (train_step
 * does: optimizer.step) are those of this seed and step; later runs count on.
 */
NNCC_API nncc_status nncc_context_seed(nncc_context *context, uint64_t seed,
                                       uint64_t step);
/* A tensor of the weights that a training context owns, wherever it lies. */
NNCC_API nncc_status nncc_context_read(nncc_context *context, const char *name,
                                       void *data, size_t bytes);
NNCC_API nncc_status nncc_context_write(nncc_context *context, const char *name,
                                        const void *data, size_t bytes);
/* options.device_pointers and options.stream from the next call on, for hosts
 * whose tensors lie here or there and whose stream changes. What runs on the
 * stream that is left is waited for, so it has to be there still. */
NNCC_API nncc_status nncc_context_set_pointers(nncc_context *context,
                                               uint32_t device_pointers,
                                               void *stream);
/* NNCC_CPU or NNCC_CUDA: where NNCC_AUTO ended. */
NNCC_API nncc_device nncc_context_device(const nncc_context *context);
/* Waits until all runs have ended; the first error of one since the last wait.
 * On a CPU there is nothing to wait for. */
NNCC_API nncc_status nncc_context_synchronize(nncc_context *context);
NNCC_API void nncc_context_free(nncc_context *context);

typedef struct nncc_device_facts {
  char name[256];
  uint32_t sm; /* 90: compute capability 9.0; 0 of a CPU, and emulated */
  uint32_t multiprocessors;
  uint32_t driver;         /* 13000: the newest CUDA it knows, 13.0 */
  uint64_t memory, unused; /* bytes in all, and of no one now */
} nncc_device_facts;
/* Facts about GPU `number`; an error if it is not there. NNCC_AUTO: of the CPU
 * if there is no GPU. */
NNCC_API nncc_status nncc_device_info(nncc_device device, uint32_t number,
                                      nncc_device_facts *facts);

/* --- Running --------------------------------------------------------------
 * Does not allocate; with one thread it makes no system call. */

/* A tensor in the caller's memory, row-major. */
typedef struct nncc_view {
  void *data;
  nncc_dtype dtype;
  uint32_t rank;
  const int64_t *dims;
} nncc_view;

/* By description: finds the body for the inputs' sizes and checks everything.
 * Inputs at the end that have a value of their own may be left out. */
NNCC_API nncc_status nncc_run(nncc_context *context, const char *entry,
                              const nncc_view *inputs, uint32_t input_count,
                              const nncc_view *outputs, uint32_t output_count);

/* By plain pointers to body number `body` of the entry; index ranges are
 * checked, and that what the run writes lies apart: an output from inputs,
 * other outputs and the context's own weights, those from inputs of an entry
 * that changes them. Null for an input that has a value of its own: lr. */
NNCC_API nncc_status nncc_run_body(nncc_context *context, const char *entry,
                                   uint32_t body, const void *const *inputs,
                                   void *const *outputs);

/* The steps that the context runs for that body of the entry: those of the
 * program for its device. Null if there is no such body. */
NNCC_API const nncc_body *nncc_context_body(const nncc_context *context,
                                            const nncc_entry *entry,
                                            uint32_t body);
/* One step of such a body by itself, on the calling thread; for tools that
 * compare and time kernels, which run all in order. `iteration` is that of the
 * loop the step is in. Gives the memory of what it writes, null after an error;
 * from a GPU a copy on the host, good until the next call. */
NNCC_API void *nncc_run_step(nncc_context *context, const nncc_entry *entry,
                             const nncc_step *step, uint64_t iteration,
                             const void *const *inputs, void *const *outputs);

/* --- Safetensors files ---------------------------------------------------- */

typedef struct nncc_file nncc_file;
typedef struct nncc_file_tensor {
  const char *name;
  nncc_dtype dtype;
  uint32_t rank;
  const int64_t *dims;
  const void *data;
  size_t bytes;
} nncc_file_tensor;

NNCC_API nncc_status nncc_file_read(const char *path, nncc_file **file);
/* Mapped instead of read; the file must not change while it is mapped. */
NNCC_API nncc_status nncc_file_map(const char *path, nncc_file **file);
/* `data` must outlive the file. */
NNCC_API nncc_status nncc_file_parse(const void *data, size_t bytes,
                                     const char *name, nncc_file **file);
NNCC_API uint32_t nncc_file_count(const nncc_file *file);
NNCC_API const nncc_file_tensor *nncc_file_get(const nncc_file *file,
                                               uint32_t index);
/* The text under a key of the file's __metadata__, or null. */
NNCC_API const char *nncc_file_metadata(const nncc_file *file, const char *key);
NNCC_API void nncc_file_free(nncc_file *file);
/* Atomically: a temporary file beside `path`, then a rename. */
NNCC_API nncc_status nncc_file_write(const char *path,
                                     const nncc_file_tensor *tensors,
                                     uint32_t count);

/* Text that goes with the tensors. */
typedef struct nncc_metadata {
  const char *key, *value;
} nncc_metadata;
NNCC_API nncc_status nncc_file_write_with(const char *path,
                                          const nncc_file_tensor *tensors,
                                          uint32_t count,
                                          const nncc_metadata *metadata,
                                          uint32_t metadata_count);
/* What a file is that begins with these bytes, the more the better: "a PNG
 * image"; null for text, and for what is not known. */
NNCC_API const char *nncc_file_kind(const void *data, size_t bytes);
/* What to do with a file of that kind where safetensors are wanted, as in
 * ": unpack it first"; "" where nothing is known. */
NNCC_API const char *nncc_file_advice(const char *kind);

NNCC_API size_t nncc_dtype_bytes(nncc_dtype dtype);
/* "f32", "i64", ... */
NNCC_API const char *nncc_dtype_name(nncc_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif /* NNCC_RUNTIME_NNCC_H */
