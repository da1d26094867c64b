"""Modules that are not what their type says, and state in odd places."""
import collections
import functools
import json

import nncc
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.utils.parametrize as parametrize
from safetensors.torch import load_file

from exported import Wrap, check

torch.manual_seed(0)
X, Y = torch.randn(4, 6), torch.randn(4, 6)


def linear():
    return nn.Linear(6, 6)


def with_hooks():
    module = nn.Sequential(linear(), nn.ReLU())
    module[0].register_forward_hook(lambda m, args, out: out * 2)
    module[0].register_forward_hook(lambda m, args, kwargs, out: out + 1,
                                    with_kwargs=True)
    module[1].register_forward_pre_hook(lambda m, args: (args[0] - 1,))
    module.register_forward_hook(lambda m, args, out: {"y": out, "x": args[0]})
    return module


class Doubling(nn.Linear):
    """A __call__ of its own."""

    def __call__(self, x):
        return super().__call__(x) * 2


class Positive(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight.abs(), self.bias)


class PaddedEmbedding(nn.Embedding):
    def forward(self, x):
        return super().forward(x) * 2


def replaced_forward():
    module = nn.Sequential(linear(), nn.ReLU())
    module[0].forward = lambda x: F.linear(x, torch.ones(6, 6)) * 2
    return module


def tensor_as_weight():
    layer = linear()
    del layer.weight
    layer.weight = torch.randn(6, 6)
    return nn.Sequential(layer, nn.ReLU())


def other_shape():
    layer = linear()
    layer.weight = nn.Parameter(torch.randn(3, 6))
    layer.bias = nn.Parameter(torch.randn(3))
    return nn.Sequential(layer, nn.ReLU())


def adapter():
    layer = linear()
    layer.lora = nn.Parameter(torch.randn(6, 6))
    return Wrap(lambda m, x: m.layer(x) + x @ m.layer.lora, layer=layer)


class Symmetric(nn.Module):
    def forward(self, x):
        return x + x.transpose(0, 1)


def parametrized():
    layer = linear()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(layer, nn.ReLU())


class Uses(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x) * 2


class Refers(nn.Module):
    """Calls a module that is registered elsewhere."""

    def __init__(self, layer):
        super().__init__()
        self.layers = [layer]

    def forward(self, x):
        return self.layers[0](x) * 2


def shared_three_times():
    layer = linear()
    return Wrap(lambda m, x: m.b(m.a(x)) + m.layer(x), a=Uses(layer),
                b=Uses(layer), layer=layer)


def registered_elsewhere():
    layer = linear()
    return Wrap(lambda m, x: m.a(x) + m.layer(x), a=Refers(layer),
                layer=layer)


class Head(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, x):
        return x @ self.weight.t()


def tied():
    table = nn.Embedding(6, 6)
    return Wrap(lambda m, x: m.head(m.table(torch.tensor([0, 1, 2, 3])) + x),
                table=table, head=Head(table.weight))


class Parts(nn.Module):
    """Never called: its state is read, its methods are."""

    def __init__(self):
        super().__init__()
        self.layer, self.unused = linear(), nn.GroupNorm(2, 6)
        self.scale = nn.Parameter(torch.randn(6))
        self.register_buffer("shift", torch.randn(6), persistent=False)

    def encode(self, x):
        return self.layer(x) * self.scale


class Rows(nn.ModuleDict):
    def forward(self, x):
        for layer in self.values():
            x = layer(x)
        return x


class Pairs(nn.Module):
    def forward(self, x):
        return x, x * 2


class Sums(nn.Module):
    def forward(self, pair):
        return pair[0] + pair[1]


