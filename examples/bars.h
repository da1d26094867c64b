/* bars.h - what the programs that train LeNet-5 share: images of a bright bar
 * in one of ten directions, with noise; the label is the direction. */
#ifndef EXAMPLES_BARS_H
#define EXAMPLES_BARS_H

#include "nncc.h"

enum { batch = 16, side = 28, classes = 10 };

/* Sets and prepares weights, uniform in +-1 / sqrt(inputs of a unit), as
 * torch.nn initialises. */
nncc_status initialise(const nncc_model *model, nncc_weights *weights);
/* The next images and labels. */
void make_batch(float *x, int64_t *t);
/* How many logits are largest at their label. */
int count_right(const float *logits, const int64_t *t);

#endif
