"""What a module keeps between calls, and that it stays as it was."""
import collections
import dataclasses
import functools

import nncc
import pytest
import torch
import torch.nn as nn

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
        self.notes.calls += 1
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
