"""What an optimizer of PyTorch is in a file: its parameters, groups, options
and state; and what has no place there is refused."""
import copy
import functools
import json
import sys

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

import nncc

X, TARGET = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)), \
    torch.arange(6) % 3


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(),
                        nn.Linear(5, 3))
    net.unused = None
    return net


def written(net, optimizer, folder, loss=F.cross_entropy):
    nncc.export(net, (X,), str(folder), loss=loss, targets=(TARGET,),
                optimizer=optimizer)
    return json.loads((folder / "model.json").read_text())["training"]


def follow(net, optimizer, folder, steps=4):
    """Further steps of both sides from here on."""
    section = written(net, optimizer, folder)
    ours = nncc.compile(folder, entries=("forward", "train_step"))
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(X), TARGET)
        loss.backward()
        optimizer.step()
        assert ours.train_step(X, TARGET) == pytest.approx(loss.item(),
                                                           rel=1e-5)
    state = ours.state()
    for name, p in net.named_parameters():
        np.testing.assert_allclose(state[name], p.detach().numpy(), atol=2e-6,
                                   rtol=1e-5, err_msg=name)
        for kind, value in optimizer.state.get(p, {}).items():
            if kind != "step" and value is not None:
                np.testing.assert_allclose(
                    state[f"optimizer.{kind}.{name}"], value.numpy(),
                    atol=2e-6, rtol=1e-4, err_msg=f"{kind} {name}")
    return section, ours


def by_parts(net, kind, **options):
    """The head at another rate, biases without decay, one layer left out."""
    biases = [net[2].bias, net[4].bias]
    return kind([{"params": [net[2].weight]},
                 {"params": [net[4].weight], "lr": 0.05},
                 {"params": biases, "weight_decay": 0.0}], **options)


@pytest.mark.parametrize("kind,options", [
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.5})])
def test_groups(kind, options, tmp_path):
    net = network()
    section, ours = follow(net, by_parts(net, kind, **options), tmp_path)
    assert section["optimizer"]["params"] == ["2.weight", "2.bias", "4.weight",
                                              "4.bias"]
    assert [g["params"] for g in section["optimizer"]["groups"]] == [
        ["4.weight"], ["2.bias", "4.bias"]]
    assert not any("optimizer." in k and k.endswith("0.weight")
                   for k in ours.state())


def test_gradients_beyond_the_optimizer(tmp_path):
    """Not in the optimizer: a gradient, but no step. Frozen: neither."""
    net = network()
    net[2].requires_grad_(False)
    optimizer = torch.optim.SGD(net[4].parameters(), lr=0.1)
    section = written(net, optimizer, tmp_path)
    assert section["frozen"] == ["2.weight", "2.bias"]
    gradients = nncc.compile(tmp_path, entries=("loss_and_grad",)).run(
        "loss_and_grad", X, TARGET)
    F.cross_entropy(net(X), TARGET).backward()
    assert {n for n in gradients if n != "loss"} == {
        "grad." + n for n, p in net.named_parameters() if p.grad is not None}
    torch.testing.assert_close(gradients["grad.0.weight"], net[0].weight.grad)
    follow(net, optimizer, tmp_path)


def test_frozen_without_a_loss(tmp_path):
    net = network()
    net[0].requires_grad_(False)
    nncc.export(net, (X,), str(tmp_path))
    section = json.loads((tmp_path / "model.json").read_text())["training"]
    assert section == {"frozen": ["0.weight", "0.bias"]}
    ours = nncc.compile(tmp_path, entries=("forward", "train_forward",
                                           "backward"))
    assert "grad.0.weight" not in ours.signature("backward")[1]
    assert len(list(ours.module().parameters())) == 4
    with pytest.raises(RuntimeError, match='the entry train_step needs a '
                                           '"loss"'):
        nncc.compile(tmp_path, entries=("train_step",))


def test_frozen_in_the_optimizer(tmp_path):
    net = network()
    net[0].weight.requires_grad_(False)
    section, _ = follow(net, torch.optim.AdamW(net.parameters(), lr=0.1),
                        tmp_path)
    assert section["frozen"] == ["0.weight"]
    assert "params" not in section["optimizer"]


class Odd(nn.Module):
    """Names that are patterns, and would match each other."""
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"a*": nn.Linear(4, 3), "ab": nn.Linear(4, 3),
                                    "[ab]": nn.Linear(4, 3)})

    def forward(self, x):
        return sum(part(x) for part in self.parts.values())


