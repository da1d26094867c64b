"""Modules and tensors with several names: values, training, checkpoints under
each of them."""
import copy

import nncc
import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

from exported import check

X, TARGET = torch.randn(8, 6, generator=torch.Generator().manual_seed(1)), \
    torch.arange(8) % 3


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.make()
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.body(x))


class Child(Base):
    """The same module under two names of one parent."""
    def make(self):
        self.own = nn.Linear(6, 6)
        self.alias = self.own

    def body(self, x):
        return self.alias(torch.tanh(self.own(x)))


class AliasFirst(Base):
    """The name that comes first is not called."""
    def make(self):
        self.alias = nn.Linear(6, 6)
        self.own = nn.Sequential(self.alias, nn.Tanh())

    def body(self, x):
        return self.own(x)


class OfSequential(Base):
    def make(self):
        self.layers = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6))
        self.norm = self.layers[1]

    def body(self, x):
        return self.norm(torch.tanh(self.layers(x)))


class InList(Base):
    def make(self):
        self.parts = nn.ModuleList([nn.Linear(6, 6), nn.BatchNorm1d(6)])
        self.first, self.parts.again = self.parts[0], self.parts[1]

    def body(self, x):
        return self.parts.again(self.first(self.parts[1](self.parts[0](x))))


class OfParameter(Base):
    def make(self):
        self.own = nn.Linear(6, 6)
        self.weight = self.own.weight
        self.scale = nn.Parameter(torch.randn(6))
        self.other = self.scale

    def body(self, x):
        return F.linear(self.own(x * self.other), self.weight) * self.scale


class OfBuffer(Base):
    """Both names of a buffer that forward changes."""
    def make(self):
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("second", self.mean)
        self.norm = nn.BatchNorm1d(6)
        self.norm.running_mean = self.mean

    def body(self, x):
        return self.norm(x) + self.second


class Whole(Base):
    """A class of the file, in two parents."""
    def make(self):
        self.inner = Child()
        self.outer = nn.Sequential(nn.Linear(3, 6), self.inner,
                                   nn.Linear(3, 6))

    def body(self, x):
        return self.outer(self.inner(x))


class Old(Base):
    """Spellings of torch.nn.utils, with a second name; has no deepcopy."""
    def make(self):
        self.own = nn.utils.weight_norm(nn.Linear(6, 6))
        self.alias = self.own

    def body(self, x):
        return self.alias(torch.tanh(self.own(x)))


KINDS = [Child, AliasFirst, OfSequential, InList, OfParameter, OfBuffer,
         Whole]


@pytest.mark.parametrize("kind", KINDS)
def test_values(kind, tmp_path):
    check(tmp_path, kind(), (X,), (X.flip(0),))


def steps(module, optimizer, count):
    module.train()
    for _ in range(count):
        optimizer.zero_grad()
        loss = F.cross_entropy(module(X), TARGET)
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("kind", [*KINDS, Old])
def test_training_goes_on(kind, tmp_path):
    """With the optimizer's state, from a checkpoint of PyTorch's names."""
    module = kind()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    steps(module, optimizer, 2)
    nncc.export(module, (X,), tmp_path, loss=F.cross_entropy,
                targets=(TARGET,), optimizer=optimizer)
    ours = nncc.compile(tmp_path, entries=("forward", "train_step"))
    saved = copy.deepcopy(module.state_dict())
    for _ in range(3):
        value = ours.train_step(X, TARGET)
    assert value == pytest.approx(steps(module, optimizer, 3), rel=1e-5)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        np.testing.assert_allclose(ours.state()[name], tensor.detach(),
                                   atol=2e-6, rtol=1e-5, err_msg=name)
    ours.load_state_dict(saved)
    module.load_state_dict(saved)
    assert torch.allclose(ours(X), module.eval()(X), atol=1e-5)
    save_file({n: t.clone() for n, t in saved.items()},
              tmp_path / "weights.safetensors")
    assert torch.allclose(nncc.compile(tmp_path)(X), module(X), atol=1e-5)


def test_names_of_one_tensor_must_agree(tmp_path):
    module = Child()
    nncc.export(module, (X,), tmp_path)
    ours = nncc.compile(tmp_path, entries=("forward", "backward"))
    state = {n: t.clone() for n, t in module.state_dict().items()}
    state["alias.bias"] += 1
    with pytest.raises(ValueError) as error:
        ours.load_state_dict(state)
    assert str(error.value) == (
        "the tensors do not fit the model:\n  own.bias and alias.bias are one "
        "tensor of the model, but differ")
    del state["own.bias"]
    ours.load_state_dict(state)
    assert np.array_equal(ours.state()["own.bias"], state["alias.bias"])
