/* device.h - what the sources of the runner share.
 *
 * A case is an entry of a compiled model with inputs, and results to be given
 * to the bit. pack.py writes their table (cases.c) and the file of numbers.
 */
#ifndef NNCC_TESTS_DEVICE_DEVICE_H
#define NNCC_TESTS_DEVICE_DEVICE_H

#include "runtime/cuda/cuda.h"
#include "runtime/nncc.h"
#include <stdio.h>

typedef struct device_case {
  const char *name;
  const nncc_model *(*model)(void);
  const char *entry;
  /* Of a batch: "c7_y0" and the like are results of labels[7]. */
  const char *const *labels;
  int is_small; /* for tools that make it a hundred times slower */
  int is_timed;
} device_case;

/* cases.c */
extern const device_case device_cases[];
extern const int device_case_count;
extern const char device_images[]; /* "cubin" */

/* --- numbers.c: the file of numbers --- */

/* Ends the process with a sentence if it cannot be read. */
void open_numbers(const char *path);
/* Memory of `tensor` with the value called CASE.WHAT.NAME; null if there is
 * none. */
void *take_number(const char *of, char what, const nncc_tensor *tensor);
/* What is unlike the expected value: 0 if nothing is, and nothing is printed;
 * else JSON on `out` and words on `text`. -1: there is no expected value. */
int compare_number(const device_case *of, char what, const nncc_tensor *tensor,
                   const void *got, FILE *out, FILE *text);

/* --- case.c: one case in this process --- */

enum { case_same, case_differs, case_failed, case_unknown };

/* One of the above; JSON without braces on `out`, words on `text`. */
int check_case(const device_case *c, FILE *out, FILE *text);
int time_case(const device_case *c, FILE *out, FILE *text);
int print_facts(FILE *out, FILE *text);

#endif /* NNCC_TESTS_DEVICE_DEVICE_H */
