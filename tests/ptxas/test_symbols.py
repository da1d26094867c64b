"""What objects and the runtime ask of a link, by `nm -u`."""
import os
import subprocess

from test_usage import CUDA, ROOT, call, lenet  # noqa: F401, a fixture

DL = {"dlopen", "dlsym", "dlclose", "dlerror"}


def undefined(path):
    """(member, symbol); an object has no members."""
    told = subprocess.run(["nm", "-A", "-u", path], check=True, text=True,
                          capture_output=True).stdout
    for line in told.splitlines():
        where, symbol = line.rsplit(" U " if " U " in line else " w ", 1)
        yield where.rstrip(" :").rsplit(":", 1)[-1], symbol.strip()


def symbols(folder, *flags):
    call(*CUDA[:2], "-mcpu=x86-64", *flags, "--entries=forward,train_step",
         "-o", "m.o", cwd=folder)
    return {symbol for _, symbol in undefined(folder / "m.o")}


def test_an_object_asks_for_the_backend_alone(lenet):
    alone = symbols(lenet, "--target=cuda", "--device-only")
    assert alone == {"nncc_cuda_backend"}


def test_a_program_for_gpus_adds_nothing_more(lenet):
    host = symbols(lenet)
    assert host <= {"memcpy", "memset", "memmove"}
    assert symbols(lenet, "--target=cuda") == host | {"nncc_cuda_backend"}


def test_only_the_cuda_part_opens_libraries():
    cuda = {f"{name}.o" for name in
            os.listdir(os.path.join(ROOT, "runtime", "cuda"))}
    asks = set(undefined(os.path.join(ROOT, "build", "lib", "libnncc_rt.a")))
    opens = {member for member, symbol in asks if symbol in DL}
    assert opens and opens <= cuda, opens
    assert {s for _, s in asks} >= DL
    plain = undefined(os.path.join(ROOT, "build", "lib", "libnncc_rt_cpu.a"))
    assert {symbol for _, symbol in plain} & DL == set()
