/* gpu_model.h - a model written by hand, with a program for the CPU and one for
 * the emulator, so that the runtime is tested without a compiler.
 *
 * Rows of eight floats. prepare makes 2 p of p; the entries:
 *   forward(x) = 2 p x + b
 *   train_step(x, lr = 0.5): every second step m += x w, w -= lr m, m = 0, else
 *     only m += x w; loss = sum of x w; all_reduce of x w, behind the loss
 * where it updates, else before it gather(i) = w[i]; twice(x) in sizes of 4 and
 * 8; noise() = the random key scan(x): s = s + x[t], y[t] = 2 s for four rows
 * x[t] crash(x): reads where nothing is
 */
#ifndef NNCC_TESTS_RUNTIME_GPU_MODEL_H
#define NNCC_TESTS_RUNTIME_GPU_MODEL_H

#include "nncc.h"

enum { row = 8, kernel_count = 12 };

/* A copy for each caller, which may change it. */
typedef struct gpu_model {
  nncc_model model;
  nncc_cuda cudas[3];
  nncc_device_kernel kernels[kernel_count];
  nncc_image images[kernel_count];
  nncc_entry entries[8];
} gpu_model;

/* With one program, for the emulator. */
gpu_model *make_gpu_model(void);
/* The same with weights inside. */
gpu_model *make_embedded_model(void);
void free_gpu_model(gpu_model *m);
/* w[i] = i + 1, b[i] = 10 i, p[i] = i - 3, spare = 1, 2. */
nncc_weights *make_gpu_weights(const gpu_model *m);

#endif
