/* abi.h - what generated objects and the runtime agree on.
 *
 * A compiled model is data: an entry is a list of kernel calls on planned
 * buffers. Plain C structs, no functions; NNCC_ABI_VERSION changes with any
 * change here. Sizes are asserted in runtime/model.c.
 */
#ifndef NNCC_RUNTIME_ABI_H
#define NNCC_RUNTIME_ABI_H

#include <stdint.h>

#define NNCC_ABI_VERSION 7

/* CPU features that code may require. */
#define NNCC_CPU_AVX (1u << 0)
#define NNCC_CPU_AVX2 (1u << 1)
#define NNCC_CPU_FMA (1u << 2)
#define NNCC_CPU_F16C (1u << 3)
#define NNCC_CPU_BMI2 (1u << 4)
#define NNCC_CPU_AVX512F (1u << 5)
#define NNCC_CPU_AVX512VL (1u << 6)
#define NNCC_CPU_AVX512BW (1u << 7)
#define NNCC_CPU_AVX512DQ (1u << 8)
#define NNCC_CPU_SSE42 (1u << 9)

typedef enum nncc_dtype {
  NNCC_F32,
  NNCC_F64,
  NNCC_F16,
  NNCC_BF16,
  NNCC_I64,
  NNCC_I32,
  NNCC_I16,
  NNCC_I8,
  NNCC_U8,
  NNCC_BOOL
} nncc_dtype;

/* A compiled kernel: tiles [begin, end) of its fixed number of tiles. Any
 * order and any split gives the same bits. */
typedef void (*nncc_kernel)(void *const *buffers, int64_t begin, int64_t end);

/* Where a buffer of a kernel call lies. */
typedef enum nncc_space {
  NNCC_ARENA,    /* value: byte offset in the context's arena */
  NNCC_INPUT,    /* value: number of the entry's input */
  NNCC_OUTPUT,   /* value: number of the entry's output */
  NNCC_WEIGHT,   /* value: number of the model's tensor */
  NNCC_PREPARED, /* value: byte offset in the prepared weights */
  NNCC_KEY       /* two i64: seed and step of random numbers */
} nncc_space;

typedef struct nncc_buffer {
  uint64_t space; /* nncc_space */
  uint64_t value;
  uint64_t offset; /* bytes behind that place */
  uint64_t bytes;  /* of the tensor */
  /* In a loop: bytes that it moves with each iteration, and that it is away in
   * odd ones. */
  int64_t stride, alternate;
} nncc_buffer;

/* The most buffers of one kernel call. */
#define NNCC_MAX_BUFFERS 64

typedef enum nncc_image_kind {
  NNCC_IMAGE_PTX,     /* text, ends with a zero byte */
  NNCC_IMAGE_CUBIN,   /* for the architecture that it was assembled for */
  NNCC_IMAGE_EMULATOR /* an nncc_emulated: host code, for tests */
} nncc_image_kind;

typedef struct nncc_image {
  uint64_t kind; /* nncc_image_kind */
  uint64_t bytes;
  const void *data;
} nncc_image;

/* A kernel for a GPU. It takes an address per buffer and the number of tiles,
 * as i64; thread t runs tile t. Any of the images has it, the best stands
 * first. */
typedef struct nncc_device_kernel {
  const char *function;
  const nncc_image *images;
  uint64_t image_count;
  uint64_t threads; /* of a block */
} nncc_device_kernel;

/* What an emulated thread asks of who runs it. */
typedef enum nncc_special {
  NNCC_SPECIAL_TID,   /* number of the thread in its block */
  NNCC_SPECIAL_NTID,  /* threads of a block */
  NNCC_SPECIAL_CTAID, /* number of the block */
  NNCC_SPECIAL_NCTAID /* blocks */
} nncc_special;
typedef struct nncc_emulator {
  uint32_t (*special)(uint64_t which); /* nncc_special */
} nncc_emulator;

/* The image of a kernel as host code (tests/emulator). */
typedef struct nncc_emulated {
  const char *function;
  /* One thread of it, on parameters as cuLaunchKernel takes them. */
  void (*thread)(void *const *parameters);
  const nncc_emulator **host; /* the emulator writes itself here */
} nncc_emulated;

