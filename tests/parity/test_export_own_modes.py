"""Modules whose own train() and eval() do more than set a flag: each mode is
traced as they leave the module."""
import json

import nncc
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from exported import Wrap, check, check_steps, close

torch.manual_seed(0)
X, Y = torch.randn(4, 6), torch.randn(4, 6)


def linear():
    return nn.Linear(6, 6)


class Sets(Wrap):
    """`sets(self, mode)` is what its train(mode) does besides."""

    def __init__(self, function, sets, **parts):
        super().__init__(function, **parts)
        self.sets = sets

    def train(self, mode=True):
        super().train(mode)
        self.sets(self, mode)
        return self


class Low(nn.Linear):
    """loralib's: in eval mode the weight has the product in it."""

    def __init__(self):
        super().__init__(6, 6)
        self.a = nn.Parameter(torch.randn(2, 6))
        self.b = nn.Parameter(torch.randn(6, 2))
        self.weight.requires_grad_(False)
        self.merged = False

    def train(self, mode=True):
        super().train(mode)
        if mode == self.merged:
            sign = -1 if mode else 1
            self.weight.data += sign * (self.b.data @ self.a.data)
            self.merged = not mode
        return self

    def forward(self, x):
        y = F.linear(x, self.weight, self.bias)
        return y if self.merged else y + x @ self.a.T @ self.b.T


class OwnEval(Wrap):
    """eval() of its own, which parents do not call."""

    def eval(self):
        super().eval()
        self.scale = 3.
        return self

    def train(self, mode=True):
        super().train(mode)
        self.scale = 2.
        return self


def scales(module, mode):
    module.scale = 2. if mode else 1.


def freezes(module, mode):
    module.a.requires_grad_(not mode)


def chooses(module, mode):
    module.path = module.a if mode else module.b


def sets_parts(module, mode):
    module.norm.momentum = 0.5 if mode else 0.1
    module.drop.p = 0. if mode else 0.7
    module.act.approximate = "tanh" if mode else "none"
    module.norm.eval() if not mode else module.norm.train()


def replaces(module, mode):
    module.run = module.first if mode else module.second


class Replaces(Sets):
    def first(self, x):
        return self.a(x)

    def second(self, x):
        return self.a(x) * 2


MODES = {
    "an attribute": lambda: Sets(
        lambda m, x: m.a(x) * m.scale, scales, a=linear()),
    "of a part": lambda: nn.Sequential(linear(), Sets(
        lambda m, x: m.a(x) * m.scale, scales, a=linear())),
    "of two parts": lambda: nn.Sequential(*(Sets(
        lambda m, x: m.a(x) * m.scale, scales, a=linear()) for _ in "ab")),
    "parts of torch.nn": lambda: Sets(
        lambda m, x: m.act(m.drop(m.norm(m.a(x)))), sets_parts, a=linear(),
        norm=nn.BatchNorm1d(6), drop=nn.Dropout(0.), act=nn.GELU()),
    "a method": lambda: Replaces(lambda m, x: m.run(x), replaces, a=linear()),
}


@pytest.mark.parametrize("given", [None, False, True])
@pytest.mark.parametrize("name", MODES)
def test_what_train_sets(tmp_path, name, given):
    torch.manual_seed(0)
    module = MODES[name]()
    if given is not None:
        module.train(given)
    check(tmp_path, module, (X,), (Y,))
    nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,))


def test_an_eval_of_its_own(tmp_path):
    torch.manual_seed(0)
    for module in (OwnEval(lambda m, x: m.a(x) * m.scale, a=linear()),
                   nn.Sequential(OwnEval(lambda m, x: m.a(x) * m.scale,
                                         a=linear()))):
        check(tmp_path, module, (X,), (Y,),
              modes=lambda m, trains: m.train() if trains else m.eval())
        nncc.export(module, (X,), tmp_path)


def test_single_parts_keep_their_mode(tmp_path):
    """Also where train() sets more."""
    torch.manual_seed(0)
    module = Sets(lambda m, x: m.norm(m.a(x)) * m.scale, scales, a=linear(),
                  norm=nn.BatchNorm1d(6)).train()
    module.norm.eval()

    def modes(copied, trains):
        copied.train(trains)
        copied.norm.eval()
    check(tmp_path, module, (X,), (Y,), modes=modes)


