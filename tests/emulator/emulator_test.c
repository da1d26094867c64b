/* emulator_test.c - what the emulator finds and how it gives errors.
 *
 * One case a process (tests/cli/test_emulator.py); each prints codes.
 */
#include "abi.h"
#include "cuda/driver.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nncc_driver cuda;
static CUcontext context;
static CUmodule module;
static CUfunction function;

/* --- A kernel: to[offset + thread] = from[0] --- */

static const nncc_emulator *host;
static int64_t offset;
static float *stray; /* read too, if it is not null */

static void store(void *const *parameters) {
  float *to = *(float **)parameters[0], *from = *(float **)parameters[1];
  int64_t thread = host->special(NNCC_SPECIAL_CTAID) *
                       (int64_t)host->special(NNCC_SPECIAL_NTID) +
                   host->special(NNCC_SPECIAL_TID);
  if (thread < *(int64_t *)parameters[2])
    to[offset + thread] = from[0] + (stray ? *(volatile float *)stray : 0);
}
static const nncc_emulated image = {"store", store, &host};

static void say(const char *what, int code) { printf("%s %d\n", what, code); }

static CUresult launch(CUdeviceptr to, CUdeviceptr from, int64_t count,
                       CUstream stream) {
  void *parameters[] = {&to, &from, &count, NULL};
  return cuda.cuLaunchKernel(function, (unsigned)(count + 2) / 3, 1, 1, 3, 1, 1,
                             0, stream, parameters, NULL);
}

static CUdeviceptr piece(size_t bytes) {
  CUdeviceptr result = 0;
  if (cuda.cuMemAlloc_v2(&result, bytes))
    abort();
  return result;
}

static void open_all(void) {
  say("init", cuda.cuInit(0));
  say("retain", cuda.cuDevicePrimaryCtxRetain(&context, 0));
  say("push", cuda.cuCtxPushCurrent_v2(context));
  say("load", cuda.cuModuleLoadDataEx(&module, &image, 0, NULL, NULL));
  say("function", cuda.cuModuleGetFunction(&function, module, "store"));
}

/* --- Cases --- */

static void run_kernel(int64_t to, size_t bytes) {
  float one = 1, got[8];
  CUdeviceptr a = piece(bytes), b = piece(bytes);
  cuda.cuMemcpyHtoDAsync_v2(b, &one, 4, NULL);
  offset = to;
  say("launch", launch(a, b, 8, NULL));
  say("wait", cuda.cuStreamSynchronize(NULL));
  say("copy", cuda.cuMemcpyDtoHAsync_v2(got, a, 32, NULL));
  CUresult result = cuda.cuStreamSynchronize(NULL);
  say("wait", result);
  if (!result && !offset)
    for (int i = 0; i < 8; ++i)
      if (got[i] != 1)
        abort();
  say("free", cuda.cuMemFree_v2(a));
  say("free", cuda.cuMemFree_v2(b));
}

static void right(void) { run_kernel(0, 32); }
static void behind(void) { run_kernel(1, 32); }
static void in_front(void) { run_kernel(-1, 32); }
static void far(void) { run_kernel(1 << 20, 32); }
/* 256 bytes end where the piece does, whatever its alignment. */
static void just_behind(void) { run_kernel(57, 256); }

static void fresh(void) { /* is NaN */
  unsigned got[2];
  CUdeviceptr a = piece(8);
  cuda.cuMemcpyDtoHAsync_v2(got, a, 8, NULL);
  cuda.cuStreamSynchronize(NULL);
  printf("%x %x\n", got[0], got[1]);
}

static void freed(void) {
  CUdeviceptr a = piece(32), b = piece(32);
  launch(a, b, 8, NULL);
  say("free", cuda.cuMemFree_v2(b));
  say("wait", cuda.cuStreamSynchronize(NULL));
}

static void of_host(void) {
  float mine[8] = {0};
  CUdeviceptr a = piece(32);
  say("launch", launch(a, (CUdeviceptr)(uintptr_t)mine, 8, NULL));
  say("wait", cuda.cuStreamSynchronize(NULL));
  say("free", cuda.cuMemFree_v2(a));
  say("info", cuda.cuMemGetInfo_v2(NULL, NULL));
  say("pop", cuda.cuCtxPopCurrent_v2(&context));
  say("release", cuda.cuDevicePrimaryCtxRelease_v2(0));
  say("retain", cuda.cuDevicePrimaryCtxRetain(&context, 0));
}

static void of_nobody(void) { /* memory that the kernel was not given */
  CUdeviceptr a = piece(32), b = piece(32), c = piece(32);
  stray = (float *)(uintptr_t)c;
  launch(a, b, 8, NULL);
  say("wait", cuda.cuStreamSynchronize(NULL));
}

static void touch(void) {
  CUdeviceptr a = piece(32);
  printf("%d\n", *(volatile int *)(uintptr_t)a);
}