def test_names_that_are_patterns(tmp_path):
    torch.manual_seed(0)
    net = Odd()
    net.parts["[ab]"].requires_grad_(False)
    follow(net, torch.optim.SGD([
        {"params": net.parts["ab"].parameters()},
        {"params": net.parts["a*"].parameters(), "lr": 0.01}], lr=0.1), tmp_path)


RESUMED = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9,
                                          dampening=0.3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.05),
    "fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "foreach": lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True),
    "tensor": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01)),
    "decoupled": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.5,
                                            decoupled_weight_decay=True),
}


@pytest.mark.parametrize("name", RESUMED)
def test_state_goes_along(name, tmp_path):
    net = network()
    net.unused = nn.Linear(2, 2)  # without a step, and without one to come
    optimizer = RESUMED[name](net.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net[:5](X), TARGET).backward()
        optimizer.step()
    net.forward_parts = 5
    follow(Head(net), optimizer, tmp_path)


class Head(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.layers, self.unused = nn.ModuleList(net[:5]), net.unused

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_a_schedule_of_the_rate(tmp_path):
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(optimizer, 10)
    follow(net, optimizer, tmp_path)


class Mine(torch.optim.SGD):
    pass


def with_hook(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: None)
    return optimizer


def with_other_step(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    optimizer.step = lambda: None
    return optimizer


def with_gradient_hook(net):
    net[0].weight.register_hook(lambda g: g * 2)
    return torch.optim.SGD(net.parameters(), lr=0.1)


def with_accumulate_hook(net):
    net[0].weight.register_post_accumulate_grad_hook(lambda p: None)
    return torch.optim.SGD(net.parameters(), lr=0.1)


def of_another(net):
    return torch.optim.SGD([*net.parameters(),
                            nn.Parameter(torch.ones(2, 3))], lr=0.1)


def cycled(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=10)
    return optimizer


def uneven(net):
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    F.cross_entropy(net(X), TARGET).backward()
    optimizer.step()
    optimizer.state[net[0].weight]["step"] += 2
    return optimizer


def late(net):
    optimizer = torch.optim.Adam(net[4].parameters(), lr=0.1)
    F.cross_entropy(net(X), TARGET).backward()
    optimizer.step()
    optimizer.add_param_group({"params": net[0].parameters()})
    return optimizer


def with_rate(rate):
    def make(net):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        optimizer.param_groups[0]["lr"] = rate
        return optimizer
    return make


def mixed(net):
    optimizer = torch.optim.Adam([{"params": net[0].parameters()},
                                  {"params": net[4].parameters()}], lr=0.1)
    optimizer.param_groups[1]["decoupled_weight_decay"] = True
    return optimizer


def twice(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    optimizer.param_groups[0]["params"].append(net[0].bias)
    return optimizer


REFUSED = {
    "hook": (with_hook, "the optimizer (SGD): a hook on its step, which "
             "training would leave out: remove it"),
    "step": (with_other_step, "the optimizer (SGD): its step was replaced, "
             "which training would leave out: export with an optimizer as "
             "torch makes it"),
    "gradient hook": (with_gradient_hook, "the hook on the gradient of "
                      "0.weight, which a compiled step leaves out: remove it"),
    "accumulate hook": (with_accumulate_hook, "the hook on the gradient of "
                        "0.weight, which a compiled step leaves out: remove "
                        "it"),
    "own class": (lambda net: Mine(net.parameters()), "the optimizer (Mine): a "
                  "class of your own, of which only the step itself says what "
                  "it does: export with one of torch.optim's"),
    "unknown": (lambda net: torch.optim.LBFGS(net.parameters()),
                "the optimizer (LBFGS): is not supported; supported are "
                "Adafactor, Adam, AdamW, NAdam, SGD"),
    "foreign": (of_another, "the optimizer (SGD): parameter 6 of group 0, "
                "[2, 3], is not one of the module's: give export an optimizer "
                "of its parameters"),
    "cycled": (cycled, "the optimizer (SGD): a schedule changes the momentum "
               "of group 0; only a learning rate may change between steps"),
    "uneven": (uneven, "the optimizer (Adam): 0.bias has seen 1 steps, others "
               "3; a compiled step has one count for all"),
    "late": (late, "the optimizer (Adam): 0.bias has seen no step, others 1; a "
             "compiled step has one count for all"),
    "nan": (with_rate(float("nan")), "the optimizer (SGD): lr of group 0 is "
            "nan, not a finite number"),
    "rates": (with_rate(torch.ones(2)), "the optimizer (SGD): lr of group 0 is "
              "tensor([1., 1.]), not a finite number"),
    "mixed": (mixed, "the optimizer (Adam): decoupled_weight_decay differs "
              "between groups"),
    "differentiable": (lambda net: torch.optim.SGD(net.parameters(), lr=0.1,
                                                   differentiable=True),
                       "the optimizer (SGD): group 0 has differentiable = "
                       "True, which is not supported"),
    "twice": (twice, "the optimizer (SGD): 0.bias is in group 0 twice, and "
              "would be changed twice in a step"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    net = network()
    make, text = REFUSED[name]
    with pytest.raises(nncc.UnsupportedModel) as error:
        written(net, make(net), tmp_path)
    assert str(error.value) == text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("owner,name", [
    (torch.optim.SGD, "step"), (torch.optim.SGD, "_init_group"),
    (sys.modules[torch.optim.SGD.__module__], "_single_tensor_sgd")])
@pytest.mark.parametrize("replacement", [
    lambda *args, **options: None, functools.partial(print),
    functools.partialmethod(print)])
def test_replaced_step(owner, name, replacement, tmp_path, monkeypatch):
    """Of the class, or a function that it calls."""
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    monkeypatch.setattr(owner, name, replacement)
    with pytest.raises(nncc.UnsupportedModel) as error:
        written(net, optimizer, tmp_path)
    assert str(error.value) == (
        "the optimizer (SGD): its step was replaced, which training would "
        "leave out: export with an optimizer as torch makes it")


@pytest.mark.parametrize("thing", [torch.optim.SGD, [0.1], "SGD"])
def test_no_optimizer(thing, tmp_path):
    with pytest.raises(TypeError, match="optimizer must be an object of "
                                        "torch.optim, got"):
        written(network(), thing, tmp_path)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))[:, :3]


@pytest.mark.parametrize("make", [
    lambda net: torch.optim.AdamW(net.parameters(), lr=0.05),
    lambda net: torch.optim.AdamW([net.second.weight, net.first.bias],
                                  lr=0.05)])
def test_tied(make, tmp_path):
    torch.manual_seed(0)
    net = Tied()
    follow(net, make(net), tmp_path)


@pytest.mark.parametrize("lr", [0.0, 1e-3])
def test_many_steps(lr, tmp_path):
    """Bias corrections far from the first step; a rate of 0."""
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, amsgrad=True)
    F.cross_entropy(net(X), TARGET).backward()
    optimizer.step()
    for p in net.parameters():
        optimizer.state[p]["step"].fill_(100000)
    follow(net, optimizer, tmp_path)


def test_nan(tmp_path):
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    written(net, optimizer, tmp_path)
    ours = nncc.compile(tmp_path, entries=("train_step",))
    assert np.isnan(ours.train_step(X * float("nan"), TARGET))
    F.cross_entropy(net(X * float("nan")), TARGET).backward()
    optimizer.step()
    for name, p in net.named_parameters():
        assert np.array_equal(np.isnan(ours.state()[name]),
                              p.detach().isnan().numpy())


@pytest.mark.parametrize("loss,text", [
    (lambda y, t: F.cross_entropy(y, t, reduction="none"), "the loss must be a "
     "floating scalar"),
    (lambda y, t: (y > 0).sum(), "the loss must be a floating scalar")])
def test_no_scalar(loss, text, tmp_path):
    net = network()
    with pytest.raises(Exception, match=text):
        written(net, torch.optim.SGD(net.parameters(), lr=0.1), tmp_path, loss)
        nncc.compile(tmp_path)


def test_export_leaves_the_optimizer(tmp_path):
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    F.cross_entropy(net(X), TARGET).backward()
    optimizer.step()
    before = copy.deepcopy(optimizer.state_dict())
    gradients = [p.grad.clone() for p in net.parameters()]
    written(net, optimizer, tmp_path)
    after = optimizer.state_dict()
    assert str(after) == str(before)
    assert all(torch.equal(p.grad, g)
               for p, g in zip(net.parameters(), gradients))
