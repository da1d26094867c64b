"""The emulator finds what it should, and errs as CUDA does.

tests/emulator/emulator_test.c prints the code of each call."""
import os
import re
import subprocess

import pytest

from test_embedding import ROOT, sh
from test_gpu_runtime import EMULATOR, RUNTIME

OPENED = ["early 3", "init 0", "retain 0", "push 0", "load 0", "function 0"]
RAN = ["launch 0", "wait 0", "copy 0", "wait 0", "free 0", "free 0"]
# A fault is told by the call behind it, and by all others from then on.
DIED = ["launch 0"] + ["%s 700" % w for w in
                       ("wait", "copy", "wait", "free", "free")]
AROUND = ("something wrote %s a piece of 32 bytes; the kernel before was "
          "store\n")
# Of kernels that read or write where nothing is; the address differs.
FAULT = "kernel store, block %d, thread %d: signal 11 at address ADDRESS\n"
FAR = FAULT % (0, 0)
BLIND = FAULT % (0, 0)
NO_MEMORY = "kernel store: parameter 1, ADDRESS, is no memory of this GPU\n"

# (case, words, what it prints behind OPENED, lines on stderr)
FOUND = [
    ("right", "", RAN, ""),
    ("right", "late,checked", RAN, ""),
    ("right", "guards,backwards,checked", RAN, ""),
    ("behind", "", DIED, AROUND % "behind"),
    ("behind", "late", DIED, AROUND % "behind"),
    ("behind", "checked", DIED, AROUND % "behind"),
    ("in_front", "", DIED, AROUND % "in front of"),
    ("in_front", "guards", DIED, AROUND % "in front of"),
    ("far", "", DIED, FAR),
    ("far", "late,checked", DIED, FAR),
    ("far", "backwards", DIED, FAULT % (2, 1)),
    # The last of eight threads is the one behind.
    ("just_behind", "guards", DIED, FAULT % (2, 1)),
    ("fresh", "", ["ffffffff ffffffff"], ""),
    ("freed", "", ["free 0", "wait 0"], ""),
    ("freed", "late", ["free 0", "wait 700"], NO_MEMORY),
    ("of_host", "", ["launch 0", "wait 700", "free 700", "info 700", "pop 0",
                     "release 0", "retain 700"], NO_MEMORY),
    ("of_nobody", "", ["wait 0"], ""),
    ("of_nobody", "checked", ["wait 700"], BLIND),
    ("touch", "", ["-1"], ""),
    ("order", "", ["create 0", "create 0", "1 1", "1", "destroy 0",
                   "destroy 400", "wait 0", "1 5", "wait 400"], ""),
    ("order", "late", ["create 0", "create 0", "7 7", "1", "destroy 0",
                       "destroy 400", "wait 0", "1 5", "wait 400"], ""),
    ("wrong", "", [
        "name 500", "ptx 209", "cubin 209", "no blocks 1", "no function 400",
        "threads 1", "copy 1", "copy 1", "copy 1", "unaligned 1",
        "stream 400", "free 1", "much 2", "nothing 1", "pointer 0",
        "pointer 1", "device 101", "attribute 1", "unload 0", "unload 400",
        "gone 400", "free 0", "pop 0", "pop 201", "without 201"], ""),
    ("right", "fault=store", DIED, ""),
    ("right", "fault=*,code=716", [d.replace("700", "716") for d in DIED], ""),
    ("right", "fault=other", RAN, ""),
    ("leave_all", "stats", [], "0 launches, 0 bytes to the device, 0 from it, "
     "0 on it; left: 1 pieces of memory, 0 streams, 1 modules\n"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("emulator") / "test"
    sh("cc", "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-I",
       RUNTIME, os.path.join(ROOT, "tests", "emulator", "emulator_test.c"),
       "-ldl", "-o", str(path), cwd=ROOT)
    return path


def run(program, case, words, code=0):
    env = {**os.environ, "NNCC_CUDA_DRIVER": EMULATOR, "NNCC_EMULATOR": words}
    done = subprocess.run([program, case], capture_output=True, text=True,
                          env=env, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout.splitlines(), re.sub(
        "^nncc emulator: ", "", re.sub("0x[0-9a-f]+", "ADDRESS", done.stderr))


@pytest.mark.parametrize("found", range(len(FOUND)))
def test_finds(program, found):
    case, words, expected, text = FOUND[found]
    assert run(program, case, words) == (OPENED + expected, text)


def test_closed_memory_ends_a_host(program):
    assert run(program, "touch", "checked", code=-11)[1] == ""


@pytest.mark.parametrize("word", ["lat", "seed", "seed=", "seed=x", "fault=",
                                  "fail=cuInit", "fail=cuInit:x", "fail=cuInit:1:",
                                  "fail=cuInit:1:x", "sm=86:", "late=1"])
def test_unknown_words(program, word):
    out, text = run(program, "none", "late," + word)
    assert out[:3] == ["early 3", "init 1", "retain 3"]
    assert text == f'NNCC_EMULATOR has "{word}", which is no word of its own\n'