/* Two streams, and the null stream that one of them is in order with. */
static void order(void) {
  CUstream blocking, free_one;
  say("create", cuda.cuStreamCreate(&blocking, 0));
  say("create", cuda.cuStreamCreate(&free_one, 1));
  CUdeviceptr a = piece(32), b = piece(32), c = piece(32);
  unsigned got[2] = {7, 7}, five = 5;
  cuda.cuMemsetD32Async(a, 1, 1, blocking);
  cuda.cuMemsetD32Async(b, 1, 1, free_one);
  cuda.cuMemcpyHtoDAsync_v2(c, &five, 4, free_one);
  five = 6; /* CUDA has taken it */
  cuda.cuMemcpyDtoHAsync_v2(&got[0], a, 4, NULL);
  cuda.cuMemcpyDtoHAsync_v2(&got[1], b, 4, free_one);
  printf("%u %u\n", got[0], got[1]);
  cuda.cuStreamSynchronize(NULL);
  printf("%u\n", got[0]);
  cuda.cuMemcpyDtoHAsync_v2(&five, c, 4, free_one);
  say("destroy", cuda.cuStreamDestroy_v2(blocking));
  say("destroy", cuda.cuStreamDestroy_v2(blocking));
  say("wait", cuda.cuStreamSynchronize(free_one));
  printf("%u %u\n", got[1], five);
  say("wait", cuda.cuStreamSynchronize(blocking));
}

static void wrong(void) {
  CUfunction other;
  CUmodule none;
  CUdeviceptr a = piece(32), much;
  int value;
  float mine[16] = {0};
  say("name", cuda.cuModuleGetFunction(&other, module, "load"));
  say("ptx", cuda.cuModuleLoadDataEx(&none, ".version 7.0", 0, NULL, NULL));
  say("cubin",
      cuda.cuModuleLoadDataEx(&none, "\177ELF\2\1\1\0", 0, NULL, NULL));
  say("no blocks", launch(a, a, -2, NULL));
  say("no function", cuda.cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL,
                                         (void *[]){NULL}, NULL));
  say("threads", cuda.cuLaunchKernel(function, 1, 1, 1, 1025, 1, 1, 0, NULL,
                                     (void *[]){NULL}, NULL));
  say("copy", cuda.cuMemcpyHtoDAsync_v2(a, mine, 33, NULL));
  say("copy", cuda.cuMemcpyDtoHAsync_v2(mine, a + 28, 8, NULL));
  say("copy", cuda.cuMemcpyDtoDAsync_v2(a, a + 16, 17, NULL));
  say("unaligned", cuda.cuMemsetD32Async(a + 2, 0, 1, NULL));
  say("stream", cuda.cuStreamSynchronize((CUstream)mine));
  say("free", cuda.cuMemFree_v2(a + 16));
  say("much", cuda.cuMemAlloc_v2(&much, (size_t)1 << 37));
  say("nothing", cuda.cuMemAlloc_v2(&much, 0));
  say("pointer", cuda.cuPointerGetAttribute(&value, 2, a + 31));
  say("pointer", cuda.cuPointerGetAttribute(&value, 2, a + 32));
  say("device", cuda.cuDeviceGet(&value, 1));
  say("attribute", cuda.cuDeviceGetAttribute(&value, 3, 0));
  say("unload", cuda.cuModuleUnload(module));
  say("unload", cuda.cuModuleUnload(module));
  say("gone", launch(a, a, 3, NULL));
  say("free", cuda.cuMemFree_v2(a));
  say("pop", cuda.cuCtxPopCurrent_v2(&context));
  say("pop", cuda.cuCtxPopCurrent_v2(&context));
  say("without", cuda.cuMemAlloc_v2(&much, 4));
}

static void leave_all(void) { piece(32); }

static const struct {
  const char *name;
  void (*run)(void);
} cases[] = {{"right", right},
             {"behind", behind},
             {"in_front", in_front},
             {"far", far},
             {"just_behind", just_behind},
             {"fresh", fresh},
             {"freed", freed},
             {"of_host", of_host},
             {"of_nobody", of_nobody},
             {"touch", touch},
             {"order", order},
             {"wrong", wrong},
             {"leave_all", leave_all}};

int main(int count, char **arguments) {
  void *library = dlopen(getenv("NNCC_CUDA_DRIVER"), RTLD_NOW);
  if (!library || count != 2)
    return 1;
#define FIND(name, parameters) *(void **)&cuda.name = dlsym(library, #name);
  NNCC_DRIVER_FUNCTIONS(FIND)
  size_t unused;
  say("early", cuda.cuMemGetInfo_v2(&unused, &unused));
  open_all();
  for (size_t k = 0; k < sizeof cases / sizeof cases[0]; ++k)
    if (!strcmp(cases[k].name, arguments[1]))
      cases[k].run();
  return 0;
}