class Recursive(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = linear()

    def forward(self, x, depth=2):
        return self.layer(x) if depth == 0 else \
            self(x, depth - 1) + self.layer(x)


class Constants(nn.Module):
    """Plain attributes, one of them in a list."""

    def __init__(self):
        super().__init__()
        self.layer, self.scale = linear(), torch.randn(6)
        self.shifts = [torch.randn(6), torch.randn(6)]

    def forward(self, x):
        return self.layer(x) * self.scale + self.shifts[1]


class Attention(nn.Module):
    """Leaves a value behind that others read."""

    def __init__(self):
        super().__init__()
        self.layer = linear()

    def forward(self, x):
        self.weights = self.layer(x).softmax(1)
        return self.weights * 2


def side_channel(module, x):
    y = module.part(x)
    return y + module.part.weights


class Doubled(nn.Module):
    """Changes its argument in place."""

    def forward(self, x):
        x.mul_(2)
        return x + 1


def changed_by_a_part(module, x):
    y = module.layer(x)
    z = module.part(y)
    return y + z


GLOBAL = torch.randn(6)


def constants_of_forward(module, x, shift=GLOBAL):
    mask = torch.zeros(6)
    mask[2:] = 1
    table = torch.zeros(2, 3)
    table.view(-1).add_(1)
    table[0].fill_(3)
    return (x * torch.linspace(0, 1, 6) + torch.eye(6)[2] + mask
            + table.reshape(6) + shift + torch.Tensor([1, 2, 3, 4, 5, 6])
            + torch.tril(torch.ones(6, 6))[1] + x.new_full((6,), 2))


def branch_on_constants(module, x):
    positions = torch.arange(6)
    if (torch.diff(positions) != 1).any():
        return x
    return x * positions[:int(positions.max()) + 1]


def spellings(module, x):
    w = module.w
    return (torch.mm(x, w.t()) + x @ w.T + x @ w.mT
            + torch.concatenate([x, x])[:4] + x.swapaxes(0, 1).T
            + x[0].expand_as(x) + x.view_as(x) + x.type_as(x)
            + x.double().float() + x.to(x.device) + x.to(torch.float64).to(x)
            + (x > 0).long() + (x > 0).int().type(torch.float32)
            + x[:, [0, 1, 2, 2, 1, 0]] + w.data[0] + torch.arctan(x)
            + torch.special.expit(x) + torch.special.expm1(x) + x.clip(-1, 1)
            + x[:, torch.arange(12)[[True, False] * 6] >= 0]
            + x[:, [True] * 3 + [False] * 3].sum()
            + torch.polar(w.data.new_ones(6), torch.ones(6)).imag)


def second_names(module, x):
    """Aliases in the registry; in place they keep the receiver's type."""
    wide, y = x.double().abs() + 1, module.w[0] + x
    y = y.multiply_(wide).subtract_(wide, alpha=2).true_divide_(wide)
    y = y.divide_(wide).clip_(-1, 1).absolute_().negative_()
    flags = x.clone().greater_equal_(0) + torch.less(x, y).float()
    return (y + flags.not_equal_(1) + torch.swapaxes(x, axis0=0, axis1=1).T
            + x.clone().swapdims_(dim0=0, dim1=1).t()
            + torch.rsub(x, y, alpha=2)
            + torch.concatenate([x, x], axis=0)[:4]
            + torch.stack([x, y], axis=1).mean(axis=1)
            + x.unsqueeze(axis=0).squeeze(axis=0)
            + torch.unbind(x[None], axis=0)[0].softmax(axis=1)
            + x.amax(axis=0, keepdims=True)
            + torch.arcsinh(x) + torch.dsmm(y, module.w.t()))


def operators(module, x):
    i = (4 * x).to(torch.int64)
    inside = (x > -1) & (x < 1) | (x > 2) ^ (x > 3)
    y = i << 1
    y <<= 2
    y |= 1
    y ^= i
    z = x // 0.7 + 3 // (x.abs() + 1)
    z //= 0.3
    z %= 5
    z += torch.div(x, 0.3, rounding_mode="floor") + torch.rsub(x, 2, alpha=3)
    return (y >> 1, 64 >> i.abs(), 2 << i.abs(), 7 & i, 7 | i, 7 ^ i, ~i,
            ~inside, z + x % 0.7 + 3 % (x.abs() + 1),
            torch.where(inside, x, float("-inf")).softmax(1),
            torch.full((6,), float("inf")) * x, x.clamp(float("-inf"), 1.),
            torch.cat([x, x], axis=1), x.sum(axis=1, keepdims=True))


def makers(module, x):
    y, f64 = module.layer(input=x), torch.float64
    return (y + x.new_tensor([1., 2, 3, 4, 5, 6]), y * y.new_tensor(x[0]),
            y + x.new_tensor([1, 2, 3, 4, 5, 6], dtype=torch.int64),
            y.double() + torch.tensor(y, dtype=f64),
            y.double() + torch.as_tensor(y, dtype=f64),
            y.double() + torch.asarray(y, dtype=f64),
            torch.as_tensor(data=y) + torch.tensor(data=[1., 2, 3, 4, 5, 6]),
            torch.full_like(input=x, fill_value=2.) + y,
            x.new_full(size=(6,), fill_value=2.) + y,
            (x * 1).fill_(value=2.) * y, torch.zeros(4, 6).fill_(y.sum()),
            torch.empty(4, 6, dtype=f64).copy_(y[0]), torch.clone(input=y),
            torch.transpose(input=y, dim0=0, dim1=1), torch.relu(input=y))


def with_views_of_itself(module, x):
    y, z = module.layer(x) * 1, module.layer(x) * 2
    y.add_(y.detach())
    y += y.view(4, 6)
    z.sub_(z[:1].clone())
    z.mul_(2)
    return y + z


def nothing_reads_them(module, x):
    torch.linalg.svd(x)
    (torch.cumprod(x, 1) != 1).all()
    return x * 2


MODULES = {
    "own __call__": lambda: nn.Sequential(Doubling(6, 6)),
    "own forward": lambda: nn.Sequential(Positive(6, 6)),
    "replaced forward": replaced_forward,
    "tensor as weight": tensor_as_weight,
    "other shape": other_shape,
    "more parameters": adapter,
    "parametrization": parametrized,
    "functional_call": lambda: Wrap(
        lambda m, x: torch.func.functional_call(
            m.a, {"weight": m.a.weight * 2, "bias": m.a.bias}, (x,)),
        a=linear()),
    "torch.compile": lambda: Wrap(lambda m, x: m.a(x),
                                  a=torch.compile(linear())),
    "DataParallel": lambda: nn.DataParallel(linear()),
    "shared": shared_three_times,
    "registered elsewhere": registered_elsewhere,
    "not registered": lambda: Wrap(
        lambda m, x: m.acts[0](m.a(x)) + nn.Tanh()(x), a=linear(),
        acts=[nn.ReLU()]),
    "tied": tied,
    "never called": lambda: Wrap(
        lambda m, x: F.linear(x, m.parts.layer.weight) * m.parts.shift
        + m.parts.encode(x) + m.parts.scale, parts=Parts()),
    "lists of parameters": lambda: Wrap(
        lambda m, x: x * m.list[1] + m.dict["k"] + m.list[0],
        list=nn.ParameterList([torch.randn(6), torch.randn(6)]),
        dict=nn.ParameterDict({"k": torch.randn(6)})),
    "container with a forward": lambda: Wrap(
        lambda m, x: m.rows(x), rows=Rows({"a": linear(), "b": linear()})),
    "slices": lambda: Wrap(lambda m, x: m.f[:2](x) + m.f[1:](x),
                           f=nn.Sequential(linear(), nn.ReLU(), linear())),
    "nested and empty": lambda: nn.Sequential(
        nn.Sequential(linear(), Uses(linear())), nn.Sequential(),
        nn.Sequential(collections.OrderedDict(a=linear()))),
    "tuples along a Sequential": lambda: nn.Sequential(linear(), Pairs(),
                                                       Sums()),
    "calls itself": lambda: Wrap(lambda m, x: m.part(x), part=Recursive()),
    "the model calls itself": Recursive,
    "plain attributes": lambda: nn.Sequential(Constants(), Constants()),
    "side channel": lambda: Wrap(side_channel, part=Attention()),
    "in place in a part": lambda: Wrap(changed_by_a_part, layer=linear(),
                                       part=Doubled()),
    "constants": lambda: Wrap(constants_of_forward),
    "branch on constants": lambda: Wrap(branch_on_constants),
    "spellings": lambda: Wrap(spellings, w=nn.Parameter(torch.randn(6, 6))),
    "second names": lambda: Wrap(second_names,
                                 w=nn.Parameter(torch.randn(6, 6))),
    "operators": lambda: Wrap(operators),
    "views of itself": lambda: Wrap(with_views_of_itself, layer=linear()),
    "makers": lambda: Wrap(makers, layer=linear()),
    "unused": lambda: Wrap(nothing_reads_them),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(tmp_path, name):
    torch.manual_seed(0)
    check(tmp_path, MODULES[name](), (X,), (Y,))


def test_hooks(tmp_path):
    torch.manual_seed(0)
    check(tmp_path, with_hooks(), (X,), (Y,))


def test_global_hook(tmp_path):
    hook = nn.modules.module.register_module_forward_hook(
        lambda m, args, out: out * 2 if isinstance(m, nn.Linear) else None)
    try:
        check(tmp_path, nn.Sequential(linear(), nn.ReLU()), (X,), (Y,))
    finally:
        hook.remove()


def test_patched_class(tmp_path):
    original = nn.Linear.forward
    nn.Linear.forward = lambda self, x: original(self, x) * 2
    try:
        check(tmp_path, nn.Sequential(linear(), nn.ReLU()), (X,), (Y,))
    finally:
        nn.Linear.forward = original


def circular(self, x, weight, bias):
    return F.conv1d(torch.cat([x[..., -1:], x, x[..., :1]], -1), weight, bias)


def doubled_call(self, *args, _original=nn.Module.__call__):
    y = _original(self, *args)
    return y * 2 if isinstance(self, nn.Linear) else y


class Twice:
    """Neither a function nor of torch."""

    def __init__(self, function):
        self.function = function

    def __call__(self, x, *args, **kwargs):
        return self.function(x * 2, *args, **kwargs)


def wrapping(function):
    @functools.wraps(function)
    def replacement(x, *args):
        return function(x * 2, *args)
    return replacement


CONV = torch.randn(2, 2, 6)
PATCHES = {
    "a method that forward calls": (
        nn.Conv1d, "_conv_forward", circular,
        lambda: nn.Sequential(nn.Conv1d(2, 2, 3)), CONV),
    "a function": (F, "gelu", lambda x, approximate="none": x.relu() * 2,
                   lambda: nn.Sequential(linear(), nn.GELU()), X),
    "a function by another of torch": (
        F, "silu", F.relu, lambda: nn.Sequential(linear(), nn.SiLU()), X),
    "an object": (F, "relu", Twice(F.relu),
                  lambda: nn.Sequential(linear(), nn.ReLU()), X),
    "a partial function": (
        F, "linear", functools.partial(lambda old, x, *args: old(x * 2, *args),
                                       F.linear),
        lambda: nn.Sequential(linear()), X),
    "a function that says to be torch's": (
        F, "linear", wrapping(F.linear), lambda: nn.Sequential(linear()), X),
    "a partial method": (
        nn.Linear, "forward", functools.partialmethod(
            lambda self, k, x: F.linear(x * k, self.weight), 2),
        lambda: nn.Sequential(linear()), X),
    "a partial method that forward calls": (
        nn.Conv1d, "_conv_forward", functools.partialmethod(circular),
        lambda: nn.Sequential(nn.Conv1d(2, 2, 3)), CONV),
    "an object that forward calls": (
        nn.Conv1d, "_conv_forward", Twice(lambda x, w, b: F.conv1d(x, w, b)),
        lambda: nn.Sequential(nn.Conv1d(2, 2, 3)), CONV),
    "calls of modules": (nn.Module, "__call__", doubled_call,
                         lambda: nn.Sequential(linear(), nn.Tanh()), X),
}


@pytest.mark.parametrize("name", PATCHES)
def test_patches(tmp_path, name, monkeypatch):
    owner, attribute, replacement, make, x = PATCHES[name]
    torch.manual_seed(0)
    module = make()
    monkeypatch.setattr(owner, attribute, replacement)
    check(tmp_path, module, (x,), (x * 2,))


def test_patched_method_of_one_module(tmp_path):
    module = nn.Sequential(nn.Conv1d(2, 2, 3), nn.Conv1d(2, 2, 3))
    module[0]._conv_forward = functools.partial(circular, None)
    check(tmp_path, module, (CONV,), (CONV * 2,))
    model = json.loads((tmp_path / "model.json").read_text())
    assert model["nodes"][-1]["module"] == "1"


@torch.compile
def compiled_function(x):
    return x * torch.sigmoid(x)


def test_compiled_function(tmp_path):
    check(tmp_path, Wrap(lambda m, x: compiled_function(m.a(x)), a=linear()),
          (X,), (Y,))


def test_embedding_of_its_own(tmp_path):
    check(tmp_path, nn.Sequential(PaddedEmbedding(6, 4, padding_idx=0)),
          (torch.tensor([1, 2]),), (torch.tensor([5, 1]),))


@pytest.mark.parametrize("name", ["never called", "plain attributes", "tied",
                                  "more parameters"])
def test_both_files_have_the_same_state(tmp_path, name):
    """`run` refuses weights that the model does not declare."""
    nncc.export(MODULES[name](), (X,), tmp_path)
    done = nncc.compile(tmp_path)  # loads them
    declared = set(done.state()) if hasattr(done, "state") else set()
    assert load_file(tmp_path / "weights.safetensors")
    assert declared is not None


def test_second_names_become_the_first(tmp_path):
    nncc.export(Wrap(lambda m, x: torch.swapaxes(x.clip(0, 1), 0, 1).absolute()
                     + torch.rsub(torch.special.expit(x), 1).T), (X,), tmp_path)
    model = json.loads((tmp_path / "model.json").read_text())
    assert [node["op"] for node in model["nodes"]] == [
        "Tensor.clamp", "torch.transpose", "Tensor.abs", "F.sigmoid",
        "torch.sub", "Tensor.permute", "torch.add"]


def test_one_class_for_equal_calls(tmp_path):
    nncc.export(Wrap(lambda m, x: m.a(m.a(x)) + m.b(x), a=Uses(linear()),
                     b=Uses(linear())), (X,), tmp_path)
    model = json.loads((tmp_path / "model.json").read_text())
    assert list(model["classes"]) == ["Uses"]
    assert [n["module"] for n in model["nodes"] if "module" in n] == \
        ["a", "a", "b"]


def test_other_calls_are_written_out(tmp_path):
    """A module has one class, that of its first call."""
    scale = Wrap(lambda m, x, k: m.a(x) * k, a=linear())
    module = Wrap(lambda m, x: m.scale(x, 2.) + m.scale(x, 5.), scale=scale)
    check(tmp_path, module, (X,), (Y,))
    model = json.loads((tmp_path / "model.json").read_text())
    assert [n.get("module") for n in model["nodes"]] == \
        ["scale", "scale.a", None, None]
