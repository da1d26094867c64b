"""What ptxas says of every kernel of the networks, and what it needs.

usage.json holds, by architecture, network and kind of kernel, the most
registers (in steps of 8, which a GPU hands out at once) and bytes of stack.
Spills there are none. To record it anew, when a kernel is right to need more:

    build/venv/bin/python tests/ptxas/test_usage.py
"""
import glob
import json
import os
import re
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "cli")]

from lenet_model import MODEL, NNCC  # noqa: E402
from records import networks  # noqa: E402

USAGE = os.path.join(HERE, "usage.json")
FULL = os.environ.get("NNCC_FULL") == "1"
# Those with hundreds of kernels: for one architecture, all in full runs.
LARGE = ("unet", "resnet18", "mobilenetv2")
ARCHITECTURES = ("sm_80", "sm_90a")


def toolkit():
    """The wheel that scripts/install.sh brings."""
    home, = glob.glob(os.path.join(ROOT, "build", "venv", "lib", "python3*",
                                   "site-packages", "nvidia", "cu13"))
    return home


def call(*arguments, home="", cwd=None, code=0):
    """nncc with this $CUDA_HOME, and no other toolkit."""
    environment = {**os.environ, "PATH": "/usr/bin:/bin"}
    environment.pop("CUDA_HOME", None)
    if home:
        environment["CUDA_HOME"] = str(home)
    done = subprocess.run([NNCC, *arguments], env=environment, cwd=cwd,
                          capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def usage(name, architecture, folder):
    """By kind of kernel the most registers, stack and spills, in bytes."""
    networks.export(name, folder)
    told = call("inspect", f"{folder}/model.json", "--json",
                "--entries=forward,train_step",
                f"--target=cuda:{architecture}", home=toolkit())
    kinds = {}
    for kernel in json.loads(told.stdout)["kernels"]:
        assert kernel["image_bytes"]["cubin"] > 0, kernel
        most = kinds.setdefault(kernel["kind"], [0, 0, 0])
        for i, key in enumerate(("registers", "stack_bytes", "spill_bytes")):
            most[i] = max(most[i], kernel[key])
    return kinds


def round_up(registers):
    return -(-registers // 8) * 8


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", networks.NAMES)
def test_kernels_fit(name, architecture, tmp_path):
    if not FULL and name in LARGE and architecture == "sm_80":
        pytest.skip("runs in scripts/test.sh --full")
    with open(USAGE) as file:
        allowed = json.load(file)[architecture][name]
    found = usage(name, architecture, tmp_path)
    assert {kind: n for kind, (*_, n) in found.items() if n} == {}, "spills"
    assert found.keys() == allowed.keys()
    more = {kind: (registers, stack) for kind, (registers, stack, _)
            in found.items() if registers > allowed[kind]["registers"]
            or stack > allowed[kind]["stack_bytes"]}
    assert more == {}, f"usage.json allows {allowed}"


@pytest.fixture
def lenet(tmp_path):
    (tmp_path / "lenet.json").write_text(MODEL)
    return tmp_path


CUDA = ("compile", "lenet.json", "--target=cuda:sm_80,sm_90a", "-mcpu=x86-64")


def said(done):
    """The summary line without time."""
    return re.sub(r", \S+ m?s$", "", done.stderr.strip())


def test_the_same_bytes_twice(lenet):
    for name, threads in (("a.o", "-j1"), ("b.o", "-j2")):
        call(*CUDA, threads, "--entries=train_step", "-o", name,
             home=toolkit(), cwd=lenet)
    assert (lenet / "a.o").read_bytes() == (lenet / "b.o").read_bytes()


def test_images_follow_the_toolkit(lenet):
    done = call(*CUDA, "-o", "m.o", home=toolkit(), cwd=lenet)
    assert said(done) == ("nncc: lenet for x86-64, sm_80 (cubin, ptx), sm_90a "
                          "(cubin, ptx): m.o, arena 12992 bytes")
    done = call(*CUDA, "-o", "m.o", cwd=lenet)
    assert said(done) == ("nncc: lenet for x86-64, sm_80 (ptx), sm_90a (ptx): "
                          "m.o, arena 12992 bytes")
    done = call(*CUDA, "-o", "m.o", "--images=cubin", "--device-only",
                home=toolkit(), cwd=lenet)
    assert said(done) == ("nncc: lenet for sm_80 (cubin), sm_90a (cubin): "
                          "m.o, arena 12992 bytes")


def test_cubins_need_ptxas(lenet):
    done = call(*CUDA, "--images=cubin", "-o", "m.o", cwd=lenet, code=4)
    assert done.stderr == (
        "nncc: sm_80: cubins alone need ptxas of the CUDA Toolkit, which is neither "
        "in $CUDA_HOME/bin nor in PATH\n")
    assert sorted(os.listdir(lenet)) == ["lenet.json"]


def record():
    import tempfile
    table = {}
    for architecture in ARCHITECTURES:
        for name in networks.NAMES:
            with tempfile.TemporaryDirectory() as folder:
                kinds = usage(name, architecture, folder)
            table.setdefault(architecture, {})[name] = {
                kind: {"registers": round_up(registers), "stack_bytes": stack}
                for kind, (registers, stack, _) in sorted(kinds.items())}
    lines = json.dumps(table, indent=1)
    # A kind is a line.
    lines = re.sub(r"\{\s+(\"registers\": \d+),\s+(\"stack_bytes\": \d+)\s+\}",
                   r"{\1, \2}", lines)
    with open(USAGE, "w") as file:
        file.write(lines + "\n")


if __name__ == "__main__":
    record()
