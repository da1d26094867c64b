"""Inputs in containers of all kinds: exported and checked as any, and left as
they were."""
import collections
import dataclasses
import types
from collections.abc import Mapping

import nncc
import pytest
import torch

from exported import Wrap

torch.manual_seed(0)
A, B = torch.randn(4, 6), torch.randn(4, 6)


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: torch.Tensor
    b: torch.Tensor


@dataclasses.dataclass(frozen=True, slots=True)
class Slots:
    a: torch.Tensor
    b: torch.Tensor


@dataclasses.dataclass
class Late:
    a: torch.Tensor
    b: torch.Tensor
    c: torch.Tensor = dataclasses.field(init=False)


class OwnList(list):
    def __init__(self, a, b):
        super().__init__([a, b])


class OwnTuple(tuple):
    def __new__(cls, a, b):
        return super().__new__(cls, (a, b))


class OwnPair(collections.namedtuple("Pair", "a b")):
    def __new__(cls, pair):
        return super().__new__(cls, *pair)


class OwnDict(dict):
    def __init__(self, a, b):
        super().__init__(a=a, b=b)


class ReadOnly(Mapping):
    def __init__(self, a, b):
        self.items_ = {"a": a, "b": b}

    def __getitem__(self, key):
        return self.items_[key]

    def __iter__(self):
        return iter(self.items_)

    def __len__(self):
        return len(self.items_)


KINDS = {
    "frozen": Frozen, "slots": Slots, "late": Late, "list": OwnList,
    "tuple": OwnTuple, "namedtuple": lambda a, b: OwnPair((a, b)),
    "dict": OwnDict,
    "defaultdict": lambda a, b: collections.defaultdict(list, a=a, b=b),
    "UserDict": lambda a, b: collections.UserDict(a=a, b=b),
    "ChainMap": lambda a, b: collections.ChainMap({"a": a}, {"b": b}),
    "proxy": lambda a, b: types.MappingProxyType({"a": a, "b": b}),
    "of torch": lambda a, b: torch.aminmax(torch.stack([a, b]), dim=0),
}


def parts(both):
    if isinstance(both, Mapping):
        return both["a"], both["b"]
    return (both.a, both.b) if hasattr(both, "a") else tuple(both)


@pytest.mark.parametrize("name", KINDS)
def test_kinds(tmp_path, name):
    module = Wrap(lambda m, both: m.layer(parts(both)[0]) * parts(both)[1],
                  layer=torch.nn.Linear(6, 6))
    both = KINDS[name](A, B)
    a, b = parts(both)
    nncc.export(module, (both,), tmp_path, loss=lambda y, t: (y - t).mean(),
                targets=(A,), optimizer=torch.optim.SGD(module.parameters()))
    assert parts(both)[0] is a and parts(both)[1] is b
    # A ChainMap names its second first.
    given = (b, a) if name == "ChainMap" else (a, b)
    torch.testing.assert_close(nncc.compile(tmp_path)(*given), module(both))


def test_one_that_cannot_be_filled(tmp_path):
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(Wrap(lambda m, both: both["a"] * 2), (ReadOnly(A, B),),
                    tmp_path)
    assert str(error.value) == (
        "a test_export_containers.ReadOnly is made in a way of its own, and "
        "other tensors cannot be put into one: give a dict")


def adds(m, batch):
    batch["h"] = batch["a"] * 2
    return batch["h"]


def takes(m, batch):
    return batch.pop("a") * 2


@pytest.mark.parametrize("function", [adds, takes])
def test_containers_that_forward_changes(tmp_path, function):
    batch = {"a": A}
    nncc.export(Wrap(function), (batch,), tmp_path)
    assert list(batch) == ["a"] and batch["a"] is A
