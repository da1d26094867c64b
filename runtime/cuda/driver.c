/* driver.c - opens the CUDA driver, and what its errors mean.
 *
 * Once it is open it stays so; a failed try leaves nothing behind.
 */
#include "cuda.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PTX of version 7.0 needs it. */
enum { oldest_driver = 11000 };

static const char *library_name(void) {
  const char *name = getenv("NNCC_CUDA_DRIVER");
  return name && *name ? name : "libcuda.so.1";
}

static nncc_status no_library(const char *name) {
  const char *reason = dlerror();
  if (!strcmp(name, "libcuda.so.1") &&
      (!reason || strstr(reason, "No such file")))
    return nncc_fail(NNCC_ERROR_DEVICE, "no CUDA driver: %s was not found",
                     name);
  return nncc_fail(NNCC_ERROR_DEVICE, "no CUDA driver: %s",
                   reason ? reason : name);
}

static nncc_status check_version(nncc_driver *driver, void *library) {
  *(void **)&driver->cuDriverGetVersion = dlsym(library, "cuDriverGetVersion");
  if (!driver->cuDriverGetVersion ||
      driver->cuDriverGetVersion(&driver->version))
    return nncc_fail(NNCC_ERROR_DEVICE,
                     "%s is no CUDA driver: it does not "
                     "tell its version",
                     library_name());
  if (driver->version < oldest_driver)
    return nncc_fail(NNCC_ERROR_DEVICE,
                     "the CUDA driver is for CUDA %d.%d, nncc needs %d.%d: "
                     "install a newer one",
                     driver->version / 1000, driver->version % 1000 / 10,
                     oldest_driver / 1000, oldest_driver % 1000 / 10);
  return NNCC_OK;
}

static nncc_status find_functions(nncc_driver *driver, void *library) {
  const char *missing = NULL;
#define NNCC_FIND(name, parameters)                                            \
  *(void **)&driver->name = dlsym(library, #name);                             \
  if (!driver->name && !missing)                                               \
    missing = #name;
  NNCC_DRIVER_FUNCTIONS(NNCC_FIND)
#undef NNCC_FIND
  if (missing)
    return nncc_fail(NNCC_ERROR_DEVICE,
                     "the CUDA driver has no function %s: install a newer one",
                     missing);
  driver->is_emulator = dlsym(library, "nncc_emulator_driver");
  return NNCC_OK;
}

static nncc_status open_library(nncc_driver *driver) {
  void *library = dlopen(library_name(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return no_library(library_name());
  nncc_status status = check_version(driver, library);
  if (!status)
    status = find_functions(driver, library);
  if (!status) {
    CUresult result = driver->cuInit(0);
    if (result == CUDA_ERROR_NO_DEVICE)
      status = nncc_fail(NNCC_ERROR_DEVICE, "there is no GPU");
    else if (result)
      status = nncc_cuda_fail(driver, result, "CUDA does not start");
  }
  if (status)
    dlclose(library);
  return status;
}

nncc_status nncc_open_driver(const nncc_driver **result) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static nncc_driver driver;
  static bool is_open;
  pthread_mutex_lock(&mutex);
  nncc_status status = is_open ? NNCC_OK : open_library(&driver);
  is_open = !status;
  pthread_mutex_unlock(&mutex);
  *result = &driver;
  return status;
}

nncc_status nncc_find_device(const nncc_driver *driver, uint32_t number,
                             CUdevice *device) {
  int count = 0;
  CUresult result = driver->cuDeviceGetCount(&count);
  if (result)
    return nncc_cuda_fail(driver, result, "GPUs cannot be counted");
  if (!count)
    return nncc_fail(NNCC_ERROR_DEVICE, "there is no GPU");
  if (number >= (uint32_t)count)
    return nncc_fail(NNCC_ERROR_DEVICE,
                     count == 1 ? "there is no GPU number %u, there is %d"
                                : "there is no GPU number %u, there are %d",
                     number, count);
  result = driver->cuDeviceGet(device, (int)number);
  return result ? nncc_cuda_fail(driver, result, "GPU %u", number) : NNCC_OK;
}

nncc_status nncc_device_sm(const nncc_driver *driver, CUdevice device,
                           uint32_t *sm) {
  int major = 0, minor = 0;
  CUresult result = driver->cuDeviceGetAttribute(
      &major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
  if (!result)
    result = driver->cuDeviceGetAttribute(
        &minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
  *sm = (uint32_t)(major * 10 + minor);
  return result ? nncc_cuda_fail(driver, result,
                                 "a GPU does not tell its architecture")
                : NNCC_OK;
}

bool nncc_is_final(CUresult result) {
  switch (result) {
  case CUDA_ERROR_ECC_UNCORRECTABLE:
  case CUDA_ERROR_ILLEGAL_ADDRESS:
  case 702: /* a kernel took too long */
  case 709: /* the context was destroyed */
  case 710: /* assert */
  case 714: /* hardware stack */
  case 715: /* illegal instruction */
  case 716: /* misaligned address */
  case 717: /* address space */
  case 718: /* program counter */
  case CUDA_ERROR_LAUNCH_FAILED:
    return true;
  default:
    return false;
  }
}

nncc_status nncc_cuda_fail(const nncc_driver *driver, CUresult result,
                           const char *format, ...) {
  char what[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  const char *name = NULL, *text = NULL;
  driver->cuGetErrorName(result, &name);
  driver->cuGetErrorString(result, &text);
  nncc_fail(NNCC_ERROR_DEVICE, "%s: %s (%d), %s", what,
            name ? name : "an unknown error", result,
            text ? text : "of which the driver says nothing");
  if (nncc_is_final(result))
    nncc_fail_more("; no call of CUDA works in this process any more, it has "
                   "to end");
  return result == CUDA_ERROR_OUT_OF_MEMORY ? NNCC_ERROR_MEMORY
                                            : NNCC_ERROR_DEVICE;
}
