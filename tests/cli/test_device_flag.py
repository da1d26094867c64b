"""--device of run, bench, check, train and inspect, on the emulator."""
import json

import numpy as np
import pytest
from safetensors.numpy import load_file

WEIGHTS = ("--weights", "lenet.safetensors")


@pytest.fixture
def gpu(driver):
    """A driver: the emulator by these words, or a GPU that loads nothing."""
    def use(words="", library="libnncc_emulator.so"):
        driver(library, words)
    use()
    return use


@pytest.fixture
def no_gpu(driver):
    driver("/no/driver.so")


NO_DRIVER = ("nncc: no CUDA driver: /no/driver.so: cannot open shared object "
             "file: No such file or directory\n")


@pytest.mark.parametrize("arguments", [
    ("run", "lenet.json", *WEIGHTS, "--inputs", "in.safetensors"),
    ("bench", "lenet.json"), ("check", "lenet.json"), ("inspect", "lenet.json"),
    ("train", "lenet.json", *WEIGHTS, "--data", "train.npz")])
def test_without_a_driver(nncc, no_gpu, arguments):
    assert nncc(*arguments, "--device", "cuda", code=4).stderr.endswith(
        NO_DRIVER)


@pytest.mark.parametrize("device,text", [
    ("gpu", "--device gpu: "), ("cuda:", "--device cuda:: "),
    ("cuda:x", "--device cuda:x: "), ("cpu:1", "--device cpu:1: "),
    ("auto:1", "--device auto:1: ")])
def test_unknown_device(nncc, device, text):
    assert nncc("run", "lenet.json", "--device", device, code=2).stderr == (
        f"nncc: {text}expected cpu, cuda, cuda:NUMBER or auto, a GPU if there "
        "is one that fits\n")


def test_a_number_that_is_not_there(nncc, gpu):
    gpu("devices=2")
    assert nncc("bench", "lenet.json", "--device", "cuda:2",
                code=4).stderr.endswith(
        "nncc: there is no GPU number 2, there are 2\n")


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_run_gives_the_bits_of_the_cpu(nncc, lenet, gpu, device):
    plain = ("run", "lenet.json", *WEIGHTS, "--inputs", "in.safetensors")
    nncc(*plain, "-mcpu=x86-64-v2", "--outputs", "cpu.safetensors")
    nncc(*plain, "--device", device, "--outputs", "gpu.safetensors")
    cpu = load_file(lenet / "cpu.safetensors")
    for name, array in load_file(lenet / "gpu.safetensors").items():
        assert np.array_equal(array, cpu[name])


def test_auto_takes_the_cpu(nncc, no_gpu):
    """With a model, and with an object that has both programs."""
    nncc("run", "lenet.json", *WEIGHTS, "--inputs", "in.safetensors",
         "--device", "auto")
    nncc("compile", "lenet.json", "--target=cuda", "--images=ptx", "-o", "a.so")
    nncc("run", "a.so", *WEIGHTS, "--inputs", "in.safetensors", "--device",
         "auto")


def test_compiled_models(nncc, gpu):
    def run(*arguments, code=0):
        return nncc("run", *arguments, *WEIGHTS, "--inputs", "in.safetensors",
                    "--device", "cuda", code=code).stderr
    nncc("compile", "lenet.json", "-o", "cpu.so")
    assert run("cpu.so", code=4) == (
        "nncc: lenet has no code for a GPU: compile with --target=cuda\n")
    nncc("compile", "lenet.json", "-o", "ptx.so", "--target=cuda:sm_80",
         "--images=ptx")
    assert run("ptx.so", code=4) == (
        "nncc: lenet has code for sm_80, the driver is the emulator: compile "
        "with --target=cuda:emulator\n")
    nncc("compile", "lenet.json", "-o", "gpu.so", "--target=cuda:emulator",
         "--device-only")
    assert run("gpu.so") == ""
    assert nncc("run", "gpu.so", *WEIGHTS, "--inputs", "in.safetensors",
                code=4).stderr == (
        "nncc: lenet has no code for a CPU: compile without "
        "--device-only\n")
    gpu("sm=86", "libnncc_stub_gpu.so")
    nncc("compile", "lenet.json", "-o", "new.so", "--target=cuda:sm_90a",
         "--images=ptx")
    assert run("new.so", code=4) == (
        "nncc: lenet has code for sm_90a, the GPU is sm_86: compile with "
        "--target=cuda:sm_80\n")


