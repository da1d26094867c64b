"""What a module keeps between calls, and that it stays as it was."""
import collections
import contextlib
import dataclasses
import functools
from unittest import mock

import nncc
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from exported import Wrap, check
from test_export_modules import X, Y, Attention, linear


class Rotary(nn.Module):
    """Fills a table in the first call, as `fill` says; that needs a function
    which the compiler lacks."""

    def __init__(self, fill, length=0):
        super().__init__()
        self.register_buffer("rates", 1 / torch.arange(1., 7.),
                             persistent=False)
        self.cos, self.fill, self.by_length = None, fill, {}
        self.length = length
        if length:
            fill(self, length)

    def forward(self, x):
        if self.length < x.shape[0]:
            self.fill(self, x.shape[0])
            self.length = x.shape[0]
        cos = self.cos if self.cos is not None else \
            self.by_length[x.shape[0]]
        return x * cos[:x.shape[0]]


def angles(module, length):
    return torch.outer(torch.arange(length), module.rates).cos()


def in_attribute(module, length):
    module.cos = angles(module, length)


def in_dict(module, length):
    module.by_length[length] = angles(module, length)


def in_buffer(module, length):
    vars(module).pop("cos", None)
    module.register_buffer("cos", angles(module, length), persistent=False)


def by_mode(module, length):
    module.cos = angles(module, length) * (2 if module.training else 1)
    module.length = 0  # again in the next call


@functools.lru_cache
def remembered(length):
    return torch.arange(length, dtype=torch.float32).cos()


CACHES = {
    "an attribute": lambda: Rotary(in_attribute),
    "a dict": lambda: Rotary(in_dict),
    "a buffer": lambda: Rotary(in_buffer, 9),
    "too short": lambda: Rotary(in_attribute, 2),
    "each call": lambda: Rotary(by_mode),
    "lru_cache": lambda: Wrap(lambda m, x: x * remembered(6)),
}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("name", CACHES)
def test_caches(tmp_path, name, again):
    """Tables of constants, before and after they are filled."""
    torch.manual_seed(0)
    remembered.cache_clear()
    module = nn.Sequential(linear(), CACHES[name]())
    if again:
        module(X)
    check(tmp_path, module, (X,), (Y,))


def test_a_buffer_that_grows(tmp_path):
    """It is another tensor then; the file keeps the one that there was."""
    module = nn.Sequential(linear(), Rotary(in_buffer, 2))
    nncc.export(module, (X,), tmp_path)
    assert module[1].cos.shape == (2, 6)
    torch.testing.assert_close(nncc.compile(tmp_path)(Y), module(Y))


