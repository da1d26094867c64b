"""Recurrent layers, forward; their gradients are in test_gradients.py."""
import json
import subprocess

import nncc
import pytest
import torch
import torch.nn as nn
from torch.nn.utils import rnn

CPUS = ("native", "x86-64-v3", "x86-64")
KINDS = [nn.RNN, nn.LSTM, nn.GRU]

# One step is no loop, the second is the loop's first.
LENGTHS = [(nn.LSTM, 1), (nn.LSTM, 2), (nn.LSTM, 3), (nn.GRU, 4), (nn.RNN, 3)]

# What is asked for of a layer decides where the state of its loop lies.
PARTS = {
    "all": lambda y, *states: (y, *states),
    "outputs": lambda y, *states: y,
    "last output": lambda y, *states: y[-1],
    "state": lambda y, *states: states[0],
    "last state": lambda y, *states: states[-1],
    "state twice": lambda y, *states: (states[0], states[0] * 2, states[0]),
}


class Layer(nn.Module):
    def __init__(self, layer, part="all"):
        super().__init__()
        self.layer = layer
        self.part = PARTS[part]

    def forward(self, x, *states):
        if states:
            hx = states if isinstance(self.layer, nn.LSTM) else states[0]
            y, last = self.layer(x, hx)
        else:
            y, last = self.layer(x)
        return self.part(y, *last if isinstance(last, tuple) else (last,))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [
    {}, {"num_layers": 2, "bidirectional": True, "batch_first": True},
    {"bias": False}])
def test_layers(parity, kind, options):
    torch.manual_seed(0)
    parity(Layer(kind(9, 20, **options)), (torch.randn(5, 3, 9),), CPUS, (1, 2))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind, steps", LENGTHS)
def test_part(parity, kind, part, steps):
    torch.manual_seed(0)
    parity(Layer(kind(5, 6, bidirectional=part == "outputs"), part),
           (torch.randn(steps, 2, 5),))


@pytest.mark.parametrize("kind", KINDS)
def test_one_sequence(parity, kind):
    """Without a batch, and with initial states."""
    torch.manual_seed(0)
    body = kind(12, 20, num_layers=2, bidirectional=True, batch_first=True)
    states = [torch.randn(4, 20) for _ in range(1 + (kind is nn.LSTM))]
    parity(Layer(body), (torch.randn(6, 12), *states), CPUS)


class Packed(nn.Module):
    """What `lengths` means, by PyTorch."""

    def __init__(self, layer, lengths):
        super().__init__()
        self.layer, self.lengths = layer, lengths

    def forward(self, x):
        packed = rnn.pack_padded_sequence(x, self.lengths, True, False)
        y, last = self.layer(packed)
        y, _ = rnn.pad_packed_sequence(y, True, total_length=x.shape[1])
        return (y, *last) if isinstance(last, tuple) else (y, last)


@pytest.mark.parametrize("kind", KINDS)
def test_lengths(tmp_path, kind):
    """With lengths a layer is what it is on a PackedSequence, and so are its
    gradients."""
    torch.manual_seed(0)
    layer = kind(9, 20, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(4, 6, 9, requires_grad=True)
    lengths = torch.tensor([3, 6, 1, 4])
    nncc.export(Layer(layer), (x.detach(),), str(tmp_path))
    path = tmp_path / "model.json"
    file = json.loads(path.read_text())
    file["inputs"]["len"] = {"shape": [4], "dtype": "i64"}
    node, = [n for n in file["nodes"] if n.get("module") == "layer"]
    node["lengths"] = "len"
    path.write_text(json.dumps(file))
    compiled = nncc.compile(str(tmp_path), entries=("forward", "backward"))
    outputs = Packed(layer, lengths)(x)
    for ours, theirs in zip(compiled(x.detach(), lengths), outputs):
        assert torch.allclose(ours, theirs, atol=1e-6)
    cotangents = [torch.randn_like(y) for y in outputs]
    torch.autograd.backward(outputs, cotangents)
    ours = compiled.run("backward", x.detach(), lengths, *cotangents)
    for name, theirs in [("x", x), *layer.named_parameters(prefix="layer")]:
        assert torch.allclose(ours["grad." + name], theirs.grad, atol=1e-5), name


@pytest.mark.parametrize("entry", ["forward", "backward"])
def test_code_does_not_grow_with_time(tmp_path, entry):
    sizes, calls = [], []
    for steps in (5, 500):
        nncc.export(Layer(nn.LSTM(8, 16)), (torch.randn(steps, 2, 8),),
                    tmp_path)
        tool = nncc.runner.find_nncc()
        report = subprocess.run(
            [tool, "inspect", "model.json", "--entries", entry, "--json"],
            cwd=tmp_path, check=True, capture_output=True)
        found = json.loads(report.stdout)["entries"][0]
        calls.append(len(found["calls"]))
        assert max(call["times"] for call in found["calls"]) == steps
        subprocess.run([tool, "compile", "model.json", "-o", "m.o", "--entries",
                        entry], cwd=tmp_path, check=True, capture_output=True)
        sizes.append((tmp_path / "m.o").stat().st_size)
    assert calls[0] == calls[1]
    assert sizes[1] < 1.5 * sizes[0]  # kernels may be tiled in another way
