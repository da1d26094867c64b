/* model.c - the descriptor of a compiled model. */
#include "internal.h"
#include <string.h>

_Static_assert(sizeof(nncc_buffer) == 48, "abi");
_Static_assert(sizeof(nncc_step) == 88, "abi");
_Static_assert(sizeof(nncc_tensor) == 64, "abi");
_Static_assert(sizeof(nncc_body) == 72, "abi");
_Static_assert(sizeof(nncc_entry) == 56, "abi");
_Static_assert(sizeof(nncc_alias) == 16, "abi");
_Static_assert(sizeof(nncc_model) == 160, "abi");
_Static_assert(sizeof(nncc_limit) == 32, "abi");
_Static_assert(sizeof(nncc_image) == 24, "abi");
_Static_assert(sizeof(nncc_device_kernel) == 32, "abi");
_Static_assert(sizeof(nncc_emulated) == 24, "abi");
_Static_assert(sizeof(nncc_cuda) == 64, "abi");

nncc_status nncc_check_model(const nncc_model *model) {
  if (!model)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the model is null");
  if (model->abi_version != NNCC_ABI_VERSION)
    return nncc_fail(NNCC_ERROR_ABI,
                     "the object has ABI version %u, this runtime %d: compile "
                     "the model again",
                     model->abi_version, NNCC_ABI_VERSION);
  static const struct {
    uint64_t bit;
    const char *name;
  } names[] = {
      {NNCC_CPU_SSE42, "SSE4.2"},       {NNCC_CPU_AVX, "AVX"},
      {NNCC_CPU_AVX2, "AVX2"},          {NNCC_CPU_FMA, "FMA"},
      {NNCC_CPU_F16C, "F16C"},          {NNCC_CPU_BMI2, "BMI2"},
      {NNCC_CPU_AVX512F, "AVX-512F"},   {NNCC_CPU_AVX512VL, "AVX-512VL"},
      {NNCC_CPU_AVX512BW, "AVX-512BW"}, {NNCC_CPU_AVX512DQ, "AVX-512DQ"}};
  uint64_t missing = model->cpu_features & ~nncc_cpu_features();
  if (!missing)
    return NNCC_OK;
  const char *name = "a feature that this runtime does not know";
  for (size_t i = sizeof names / sizeof names[0]; i-- > 0;)
    if (missing & names[i].bit)
      name = names[i].name;
  return nncc_fail(NNCC_ERROR_CPU,
                   "%s was compiled for %s, but this CPU lacks %s: compile "
                   "with -mcpu=native here or -mcpu=x86-64",
                   model->name, model->cpu, name);
}

int64_t nncc_find_tensor(const nncc_model *model, const char *name) {
  for (uint64_t i = 0; i < model->weight_count; ++i)
    if (!strcmp(model->weights[i].name, name))
      return (int64_t)i;
  for (uint64_t i = 0; i < model->alias_count; ++i)
    if (!strcmp(model->aliases[i].name, name))
      return (int64_t)model->aliases[i].weight;
  return -1;
}