typedef struct nncc_tensor {
  const char *name;
  uint64_t dtype; /* nncc_dtype */
  uint64_t rank;
  const int64_t *dims;
  uint64_t bytes;
  uint64_t fresh;      /* of state: a file may lack it, then it is zeros */
  const void *initial; /* of an input: its value where a call gives none */
  const char *reached; /* of a gradient: from which outputs, as "y,z"; or "" */
} nncc_tensor;

typedef struct nncc_step {
  /* Of a program for the CPU, or of one for a GPU; both null: a loop, or else
   * the host's all_reduce. */
  nncc_kernel kernel;
  const nncc_device_kernel *device;
  int64_t tiles;
  const nncc_buffer *buffers;
  uint64_t buffer_count;
  const char *name;           /* the kernel's */
  const char *origin;         /* module paths, for profiles */
  uint64_t flops;             /* multiplications and additions of products */
  const nncc_tensor *reduced; /* of all_reduce: what each buffer is */
  /* Of a loop: it runs the next so many steps, kernels all, this often. */
  uint64_t loop_steps, iterations;
} nncc_step;

/* Elements of an entry's input are indices or lengths: they lie in
 * [first, limit) or are `except`. */
typedef struct nncc_limit {
  uint64_t input;
  int64_t first, limit, except;
} nncc_limit;

/* One compiled body of an entry, for one combination of symbolic sizes. */
typedef struct nncc_body {
  const nncc_tensor *inputs, *outputs;
  const nncc_step *steps;
  uint64_t step_count;
  uint64_t arena_bytes;
  const nncc_limit *limits;
  uint64_t limit_count;
  /* Of train_step with a period: the same without an update, for the steps
   * that only add up gradients. */
  const struct nncc_body *accumulate;
  const char *sizes; /* "N=1,T=8" of symbolic dims, "" without them */
} nncc_body;

typedef struct nncc_entry {
  const char *name;
  uint64_t input_count, output_count;
  const nncc_body *bodies;
  uint64_t body_count;
  uint64_t period; /* every so many runs update */
  uint64_t trains; /* writes weights */
} nncc_entry;

/* Another name that a weights file may use for a tensor: tied tensors, older
 * spellings. */
typedef struct nncc_alias {
  const char *name;
  uint64_t weight; /* number of the tensor */
} nncc_alias;

/* State inside the object: --embed-weights. */
typedef struct nncc_embedded {
  const void *const *tensors; /* by number; null: no step reads it */
  const void *prepared;
} nncc_embedded;

/* The program for GPUs of one architecture. */
typedef struct nncc_cuda {
  uint64_t sm;    /* of its PTX: 80 is sm_80; 0: for the emulator */
  uint64_t exact; /* runs on GPUs of that number alone: sm_90a */
  const nncc_device_kernel *kernels;
  uint64_t kernel_count;
  /* By entry: as many bodies as the model's entry has, with the same inputs
   * and outputs. */
  const nncc_body *const *bodies;
  const nncc_body *prepare; /* as the model's */
  uint64_t prepared_bytes;
  const struct nncc_backend *backend; /* of runtime/cuda */
} nncc_cuda;

/* The tables of entries and `prepare` are the program for the CPU. */
typedef struct nncc_model {
  uint32_t abi_version;
  uint32_t reserved;
  const char *compiler; /* "nncc 0.1.0" */
  const char *name;
  const char *cpu; /* compiled for; "": it has no code for a CPU */
  uint64_t cpu_features;
  const nncc_entry *entries; /* those that users call */
  uint64_t entry_count;
  const nncc_tensor *weights; /* parameters and buffers, by state_dict path */
  uint64_t weight_count;
  const nncc_body *prepare; /* weights -> prepared blob; null: nothing to do */
  uint64_t prepared_bytes;
  const nncc_alias *aliases;
  uint64_t alias_count;
  const nncc_embedded *embedded; /* or null: weights come from a file */
  uint8_t weights_hash[16];      /* of names, shapes and dtypes */
  const char *training;          /* the model's "training" section, or "" */
  /* A hash of what the model's file says it computes, in hexadecimal; its sizes
   * and training aside. */
  const char *graph;
  const nncc_cuda *cudas; /* lower architectures first */
  uint64_t cuda_count;
} nncc_model;

#endif /* NNCC_RUNTIME_ABI_H */