def test_parameters_that_train_freezes(tmp_path):
    module = Sets(lambda m, x: m.b(m.a(x)), freezes, a=linear(), b=linear())
    nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,),
                optimizer=torch.optim.SGD(module.parameters(), 0.1))
    model = json.loads((tmp_path / "model.json").read_text())
    assert model["training"]["frozen"] == ["a.weight", "a.bias"]
    assert module.a.weight.requires_grad


class Twice(Low):
    """In eval mode it computes something else."""

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


@pytest.mark.parametrize("given", [None, False, True])
def test_weights_that_eval_merges(tmp_path, given):
    """What train mode computes without."""
    torch.manual_seed(0)
    module = nn.Sequential(Low(), nn.ReLU(), linear())
    if given is not None:
        module.train(given)
    before = {n: t.clone() for n, t in module.state_dict().items()}
    nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,),
                optimizer=torch.optim.SGD(
                    [p for p in module.parameters() if p.requires_grad], 0.1))
    assert module[0].merged == (given is False)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
    compiled = nncc.compile(tmp_path, entries=("forward", "train_step"))
    close(compiled(Y), module.eval()(Y))
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    check_steps(compiled, module, optimizer, F.mse_loss, X, Y)
    close(compiled(Y), module.eval()(Y))


@pytest.mark.parametrize("given", [None, False, True])
def test_weights_that_eval_changes(tmp_path, given, capsys):
    torch.manual_seed(0)
    module = nn.Sequential(Twice(), nn.ReLU(), linear())
    if given is not None:
        module.train(given)
    before = {n: t.clone() for n, t in module.state_dict().items()}
    check(tmp_path, module, (X,), (Y,), trains=False)
    nncc.export(module, (X,), tmp_path)
    said = ("train() and eval() leave other values in 0.weight, and a compiled "
            "model has one state for both: compute what differs in forward")
    assert f"for forward only, since in train mode {said}" in \
        capsys.readouterr().err
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,))
    assert str(error.value) == said
    assert module[0].merged == (given is False)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


def refused(tmp_path, module, **how):
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(module, (X,), tmp_path, **how)
    return str(error.value)


def test_state_that_modes_do_not_share(tmp_path):
    trains = {"loss": F.mse_loss, "targets": (Y,)}
    one = ("train() and eval() leave other values in {}, and a compiled model "
           "has one state for both: compute what differs in forward")

    def sets_buffer(module, mode):
        module.a.scale = torch.full((6,), 1. + mode)

    module = Sets(lambda m, x: m.a(x) * m.a.scale, sets_buffer, a=linear())
    check(tmp_path / "plain", module, (X,), (Y,), trains=False)
    assert refused(tmp_path, module, **trains) == one.format("a.scale")
    module = Sets(lambda m, x: m.a(x) * m.a.scale, sets_buffer, a=linear())
    module.a.register_buffer("scale", torch.zeros(6))
    check(tmp_path / "buffer", module, (X,), (Y,), trains=False)
    assert refused(tmp_path, module, **trains) == one.format("a.scale")

    def exchanges(module, mode):
        module.a = linear() if mode else nn.Sequential(linear())

    module = Sets(lambda m, x: m.a(x), exchanges, a=linear())
    assert refused(tmp_path, module) == (
        "eval() makes another model, in a: call it before export")

    def adds(module, mode):
        if mode and not hasattr(module, "c"):
            module.c = linear()
        if not mode and hasattr(module, "c"):
            del module.c

    module = Sets(lambda m, x: m.c(m.a(x)) if m.training else m.a(x), adds,
                  a=linear()).eval()
    check(tmp_path / "adds", module, (X,), (Y,), trains=False)
    assert refused(tmp_path, module, **trains) == (
        "train() makes another model, with c: call it before export")


def test_modes_that_fail(tmp_path, capsys):
    def only_eval(module, mode):
        if mode:
            raise RuntimeError("for inference only")

    module = Sets(lambda m, x: m.a(x), only_eval, a=linear())
    said = "train() of the model fails: RuntimeError: for inference only"
    check(tmp_path, module, (X,), (Y,), trains=False)
    assert f"for forward only, since in train mode {said}" in \
        capsys.readouterr().err
    assert refused(tmp_path, module, loss=F.mse_loss, targets=(Y,)) == said

    class Odd(Wrap):
        def train(self):
            return super().train()

    assert refused(tmp_path, Odd(lambda m, x: m.a(x), a=linear())) == (
        "eval() of the model fails: TypeError: test_modes_that_fail.<locals>."
        "Odd.train() takes 1 positional argument but 2 were given")
