"""What the exporter writes, and what it refuses."""
import json

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

import nncc


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x):
        return F.relu(x + self.conv(x) * self.scale, inplace=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.register_buffer("shift", torch.randn(4, 1, 1))
        self.head = nn.Linear(4, 4)
        self.tail = nn.Linear(4, 4)
        self.tail.weight = self.head.weight

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        n, c, h, w = x.shape
        x = (x + self.shift).view(n, c, h * w).mean(2)
        x.add_(1.0)
        return self.tail(self.head(x))


def test_structure_is_kept(tmp_path):
    nncc.export(Net(), (torch.randn(2, 4, 5, 5),), tmp_path)
    model = json.loads((tmp_path / "model.json").read_text())
    assert list(model["classes"]) == ["Block"]  # equal classes are shared
    assert model["modules"]["blocks"]["modules"] == [{"type": "Block"}] * 2
    assert model["classes"]["Block"]["modules"]["conv"] == {
        "type": "nn.Conv2d", "in_channels": 4, "out_channels": 4,
        "kernel_size": 3, "padding": 1}
    assert model["tie"] == {"tail.weight": "head.weight"}
    assert model["nodes"][0] == {"name": "blocks_0", "module": "blocks.0",
                                 "inputs": ["x"]}
    ops = [n["op"] for n in model["nodes"] if "op" in n]
    assert ops == ["torch.add", "Tensor.view", "Tensor.mean", "torch.add"]
    view = [n for n in model["nodes"] if n.get("op") == "Tensor.view"][0]
    assert view["inputs"][1:] == [2, 4, 25]  # sizes are folded


def test_values(parity):
    torch.manual_seed(0)
    parity(Net(), (torch.randn(2, 4, 5, 5),))


def test_numpy_and_torch(tmp_path):
    model = Net().eval()
    x = torch.randn(2, 4, 5, 5)
    nncc.export(model, (x,), tmp_path)
    compiled = nncc.compile(tmp_path)
    assert isinstance(compiled(x), torch.Tensor)
    assert isinstance(compiled(x.numpy()), np.ndarray)
    with pytest.raises(TypeError, match="takes 1 inputs, got 2"):
        compiled(x, x)
    with pytest.raises(TypeError, match="input x must be float32"):
        compiled(x.double())
    with pytest.raises(ValueError, match="no compiled size fits"):
        compiled(x[:1])


class Unsupported(nn.Module):
    def __init__(self):
        super().__init__()
        self.odd = nn.Sequential(nn.ReLU(), nn.Fold((4, 4), 2))

    def forward(self, x):
        return torch.linalg.norm(torch.special.i0(self.odd(x)))


def test_everything_unsupported_is_named(tmp_path):
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(Unsupported(), (torch.randn(1, 4, 9),), tmp_path)
    text = str(error.value)
    assert "odd.1: nn.Fold is not supported" in text
    assert "i0" in text and "norm" in text
    assert not (tmp_path / "model.json").exists()
