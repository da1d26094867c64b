/* pool.c - a small thread pool.
 *
 * Each thread has its own part of the tiles, the same part of every kernel, so
 * that what it wrote is in its cache when the next kernel reads it; a thread
 * without work takes tiles from the end of another's part. Tiles are claimed by
 * compare-and-swap, and what they are is read after the claim: a late thread
 * that still looks at a round that is over claims a tile of the next one. The
 * caller waits for finished tiles, not for threads. Idle threads spin for a
 * short time (the next kernel usually follows at once), then sleep.
 */
#include "internal.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { spins = 4000, chunks = 4 };

/* Tiles that nobody has claimed: first | end << 32, on a cache line of its
 * own. */
typedef struct part {
  _Alignas(64) _Atomic uint64_t tiles;
} part;

static uint64_t range(uint64_t first, uint64_t end) {
  return end << 32 | first;
}

typedef struct member {
  nncc_pool *pool;
  pthread_t thread;
  uint32_t number; /* of its part; the caller has part 0 */
} member;

struct nncc_pool {
  _Atomic uint64_t round; /* grows with each call */
  _Atomic int64_t done;   /* finished tiles of this round */
  _Atomic uint32_t sleepers;
  _Atomic bool stop;
  /* Written while all parts are empty, read by whoever has claimed tiles. */
  nncc_range_body body;
  void *argument;
  part *parts;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  uint32_t workers;
  member members[];
};

static void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/* Claims some tiles of a part, from its front if it is the thread's own: few
 * claims, and little to wait for at the end. */
static bool claim(part *from, bool own, uint32_t *first, uint32_t *end) {
  uint64_t seen = atomic_load(&from->tiles), left;
  do {
    *first = (uint32_t)seen;
    *end = (uint32_t)(seen >> 32);
    if (*first >= *end)
      return false;
    uint32_t count = (*end - *first + chunks - 1) / chunks;
    if (own) {
      left = range(*first + count, *end);
      *end = *first + count;
    } else {
      left = range(*first, *end - count);
      *first = *end - count;
    }
  } while (!atomic_compare_exchange_weak(&from->tiles, &seen, left));
  return true;
}

/* Claims and runs tiles until none is left, its own first. */
static void work_off(nncc_pool *pool, uint32_t number) {
  uint32_t threads = pool->workers + 1, first, end;
  for (uint32_t k = 0; k < threads; ++k)
    while (claim(&pool->parts[(number + k) % threads], k == 0, &first, &end)) {
      pool->body(pool->argument, first, end);
      atomic_fetch_add(&pool->done, end - first);
    }
}

static void *worker(void *argument) {
  const member *self = argument;
  nncc_pool *pool = self->pool;
  uint64_t seen = 0;
  while (!atomic_load(&pool->stop)) {
    for (int i = 0; i < spins && atomic_load(&pool->round) == seen; ++i)
      pause_briefly();
    if (atomic_load(&pool->round) == seen) {
      pthread_mutex_lock(&pool->mutex);
      atomic_fetch_add(&pool->sleepers, 1);
      while (atomic_load(&pool->round) == seen && !atomic_load(&pool->stop))
        pthread_cond_wait(&pool->wake, &pool->mutex);
      atomic_fetch_sub(&pool->sleepers, 1);
      pthread_mutex_unlock(&pool->mutex);
    }
    seen = atomic_load(&pool->round);
    work_off(pool, self->number);
  }
  return NULL;
}

static void wake_all(nncc_pool *pool) {
  pthread_mutex_lock(&pool->mutex);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->mutex);
}

nncc_pool *nncc_pool_create(uint32_t threads) {
  uint32_t workers = threads - 1;
  nncc_pool *pool = calloc(1, sizeof *pool + workers * sizeof(member));
  part *parts = nncc_allocate(threads * sizeof(part));
  if (!pool || !parts) {
    free(pool);
    free(parts);
    return NULL;
  }
  pool->parts = parts;
  for (uint32_t i = 0; i < threads; ++i)
    atomic_init(&parts[i].tiles, 0);
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 8u << 20); /* kernels' scratch */
  for (; pool->workers < workers; ++pool->workers) {
    member *next = &pool->members[pool->workers];
    *next = (member){pool, pthread_self(), pool->workers + 1};
    if (pthread_create(&next->thread, &attributes, worker, next))
      break; /* fewer threads give the same results */
  }
  pthread_attr_destroy(&attributes);
  return pool;
}

void nncc_pool_run(nncc_pool *pool, int64_t count, nncc_range_body body,
                   void *argument) {
  uint64_t threads = pool->workers + 1;
  pool->body = body;
  pool->argument = argument;
  atomic_store(&pool->done, 0);
  for (uint64_t i = 0; i < threads; ++i) {
    uint64_t first = (uint64_t)count * i / threads;
    uint64_t end = (uint64_t)count * (i + 1) / threads;
    atomic_store(&pool->parts[i].tiles, range(first, end));
  }
  atomic_fetch_add(&pool->round, 1);
  if (atomic_load(&pool->sleepers))
    wake_all(pool);
  work_off(pool, 0);
  while (atomic_load(&pool->done) < count)
    pause_briefly();
}

void nncc_pool_free(nncc_pool *pool) {
  if (!pool)
    return;
  atomic_store(&pool->stop, true);
  wake_all(pool);
  for (uint32_t i = 0; i < pool->workers; ++i)
    pthread_join(pool->members[i].thread, NULL);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->mutex);
  free(pool->parts);
  free(pool);
}