def test_check_bisects(nncc, gpu):
    done = nncc("check", "lenet.json", "--device", "cuda", "--bisect")
    assert "bisect: no pass and no kernel differs" in done.stdout
    done = nncc("check", "lenet.json", "--device", "cuda", "--bisect",
                "--wrong-kernel", "k1", code=3)
    assert "kernel k1" in done.stdout


def test_check_of_a_training_step(nncc, gpu):
    done = nncc("check", "lenet.json", "--device", "cuda", "--entry",
                "train_step")
    assert "DIFFERS" not in done.stdout


def test_bench(nncc, gpu):
    flags = ("bench", "lenet.json", "--seconds", "0.01")
    report = json.loads(nncc(*flags, "--device", "cuda", "--json").stdout)
    row, = report["results"]
    assert row["device"] == "cuda" and row["median_ms"] > 0
    assert "peak_share" not in row and "peak_gflops" not in report
    assert nncc(*flags, "--device", "cuda").stdout.startswith(
        "forward N=1, GPU: median ")
    assert nncc(*flags, "--device", "cuda", "--threads", "2",
                code=2).stderr.endswith("nncc: --threads is for the CPU\n")
    assert nncc(*flags, "--device", "cuda", "--kernels",
                code=2).stderr.endswith(
        "nncc: --kernels is for the CPU: a GPU's kernels are not timed by "
        "themselves\n")


def test_bench_beside_another_device(nncc, lenet, gpu):
    """It says so, though one object has both programs."""
    nncc("compile", "lenet.json", "-o", "a.so", "--target=cuda:emulator")
    model = ("bench", "a.so", "--seconds", "0.01")
    devices = {"cpu": "on the CPU", "cuda": "on a GPU"}
    for device in devices:
        (lenet / f"{device}.json").write_text(
            nncc(*model, "--json", "--device", device).stdout)
    for then, text in devices.items():
        for now in devices:
            done = nncc(*model, "--compare", f"{then}.json", "--device", now)
            end = f" x as fast as in {then}.json"
            assert done.stdout.endswith(
                f"{end}\n" if then == now else f"{end}, {text}\n")
    done = nncc("bench", "lenet.json", "--seconds", "0.01", "--device", "cuda",
                "--compare", "cpu.json")
    assert " is of code for " not in done.stderr


def test_inspect(nncc, gpu):
    text = nncc("inspect", "lenet.json", "--device", "cuda").stdout
    assert text.startswith("lenet for emulator: ")
    assert "; blocks of 32 threads: 1" in text
    report = json.loads(nncc("inspect", "lenet.json", "--target=cuda:sm_80",
                             "--json").stdout)
    assert report["gpu"] == "sm_80"
    kernel = report["kernels"][0]
    assert kernel["threads"] == 32 and kernel["blocks"] >= 1
    assert kernel["image_bytes"]["ptx"] > 100
    assert nncc("inspect", "lenet.json", "--target=cuda:sm_80", "--device",
                "cuda", code=2).stderr == (
        "nncc: --device asks for the target of the GPU that is here, --target "
        "for another\n")
    nncc("compile", "lenet.json", "-o", "a.so", "--target=cuda:sm_80,sm_90a",
         "--images=ptx")
    text = nncc("inspect", "a.so").stdout
    assert ", sm_80, sm_90a, by nncc " in text
    assert "program for sm_80: " in text
    assert nncc("inspect", "a.so", "--device", "cuda", code=2).stderr == (
        "nncc: --device does nothing here: a.so is not compiled here\n")


