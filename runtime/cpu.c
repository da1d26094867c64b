/* cpu.c - which features this CPU and its system offer.
 *
 * By CPUID itself: the compiler's builtins would need libgcc in every object.
 */
#include "internal.h"

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t enabled_state(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

uint64_t nncc_cpu_features(void) {
  uint32_t a, b, c, d;
  uint64_t features = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d))
    return 0;
  features |= c & bit_SSE4_2 ? NNCC_CPU_SSE42 : 0;
  if (!(c & bit_OSXSAVE))
    return features;
  uint64_t state = enabled_state();
  if ((state & 6) != 6) /* the system saves no ymm registers */
    return features;
  features |= c & bit_AVX ? NNCC_CPU_AVX : 0;
  features |= c & bit_FMA ? NNCC_CPU_FMA : 0;
  features |= c & bit_F16C ? NNCC_CPU_F16C : 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
    return features;
  features |= b & bit_AVX2 ? NNCC_CPU_AVX2 : 0;
  features |= b & bit_BMI2 ? NNCC_CPU_BMI2 : 0;
  if ((state & 0xe6) != 0xe6) /* no zmm and mask registers */
    return features;
  features |= b & bit_AVX512F ? NNCC_CPU_AVX512F : 0;
  features |= b & bit_AVX512VL ? NNCC_CPU_AVX512VL : 0;
  features |= b & bit_AVX512BW ? NNCC_CPU_AVX512BW : 0;
  features |= b & bit_AVX512DQ ? NNCC_CPU_AVX512DQ : 0;
  return features;
}
#else
uint64_t nncc_cpu_features(void) { return 0; }
#endif
