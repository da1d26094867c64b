"""Numbers that forward changes where Python keeps them: refused with their
name and the line, and as they were after export. Caches and logs are let
through."""
import array
import collections
import contextvars
import dataclasses
import datetime
import decimal
import fractions
import functools
import itertools
import queue
import random
import re
import threading
import types

import nncc
import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from exported import Wrap, check

torch.manual_seed(0)
X, Y = torch.randn(4, 6), torch.randn(4, 6)
COUNT, COUNTS = 0, [0]


def linear():
    return nn.Linear(6, 6)


@dataclasses.dataclass
class Notes:
    step: int = 0


class Slots:
    __slots__ = ("step", "other")

    def __init__(self):
        self.step = 0


class Plain:
    def __init__(self):
        self.step, self.inner = 0, Notes()

    def tick(self):
        self.step += 1
        return self


class Named(nn.Module):
    """Has the numbers in its class, and in one that it makes."""
    calls, by_name = 0, {"n": 0}

    def __init__(self, change):
        super().__init__()
        self.layer, self.change = linear(), change

    def forward(self, x):
        self.change(self)
        return self.layer(x)


def in_class(m):
    type(m).calls += 1


def in_dict_of_class(m):
    m.by_name["n"] += 1


def in_variable(m):
    global COUNT
    COUNT += 1


def in_list_outside(m):
    COUNTS[0] += 1


def in_itself(m):
    in_itself.calls += 1


in_itself.calls = 0


def in_default(m, kept=[0]):
    kept[0] += 1


def through_a_call(m):
    in_variable(m)


def in_parameter(m):
    m.layer.weight.n = getattr(m.layer.weight, "n", 0) + 1


def in_cell():
    count = 0

    def function(m):
        nonlocal count
        count += 1
    return function


def with_rate(count):
    while True:
        yield count
        count += 1


class Local(threading.local):
    n = 0

    def __repr__(self):
        return str(self.n)


def queue_of():
    result = queue.Queue()
    result.put(1), result.put(2), result.put(3)
    return result


def tensor_with_a_number():
    result = torch.zeros(2)
    result.n = 0
    return result


CONTEXT = contextvars.ContextVar("context")
CONTEXT.set(0)
# How it is changed, what is kept, what it is called.
ATTRIBUTES = {
    "list": (lambda m: m.kept.__setitem__(0, m.kept[0] + 1), lambda: [0],
             "kept.0"),
    "dict": (lambda m: m.kept.update(n=m.kept["n"] + 1), lambda: {"n": 0},
             "kept.n"),
    "nested": (lambda m: m.kept["a"][1].update(n=m.kept["a"][1]["n"] + 1),
               lambda: {"a": [0, {"n": 0}]}, "kept.a.1.n"),
    "another list": (lambda m: setattr(m, "kept", [m.kept[0] + 1]),
                     lambda: [0], "kept.0"),
    "tuple": (lambda m: setattr(m, "kept", (m.kept[0] + 1, 0)),
              lambda: (0, 0), "kept.0"),
    "dataclass": (lambda m: setattr(m.kept, "step", m.kept.step + 1), Notes,
                  "kept.step"),
    "object": (lambda m: m.kept.tick(), Plain, "kept.step"),
    "object inside": (lambda m: setattr(m.kept.inner, "step",
                                        m.kept.inner.step + 1), Plain,
                      "kept.inner.step"),
    "slots": (lambda m: setattr(m.kept, "step", m.kept.step + 1), Slots,
              "kept.step"),
    "namespace": (lambda m: setattr(m.kept, "n", m.kept.n + 1),
                  lambda: types.SimpleNamespace(n=0), "kept.n"),
    "Counter": (lambda m: m.kept.update("a"), lambda: collections.Counter("a"),
                "kept.a"),
    "UserDict": (lambda m: m.kept.update(n=m.kept["n"] + 1),
                 lambda: collections.UserDict(n=0), "kept.data.n"),
    "deque": (lambda m: m.kept.rotate(), lambda: collections.deque([1, 2, 3]),
              "kept.0"),
    "a list that gets shorter": (lambda m: m.kept.pop(),
                                 lambda: list(range(99)), "kept.97"),
    "set": (lambda m: m.kept.pop(), lambda: set(range(99)), "kept.1"),
    "array": (lambda m: np.add.at(m.kept, 0, 1), lambda: np.zeros(2), "kept"),
    "number of numpy": (lambda m: setattr(m, "kept", m.kept + np.int64(1)),
                        lambda: np.int64(0), "kept"),
    "fraction": (lambda m: setattr(m, "kept", m.kept + 1),
                 lambda: fractions.Fraction(1, 2), "kept"),
    "decimal": (lambda m: setattr(m, "kept", m.kept + 1),
                lambda: decimal.Decimal(1), "kept"),
    "time": (lambda m: setattr(m, "kept", m.kept * 2),
             lambda: datetime.timedelta(1), "kept"),
    "range": (lambda m: setattr(m, "kept", m.kept[1:]), lambda: range(99),
              "kept"),
    "frozen set": (lambda m: setattr(m, "kept", m.kept - {min(m.kept)}),
                   lambda: frozenset(range(99)), "kept.1"),
    "attribute of a tensor": (lambda m: setattr(m.kept, "n", m.kept.n + 1),
                              tensor_with_a_number, "kept.n"),
    "array of Python": (lambda m: m.kept.__setitem__(0, m.kept[0] + 1),
                        lambda: array.array("i", [0]), "kept"),
    "bytes": (lambda m: m.kept.__setitem__(0, m.kept[0] + 1),
              lambda: bytearray(2), "kept"),
    "of a thread": (lambda m: setattr(m.kept, "n", m.kept.n + 1), Local,
                    "kept.n"),
    "queue": (lambda m: m.kept.put(m.kept.get()), queue_of, "kept.unfinished_tasks"),
    "context": (lambda m: CONTEXT.set(CONTEXT.get() + 1), lambda: CONTEXT,
                "kept"),
    "count": (lambda m: next(m.kept), itertools.count, "kept"),
    "cycle": (lambda m: next(m.kept), lambda: itertools.cycle([1, 2, 3, 4]),
              "kept"),
    "iterator": (lambda m: next(m.kept), lambda: iter(list(range(99))),
                 "kept"),
    "enumerate": (lambda m: next(m.kept), lambda: enumerate(range(99)),
                  "kept"),
    "generator": (lambda m: next(m.kept), lambda: with_rate(0), "kept"),
    "a seed": (lambda m: m.kept.manual_seed(m.kept.initial_seed() + 1),
               torch.Generator, "kept"),
}