@pytest.mark.parametrize("words", ["", "late,checked"])
def test_training_goes_on(nncc, lenet, gpu, words):
    """Four steps at once, two and two from the checkpoint, and on the CPU: the
    same bits in every tensor of the state."""
    gpu(words)
    plain = ("train", "lenet.json", "--data", "train.npz", "--seed", "3")

    def train(*arguments):
        nncc(*plain, *arguments)
    train(*WEIGHTS, "--steps", "4", "--device", "cuda", "--checkpoint",
          "a.safetensors")
    train(*WEIGHTS, "--steps", "2", "--device", "cuda", "--checkpoint",
          "b.safetensors")
    train("--resume", "--steps", "4", "--device", "cuda", "--checkpoint",
          "b.safetensors")
    train(*WEIGHTS, "--steps", "4", "-mcpu=x86-64-v2", "--checkpoint",
          "c.safetensors")
    a, b, c = (load_file(lenet / f"{name}.safetensors") for name in "abc")
    assert a.keys() == b.keys() == c.keys()
    for name in a:
        assert np.array_equal(a[name], b[name]), name
        assert np.array_equal(a[name], c[name]), name


def test_a_checkpoint_that_cannot_be_read_back(nncc, lenet, gpu):
    """The file of an earlier training stays as it is."""
    train = ("train", "lenet.json", "--data", "train.npz", *WEIGHTS,
             "--device", "cuda", "--checkpoint", "a.safetensors", "--steps")
    nncc(*train, "1")
    before = (lenet / "a.safetensors").read_bytes()
    # What two steps give comes back, not all of what they trained.
    gpu("fail=cuMemcpyDtoHAsync_v2:400:12")
    done = nncc(*train, "2", code=4)
    assert done.stderr.endswith(
        "bytes cannot be copied from GPU 0: CUDA_ERROR_INVALID_HANDLE (400), "
        "invalid resource handle\n")
    assert (lenet / "a.safetensors").read_bytes() == before


def test_a_loss_that_is_not_finite(nncc, lenet, gpu):
    with np.load(lenet / "train.npz") as arrays:
        x, t = arrays["x"].copy(), arrays["t"]
    x[:] = np.inf
    np.savez(lenet / "bad.npz", x=x, t=t)
    text = [nncc("train", "lenet.json", "--data", "bad.npz", *WEIGHTS,
                 *device, code=1).stderr for device in
            ((), ("--device", "cuda"))]
    assert text[0] == text[1]
    assert "the first parameter whose gradient is not finite is " in text[1]


@pytest.mark.parametrize("words,text", [
    ("fault=k2", "a kernel before k3 failed on GPU 0: "
     "CUDA_ERROR_ILLEGAL_ADDRESS (700), an illegal memory access was "
     "encountered; no call of CUDA works in this process any more, it has to "
     "end"),
    ("memory=1000", "bytes asked, 1000 free"),
    ("driver=10020", "the CUDA driver is for CUDA 10.2, nncc needs 11.0: "
     "install a newer one")])
def test_faults(nncc, gpu, words, text):
    gpu(words)
    done = nncc("bench", "lenet.json", "--device", "cuda",
                code=6 if "memory" in words else 4)
    assert text in done.stderr


def test_precision(nncc):
    done = nncc("compile", "lenet.json", "-o", "a.o",
                "--matmul-precision=high")
    assert done.stderr.startswith(
        "nncc: --matmul-precision=high allows faster products of f32; there "
        "are none yet, they are computed as with highest\n")
    assert nncc("compile", "lenet.json", "-o", "a.o", "--matmul-precision=low",
                code=2).stderr.startswith(
        "nncc: --matmul-precision low: expected one of highest, high and "
        "medium")


def test_summary(nncc):
    done = nncc("compile", "lenet.json", "-o", "a.o", "-mcpu=x86-64-v3",
                "--target=cuda", "--images=ptx")
    assert done.stderr.startswith(
        "nncc: lenet for x86-64-v3, sm_80 (ptx), sm_90a (ptx): a.o, arena ")
    report = json.loads(nncc("compile", "lenet.json", "-o", "a.o", "--json",
                             "--target=cuda:sm_80", "--device-only",
                             "--images=ptx").stdout)
    assert report["gpus"] == ["sm_80 (ptx)"] and report["cpu"] == ""
