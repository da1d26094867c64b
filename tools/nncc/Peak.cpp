//===- Peak.cpp - what this machine can do at most ------------------------===//
//
// Independent chains of multiply-adds in registers, enough to cover their
// latency; the best of several short runs, since the clock varies.
//
//===----------------------------------------------------------------------===//
#include "Peak.h"
#include <algorithm>
#include <chrono>
#include <immintrin.h>

namespace nncc {

namespace {

constexpr int chains = 12, steps = 1 << 17;

/// The chains' results end here, so that they are not optimised away.
volatile float sink;

__attribute__((target("avx512f"))) void runAvx512() {
  __m512 acc[chains];
  for (int i = 0; i < chains; ++i)
    acc[i] = _mm512_set1_ps(float(i));
  __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
  for (int s = 0; s < steps; ++s)
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i)
      acc[i] = _mm512_fmadd_ps(acc[i], x, y);
  for (int i = 0; i < chains; ++i)
    sink = _mm512_cvtss_f32(acc[i]);
}

__attribute__((target("avx2,fma"))) void runAvx2() {
  __m256 acc[chains];
  for (int i = 0; i < chains; ++i)
    acc[i] = _mm256_set1_ps(float(i));
  __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
  for (int s = 0; s < steps; ++s)
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i)
      acc[i] = _mm256_fmadd_ps(acc[i], x, y);
  for (int i = 0; i < chains; ++i)
    sink = _mm256_cvtss_f32(acc[i]);
}

void runSse2() {
  __m128 acc[chains];
  for (int i = 0; i < chains; ++i)
    acc[i] = _mm_set1_ps(float(i));
  __m128 x = _mm_set1_ps(0.999f), y = _mm_set1_ps(0.001f);
  for (int s = 0; s < steps; ++s)
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i)
      acc[i] = _mm_add_ps(_mm_mul_ps(acc[i], x), y);
  for (int i = 0; i < chains; ++i)
    sink = _mm_cvtss_f32(acc[i]);
}

} // namespace

double measurePeak() {
  bool avx512 = __builtin_cpu_supports("avx512f");
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  auto run = avx512 ? runAvx512 : avx2 ? runAvx2 : runSse2;
  double flops = 2.0 * chains * steps * (avx512 ? 16 : avx2 ? 8 : 4);
  double best = 0;
  for (int i = 0; i < 20; ++i) {
    auto start = std::chrono::steady_clock::now();
    run();
    std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - start;
    best = std::max(best, flops / time.count() / 1e9);
  }
  return best;
}

} // namespace nncc
