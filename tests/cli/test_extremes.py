"""Numbers near the ends of what models may hold: a sentence or a compiled
object, never a signal, in entries that only lower and in gradients."""
import json
import subprocess

import pytest

from lenet_model import NNCC

HUGE = 2**63 - 1


def op(name, inputs, **arguments):
    return inputs, [{"name": "y", "op": name, "inputs": list(inputs),
                     **arguments}], {}


def conv(kind, shape, **arguments):
    module = {"type": kind, "in_channels": 2, "out_channels": 2,
              "kernel_size": 2, **arguments}
    return ({"x": shape}, [{"name": "y", "module": "c", "inputs": ["x"]}],
            {"c": module})


def chained(count, **node):
    names = ["x", *(f"v{i}" for i in range(count - 1)), "y"]
    return {"x": [2**20, 2**20]}, [
        {**node, "name": after, "inputs": [before, "x"]}
        for before, after in zip(names, names[1:])], {}


IMAGE = [1, 2, 5, 5]
SPREAD = op("F.conv_transpose1d", {"x": [3, 3, 2], "w": [3, 4099, 5]}, stride=3,
            padding=2)
ATTENTION = "F.scaled_dot_product_attention"
TAKEN = {
    "stride": conv("nn.Conv2d", IMAGE, stride=2**62),
    "longest stride": conv("nn.Conv2d", IMAGE, stride=HUGE),
    "dilation": conv("nn.Conv2d", IMAGE, kernel_size=1, dilation=HUGE),
    "spread": conv("nn.ConvTranspose2d", [1, 2, 1, 1], stride=HUGE),
    "pool": op("F.max_pool2d", {"x": IMAGE}, kernel_size=2, stride=HUGE),
    "columns of a spread convolution": SPREAD,
    "no queries": op(ATTENTION, {"q": [2, 0, 2], "k": [2, 7, 2],
                                 "v": [2, 7, 2]}),
    "no keys": op(ATTENTION, {"q": [2, 3, 2], "k": [2, 0, 2], "v": [2, 0, 2]}),
    "no depth": op(ATTENTION, {"q": [2, 3, 0], "k": [2, 7, 0], "v": [2, 7, 2]}),
    "no width": op(ATTENTION, {"q": [2, 3, 2], "k": [2, 7, 2], "v": [2, 7, 0]}),
    "products": op(ATTENTION, dict.fromkeys("qkv", [1, 2**31, 1])),
    "many products": chained(4, op="torch.matmul"),
}
WINDOWS = ("a tensor of shape [1, 1072693249, 1048576, 1024] has more than "
           "2^59 elements")
REFUSED = {
    "windows": (op("F.conv1d", {"x": [1, 1024, 2**30], "w": [1, 1024, 2**20]}),
                {"forward": "the windows of a convolution: " + WINDOWS,
                 "backward": "a gradient: " + WINDOWS}),
}


def written(tmp_path, case):
    inputs, nodes, modules = case
    path = tmp_path / "m.json"
    path.write_text(json.dumps({
        "format": "nncc-model/1", "name": "m", "nodes": nodes, "outputs": ["y"],
        "inputs": {name: {"shape": shape, "dtype": "f32"}
                   for name, shape in inputs.items()}, "modules": modules}))
    return path


def compiled(tmp_path, case, entry):
    path = written(tmp_path, case)
    return [subprocess.run([NNCC, *verb], capture_output=True, text=True,
                           timeout=120)
            for verb in (["compile", path, "-o", tmp_path / "m.o", "--entries",
                          entry], ["inspect", path])]


@pytest.mark.parametrize("entry", ["forward", "backward"])
@pytest.mark.parametrize("case", TAKEN)
def test_taken(tmp_path, case, entry):
    for run in compiled(tmp_path, TAKEN[case], entry):
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("entry", ["forward", "backward"])
@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path, case, entry):
    model, sentences = REFUSED[case]
    run = compiled(tmp_path, model, entry)[0]
    assert run.returncode == 6
    assert f"error: {sentences[entry]}\n" in run.stderr


def attention(queries, keys, depth, width):
    return op(ATTENTION, {"q": [queries, depth], "k": [keys, depth],
                          "v": [keys, width]})


# name -> (model, entry, numbers of its schedule, bytes, the schedule that is)
SCRATCH = {
    "deep": (attention(9, 9, 2**16, 1), "forward", {}, 4194712,
             "groups = 2, keys = 9, rows = 6"),
    "deep gradient": (attention(9, 9, 2**13, 2**16), "backward", {}, 4719504,
                      "block = 6, chunk = 4096, keys = 9, rows = 6"),
    "wide": (attention(9, 2000, 2, 2**17), "forward", {}, 3162184,
             "groups = 2, keys = 512, rows = 6"),
    "by hand": (attention(5000, 5000, 64, 64), "forward",
                {"keys": 2500, "groups": 1}, 2024440,
                "groups = 1, keys = 2500, rows = 6"),
    "gradient by hand": (attention(5000, 1000, 64, 64), "backward",
                         {"block": 2000, "chunk": 5000}, 7134304,
                         "block = 2000, chunk = 5000, keys = 512, rows = 6"),
}


@pytest.mark.parametrize("case", SCRATCH)
def test_too_much_scratch_memory(tmp_path, case):
    """It lies on the stack. Chosen numbers make it as little as they can; what
    a file of schedules says is held to the same limit."""
    model, entry, numbers, taken, schedule = SCRATCH[case]
    path = written(tmp_path, model)
    flags = [path, "--entries", entry, "-mcpu=x86-64-v3"]
    if numbers:
        report = json.loads(subprocess.run(
            [NNCC, "inspect", *flags, "--json"], check=True,
            capture_output=True).stdout)
        schedules = tmp_path / "s.json"
        schedules.write_text(json.dumps(
            {kernel["key"]: numbers for kernel in report["kernels"]
             if numbers.keys() <= kernel["schedule"].keys()}))
        flags.append(f"--schedules={schedules}")
    done = subprocess.run([NNCC, "compile", *flags, "-o", tmp_path / "m.o"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 6
    text = path.read_text()
    start = text.index(f'"{ATTENTION}"') + 1
    assert done.stderr.startswith(
        f"{path}:1:{start}: error: a tile of this kernel takes {taken} bytes "
        f"of scratch memory, more than 1572864; its schedule: {schedule}\n")
    assert not (tmp_path / "m.o").exists()


def test_counting_to_the_ends(tmp_path):
    """What is counted stays within 64 bits, steps on the way do not."""
    path = tmp_path / "m.json"
    path.write_text(json.dumps({
        "format": "nncc-model/1", "name": "m", "outputs": ["a", "b"],
        "inputs": {"x": {"shape": [1], "dtype": "f32"}}, "nodes": [
            {"name": "a", "op": "torch.arange", "start": -2**63,
             "end": HUGE, "step": HUGE},
            {"name": "b", "op": "torch.arange", "start": -2**63, "end": HUGE,
             "step": 2**62}]}))
    run = subprocess.run([NNCC, "run", path, "--input", "x=zeros"], check=True,
                         capture_output=True, text=True)
    for number in (-2**63, -1, HUGE - 1, -2**62, 0, 2**62):
        assert str(number) in run.stdout
