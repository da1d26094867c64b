"""Contexts on a GPU: the runtime against the emulator, on a model by hand.

Every case is a process of its own: CUDA does not outlive a fault."""
import ctypes
import os
import subprocess

import pytest

from test_embedding import ROOT, sh

LIB = os.path.join(ROOT, "build", "lib")
EMULATOR = os.path.join(LIB, "libnncc_emulator.so")
STUB = os.path.join(LIB, "libnncc_stub_gpu.so")  # a GPU that takes no image
FOLDER = os.path.join(ROOT, "tests", "runtime")
RUNTIME = os.path.join(ROOT, "runtime")

# Names in tests/runtime/gpu_*_test.c -> what the emulator must be for them.
CASES = {
    "run_on_host": "", "count_keys": "", "share_weights": "",
    "run_embedded": "", "run_in_threads": "", "run_steps": "",
    "ask_facts": "", "run_by_pointers": "", "train_by_pointers": "",
    "refuse_pointers": "", "refuse_another_gpu": "devices=2",
    "train_in_place": "", "write_state": "", "reduce_on_host": "",
    "reduce_on_device": "", "keep_weights_apart": "",
    "fail_late": "fault=gather,code=716", "fail_reading": "fault=gather"}
SETTINGS = ("", "late,seed=1,checked", "late,seed=2,guards,backwards")
LEFT = "left: 0 pieces of memory, 0 streams, 0 modules\n"


def sources(*folders):
    return [os.path.join(folder, f) for folder in folders
            for f in sorted(os.listdir(folder)) if f.endswith(".c")]


@pytest.fixture(scope="module", params=["address,undefined", "thread"])
def program(request, tmp_path_factory):
    """The tests as one program that runs the case it is given."""
    path = tmp_path_factory.mktemp("gpu") / "test"
    sh("cc", "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror",
       f"-fsanitize={request.param}", "-fno-sanitize-recover=all", "-I",
       RUNTIME, "-I", FOLDER, *[f for f in sources(FOLDER) if "/gpu_" in f],
       *sources(RUNTIME, os.path.join(RUNTIME, "cuda")), "-lpthread", "-ldl",
       "-o", str(path), cwd=ROOT)
    return path


def run(program, *arguments, emulator="", driver=EMULATOR):
    # Faults in kernels are the emulator's to catch.
    env = {**os.environ, "NNCC_CUDA_DRIVER": driver, "NNCC_EMULATOR": emulator,
           "ASAN_OPTIONS": "allow_user_segv_handler=1"}
    done = subprocess.run([program, *arguments], capture_output=True,
                          text=True, env=env, timeout=120,
                          cwd=os.path.dirname(program))
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_cases_are_all(program):
    assert sh(program, cwd=ROOT).split() == list(CASES)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("case", CASES)
def test_case(program, case, setting):
    """All of it is given back, whatever the order of streams and threads."""
    words = [w for w in (setting, CASES[case], "stats") if w]
    done = run(program, case, emulator=",".join(words))
    assert done.stdout == "ok\n"
    if "fault" not in CASES[case]:  # then nothing can be given back
        assert done.stderr.endswith(LEFT) and done.stderr.count("\n") == 1


def test_threads_share_what_they_meet_at(program):
    """Weights are put there and prepared once (3 launches), each kernel is
    loaded once, though four threads ask for them at the same time."""
    text = run(program, "run_in_threads", emulator="jitter,stats").stderr
    assert text.startswith(f"nncc emulator: {3 + 4 * 4 * 10 * 2} launches,")
    assert text.endswith(LEFT)


DEAD = ("; no call of CUDA works in this process any more, it has to end")
ILLEGAL = ("CUDA_ERROR_ILLEGAL_ADDRESS (700), an illegal memory access was "
           "encountered" + DEAD)
CRASHED = "10: crash failed on GPU 0: " + ILLEGAL
NO_GPU_CODE = "10: toy has no code for a GPU: compile with --target=cuda"
NO_CPU_CODE = "10: toy has no code for a CPU: compile without --device-only"
NUMBER = "10: there is no GPU number 3, there "
RESOURCES = ("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES (701), too many resources "
             "requested for launch")
BROKEN = ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803), system has unsupported "
          "display driver / cuda driver combination")
NO_BINARY = ("CUDA_ERROR_NO_BINARY_FOR_GPU (209), no kernel image is available "
             "for execution on the device")
FORWARD = "forward", "forward"

