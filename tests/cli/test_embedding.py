"""Models in other people's programs: install, examples, sanitizers."""
import os
import subprocess

import pytest
from safetensors.numpy import load_file

from lenet_model import NNCC

ROOT = os.path.abspath(os.path.join(os.path.dirname(NNCC), "..", ".."))
EMULATOR = os.path.join(ROOT, "build", "lib", "libnncc_emulator.so")


def sh(*command, cwd, env=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True,
                          timeout=300, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_examples_from_an_installation(tmp_path):
    prefix = tmp_path / "prefix"
    sh("cmake", "--install", os.path.join(ROOT, "build"), "--prefix",
       str(prefix), cwd=tmp_path)
    sh("cmake", "-G", "Ninja", "-S", os.path.join(ROOT, "examples"), "-B", "out",
       f"-DCMAKE_PREFIX_PATH={prefix}", "-DGPU_TARGET=cuda:emulator",
       cwd=tmp_path)
    sh("cmake", "--build", "out", cwd=tmp_path)
    c = sh("out/classify_c", cwd=tmp_path)
    assert c == sh("out/classify_cpp", cwd=tmp_path)
    assert abs(sum(map(float, c.split())) - 1) < 1e-3
    check_training(sh("out/train_c", cwd=tmp_path), tmp_path)
    without = {**os.environ, "NNCC_CUDA_DRIVER": "/none"}
    text = sh("out/cuda_c", cwd=tmp_path, env=without)  # on the CPU
    assert "emulator" not in text
    check_training(text[text.index("\n") + 1:], tmp_path)
    with_one = {**os.environ, "NNCC_CUDA_DRIVER": EMULATOR}
    text = sh("out/cuda_c", cwd=tmp_path, env=with_one)
    first, rest = text.split("\n", 1)
    assert first == "on nncc emulator"
    check_training(rest, tmp_path)


def check_training(text, folder):
    lines = text.splitlines()
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines]
    assert losses[-1] < 0.1 * losses[0]
    assert lines[-1].endswith(", 16 of 16 new images right")
    assert "fc1.weight" in load_file(folder / "lenet5.safetensors")


def test_runtime_is_small():
    archive = os.path.join(ROOT, "build", "lib", "libnncc_rt.a")
    text = sh("size", "-t", archive, cwd=ROOT).splitlines()[-1]
    assert int(text.split()[3]) < 150_000


RUNTIME_TESTS = {
    "runtime_test": (("examples", "classifier.json"), ()),
    "training_test": (("tests", "runtime", "trained.json"),
                      ("--entries=forward,train_step",)),
    "pool_test": (("examples", "classifier.json"), ())}


@pytest.mark.parametrize("name", RUNTIME_TESTS)
@pytest.mark.parametrize("sanitizer", ["none", "address,undefined", "thread"])
def test_runtime(tmp_path, sanitizer, name):
    model, options = RUNTIME_TESTS[name]
    sh(NNCC, os.path.join(ROOT, *model), *options, "-o",
       model[-1].replace(".json", ".o"), cwd=tmp_path)
    runtime = os.path.join(ROOT, "runtime")
    sources = [os.path.join(runtime, f) for f in sorted(os.listdir(runtime))
               if f.endswith(".c")]
    flags = [] if sanitizer == "none" else [f"-fsanitize={sanitizer}",
                                            "-fno-sanitize-recover=all"]
    sh("cc", "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", *flags, "-I",
       runtime, "-I", ".", os.path.join(ROOT, "tests", "runtime",
                                        name + ".c"), *sources,
       model[-1].replace(".json", ".o"), "-lpthread", "-o", "test",
       cwd=tmp_path)
    # The tests ask for more memory than there is; that is no sanitizer's error.
    env = {**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1",
           "TSAN_OPTIONS": "allocator_may_return_null=1"}
    assert sh("./test", cwd=tmp_path, env=env) == "ok\n"


COUNT = """
#include "MODEL.h"
#include <stdio.h>
static int calls;
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n) { ++calls; return __real_malloc(n); }
void *__real_calloc(size_t n, size_t s);
void *__wrap_calloc(size_t n, size_t s) { ++calls; return __real_calloc(n, s); }
void *__real_aligned_alloc(size_t a, size_t n);
void *__wrap_aligned_alloc(size_t a, size_t n) {
  ++calls; return __real_aligned_alloc(a, n); }
int main(void) {
  const nncc_model *m = MODEL_model();
  nncc_weights *w; nncc_context *c;
  static float zero[4096], x[64], y[12], loss;
  static int64_t t[4];
  (void)t; (void)loss;
  nncc_weights_create(m, &w);
  for (uint64_t i = 0; i < m->weight_count; ++i)
    nncc_weights_set(w, m->weights[i].name, zero, m->weights[i].bytes);
  nncc_weights_prepare(w);
  nncc_options options = {2};
  options.trains = TRAINS;
  options.device = DEVICE;
  if (nncc_context_create(m, w, &options, &c) || calls == 0) return 1;
  int before = calls;
  for (int i = 0; i < 10; ++i) if (RUN) return 1;
  printf("%d\\n", calls - before);
  return 0;
}
"""


@pytest.mark.parametrize("name,trains,run", [
    ("runtime_test", "0", "classifier_forward(c, x, y)"),
    ("training_test", "1", "trained_train_step(c, x, t, 0, &loss) || "
                           "trained_forward(c, x, y)")])
@pytest.mark.parametrize("device,target", [
    ("NNCC_CPU", ()), ("NNCC_CUDA", ("--target=cuda:emulator",))])
def test_running_does_not_allocate(tmp_path, name, trains, run, device,
                                   target):
    """Counts calls of the allocator between runs; on a GPU there are none even
    while kernels are loaded."""
    path, options = RUNTIME_TESTS[name]
    model = path[-1].replace(".json", "")
    sh(NNCC, os.path.join(ROOT, *path), *options, *target, "-o", model + ".a",
       cwd=tmp_path)
    (tmp_path / "count.c").write_text(
        COUNT.replace("MODEL", model).replace("TRAINS", trains).replace(
            "RUN", run).replace("DEVICE", device))
    wrap = "-Wl,--wrap=malloc,--wrap=calloc,--wrap=aligned_alloc"
    sh("cc", "count.c", "-I.", "-I", os.path.join(ROOT, "runtime"),
       model + ".a", wrap, "-lpthread", "-o", "count", cwd=tmp_path)
    env = {**os.environ, "NNCC_CUDA_DRIVER": EMULATOR}
    assert sh("./count", cwd=tmp_path, env=env) == "0\n"
