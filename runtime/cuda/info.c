/* info.c - facts about GPUs, and about the CPU in the same form.
 *
 * By itself, so that an object without CUDA code pulls none of it into a link.
 */
#include "cuda.h"
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static void name_cpu(char name[256]) {
  strcpy(name, "CPU");
#if defined(__x86_64__)
  uint32_t brand[13] = {0}, a, b, c, d;
  if (!__get_cpuid(0x80000000, &a, &b, &c, &d) || a < 0x80000004)
    return;
  for (uint32_t i = 0; i < 3; ++i)
    __get_cpuid(0x80000002 + i, &brand[4 * i], &brand[4 * i + 1],
                &brand[4 * i + 2], &brand[4 * i + 3]);
  const char *text = (const char *)brand;
  while (*text == ' ')
    ++text;
  if (*text)
    strcpy(name, text);
#endif
}

static void cpu_facts(nncc_device_facts *facts) {
  long page = sysconf(_SC_PAGESIZE), pages = sysconf(_SC_PHYS_PAGES);
  long unused = sysconf(_SC_AVPHYS_PAGES),
       cores = sysconf(_SC_NPROCESSORS_ONLN);
  name_cpu(facts->name);
  facts->multiprocessors = cores > 0 ? (uint32_t)cores : 1;
  facts->memory = pages > 0 ? (uint64_t)pages * (uint64_t)page : 0;
  facts->unused = unused > 0 ? (uint64_t)unused * (uint64_t)page : 0;
}

/* Only a context knows what is unused. */
static CUresult ask_memory(const nncc_driver *driver, CUdevice device,
                           nncc_device_facts *facts) {
  CUcontext context;
  size_t unused = 0, total = 0;
  CUresult result = driver->cuDevicePrimaryCtxRetain(&context, device);
  if (result)
    return result;
  result = driver->cuCtxPushCurrent_v2(context);
  if (!result) {
    result = driver->cuMemGetInfo_v2(&unused, &total);
    driver->cuCtxPopCurrent_v2(&context);
  }
  driver->cuDevicePrimaryCtxRelease_v2(device);
  facts->unused = unused;
  return result;
}

static nncc_status gpu_facts(uint32_t number, nncc_device_facts *facts) {
  const nncc_driver *driver;
  CUdevice device;
  nncc_status status = nncc_open_driver(&driver);
  if (!status)
    status = nncc_find_device(driver, number, &device);
  if (!status)
    status = nncc_device_sm(driver, device, &facts->sm);
  if (status)
    return status;
  int multiprocessors = 0;
  size_t total = 0;
  CUresult result =
      driver->cuDeviceGetName(facts->name, sizeof facts->name, device);
  if (!result)
    result = driver->cuDeviceGetAttribute(
        &multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device);
  if (!result)
    result = driver->cuDeviceTotalMem_v2(&total, device);
  if (!result)
    result = ask_memory(driver, device, facts);
  if (driver->is_emulator)
    facts->sm = 0;
  facts->multiprocessors = (uint32_t)multiprocessors;
  facts->driver = (uint32_t)driver->version;
  facts->memory = total;
  return result
             ? nncc_cuda_fail(driver, result, "GPU %u gives no facts", number)
             : NNCC_OK;
}

nncc_status nncc_device_info(nncc_device device, uint32_t number,
                             nncc_device_facts *facts) {
  if (!facts)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "the place for the facts is null");
  memset(facts, 0, sizeof *facts);
  if (device != NNCC_CPU && device != NNCC_CUDA && device != NNCC_AUTO)
    return nncc_fail(NNCC_ERROR_ARGUMENT,
                     "the device is %u: 0 is the CPU, 1 a GPU, 2 either",
                     (unsigned)device);
  nncc_status status =
      device == NNCC_CPU ? NNCC_ERROR_DEVICE : gpu_facts(number, facts);
  if (device == NNCC_CUDA || !status)
    return status;
  memset(facts, 0, sizeof *facts);
  cpu_facts(facts);
  return NNCC_OK;
}
