/* pool.c - a small thread pool.
 *
 * One word holds the round and the next free tile; threads claim tiles by
 * compare-and-swap, so a late thread can never touch a round that is over, and
 * the caller waits for finished tiles, not for threads. Idle threads spin for a
 * short time (the next kernel usually follows at once), then sleep.
 */
#include "internal.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { spins = 4000 };

struct nncc_pool {
  _Atomic uint64_t work; /* round << 32 | next tile; all ones: closed */
  _Atomic int64_t done;  /* finished tiles of this round */
  _Atomic uint32_t sleepers;
  _Atomic bool stop;
  /* Written while closed, read by whoever has claimed a tile. */
  nncc_range_body body;
  void *argument;
  _Atomic uint32_t count;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  uint32_t workers;
  pthread_t threads[];
};

static const uint32_t closed = UINT32_MAX;

static void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/* Claims and runs tiles of the current round until none is left. */
static void work_off(nncc_pool *pool) {
  uint64_t seen = atomic_load(&pool->work);
  while (true) {
    uint32_t tile = (uint32_t)seen;
    if (tile >= atomic_load(&pool->count) || tile == closed)
      return;
    if (!atomic_compare_exchange_weak(&pool->work, &seen, seen + 1))
      continue;
    pool->body(pool->argument, tile, (int64_t)tile + 1);
    atomic_fetch_add(&pool->done, 1);
    seen = atomic_load(&pool->work);
  }
}

static bool has_work(nncc_pool *pool) {
  uint32_t tile = (uint32_t)atomic_load(&pool->work);
  return tile != closed && tile < atomic_load(&pool->count);
}

static void *worker(void *argument) {
  nncc_pool *pool = argument;
  while (!atomic_load(&pool->stop)) {
    for (int i = 0; i < spins && !has_work(pool); ++i)
      pause_briefly();
    if (!has_work(pool)) {
      pthread_mutex_lock(&pool->mutex);
      atomic_fetch_add(&pool->sleepers, 1);
      while (!has_work(pool) && !atomic_load(&pool->stop))
        pthread_cond_wait(&pool->wake, &pool->mutex);
      atomic_fetch_sub(&pool->sleepers, 1);
      pthread_mutex_unlock(&pool->mutex);
    }
    work_off(pool);
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
  nncc_pool *pool = calloc(1, sizeof *pool + workers * sizeof(pthread_t));
  if (!pool)
    return NULL;
  atomic_store(&pool->work, (uint64_t)closed);
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 8u << 20); /* kernels' scratch */
  for (; pool->workers < workers; ++pool->workers)
    if (pthread_create(&pool->threads[pool->workers], &attributes, worker,
                       pool))
      break; /* fewer threads give the same results */
  pthread_attr_destroy(&attributes);
  return pool;
}

void nncc_pool_run(nncc_pool *pool, int64_t count, nncc_range_body body,
                   void *argument) {
  uint64_t round = (atomic_load(&pool->work) >> 32) + 1;
  atomic_store(&pool->work, round << 32 | closed);
  pool->body = body;
  pool->argument = argument;
  atomic_store(&pool->done, 0);
  atomic_store(&pool->count, (uint32_t)count);
  atomic_store(&pool->work, round << 32);
  if (atomic_load(&pool->sleepers))
    wake_all(pool);
  work_off(pool);
  while (atomic_load(&pool->done) < count)
    pause_briefly();
}

void nncc_pool_free(nncc_pool *pool) {
  if (!pool)
    return;
  atomic_store(&pool->stop, true);
  wake_all(pool);
  for (uint32_t i = 0; i < pool->workers; ++i)
    pthread_join(pool->threads[i], NULL);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->mutex);
  free(pool);
}