def refusal(folder, *args, **how):
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(*args, folder, **how)
    assert not any(folder.iterdir())
    return re.sub(r"\w+\.py:\d+", "FILE", str(error.value))


def changed(what):
    return (f"the {what} is changed by each call of forward in 0 (FILE): a "
            "compiled model would keep the example's, so make it a buffer, or "
            "leave it out")


def state_of(value):
    """What can be compared of it, without moving it on."""
    if isinstance(value, torch.Generator):
        return value.get_state().tolist(), value.initial_seed()
    if isinstance(value, (random.Random, np.random.RandomState)):
        return repr(getattr(value, "getstate", getattr(
            value, "get_state", None))())
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, (Plain, Slots)):
        return value.step
    if isinstance(value, torch.Tensor):
        return value.n
    if hasattr(value, "__next__") and not hasattr(value, "gi_frame"):
        return list(itertools.islice(value, 6))
    if isinstance(value, queue.Queue):
        return list(value.queue)
    if isinstance(value, contextvars.ContextVar):
        return value.get()
    return repr(value)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes(tmp_path, name):
    change, make, where = ATTRIBUTES[name]
    module = nn.Sequential(Wrap(
        lambda m, x: (change(m), m.layer(x))[1], layer=linear()))
    module[0].kept = make()
    before = state_of(make())
    assert refusal(tmp_path, module, (X,)) == changed(f"attribute 0.{where}")
    if name != "generator":
        assert state_of(module[0].kept) == before
    trains = nn.Sequential(Wrap(
        lambda m, x: (m.training and change(m), m.layer(x))[1],
        layer=linear()))
    trains[0].kept = make()
    assert refusal(tmp_path, trains, (X,), loss=F.mse_loss, targets=(Y,)) == \
        changed(f"attribute 0.{where}")


@pytest.mark.parametrize("change,what", [
    (in_class, "variable Named.calls"),
    (in_dict_of_class, "variable Named.by_name.n"),
    (in_variable, "variable test_export_kept.COUNT"),
    (through_a_call, "variable test_export_kept.COUNT"),
    (in_list_outside, "variable test_export_kept.COUNTS.0"),
    (in_itself, "variable in_itself.calls"),
    (in_default, "variable in_default.0"),
    (in_parameter, "attribute 0.layer.weight.n"),
    (in_cell(), "variable count")])
