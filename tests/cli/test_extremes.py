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


def compiled(tmp_path, case, entry):
    inputs, nodes, modules = case
    path = tmp_path / "m.json"
    path.write_text(json.dumps({
        "format": "nncc-model/1", "name": "m", "nodes": nodes, "outputs": ["y"],
        "inputs": {name: {"shape": shape, "dtype": "f32"}
                   for name, shape in inputs.items()}, "modules": modules}))
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
