"""What forward makes of the module: parts, and second names of buffers."""
import re

import nncc
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from exported import Wrap, close

torch.manual_seed(0)
X, Y = torch.randn(4, 6), torch.randn(4, 6)


def linear():
    return nn.Linear(6, 6)


def once(make):
    def forward(m, x):
        if not hasattr(m, "late"):
            m.late = make()
        return m.late(m.layer(x))
    return forward


def always(make):
    def forward(m, x):
        m.late = make()
        return m.late(m.layer(x))
    return forward


def parameter(m, x):
    if not hasattr(m, "late"):
        m.late = nn.Parameter(torch.ones(6))
    return m.layer(x) * m.late


@pytest.mark.parametrize("how", [once, always])
@pytest.mark.parametrize("make", [nn.ReLU, lambda: nn.LayerNorm(
    6, elementwise_affine=False)])
def test_parts_that_are_as_good_as_functions(tmp_path, how, make, capfd):
    module = Wrap(how(make), layer=linear())
    nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,),
                optimizer=torch.optim.SGD(module.parameters(), lr=0.1))
    assert "checked" not in capfd.readouterr().err
    assert not hasattr(module, "late")
    torch.testing.assert_close(nncc.compile(tmp_path)(Y), module(Y))


MODE = "module late, which has a state or a mode"
PARTS = {
    "parameters": ("parameter late.weight", once(lambda: nn.LayerNorm(6))),
    "a parameter": ("parameter late", parameter),
    "a mode": (MODE, once(nn.Dropout)),
    "buffers": (MODE, once(lambda: nn.Sequential(
        nn.ReLU(), nn.BatchNorm1d(6, affine=False)))),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_that_are_of_the_model(tmp_path, name):
    what, function = PARTS[name]
    module = Wrap(function, layer=linear())
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(module, (X,), tmp_path)
    assert str(error.value) == (
        f"forward makes the {what}: do that in __init__, or call the module "
        "once before export")
    module(X)
    module.eval()
    nncc.export(module, (X,), tmp_path)
    torch.testing.assert_close(nncc.compile(tmp_path)(Y), module(Y))


class Two(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.layer, self.change = linear(), change
        self.register_buffer("p", torch.zeros(6))
        self.register_buffer("q", torch.ones(6))

    def forward(self, x):
        y = self.layer(x) + self.p - 2 * self.q
        if self.training:
            self.change(self, x.mean(0))
        return y + self.p * self.q


def both(m, x):
    m.p = m.q = m.q + x


def old(m, x):
    m.p = m.q


def changed(m, x):
    m.q = x * 2
    m.p = m.q
    m.q.add_(1)


def exchanged(m, x):
    m.p, m.q = m.q, m.p
    m.q.add_(x)


@pytest.mark.parametrize("change", [both, old, changed, exchanged])
def test_two_names_of_a_buffer(tmp_path, change):
    module = Two(change)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,),
                optimizer=optimizer)
    compiled = nncc.compile(tmp_path, entries=("train_step",))
    for x in (X, Y, X):
        optimizer.zero_grad()
        right = F.mse_loss(module(x), Y)
        right.backward()
        optimizer.step()
        close(compiled.train_step(x, Y), right)
    for name in ("p", "q"):
        close(compiled.state()[name], getattr(module, name), name)


def first(m, x):
    m.p = m.q
    m.q.add_(1)


def later(m, x):
    m.q.mul_(0.5)
    m.p = m.q = m.q + x


@pytest.mark.parametrize("change", [first, later])
def test_two_names_of_a_buffer_that_is_changed(tmp_path, change):
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(Two(change), (X,), tmp_path, loss=F.mse_loss, targets=(Y,))
    assert re.sub(r"\w+\.py:\d+", "FILE", str(error.value)) == (
        "p shares memory with q after forward, so that what changes one "
        "changes both, which a compiled step does not (FILE): assign a clone")


class Alternates(Two):
    def forward(self, x):
        y = self.layer(x) + self.p - 2 * self.q
        if self.training:
            self.change.append(self.q)
            self.p = self.q if len(self.change) % 2 else self.r
        return y


def test_a_buffer_that_becomes_now_one_now_the_other(tmp_path):
    module = Alternates([])
    module.register_buffer("r", torch.full((6,), 3.))
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,))
    assert str(error.value) == (
        "the buffer p is changed in another way when forward runs again on "
        "other values: what Python computes, draws or keeps between calls "
        "would be frozen in the model")
