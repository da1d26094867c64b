"""--target=cuda:native asks the driver which GPUs are here."""
import json
import os

import pytest

from lenet_model import HERE

LIBRARIES = os.path.join(HERE, "..", "..", "build", "lib")


@pytest.fixture
def gpus(monkeypatch):
    """Puts a driver in the real one's place."""
    def use(library, words=""):
        monkeypatch.setenv("NNCC_CUDA_DRIVER", library if "/" in library else
                           os.path.join(LIBRARIES, library))
        monkeypatch.setenv("NNCC_EMULATOR", words)
    return use


@pytest.mark.parametrize("library,words,expected", [
    ("libnncc_stub_gpu.so", "sm=86", ["sm_86"]),
    ("libnncc_stub_gpu.so", "sm=86,devices=3", ["sm_86"]),
    ("libnncc_stub_gpu.so", "sm=99", ["sm_90"]),
    ("libnncc_stub_gpu.so", "sm=90:70:86,devices=3", ["sm_86", "sm_90a"]),
    ("libnncc_stub_gpu.so", "sm=70:86,devices=2", ["sm_86"]),
    ("libnncc_emulator.so", "", ["emulator"])])
def test_compile(nncc, gpus, library, words, expected):
    gpus(library, words)
    done = nncc("compile", "lenet.json", "-o", "a.o", "--json",
                "--target=cuda:native", "--images=ptx", "--entries=forward")
    found = json.loads(done.stdout)["gpus"]
    assert [gpu.split()[0] for gpu in found] == expected
    assert json.loads(done.stdout)["cpu"]


def test_inspect(nncc, gpus):
    gpus("libnncc_stub_gpu.so", "sm=80")
    done = nncc("inspect", "lenet.json", "--target=cuda:native")
    assert done.stdout.startswith("lenet for sm_80: ")


@pytest.mark.parametrize("verb", [("compile", "-o", "a.o"), ("inspect",)])
@pytest.mark.parametrize("library,words,text", [
    ("/nosuch/libcuda.so", "", "no CUDA driver: /nosuch/libcuda.so: cannot "
     "open shared object file: No such file or directory"),
    ("libnncc_emulator.so", "devices=0", "there is no GPU"),
    ("libnncc_stub_gpu.so", "sm=70", "there is no code generator for nncc "
     "emulator, compute capability 7.0"),
    ("libnncc_emulator.so", "driver=10020", "the CUDA driver is for CUDA 10.2, "
     "nncc needs 11.0: install a newer one")])
def test_no_gpu(nncc, lenet, gpus, verb, library, words, text):
    gpus(library, words)
    done = nncc(verb[0], "lenet.json", *verb[1:], "--target=cuda:native",
                code=4)
    assert done.stderr == f"nncc: {text}\n"
    assert not (lenet / "a.o").exists()
