"""What a loss keeps between calls: it stays as it was, or is refused."""
import functools
import itertools
import re

import nncc
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
X, Y = torch.randn(4, 6), torch.randn(4, 6)


def linear():
    return nn.Linear(6, 6)


class Loss(nn.Module):
    """Leaves something in all that it has, but in a buffer."""

    def __init__(self):
        super().__init__()
        self.calls, self.log, self.last = 0, [], None

    def forward(self, y, t):
        self.calls += 1
        self.last = y
        self.log.append(F.mse_loss(y, t))
        return self.log[-1]


class Batched(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6, affine=False)

    def forward(self, y, t):
        return F.mse_loss(self.norm(y), t)


class Averaged(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.register_buffer("mean", torch.ones(6))
        self.change = change

    def forward(self, y, t):
        self.change(self, y)
        return ((y - t) ** 2 * self.mean).mean()


class Plain:
    def __init__(self):
        self.mean = torch.ones(6)

    def __call__(self, y, t):
        self.mean *= 0.9
        return ((y - t) ** 2 * self.mean).mean()


def assigns(loss, y):
    loss.mean = loss.mean * 0.9


def changes(loss, y):
    with torch.no_grad():
        loss.mean.lerp_(y.mean(0), 0.1)


LOG = []


class Listed(nn.Module):
    """Names a list, holds a loss that is no part of it."""

    def __init__(self, loss):
        super().__init__()
        self.hidden = [loss]

    def forward(self, y, t):
        LOG.append(y)
        return self.hidden[0](y, t)


class Trainer:
    def __init__(self, loss):
        self.loss, self.steps = loss, 0

    def step(self, y, t):
        self.steps += 1
        return self.loss(y, t)


class Warming(nn.Module):
    """Another loss after a while."""

    def __init__(self, change, least):
        super().__init__()
        self.steps, self.table, self.change = 0, {"n": 0}, change
        self.least, self.rates = least, itertools.count()

    def forward(self, y, t):
        self.change(self)
        return F.mse_loss(y, t) if self.least(self) < 99 else y.mean()


def adds_one(m):
    m.steps += 1


def adds_to_table(m):
    m.table["n"] += 1


def scheduled(y, t):
    scheduled.steps += 1
    return F.mse_loss(y, t) * (1 if scheduled.steps < 99 else 2)


@pytest.mark.parametrize("make,name", [
    (lambda: Warming(adds_one, lambda m: m.steps), "steps"),
    (lambda: Warming(adds_one, lambda m: getattr(m, "steps")), "steps"),
    (lambda: Warming(adds_to_table, lambda m: m.table["n"]), "table.n"),
    (lambda: Warming(lambda m: None, lambda m: next(m.rates)), "rates"),
    (lambda: scheduled, "scheduled.steps")])
def test_losses_that_count(tmp_path, make, name):
    """And ask for the number, unlike those that only count."""
    scheduled.steps = 0
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(nn.Sequential(linear()), (X,), tmp_path, loss=make(),
                    targets=(Y,))
    where = "" if name.startswith("scheduled") else " in Warming"
    assert re.sub(r"\w+\.py:\d+", "FILE", str(error.value)) == (
        f"the loss changes its {name}{where} (FILE): a compiled step keeps no "
        "state of a loss, so make it a part of the module")
    assert scheduled.steps == 0


def test_the_loss_stays_as_it_was(tmp_path):
    """Also one that a function names, and lists that it fills."""
    loss, log = Loss(), []
    trainer = Trainer(loss)
    net = nn.Sequential(linear(), nn.ReLU())

    def function(scale, y, t):
        log.append(sum(scale * loss(one, t) for one in [y]))
        return log[-1]

    for one in (loss, function.__get__(2.), functools.partial(function, 2.),
                loss.forward, trainer.step, Listed(loss)):
        optimizer = torch.optim.SGD(net.parameters())
        nncc.export(net, (X,), tmp_path, loss=one, targets=(Y,),
                    optimizer=optimizer)
        assert (loss.calls, loss.log, loss.last) == (0, [], None)
        assert (log, LOG, trainer.steps) == ([], [], 0)


@pytest.mark.parametrize("make,name,where", [
    (Batched, "buffer norm.num_batches_tracked", "BatchNorm1d"),
    (lambda: Averaged(assigns), "buffer mean", "Averaged"),
    (lambda: Averaged(changes), "buffer mean", "Averaged"),
    (Plain, "mean", "")])
def test_losses_with_a_state(tmp_path, make, name, where):
    loss = make()
    for function, prefix in ((loss, ""), (lambda y, t: loss(y, t), "loss.")):
        with pytest.raises(nncc.UnsupportedModel) as error:
            nncc.export(nn.Sequential(linear()), (X,), tmp_path,
                        loss=function, targets=(Y,))
        what = " ".join([*name.split()[:-1], prefix + name.split()[-1]])
        assert re.sub(r"\w+\.py:\d+", "FILE", str(error.value)) == (
            f"the loss changes its {what}{' in ' * bool(where)}{where} (FILE): "
            "a compiled step keeps no state of a loss, so make it a part of "
            "the module")
        if isinstance(loss, Batched):
            assert loss.norm.num_batches_tracked == 0
            assert not loss.norm.running_mean.any()
        else:
            assert torch.equal(loss.mean, torch.ones(6))
    assert not any(tmp_path.iterdir())
