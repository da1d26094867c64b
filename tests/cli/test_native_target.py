"""--target=cuda:native asks the driver which GPUs are here."""
import json

import pytest


@pytest.mark.parametrize("library,words,expected", [
    ("libnncc_stub_gpu.so", "sm=86", ["sm_86"]),
    ("libnncc_stub_gpu.so", "sm=86,devices=3", ["sm_86"]),
    ("libnncc_stub_gpu.so", "sm=99", ["sm_90"]),
    ("libnncc_stub_gpu.so", "sm=90:70:86,devices=3", ["sm_86", "sm_90a"]),
    ("libnncc_stub_gpu.so", "sm=70:86,devices=2", ["sm_86"]),
    ("libnncc_emulator.so", "", ["emulator"])])
def test_compile(nncc, driver, library, words, expected):
    driver(library, words)
    done = nncc("compile", "lenet.json", "-o", "a.o", "--json",
                "--target=cuda:native", "--images=ptx", "--entries=forward")
    found = json.loads(done.stdout)["gpus"]
    assert [gpu.split()[0] for gpu in found] == expected
    assert json.loads(done.stdout)["cpu"]


def test_inspect(nncc, driver):
    driver("libnncc_stub_gpu.so", "sm=80")
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
def test_no_gpu(nncc, lenet, driver, verb, library, words, text):
    driver(library, words)
    done = nncc(verb[0], "lenet.json", *verb[1:], "--target=cuda:native",
                code=4)
    assert done.stderr == f"nncc: {text}\n"
    assert not (lenet / "a.o").exists()