# (what `tell` is told, words of the emulator, driver, what it says)
TOLD = [
    (("plain", "cpu", *FORWARD), "", EMULATOR, ("cpu", "ok", "ok")),
    (("plain", "cuda", *FORWARD, "wait"), "", EMULATOR,
     ("cuda", "ok", "ok", "ok")),
    (("plain", "7"), "", EMULATOR,
     ("1: options.device is 7: 0 is the CPU, 1 a GPU, 2 either",)),
    (("plain", "cpu pointers"), "", EMULATOR,
     ("1: options.device_pointers is for a GPU, the context is to run on a "
      "CPU",)),
    # Objects without the code.
    (("cpu only", "cuda"), "", EMULATOR, (NO_GPU_CODE,)),
    (("cpu only", "auto", "forward"), "", EMULATOR, ("cpu", "ok")),
    (("cpu only", "auto pointers"), "", EMULATOR, (NO_GPU_CODE,)),
    (("gpu only", "cpu"), "", EMULATOR, (NO_CPU_CODE,)),
    (("gpu only", "cuda", "forward"), "", EMULATOR, ("cuda", "ok")),
    (("gpu only", "auto", "forward"), "", EMULATOR, ("cuda", "ok")),
    (("gpu only", "auto"), "devices=0", EMULATOR, ("10: there is no GPU",)),
    # No GPU to be had.
    (("plain", "cuda"), "", "/nowhere/libcuda.so",
     ("10: no CUDA driver: /nowhere/libcuda.so: cannot open shared object "
      "file: No such file or directory",)),
    (("plain", "auto", "forward"), "", "/nowhere/libcuda.so", ("cpu", "ok")),
    (("plain", "cuda"), "", "libm.so.6",
     ("10: libm.so.6 is no CUDA driver: it does not tell its version",)),
    (("plain", "cuda"), "driver=10020", EMULATOR,
     ("10: the CUDA driver is for CUDA 10.2, nncc needs 11.0: install a newer "
      "one",)),
    (("plain", "auto", "forward"), "driver=10020", EMULATOR, ("cpu", "ok")),
    (("plain", "cuda"), "fail=cuInit:803", EMULATOR,
     ("10: CUDA does not start: " + BROKEN,)),
    (("plain", "cuda", "again"), "devices=0", EMULATOR,
     ("10: there is no GPU",) * 2),
    (("plain", "auto", "forward"), "devices=0", EMULATOR, ("cpu", "ok")),
    (("plain", "cuda:3"), "", EMULATOR, (NUMBER + "is 1",)),
    (("plain", "cuda:3"), "devices=2", EMULATOR, (NUMBER + "are 2",)),
    (("plain", "auto:3", "forward"), "", EMULATOR, ("cpu", "ok")),
    (("plain", "cuda:1", "forward"), "devices=2", EMULATOR, ("cuda", "ok")),
    # No program that fits.
    (("plain", "cuda"), "", STUB,
     ("10: toy has code for the emulator, the GPU is sm_90: compile with "
      "--target=cuda:sm_80",)),
    (("80", "cuda"), "", EMULATOR,
     ("10: toy has code for sm_80, the driver is the emulator: compile with "
      "--target=cuda:emulator",)),
    (("no kernel", "cuda"), "", EMULATOR,
     ("10: toy has code for sm_80, the driver is the emulator: compile with "
      "--target=cuda:emulator",)),
    (("90a", "cuda"), "sm=86", STUB,
     ("10: toy has code for sm_90a, the GPU is sm_86: compile with "
      "--target=cuda:sm_80",)),
    (("90a", "cuda"), "sm=100", STUB,
     ("10: toy has code for sm_90a, the GPU is sm_100: compile with "
      "--target=cuda:sm_80",)),
    (("90a", "cuda"), "sm=90,driver=11080", STUB,
     ("10: toy has code for sm_90a, the GPU is sm_90, its driver for CUDA 11.8: "
      "compile with --target=cuda:sm_80",)),
    (("90a", "auto", "forward"), "sm=86", STUB, ("cpu", "ok")),
    (("80 90a", "cuda"), "sm=75", STUB,
     ("10: toy has code for sm_80, sm_90a, the GPU is sm_75: nncc needs "
      "sm_80",)),
    (("80cubin", "cuda"), "sm=90", STUB,
     ("10: toy has code for sm_80 (cubin), the GPU is sm_90: compile with "
      "--target=cuda:sm_80",)),
    # One fits, but its kernels do not load.
    (("80cubin", "cuda"), "sm=86", STUB,
     ("10: kernel twice does not load on GPU 0: " + NO_BINARY,)),
    # A driver older than the cubin's assembler takes the PTX.
    (("80both", "cuda"), "sm=86", STUB,
     ("10: kernel twice does not load on GPU 0: " + NO_BINARY + ":",
      "ptxas application ptx input, line 1; error   : the emulator has no "
      "assembler")),
    (("80both", "cuda"), "sm=86,fail=cuModuleLoadDataEx:2", STUB,
     ("5: kernel twice does not load on GPU 0: CUDA_ERROR_OUT_OF_MEMORY (2), "
      "out of memory",)),
    (("80 90a", "auto"), "sm=90", STUB,
     ("10: kernel twice does not load on GPU 0: " + NO_BINARY + ":",
      "ptxas application ptx input, line 1; error   : the emulator has no "
      "assembler")),
    (("no image", "cuda"), "", EMULATOR,
     ("10: kernel twice does not load on GPU 0: " + NO_BINARY,)),
    (("renamed", "cuda"), "", EMULATOR,
     ("10: kernel nobody is not in its image: CUDA_ERROR_NOT_FOUND (500), "
      "named symbol not found",)),
    # Not enough memory, which is no reason for the CPU.
    (("plain", "cuda"), "memory=1000", EMULATOR,
     ("5: no memory on GPU 0 for a context of toy: 1536 bytes asked, 1000 "
      "free",)),
    (("plain", "auto"), "memory=2000", EMULATOR,
     ("5: no memory on GPU 0 for the weights of toy: 1536 bytes asked, 464 "
      "free",)),
    (("plain", "cuda", "again"), "memory=3500", EMULATOR,
     ("5: no memory on GPU 0 for preparing the weights of toy: 512 bytes "
      "asked, 428 free",) * 2),
    (("plain", "cuda"), "fail=cuDevicePrimaryCtxRetain:2", EMULATOR,
     ("5: GPU 0 cannot be opened: CUDA_ERROR_OUT_OF_MEMORY (2), out of "
      "memory",)),
    # Calls of the driver that fail.
    (("plain", "cuda"), "fail=cuStreamCreate:1", EMULATOR,
     ("10: a stream cannot be made on GPU 0: CUDA_ERROR_INVALID_VALUE (1), "
      "invalid argument",)),
    (("many tiles", "cuda", "forward", "scan"), "", EMULATOR,
     ("cuda", "10: kernel multiply has 1099511627776 tiles, more than a GPU "
      "can launch", "ok")),
    (("plain", "cuda"), "fail=cuLaunchKernel:701", EMULATOR,
     ("10: kernel twice cannot be launched on GPU 0: " + RESOURCES,)),
    (("plain", "cuda", "forward"), "fail=cuMemcpyDtoHAsync_v2:400", EMULATOR,
     ("cuda", "10: 32 bytes cannot be copied from GPU 0: "
      "CUDA_ERROR_INVALID_HANDLE (400), invalid resource handle")),
    (("plain", "cuda"), "fail=cuMemcpyHtoDAsync_v2:400", EMULATOR,
     ("10: 32 bytes cannot be copied to GPU 0: "
      "CUDA_ERROR_INVALID_HANDLE (400), invalid resource handle",)),
    (("plain", "cuda", "noise"), "fail=cuMemsetD32Async:999", EMULATOR,
     ("cuda", "10: noise failed on GPU 0: an unknown error (999), of which "
      "the driver says nothing")),
    # Kernels that fault.
    (("plain", "cuda", "crash", "noise", "wait"), "", EMULATOR,
     ("cuda", CRASHED, CRASHED.replace("crash", "noise"),
      CRASHED.replace("crash", "noise"))),
    (("plain", "cuda", "forward", "again"), "fault=multiply,code=719",
     EMULATOR,
     ("cuda", "10: forward failed on GPU 0: CUDA_ERROR_LAUNCH_FAILED (719), "
      "unspecified launch failure" + DEAD,
      "10: GPUs cannot be counted: CUDA_ERROR_LAUNCH_FAILED (719), "
      "unspecified launch failure" + DEAD)),
    (("plain", "auto"), "fault=twice", EMULATOR,
     ("10: preparing the weights failed on GPU 0: " + ILLEGAL,)),
]