def test_variables(tmp_path, change, what):
    module = nn.Sequential(Named(change))
    assert refusal(tmp_path, module, (X,)) == changed(what)
    assert (COUNT, COUNTS, Named.calls, Named.by_name) == (0, [0], 0, {"n": 0})
    assert in_itself.calls == 0 and in_default.__defaults__ == ([0],)


@pytest.mark.parametrize("make,draw", [
    (lambda: random.Random(1), lambda one: one.random()),
    (lambda: np.random.default_rng(1), lambda one: one.random()),
    (lambda: np.random.RandomState(1), lambda one: one.rand())])
def test_generators(tmp_path, make, draw):
    """Of Python and numpy: what is drawn may be needed one time in a
    thousand."""
    module = nn.Sequential(Wrap(lambda m, x: m.layer(x) * (
        1 if draw(m.kept) < 2 else 3), layer=linear()))
    module[0].kept = make()
    assert refusal(tmp_path, module, (X,)) == (
        "forward draws numbers from 0.kept, which would be frozen in the model "
        "in 0 (FILE): draw them with torch")
    assert state_of(module[0].kept) == state_of(make())


def test_a_generator_of_torch(tmp_path):
    """It may draw what the compiled model draws, and is put back."""
    def function(m, x):
        mask = x.new_empty(4, 1).bernoulli_(0.9, generator=m.kept)
        return m.layer(x) * mask if m.training else m.layer(x)
    module = Wrap(function, layer=linear())
    module.kept = torch.Generator()
    before = module.kept.get_state()
    nncc.export(module, (X,), tmp_path)
    assert torch.equal(before, module.kept.get_state())


def appends(m, x):
    y = m.layer(x)
    m.kept.setdefault("log", []).append(y.detach())
    m.kept[len(m.kept["log"])] = x.shape[0]
    return y * 2


def masks(m, x):
    if x.shape[-1] not in m.kept:
        m.kept[x.shape[-1]] = torch.ones(6, 6).tril()
    return m.layer(x) @ m.kept[x.shape[-1]]


def recent(m, x):
    m.kept.setdefault("sizes", collections.deque(maxlen=2)).append(x.shape)
    m.kept.setdefault("last", collections.deque(maxlen=2)).append(x)
    return m.layer(x)


def longest(m, x):
    """Grows with the longest input."""
    if m.kept.get("length", 0) < x.shape[0]:
        m.kept.update(length=x.shape[0], table=torch.arange(
            float(x.shape[0]))[:, None])
    return m.layer(x) + m.kept["table"][:x.shape[0]]


def losses(m, x):
    """Gathered anew by each call."""
    m.kept["losses"] = []
    y = m.layer(x)
    m.kept["losses"].append(y.mean())
    return y, sum(m.kept["losses"])


def least_recent(m, x):
    table = m.kept.setdefault("tables", collections.OrderedDict())
    for size in x.shape:
        if size not in table:
            table[size] = torch.arange(float(size))
        table.move_to_end(size)
    return m.layer(x) + table[6]


def flags(m, x):
    m.kept["training"] = m.training
    m.kept["name"], m.kept["shape"] = "layer", tuple(x.shape)
    return m.layer(x)


@functools.lru_cache
def table_of(size):
    return torch.arange(float(size))


REMEMBERED = {}


def outside(m, x):
    if x.device not in REMEMBERED:
        REMEMBERED[x.device] = torch.arange(6.), 1
    REMEMBERED.setdefault("log", []).append(x)
    return m.layer(x) + REMEMBERED[x.device][0] + table_of(6)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("function", [
    appends, masks, recent, longest, losses, least_recent, flags, outside])
def test_caches_and_logs(tmp_path, function, again):
    """Filled by the first call, or growing with each."""
    module = nn.Sequential(Wrap(function, layer=linear()))
    module[0].kept = {}
    REMEMBERED.clear()
    if again:
        with torch.no_grad():
            module(X)
    kept, seen = dict(module[0].kept), dict(REMEMBERED)
    nncc.export(module, (X,), tmp_path / "first", loss=lambda y, *rest:
                (y * y).mean(), targets=(Y,)[:0])
    assert list(module[0].kept) == list(kept) and \
        list(REMEMBERED) == list(seen)
    check(tmp_path / "second", module, (X,), (Y,))


def test_hooks_that_log(tmp_path):
    """A dict of activations that the user's hook fills."""
    found, module = {}, nn.Sequential(linear(), nn.ReLU())
    module[1].register_forward_hook(
        lambda m, args, out: found.update(relu=out.detach()))
    nncc.export(module, (X,), tmp_path)
    assert not found
    check(tmp_path, module, (X,), (Y,))
