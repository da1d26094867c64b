"""--max-arena: values made again instead of kept."""
import json
import re
import subprocess

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lenet_model import NNCC

LAYERS = 6


def write(folder, shape, modules, nodes, weights):
    """A model of input x whose output is the last node."""
    (folder / "m.json").write_text(json.dumps({
        "format": "nncc-model/1", "name": "deep",
        "inputs": {"x": {"shape": shape, "dtype": "f32"}},
        "modules": modules, "nodes": nodes, "outputs": [nodes[-1]["name"]]}))
    save_file(weights, folder / "w.safetensors")
    return folder


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    nodes, modules, weights, value = [], {}, {}, "x"
    for i in range(LAYERS):
        modules[f"fc{i}"] = {"type": "nn.Linear", "in_features": 64,
                             "out_features": 64}
        weights[f"fc{i}.weight"] = random.normal(0, 0.1, (64, 64)).astype("f4")
        weights[f"fc{i}.bias"] = random.normal(0, 0.1, 64).astype("f4")
        nodes += [{"name": f"a{i}", "module": f"fc{i}", "inputs": [value]},
                  {"name": f"b{i}", "op": "F.relu", "inputs": [f"a{i}"]},
                  {"name": f"c{i}", "op": "torch.mul",
                   "inputs": [f"b{i}", f"b{i}"]},
                  {"name": f"d{i}", "op": "torch.add",
                   "inputs": [f"c{i}", f"a{i}"]}]
        value = f"d{i}"
    return write(tmp_path, [128, 64], modules, nodes, weights)


def nncc(folder, *arguments, code=0):
    done = subprocess.run([NNCC, *arguments], cwd=folder, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def convolutions(tmp_path):
    """Values that only products and costly functions give."""
    random = np.random.default_rng(0)
    nodes, modules, weights, value = [], {}, {}, "x"
    for i in range(LAYERS):
        modules[f"conv{i}"] = {"type": "nn.Conv2d", "in_channels": 8,
                               "out_channels": 8, "kernel_size": 3,
                               "padding": 1}
        modules[f"bn{i}"] = {"type": "nn.BatchNorm2d", "num_features": 8}
        weights[f"conv{i}.weight"] = random.normal(0, 0.1, (8, 8, 3, 3))
        for name in ("conv{}.bias", "bn{}.weight", "bn{}.bias",
                     "bn{}.running_mean"):
            weights[name.format(i)] = random.normal(0, 0.1, 8)
        weights[f"bn{i}.running_var"] = np.ones(8)
        nodes += [{"name": f"a{i}", "module": f"conv{i}", "inputs": [value]},
                  {"name": f"b{i}", "module": f"bn{i}", "inputs": [f"a{i}"]},
                  {"name": f"d{i}", "op": "torch.tanh", "inputs": [f"b{i}"]}]
        value = f"d{i}"
    weights = {k: v.astype("f4") for k, v in weights.items()}
    for i in range(LAYERS):
        weights[f"bn{i}.num_batches_tracked"] = np.array(0)
    return write(tmp_path, [2, 8, 32, 32], modules, nodes, weights)


def fits_least(folder, share):
    """The least arena is at most that share of the free one's, and gives the
    same bits."""
    def backward(name, *flags):
        nncc(folder, "run", "m.json", "--weights", "w.safetensors", "--input",
             "x=random:normal", "--input", f"grad.d{LAYERS - 1}=random:normal",
             "--entry", "backward", "--outputs", name, *flags)
        return load_file(folder / name)

    def report(*flags):
        return json.loads(nncc(folder, "inspect", "m.json", "--entries",
                               "backward", "--json", *flags).stdout)[
                                   "entries"][0]
    free = report()
    assert not any(c["recomputed"] for c in free["calls"])
    # The smallest that can be had is what the refusal names.
    error = nncc(folder, "compile", "m.json", "--entries", "backward", "-o",
                 "m.o", "--max-arena", "1KiB", code=6).stderr
    least = int(re.fullmatch(
        r"nncc: the arena of backward takes (\d+) bytes at least, --max-arena "
        r"allows 1024\n", error)[1])
    assert least < share * free["arena_bytes"]
    tight = report("--max-arena", str(least))
    assert tight["arena_bytes"] == least
    assert any(c["recomputed"] for c in tight["calls"])
    assert len(tight["calls"]) > len(free["calls"])
    text = nncc(folder, "inspect", "m.json", "--entries", "backward",
                "--max-arena", str(least)).stdout
    assert "; computed again\n" in text
    assert re.search(r"; keeps \d+ bytes for \d+ calls\n", text)
    expected = backward("a.safetensors")
    got = backward("b.safetensors", "--max-arena", str(least))
    assert all(np.array_equal(expected[k], got[k]) for k in expected)


def test_recomputing_elementwise(folder):
    fits_least(folder, 0.9)


def test_recomputing_products(convolutions):
    fits_least(convolutions, 0.6)


def test_training_in_less_memory(convolutions):
    """Recomputing reads weights before the step changes them."""
    folder = convolutions
    model = json.loads((folder / "m.json").read_text())
    model["training"] = {
        "inputs": {"t": {"shape": [2, 8, 32, 32], "dtype": "f32"}},
        "nodes": [{"name": "loss", "op": "F.mse_loss",
                   "inputs": [f"d{LAYERS - 1}", "t"]}],
        "loss": "loss", "optimizer": {"type": "optim.SGD", "lr": 0.1}}
    (folder / "m.json").write_text(json.dumps(model))
    random = np.random.default_rng(1)
    save_file({n: random.normal(size=(6, 8, 32, 32)).astype("f4")
               for n in ("x", "t")}, folder / "data.safetensors")

    def train(name, *flags):
        nncc(folder, "train", "m.json", "--weights", "w.safetensors", "--data",
             "data.safetensors", "--epochs", "2", "--checkpoint", name, *flags)
        return load_file(folder / name)
    error = nncc(folder, "compile", "m.json", "--entries", "train_step", "-o",
                 "m.o", "--max-arena", "1KiB", code=6).stderr
    least = re.search(r"takes (\d+) bytes", error)[1]
    expected, got = train("a"), train("b", "--max-arena", least)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[k], got[k]) for k in expected)


def test_wrong_size(folder):
    assert "--max-arena" in nncc(folder, "compile", "m.json", "-o", "m.o",
                                 "--max-arena", "much", code=2).stderr
