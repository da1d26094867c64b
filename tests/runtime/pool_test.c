/* Every tile of every round runs exactly once, and what it wrote is there when
 * the round is over, for any number of threads and tiles. Late threads,
 * sleeping ones and slow tiles are what can go wrong.
 */
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { most = 97 };

typedef struct work {
  int runs[most];
  int64_t slow; /* a tile that takes longer, or -1 */
} work;

static void body(void *argument, int64_t begin, int64_t end) {
  work *w = argument;
  for (int64_t tile = begin; tile < end; ++tile) {
    ++w->runs[tile];
    struct timespec pause = {0, 50000};
    if (tile == w->slow)
      nanosleep(&pause, NULL);
  }
}

static void check(uint32_t threads) {
  nncc_pool *pool = nncc_pool_create(threads);
  if (!pool)
    abort();
  unsigned seed = threads;
  for (int round = 0; round < 4000; ++round) {
    /* A new argument each time: a late thread must not see the last one. */
    work w = {{0}, -1};
    seed = seed * 1103515245u + 12345u;
    int64_t count = 1 + (int64_t)((seed >> 8) % most);
    if (round % 64 == 0)
      w.slow = (int64_t)(seed >> 20) % count;
    struct timespec pause = {0, 2000000};
    if (round % 500 == 0) /* threads fall asleep */
      nanosleep(&pause, NULL);
    nncc_pool_run(pool, count, body, &w);
    for (int64_t tile = 0; tile < most; ++tile)
      if (w.runs[tile] != (tile < count)) {
        printf("%u threads, round %d, tile %d of %d ran %d times\n", threads,
               round, (int)tile, (int)count, w.runs[tile]);
        exit(1);
      }
  }
  nncc_pool_free(pool);
}

int main(void) {
  for (uint32_t threads = 1; threads <= 5; ++threads)
    check(threads);
  printf("ok\n");
}
