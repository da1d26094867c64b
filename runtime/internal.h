/* internal.h - what the runtime's sources share. */
#ifndef NNCC_RUNTIME_INTERNAL_H
#define NNCC_RUNTIME_INTERNAL_H

#include "nncc.h"
#include <stdbool.h>

/* Sets this thread's error text and returns `status`. */
nncc_status nncc_fail(nncc_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Adds to the text of the last error. */
void nncc_fail_more(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* "[2, 3]" in a buffer of at least 64 bytes; long shapes are cut. */
const char *nncc_shape_text(char *buffer, size_t bytes, const int64_t *dims,
                            uint64_t rank);

typedef struct nncc_pool nncc_pool;
/* A pool of `threads` including the caller; null without memory. */
nncc_pool *nncc_pool_create(uint32_t threads);
void nncc_pool_run(nncc_pool *pool, int64_t count, nncc_range_body body,
                   void *argument);
void nncc_pool_free(nncc_pool *pool);

/* Weights of one object on one GPU; a list of the backend's. */
typedef struct nncc_device_weights nncc_device_weights;

struct nncc_weights {
  const nncc_model *model;
  const void **tensors; /* by number in the model; null: not set */
  void **owned;         /* those of them that were copied */
  nncc_file *file;      /* where the others lie */
  void *prepared;
  bool ready;
  char *prepare_arena;          /* kept for weights that change */
  nncc_device_weights *devices; /* where they are too */
  nncc_context *trained_by;     /* of a context that trains, its own */
};

struct nncc_file {
  nncc_file_tensor *tensors;
  uint32_t count, capacity;
  nncc_metadata *metadata;
  uint32_t metadata_count, metadata_capacity;
  void *owned;  /* the bytes, if this object read them */
  void *mapped; /* or mapped them */
  size_t mapped_bytes;
};

/* What runs the programs for GPUs, runtime/cuda. It is called through a model's
 * tables alone, so that an object without such a program does not pull it into
 * a link. Steps and bodies are those of the context's program. */
typedef struct nncc_backend {
  /* The model's program for that GPU; NNCC_ERROR_DEVICE if nothing fits. */
  nncc_status (*choose)(const nncc_model *model, uint32_t number,
                        const nncc_cuda **program);
  /* Memory and weights there: context->device. close takes what open left. */
  nncc_status (*open)(nncc_context *context);
  void (*close)(nncc_context *context);
  nncc_status (*set_weights)(nncc_context *context,
                             const nncc_weights *weights);
  nncc_status (*set_pointers)(nncc_context *context, uint32_t device_pointers,
                              void *stream);
  /* Packed forms of its own weights, again. */
  nncc_status (*prepare)(nncc_context *context);
  /* An error if it is not memory of the GPU, aligned to 16 bytes. */
  nncc_status (*check_pointer)(nncc_context *context, const char *what,
                               const char *name, const void *pointer);
  /* The addresses of its own weights there, by number. */
  const void *const *(*states)(const nncc_context *context);
  nncc_status (*run)(nncc_context *context, const nncc_entry *entry,
                     const nncc_body *body, const int64_t key[2]);
  void *(*run_step)(nncc_context *context, const nncc_entry *entry,
                    const nncc_body *body, const nncc_step *step,
                    uint64_t iteration, const int64_t key[2]);
  nncc_status (*read)(nncc_context *context, uint64_t number, void *data);
  nncc_status (*write)(nncc_context *context, uint64_t number,
                       const void *data);
  nncc_status (*read_all)(nncc_context *context); /* into its own weights */
  nncc_status (*synchronize)(nncc_context *context);
  void (*free_weights)(nncc_device_weights *list);
} nncc_backend;

/* This runtime's, if it is linked. */
extern const nncc_backend nncc_cuda_backend
    __attribute__((weak, visibility("hidden")));
/* What runs a program: this runtime's own where there is one. A library that
 * was loaded has another, which would leave its errors there. */
static inline const nncc_backend *nncc_backend_of(const nncc_cuda *program) {
  return &nncc_cuda_backend ? &nncc_cuda_backend : program->backend;
}

struct nncc_context {
  const nncc_model *model;
  const nncc_weights *weights;
  nncc_weights *own; /* of a context that trains: the same, to be changed */
  bool stale;        /* own weights changed since they were prepared */
  bool behind;       /* and on the GPU since they were read from there */
  int64_t key[2];    /* seed and step of random numbers */
  nncc_pool *pool;
  nncc_options options;
  char *arena;
  const nncc_cuda *program; /* of a GPU; null: the context runs on the CPU */
  void *device;             /* the backend's */
  /* Room for the addresses of an entry's tensors. */
  const void **inputs;
  void **outputs;
};

/* A copy that owns its tensors and may change, not prepared; state that `from`
 * lacks is zeros. Null for a model with embedded weights. */
nncc_status nncc_weights_copy(const nncc_model *model, const nncc_weights *from,
                              nncc_weights **copy);
/* The number of the tensor with that name or alias, or -1. */
int64_t nncc_find_tensor(const nncc_model *model, const char *name);
nncc_status nncc_weights_allocate_prepared(nncc_weights *weights);
/* Prepares again; does not allocate. */
void nncc_weights_refresh(nncc_weights *weights);
/* Reads from the GPU what a context that trains there has changed. */
nncc_status nncc_weights_read(const nncc_weights *weights);

/* The steps of a body on given memory. */
typedef struct nncc_memory {
  char *arena, *prepared;
  const void *const *inputs;
  void *const *outputs;
  const void *const *weights;
  const int64_t *key;
} nncc_memory;

/* In iteration 0 where no loop is. */
void *nncc_buffer_address(const nncc_buffer *buffer, const nncc_memory *memory,
                          uint64_t iteration);
void nncc_call_step(const nncc_step *step, const nncc_memory *memory,
                    uint64_t iteration, const nncc_options *options);
nncc_status nncc_run_steps(const nncc_body *body, const nncc_memory *memory,
                           const nncc_options *options);

/* Of one call of all_reduce. */
enum { nncc_max_gradients = 64 };

/* How a device runs steps: the order, loops and groups of gradients are the
 * same on all of them. */
typedef struct nncc_walk {
  const nncc_memory *memory; /* addresses as the device has them */
  const nncc_options *options;
  nncc_status (*call)(const struct nncc_walk *walk, const nncc_step *step,
                      uint64_t iteration);
  /* Hands gradients to options->all_reduce, which is not null. */
  nncc_status (*reduce)(const struct nncc_walk *walk,
                        const nncc_gradient *bucket, uint32_t count);
  void *device;
} nncc_walk;
nncc_status nncc_walk_steps(const nncc_body *body, const nncc_walk *walk);
/* The host's all_reduce, its code as a status. */
nncc_status nncc_call_host(const nncc_options *options,
                           const nncc_gradient *bucket, uint32_t count);

/* Errors about the tensors of a call; the last names what was compiled. */
nncc_status nncc_check_limits(const nncc_body *body, const void *const *inputs);
nncc_status nncc_check_pointers(nncc_context *context, const nncc_entry *entry,
                                const nncc_body *body);
nncc_status nncc_check_overlaps(const nncc_context *context,
                                const nncc_entry *entry, const nncc_body *body);
nncc_status nncc_check_views(const nncc_tensor *tensors, const nncc_view *views,
                             uint64_t count, const char *what);
const nncc_body *nncc_find_body(const nncc_entry *entry,
                                const nncc_view *inputs, uint32_t count);

/* Bits of NNCC_CPU_* that this machine has. */
uint64_t nncc_cpu_features(void);
/* An error if this machine or runtime cannot run the object. */
nncc_status nncc_check_model(const nncc_model *model);

/* The bytes of the UTF-8 character that text begins with, 0 if it is none. */
size_t nncc_utf8_length(const char *text, size_t bytes);
/* Whether bytes can be text: no control characters but spaces. */
bool nncc_is_text(const void *data, size_t bytes);

/* Aligned to 64 bytes, with 64 spare bytes behind; not filled. */
void *nncc_allocate(size_t bytes);

#endif /* NNCC_RUNTIME_INTERNAL_H */
