"""Compiled models with a program for GPUs, in other people's programs."""
import os
import re

import pytest

from lenet_model import NNCC
from test_embedding import ROOT, RUNTIME_TESTS, sh
from test_gpu_runtime import EMULATOR, RUNTIME

ARCHIVE = os.path.join(ROOT, "build", "lib", "libnncc_rt.a")
USES = """
#include "classifier.h"
int main(void) {
  nncc_context *c;
  nncc_device_facts facts;
  (void)facts;
  return nncc_context_create(classifier_model(), 0, 0, &c) INFO;
}
"""
INFO = "|| nncc_device_info(NNCC_CPU, 0, &facts)"
PARTS = {"backend", "driver", "entry", "gpu", "launch", "program", "there",
         "upload"}


@pytest.mark.parametrize("target, info, parts", [
    ((), "", set()),
    ((), INFO, {"info", "driver"}),
    (("--target=cuda:emulator",), "", PARTS),
    (("--target=cuda:emulator",), INFO, PARTS | {"info"})])
def test_only_what_is_used_is_linked(tmp_path, target, info, parts):
    """An object without a program for GPUs links nothing of runtime/cuda."""
    sh(NNCC, os.path.join(ROOT, "examples", "classifier.json"), *target, "-o",
       "classifier.o", cwd=tmp_path)
    undefined = sh("nm", "-u", "classifier.o", cwd=tmp_path).split()
    assert ("nncc_cuda_backend" in undefined) == bool(target)
    (tmp_path / "uses.c").write_text(USES.replace("INFO", info))
    sh("cc", "uses.c", "-I.", "-I", RUNTIME, "classifier.o", ARCHIVE, "-lm",
       "-lpthread", "-ldl", "-Wl,-Map=map", "-o", "uses", cwd=tmp_path)
    members = set(re.findall(r"libnncc_rt\.a\((\w+)\.c",
                             (tmp_path / "map").read_text()))
    assert "context" in members
    assert members & (PARTS | {"info"}) == parts
    imports = sh("nm", "-u", "uses", cwd=tmp_path)
    assert ("dlopen" in imports) == bool(parts)


def test_compiled_model_in_c(tmp_path):
    """tests/runtime/runtime_test.c, contexts without a device made CUDA's: the
    CPU's bits, host threads and all."""
    source = open(os.path.join(ROOT, "tests", "runtime",
                               "runtime_test.c")).read()
    changed = source.replace("{job->threads, NULL, NULL}",
                             "{.threads = job->threads, .device = NNCC_CUDA}")
    assert changed != source
    (tmp_path / "test.c").write_text(changed)
    sh(NNCC, os.path.join(ROOT, "examples", "classifier.json"),
       "--target=cuda:emulator", "-mcpu=x86-64-v2", "-o", "classifier.o",
       cwd=tmp_path)
    sh("cc", "-std=gnu11", "test.c", "-I.", "-I", RUNTIME, "classifier.o",
       ARCHIVE, "-lm", "-lpthread", "-ldl", "-o", "test", cwd=tmp_path)
    env = {**os.environ, "NNCC_CUDA_DRIVER": EMULATOR,
           "NNCC_EMULATOR": "late,checked"}
    assert sh("./test", cwd=tmp_path, env=env) == "ok\n"
