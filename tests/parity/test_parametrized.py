"""Parametrized tensors, tied tensors, functional norms."""
import copy
import json
import re

import nncc
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch.nn.utils import parametrizations, prune, rnn

from exported import check


class Wrap(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


def masked(layer):
    mask = torch.rand_like(layer.weight) > 0.5
    return prune.custom_from_mask(layer, "weight", mask)


IMAGE, ROW = (2, 6, 9, 11), (5, 20)
LAYERS = {
    "weight_norm": (lambda: nn.utils.weight_norm(nn.Linear(20, 40)), ROW),
    "weight_norm_new": (lambda: parametrizations.weight_norm(
        nn.Conv2d(6, 8, 3)), IMAGE),
    "weight_norm_dim": (lambda: parametrizations.weight_norm(
        nn.Conv2d(6, 8, 3), dim=1), IMAGE),
    "weight_norm_all": (lambda: nn.utils.weight_norm(
        nn.Linear(20, 40), dim=None), ROW),
    "spectral_norm": (lambda: nn.utils.spectral_norm(nn.Linear(20, 40)), ROW),
    "spectral_norm_new": (lambda: parametrizations.spectral_norm(
        nn.ConvTranspose2d(6, 8, 3)), IMAGE),
    "prune": (lambda: masked(nn.Conv2d(6, 8, 3)), IMAGE),
}


@pytest.mark.parametrize("name", LAYERS)
def test_parametrized(parity, name):
    torch.manual_seed(0)
    layer, shape = LAYERS[name]
    parity(Wrap(layer()), (torch.randn(*shape),))


@pytest.mark.parametrize("make", [
    lambda: nn.utils.weight_norm(nn.Linear(20, 40)),
    lambda: parametrizations.weight_norm(nn.Linear(20, 40))])
def test_both_spellings(tmp_path, make):
    """A model of one spelling takes weights of the other."""
    torch.manual_seed(0)
    model, x = Wrap(make()).eval(), torch.randn(5, 20)
    nncc.export(model, (x,), str(tmp_path))
    path = tmp_path / "weights.safetensors"
    swapped = {}
    for name, tensor in load_file(path).items():
        for old, new in (("weight_g", "parametrizations.weight.original0"),
                         ("weight_v", "parametrizations.weight.original1")):
            if name.endswith(old):
                name = name.replace(old, new)
            elif name.endswith(new):
                name = name.replace(new, old)
        swapped[name] = tensor
    assert swapped.keys() != load_file(path).keys()
    save_file(swapped, path)
    y = nncc.compile(str(tmp_path))(x)
    assert torch.allclose(y, model(x), atol=1e-6)


class Own(nn.Module):
    """A weight that no module of torch.nn has."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*shape))

    def forward(self, x):
        return x @ self.weight if self.weight.dim() > 1 else x * self.weight


class Reads(Wrap):
    """The weight of a layer that it calls, too."""

    def forward(self, x):
        return F.linear(x, self.layer.weight) + self.layer(x)


NORMED = {
    "old": lambda: nn.utils.weight_norm(Own(6, 6)),
    "new": lambda: parametrizations.weight_norm(Own(6, 6)),
    "another dim": lambda: parametrizations.weight_norm(Own(6, 6), dim=1),
    "all": lambda: parametrizations.weight_norm(Own(6, 6), dim=None),
    "a vector": lambda: parametrizations.weight_norm(Own(6)),
    "read": lambda: Reads(parametrizations.weight_norm(nn.Linear(6, 6))),
    "read, all": lambda: Reads(parametrizations.weight_norm(
        nn.Linear(6, 6), dim=None)),
}


@pytest.mark.parametrize("name", NORMED)
def test_weight_norm_of_any_weight(tmp_path, name):
    torch.manual_seed(0)
    module, x = nn.Sequential(NORMED[name]()), torch.randn(4, 6)
    if name != "old":  # which has no deepcopy
        check(tmp_path, module, (x,), (x * 2,))
    nncc.export(module, (x,), tmp_path)  # which compares, too


def test_weight_norm_of_a_recurrent_layer(tmp_path):
    """A gradient that cancels is held against f64."""
    torch.manual_seed(0)
    layer = nn.utils.weight_norm(nn.LSTM(6, 6), "weight_hh_l0")
    nncc.export(Wrap(layer), (torch.randn(4, 6),), tmp_path)


HALF_NORMS = {
    "weight_norm": parametrizations.weight_norm,
    "weight_norm_all": lambda layer: parametrizations.weight_norm(
        layer, dim=None),
    "weight_norm_read": lambda layer: Reads(parametrizations.weight_norm(
        layer)),
    "spectral_norm": parametrizations.spectral_norm,
}


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", HALF_NORMS)
def test_norms_of_halves(tmp_path, name, half):
    """Squares of these weights do not fit f16; a norm is taken in f32."""
    torch.manual_seed(0)
    layer = nn.Linear(300, 7)
    layer.weight.data *= 20000
    module = Wrap(HALF_NORMS[name](layer)).to(half).eval()
    x = torch.randn(5, 300).to(half)
    exact = copy.deepcopy(module).double()(x.double())
    nncc.export(module, (x,), tmp_path)
    ours = torch.as_tensor(nncc.compile(tmp_path)(x)).double()
    assert (ours - exact).norm() <= 1.1 * (module(x) - exact).norm()


REMOVE = (": remove the parametrization before export "
          "(torch.nn.utils.parametrize.remove_parametrizations); a "
          "spectral_norm may stay on a layer of torch.nn that is called "
          "itself")
REMOVE_OLD = (": remove the norm before export "
              "(torch.nn.utils.remove_spectral_norm), or have it on a layer of "
              "torch.nn that is called itself")


@pytest.mark.parametrize("make,lines", [
    (lambda: parametrizations.spectral_norm(Own(6, 6)), [
        "torch.mv is not supported in 0.parametrizations.weight.0 (FILE)"
        + REMOVE, "torch.vdot is not supported in 0.parametrizations.weight.0 "
        "(FILE)" + REMOVE]),
    (lambda: nn.utils.spectral_norm(Own(6, 6)), [
        "torch.mv is not supported in 0" + REMOVE_OLD,
        "torch.dot is not supported in 0" + REMOVE_OLD]),
    (lambda: parametrizations.orthogonal(
        nn.Linear(6, 6), orthogonal_map="cayley"), [
        "Tensor.tril is not supported in 0.parametrizations.weight.0" + REMOVE,
        "torch.linalg.solve is not supported in 0.parametrizations.weight.0"
        + REMOVE]),
    (lambda: Packed(nn.LSTM(6, 6)), [
        "torch._pack_padded_sequence is not supported in 0 (FILE): give padded "
        "sequences and their lengths, and compute with masks"])])
def test_what_helpers_of_torch_call(tmp_path, make, lines):
    torch.manual_seed(0)
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(nn.Sequential(make()), (torch.randn(4, 6),), tmp_path)
    said = re.sub(r"\w+\.py:\d+", "FILE", str(error.value))
    assert said.splitlines() == lines


class Packed(Wrap):
    def forward(self, x):
        return self.layer(rnn.pack_padded_sequence(x[:, None], [4]))[0].data


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8, bias=False)
        self.second = nn.Linear(8, 8, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def test_tied_names(tmp_path):
    """A weights file may name either of two tied tensors, or both."""
    model, x = Tied().eval(), torch.randn(3, 8)
    nncc.export(model, (x,), str(tmp_path))
    path, weight = tmp_path / "weights.safetensors", model.first.weight.detach()
    for names in (["first"], ["second"], ["first", "second"]):
        save_file({f"{n}.weight": weight.clone() for n in names}, path)
        y = nncc.compile(str(tmp_path))(x)
        assert torch.allclose(y, model(x), atol=1e-6)
    save_file({"first.weight": weight.clone(), "second.weight": weight + 1},
              path)
    with pytest.raises(RuntimeError) as error:
        nncc.compile(str(tmp_path))
    assert ("first.weight and second.weight are one tensor of the model, but "
            "differ") in str(error.value)


class Functional(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.randn(6))
        self.register_buffer("var", torch.rand(6) + 0.5)
        self.weight = nn.Parameter(torch.randn(6))
        self.register_buffer("rows", torch.tensor([[2, -1], [0, 5]]))

    def forward(self, x):
        return self.body(self, x)


BODIES = {
    "batch_norm": lambda m, x: F.batch_norm(x, m.mean, m.var, m.weight,
                                            training=m.training),
    "batch_norm_of_batch": lambda m, x: F.batch_norm(x, None, None, m.weight,
                                                     training=True),
    "dropout": lambda m, x: F.dropout(x, 0.3, m.training) * m.weight[0],
    "tensor_index": lambda m, x: x[:, m.rows] * m.weight[0],
    "tensor_index_last": lambda m, x: x[..., m.rows, :] + m.weight[0],
}


@pytest.mark.parametrize("name", BODIES)
def test_functional(parity, name):
    torch.manual_seed(0)
    parity(Functional(BODIES[name]), (torch.randn(2, 6, 9, 11),))


def test_batch_statistics(parity):
    parity(Wrap(nn.BatchNorm2d(6, track_running_stats=False)),
           (torch.randn(2, 6, 9, 11),))


@pytest.mark.parametrize("model,shape", [
    (nn.Linear(20, 4), ROW),
    (nn.Sequential(nn.Linear(20, 4), nn.ReLU()), ROW)])
def test_plain_modules_as_models(parity, model, shape):
    torch.manual_seed(0)
    parity(model, (torch.randn(*shape),))