@pytest.mark.parametrize("late", ["", "late"])
@pytest.mark.parametrize("told", range(len(TOLD)))
def test_sentence(program, told, late):
    """And a context that failed can be freed."""
    words, emulator, driver, expected = TOLD[told]
    emulator = ",".join(w for w in (late, emulator, "stats") if w)
    done = run(program, "tell", *words, emulator=emulator, driver=driver)
    assert done.stdout.splitlines() == list(expected)
    if not any(DEAD in line for line in expected):
        assert "left:" not in done.stderr or done.stderr.endswith(LEFT)


def test_no_driver(program):
    try:
        ctypes.CDLL("libcuda.so.1")
        pytest.skip("this machine has a driver")
    except OSError:
        pass
    done = run(program, "tell", "plain", "cuda", driver="")
    assert done.stdout == ("10: no CUDA driver: libcuda.so.1 was not found\n")


def test_driver_without_a_function(program, tmp_path):
    (tmp_path / "old.c").write_text(
        "int cuDriverGetVersion(int *v) { *v = 12000; return 0; }\n"
        "int cuInit(unsigned flags) { return (int)flags; }\n")
    sh("cc", "-shared", "-fPIC", "old.c", "-o", "old.so", cwd=tmp_path)
    done = run(program, "tell", "plain", "cuda", driver=str(tmp_path / "old.so"))
    assert done.stdout == ("10: the CUDA driver has no function "
                           "cuDeviceGetCount: install a newer one\n")