def test_the_module_stays_as_it_was(tmp_path):
    module = nn.Sequential(linear(), nn.BatchNorm1d(6), Attention())
    module[0].eval()
    module[0].weight.requires_grad_(False)
    before = [dict(vars(m)) for m in module.modules()]
    state = {k: v.clone() for k, v in module.state_dict().items()}
    random = torch.get_rng_state()
    nncc.export(module, (X,), tmp_path)
    after = [dict(vars(m)) for m in module.modules()]
    assert [list(a) for a in after] == [list(b) for b in before]
    assert [m.training for m in module.modules()] == \
        [True, False, True, True, True]
    assert not module[0].weight.requires_grad
    assert all(torch.equal(v, state[k])
               for k, v in module.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert nn.Module.__call__ is nn.Module._wrapped_call_impl


@dataclasses.dataclass
class Notes:
    calls: int = 0


class Writes(nn.Module):
    """Leaves something in all that it has."""

    def __init__(self, spoils):
        super().__init__()
        self.layer, self.spoils, self.notes = linear(), spoils, Notes()
        self.log = {"x": [1], "sizes": {4}}
        self.seen = collections.defaultdict(list, {"a": [1]})
        self.table = torch.zeros(6)

    def forward(self, x):
        self.log["x"].append(x.shape[0])
        self.log["sizes"].add(9)
        self.seen["b"].append(2)
        self.seen["a"].append(3)
        self.notes.calls = 1
        if self.spoils:
            self.table.add_(1)
        return self.layer(x) + self.table


@pytest.mark.parametrize("spoils", [False, True])
def test_what_a_module_keeps_stays_as_it_was(tmp_path, spoils):
    module = Writes(spoils)
    if spoils:
        with pytest.raises(nncc.UnsupportedModel, match="^table is changed by "
                           "forward"):
            nncc.export(module, (X,), tmp_path)
    else:
        nncc.export(module, (X,), tmp_path)
    assert module.log == {"x": [1], "sizes": {4}}
    assert module.seen == {"a": [1]} and module.notes == Notes()
    assert not module.table.any()


@contextlib.contextmanager
def exchanged(module, name, value):
    """A parameter, buffer or child, for a while."""
    old = getattr(module, name)
    if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
        delattr(module, name)
    setattr(module, name, value)
    yield
    if isinstance(value, torch.Tensor):
        delattr(module, name)
    setattr(module, name, old)


def other_weight(m, x):
    with exchanged(m.a, "weight", m.a.weight * 2):
        y = m.a(x)
    return y + m.a(x)


def no_bias(m, x):
    with exchanged(m.a, "bias", None):
        y = m.a(x)
    return y + m.a(x)


def no_statistics(m, x):
    with exchanged(m.norm, "running_mean", None), \
            exchanged(m.norm, "running_var", None):
        y = m.norm(x)
    return m.norm(x) + y


def hidden_weight(m, x):
    """An attribute stands before the parameter of its name."""
    vars(m.a)["weight"] = m.a.weight * 2
    y = m.a(x)
    del vars(m.a)["weight"]
    return y + m.a(x)


def other_forward(m, x):
    m.a.forward = lambda x: F.linear(x, m.a.weight) * 3
    y = m.a(x)
    del m.a.forward
    return y + m.a(x)


def other_method(m, x):
    m.conv._conv_forward = lambda x, w, b: F.conv1d(x * 2, w)
    y = m.conv(x.view(2, 2, 6))
    del m.conv._conv_forward
    return y + m.conv(x.view(2, 2, 6))


def other_function(m, x):
    with mock.patch.object(F, "linear", functools.partial(
            lambda old, x, w, b: old(x * 2, w, b), F.linear)):
        y = m.a(x)
    return y + m.a(x)


def other_function_inside(m, x):
    y = m.act(x)
    with mock.patch.object(torch, "relu", torch.tanh):
        return y + torch.relu(x)


def other_method_of_a_class(m, x):
    with mock.patch.object(nn.Linear, "forward",
                           lambda self, x: F.linear(x, self.weight)):
        y = m.a(x)
    return y + m.a(x)


class Doubled(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


def other_class(m, x):
    m.a.__class__ = Doubled
    y = m.a(x)
    m.a.__class__ = nn.Linear
    return y + m.a(x)


EXCHANGED = {"a function": other_function, "a class": other_class,
             "a function that is called": other_function_inside,
             "a method of a class": other_method_of_a_class,
             "a weight": other_weight, "no bias": no_bias,
             "no statistics": no_statistics, "a hidden weight": hidden_weight,
             "forward": other_forward, "a method": other_method}


@pytest.mark.parametrize("name", EXCHANGED)
def test_what_forward_exchanges_for_a_call(tmp_path, name):
    torch.manual_seed(0)
    check(tmp_path, Wrap(EXCHANGED[name], a=linear(), norm=nn.BatchNorm1d(6),
                         conv=nn.Conv1d(2, 2, 3), act=nn.ReLU()), (X,), (Y,))


def test_weights_that_a_recurrent_layer_holds_besides(tmp_path):
    def function(m, x):
        old = list(m.r._flat_weights)
        m.r._flat_weights = [w * 2 for w in old]
        y = m.r(x)[0]
        m.r._flat_weights = old
        return y
    model = Wrap(function, r=nn.LSTM(6, 6))
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(model, (X,), tmp_path)
    assert str(error.value).startswith("torch.lstm is not supported in r (")
    model.function = lambda m, x: m.r(x)[0]
    check(tmp_path, model, (X,), (Y,))


def test_a_function_that_forward_exchanges_for_another_to_call(tmp_path):
    """F.relu is recorded by its name, in whose place another is called."""
    def function(m, x):
        y = F.relu(x)
        with mock.patch.object(torch, "relu", torch.tanh):
            return y + F.relu(m.a(x))

    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(Wrap(function, a=linear()), (X,), tmp_path)
    assert str(error.value).startswith(
        "F.relu calls a function of torch that was replaced (")


def test_parts_of_parts(tmp_path):
    """A parametrization with a hook, or in a mode of its own."""
    def refused(module):
        with pytest.raises(nncc.UnsupportedModel) as error:
            nncc.export(module, (X,), tmp_path, verify=False,
                        loss=F.mse_loss, targets=(Y,))
        return str(error.value).splitlines()[0]

    module = nn.Sequential(nn.utils.parametrizations.weight_norm(linear()))
    hook = module[0].parametrizations.weight[0].register_forward_hook(
        lambda m, args, out: out * 2)
    check(tmp_path, module, (X,), (Y,))
    assert "torch.sqrt" in (tmp_path / "model.json").read_text()
    hook.remove()
    module[0].parametrizations.weight[0].eval()  # it does not ask
    check(tmp_path, module, (X,), (Y,))
    assert "torch.sqrt" not in (tmp_path / "model.json").read_text()
    for file in tmp_path.iterdir():
        file.unlink()
    module = nn.Sequential(nn.utils.parametrizations.spectral_norm(linear()))
    module[0].parametrizations.weight[0].eval()
    assert refused(module).startswith("torch.mv is not supported in "
                                      "0.parametrizations.weight.0")


def test_functions_that_order_their_arguments_otherwise(tmp_path):
    mean, weight = torch.zeros(6), nn.Parameter(torch.ones(6))
    for name, function in {
            "batch_norm": lambda m, x: torch.batch_norm(
                x, m.w, m.w, mean, mean, True, 0.1, 1e-5, False),
            "embedding": lambda m, x: torch.embedding(m.w[None], (x * 0).long()),
            "kl_div": lambda m, x: torch.kl_div(x, m.w)}.items():
        with pytest.raises(nncc.UnsupportedModel) as error:
            nncc.export(Wrap(function, w=weight), (X,), tmp_path)
        assert str(error.value).startswith(f"torch.{name} is not supported (")
