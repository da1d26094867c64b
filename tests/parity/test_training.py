"""Compiled training beside PyTorch: optimizers, networks, threads, resuming."""
import copy
import itertools
import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nncc
from models import GPT2, LSTMTagger


def classifier():
    return nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 5))


def batches(count, features=12, classes=5, size=8):
    g = torch.Generator().manual_seed(7)
    return [(torch.randn(size, features, generator=g),
             torch.randint(0, classes, (size,), generator=g))
            for _ in range(count)]


def compiled(module, inputs, targets, optimizer, folder, loss=F.cross_entropy,
             entries=("train_step",), edit=None, **options):
    nncc.export(module, inputs, folder, loss=loss, targets=targets,
                optimizer=optimizer)
    if edit:
        import json
        path = os.path.join(folder, "model.json")
        with open(path) as file:
            model = json.load(file)
        edit(model["training"])
        with open(path, "w") as file:
            json.dump(model, file)
    return nncc.compile(folder, entries=entries, **options)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "dampening": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9,
                                           dampening=0.3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9,
                                          nesterov=True, weight_decay=0.01),
    "sgd_maximize": lambda p: torch.optim.SGD(p, lr=0.01, maximize=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adam_decay": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.99),
                                             weight_decay=0.1, eps=1e-6),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "adamw_amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True,
                                                 maximize=True),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01, momentum_decay=0.01),
    "nadam_decay": lambda p: torch.optim.NAdam(p, lr=0.01, weight_decay=0.1,
                                               maximize=True),
    "nadam_decoupled": lambda p: torch.optim.NAdam(
        p, lr=0.01, weight_decay=0.1, decoupled_weight_decay=True),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.05),
    "adafactor_decay": lambda p: torch.optim.Adafactor(
        p, lr=0.3, beta2_decay=-0.5, eps=(1e-3, 1e-2), d=2.0,
        weight_decay=0.1, maximize=True),
}


def follow(module, optimizer, data, folder, loss=F.cross_entropy, edit=None):
    """Steps of both; the losses, parameters, buffers and the optimizer's state
    must agree, and what PyTorch keeps no state for must hold zeros."""
    module.train()
    ours = compiled(module, data[0][:-1], data[0][-1:], optimizer, folder,
                    loss=loss, edit=edit)
    for *inputs, t in data:
        optimizer.zero_grad()
        value = loss(module(*inputs), t)
        value.backward()
        optimizer.step()
        assert ours.train_step(*inputs, t) == pytest.approx(value.item(),
                                                            rel=1e-5)
    state = ours.state()
    for key, value in [*module.named_parameters(), *module.named_buffers()]:
        np.testing.assert_allclose(state[key], value.detach().numpy(),
                                   atol=2e-6, rtol=1e-5, err_msg=key)
    known = set()
    for key, parameter in module.named_parameters():
        for kind, value in optimizer.state.get(parameter, {}).items():
            if kind != "step" and value is not None:
                known.add(f"optimizer.{kind}.{key}")
                np.testing.assert_allclose(
                    state[f"optimizer.{kind}.{key}"], value.numpy(),
                    atol=2e-6, rtol=1e-4, err_msg=f"{kind} {key}")
    for key in state:
        if key.startswith("optimizer.") and key != "optimizer.step" \
                and key not in known:
            assert not state[key].any(), key
    return ours


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name, tmp_path):
    torch.manual_seed(0)
    module = classifier()
    optimizer = OPTIMIZERS[name](module.parameters())
    ours = follow(module, optimizer, batches(20), str(tmp_path))
    assert ours.state()["optimizer.step"] == 20


class Reach(nn.Module):
    """A parameter per way from it to the loss, or short of it."""
    def __init__(self):
        super().__init__()
        self.fc, self.unused = nn.Linear(12, 5), nn.Linear(3, 2)
        for name in ("detached", "compared", "counted", "zeroed", "floored",
                     "ceiled", "dead", "sliced", "chosen", "stopped", "emptied",
                     "shaped", "tied"):
            self.register_parameter(name, nn.Parameter(torch.full((5,), 0.7)))

    def forward(self, x):
        y = self.fc(x) + self.detached.detach() + (self.compared > 0.5).float()
        y = y + self.counted.to(torch.int64).float() + self.zeroed * 0
        y = y + torch.floor(self.floored) + torch.ceil(self.ceiled)
        y = y + torch.relu(-self.dead)
        y = y + torch.cat([self.sliced[:2], self.sliced.detach()[2:]])
        y = torch.where(y > self.stopped, y, y - self.chosen)
        y = y + self.emptied[:0].sum() + torch.zeros_like(self.shaped)
        return y * self.tied + self.tied.detach()


@pytest.mark.parametrize("name", ["momentum", "adam_decay", "adamw",
                                  "nadam_decay", "adafactor_decay"])
def test_reach(name, tmp_path):
    """Without a path of autograd a parameter keeps its value, its momentum and
    its decay to itself; with a gradient of zeros it does not."""
    torch.manual_seed(0)
    module = Reach()
    make = {"momentum": lambda p: torch.optim.SGD(
        p, lr=0.1, momentum=0.9, weight_decay=0.5)}.get(name,
                                                        OPTIMIZERS.get(name))
    optimizer = make(module.parameters())
    follow(module, optimizer, batches(3), str(tmp_path))
    still = [n for n, p in module.named_parameters()
             if p not in optimizer.state]
    assert still == ["detached", "compared", "counted", "stopped", "shaped",
                     "unused.weight", "unused.bias"]


@pytest.mark.parametrize("edit", [{"clip_grad_norm": 0.1},
                                  {"accumulate_steps": 2}])
def test_reach_clipped_and_accumulated(edit, tmp_path):
    torch.manual_seed(0)
    module = Reach()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1,
                                  weight_decay=0.5)
    data, period = batches(4), edit.get("accumulate_steps", 1)
    ours = compiled(module, data[0][:1], data[0][1:], optimizer, str(tmp_path),
                    edit=lambda training: training.update(edit))
    for i, (x, t) in enumerate(data):
        loss = F.cross_entropy(module(x), t)
        (loss / period).backward()
        if i % period == period - 1:
            if "clip_grad_norm" in edit:
                nn.utils.clip_grad_norm_(module.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad()
        assert ours.train_step(x, t) == pytest.approx(loss.item(), rel=1e-5)
    for key, value in module.state_dict().items():
        np.testing.assert_allclose(ours.state()[key], value.numpy(), atol=2e-6)


def test_gradients_of_what_is_not_reached(tmp_path):
    module, (x, t) = Reach(), batches(1)[0]
    ours = compiled(module, (x,), (t,), None, str(tmp_path),
                    entries=("loss_and_grad", "backward"))
    F.cross_entropy(module(x), t).backward()
    gradients = ours.run("loss_and_grad", x, t)
    for name, p in module.named_parameters():
        right = torch.zeros_like(p) if p.grad is None else p.grad
        torch.testing.assert_close(gradients["grad." + name], right)
    assert not ours.run("backward", x, torch.ones(8, 5))["grad.unused.bias"].any()


class Shared(nn.Module):
    """Batch norms that are called again: one of its own, in a class, in a
    Sequential, in a function, and one that is the same module twice."""
    def __init__(self, momentum):
        super().__init__()
        self.own = nn.BatchNorm1d(12, momentum=momentum)
        self.part = nn.Sequential(nn.Linear(12, 12),
                                  nn.BatchNorm1d(12, momentum=momentum))
        self.inner = Inner(momentum)
        self.alias = self.own
        self.register_buffer("mean", torch.zeros(12))
        self.register_buffer("var", torch.ones(12))
        self.norm = nn.utils.parametrizations.spectral_norm(
            nn.Linear(12, 12), n_power_iterations=2)
        self.hook = nn.utils.spectral_norm(nn.Linear(12, 5))

    def forward(self, x):
        x = self.part(self.own(x))
        x = self.inner(self.part(self.alias(x) * 2 + 1))
        x = self.inner(self.norm(x)) + self.own.running_mean
        x = x + 0.1 * self.norm(x)
        for scale in (1.0, 3.0):
            x = F.batch_norm(x * scale, self.mean, self.var,
                             training=self.training, momentum=0.3)
        return self.hook(x)


class Inner(nn.Module):
    def __init__(self, momentum):
        super().__init__()
        self.norm = nn.BatchNorm1d(12, momentum=momentum)

    def forward(self, x):
        return torch.tanh(self.norm(x))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_buffers_call_by_call(momentum, tmp_path):
    torch.manual_seed(0)
    module = Shared(momentum).double()  # ten norms in a row amplify rounding
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0625)
    data = [(x.double(), t) for x, t in batches(3)]
    before = copy.deepcopy(module)
    follow(module, optimizer, data, str(tmp_path))
    x = data[0][0]
    ours = compiled(before.eval(), (x,), (data[0][1],), None,
                    str(tmp_path / "entries"),
                    entries=("backward", "train_forward", "loss_and_grad"))
    before.train()(x)
    for entry, last in (("backward", torch.ones(8, 5).double()),
                        ("train_forward", None),
                        ("loss_and_grad", data[0][1])):
        results = ours.run(entry, *[t for t in (x, last) if t is not None])
        for name, buffer in before.named_buffers():
            torch.testing.assert_close(results[name], buffer, atol=1e-5,
                                       rtol=1e-5)


def test_groups_frozen_and_lr(tmp_path):
    torch.manual_seed(0)
    module = classifier()
    biases = [p for n, p in module.named_parameters() if "bias" in n]
    module[0].weight.requires_grad_(False)
    optimizer = torch.optim.AdamW([{"params": [module[2].weight]},
                                   {"params": biases, "weight_decay": 0,
                                    "lr": 0.02}], lr=0.01)

    def edit(training):
        training["frozen"] = ["0.weight"]
        training["optimizer"] = {
            "type": "optim.AdamW", "lr": 0.01,
            "groups": [{"params": ["*.bias"], "weight_decay": 0, "lr": 0.02}]}
    data = batches(10)
    ours = compiled(module, data[0][:1], data[0][1:], None, str(tmp_path),
                    edit=edit)
    frozen = ours.state()["0.weight"].copy()
    for i, (x, t) in enumerate(data):
        scale = 1 / (i + 1)  # a schedule keeps the groups' proportions
        for group, lr in zip(optimizer.param_groups, (0.01, 0.02)):
            group["lr"] = lr * scale
        optimizer.zero_grad()
        loss = F.cross_entropy(module(x), t)
        loss.backward()
        optimizer.step()
        assert ours.train_step(x, t, lr=0.01 * scale) == pytest.approx(
            loss.item(), rel=1e-5)
    state = ours.state()
    assert np.array_equal(state["0.weight"], frozen)
    assert "optimizer.exp_avg.0.weight" not in state
    for key, value in module.state_dict().items():
        np.testing.assert_allclose(state[key], value.numpy(), atol=2e-6)


@pytest.mark.parametrize("name", ["momentum", "adamw", "nadam_decoupled",
                                  "adafactor_decay"])
@pytest.mark.parametrize("given", [True, False])
def test_rate_of_doubles(name, given, tmp_path):
    """With all its digits, the model's or a call's, also beside a group's."""
    torch.manual_seed(0)
    module = classifier().double()
    optimizer = OPTIMIZERS[name](module.parameters())
    weights = optimizer.param_groups[0]["params"].pop()
    optimizer.add_param_group({"params": [weights], "lr": 0.07})
    data = [(x.double(), t) for x, t in batches(4)]
    ours = compiled(module, data[0][:1], data[0][1:], optimizer, str(tmp_path))
    rates = [group["lr"] for group in optimizer.param_groups]
    for i, (x, t) in enumerate(data):
        scale = 0.9 ** i if given else 1
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate * scale
        optimizer.zero_grad()
        loss = F.cross_entropy(module(x), t)
        loss.backward()
        optimizer.step()
        value = ours.train_step(x, t, lr=rates[0] * scale if given else None)
        assert value == pytest.approx(loss.item(), rel=1e-13)
    for key, value in module.state_dict().items():
        np.testing.assert_allclose(ours.state()[key], value.numpy(),
                                   rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("clip", [{"clip_grad_norm": 0.05},
                                  {"clip_grad_value": 0.01}])
def test_clipping(clip, tmp_path):
    torch.manual_seed(0)
    module = classifier()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    data = batches(10)
    ours = compiled(module, data[0][:1], data[0][1:], optimizer, str(tmp_path),
                    edit=lambda training: training.update(clip))
    for x, t in data:
        optimizer.zero_grad()
        loss = F.cross_entropy(module(x), t)
        loss.backward()
        if "clip_grad_norm" in clip:
            nn.utils.clip_grad_norm_(module.parameters(), 0.05)
        else:
            nn.utils.clip_grad_value_(module.parameters(), 0.01)
        optimizer.step()
        assert ours.train_step(x, t) == pytest.approx(loss.item(), rel=1e-5)
    state = ours.state()
    for key, value in module.state_dict().items():
        np.testing.assert_allclose(state[key], value.numpy(), atol=2e-6)


@pytest.mark.parametrize("period", [1, 2])
@pytest.mark.parametrize("clip", [
    {"clip_grad_norm": 0.05}, {"clip_grad_norm": 1e9},
    {"clip_grad_norm": 0.05, "clip_grad_value": 0.02}])
def test_clipping_what_the_optimizer_has(clip, period, tmp_path):
    """The norm is that of what the optimizer has, as where it has all."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 16),
                           nn.Tanh(), nn.Linear(16, 5), nn.Linear(5, 5))
    module[4].weight.requires_grad_(False)
    owned = [*module[2].parameters(), *module[5].parameters()]
    optimizer = torch.optim.AdamW(owned, lr=0.1)
    data = batches(6)
    ours = compiled(
        module, data[0][:1], data[0][1:], optimizer, str(tmp_path),
        edit=lambda t: t.update(clip, accumulate_steps=period))
    for i, (x, t) in enumerate(data):
        loss = F.cross_entropy(module(x), t)
        (loss / period).backward()
        assert ours.train_step(x, t) == pytest.approx(loss.item(), rel=1e-5)
        if i % period < period - 1:
            continue
        if "clip_grad_value" in clip:
            nn.utils.clip_grad_value_(owned, 0.02)
        nn.utils.clip_grad_norm_(owned, clip["clip_grad_norm"])
        optimizer.step()
        module.zero_grad()
    for key, value in module.state_dict().items():
        np.testing.assert_allclose(ours.state()[key], value.numpy(), atol=2e-6)
    kept = {n for n in ours.state() if n.startswith("optimizer.exp_avg.")}
    assert kept == {"optimizer.exp_avg." + n for n in (
        "2.weight", "2.bias", "5.weight", "5.bias")}


def test_accumulation(tmp_path):
    torch.manual_seed(0)
    module = classifier()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    data = batches(12)
    ours = compiled(module, data[0][:1], data[0][1:], optimizer, str(tmp_path),
                    edit=lambda t: t.update(accumulate_steps=3))
    for i, (x, t) in enumerate(data):
        loss = F.cross_entropy(module(x), t)
        (loss / 3).backward()
        before = ours.state()["0.weight"].copy()
        assert ours.train_step(x, t) == pytest.approx(loss.item(), rel=1e-5)
        assert np.array_equal(before, ours.state()["0.weight"]) == (i % 3 < 2)
        if i % 3 == 2:
            optimizer.step()
            optimizer.zero_grad()
    state = ours.state()
    assert state["optimizer.step"] == 12
    for key, value in module.state_dict().items():
        np.testing.assert_allclose(state[key], value.numpy(), atol=2e-6)


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(
            6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 120), nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = torch.relu(self.fc1(x.flatten(1)))
        return self.fc3(torch.relu(self.fc2(x)))


def sequence_loss(y, t):
    return F.cross_entropy(y.flatten(0, 1), t.flatten())


def tokens(count, vocabulary, shape, classes):
    g = torch.Generator().manual_seed(3)
    return [(torch.randint(0, vocabulary, shape, generator=g),
             torch.randint(0, classes, shape, generator=g))
            for _ in range(count)]


def images(count):
    g = torch.Generator().manual_seed(5)
    return [(torch.randn(8, 1, 28, 28, generator=g),
             torch.randint(0, 10, (8,), generator=g)) for _ in range(count)]


NETWORKS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(64, 128), nn.ReLU(),
                                  nn.Linear(128, 64), nn.GELU(),
                                  nn.Linear(64, 10)),
            lambda: batches(4, 64, 10, 16), F.cross_entropy),
    "lenet5": (LeNet5, lambda: images(4), F.cross_entropy),
    "lstm": (lambda: LSTMTagger(vocab=50, e=16, h=16, out=7),
             lambda: tokens(4, 50, (3, 6), 7), sequence_loss),
    "gpt2": (lambda: GPT2(vocab=60, d=32, n=2, h=4, t=16),
             lambda: tokens(4, 60, (2, 8), 60), sequence_loss),
}
# At a rate of 1e-3 PyTorch's own f32 losses on LeNet-5 are 7e-4 off those in
# f64 after 100 steps: Adam divides noise by noise.
STEPS = {"momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9),
         "adam": lambda p: torch.optim.Adam(p, lr=3e-4),
         "adamw": lambda p: torch.optim.AdamW(p, lr=3e-4)}


@pytest.mark.parametrize("network,optimizer",
                         itertools.product(NETWORKS, STEPS))
def test_hundred_steps(network, optimizer, tmp_path):
    make, data, loss_of = NETWORKS[network]
    torch.manual_seed(0)
    module, data = make().train(), data()
    theirs = STEPS[optimizer](module.parameters())
    ours = compiled(module, data[0][:1], data[0][1:], theirs, str(tmp_path),
                    loss=loss_of)
    for step in range(100):
        x, t = data[step % len(data)]
        theirs.zero_grad()
        loss = loss_of(module(x), t)
        loss.backward()
        theirs.step()
        assert ours.train_step(x, t) == pytest.approx(loss.item(), rel=1e-4,
                                                      abs=1e-6), step


def dropping():
    return nn.Sequential(nn.Linear(12, 64), nn.Dropout(0.5), nn.ReLU(),
                         nn.Linear(64, 5))


def train(folder, steps, threads=1, seed=0, weights=None):
    if weights:
        os.replace(weights, os.path.join(folder, "weights.safetensors"))
    ours = nncc.compile(folder, entries=("train_step",), threads=threads,
                        seed=seed)
    return ours, [ours.train_step(x, t) for x, t in steps]


def test_bits(tmp_path):
    torch.manual_seed(0)
    data = batches(12)
    module = dropping()
    folder = str(tmp_path)
    nncc.export(module, data[0][:1], folder, loss=F.cross_entropy,
                targets=data[0][1:],
                optimizer=torch.optim.Adam(module.parameters(), lr=0.01))
    ours, losses = train(folder, data)
    final = {k: v.copy() for k, v in ours.state().items()}
    for threads in (1, 2, 3):
        other, again = train(folder, data, threads)
        assert again == losses
        assert all(np.array_equal(v, final[k])
                   for k, v in other.state().items())
    assert train(folder, data, seed=1)[1] != losses
    # Stopped and resumed.
    half, first = train(folder, data[:6])
    half.save(os.path.join(folder, "half.safetensors"))
    other, second = train(folder, data[6:],
                          weights=os.path.join(folder, "half.safetensors"))
    assert first + second == losses
    assert all(np.array_equal(v, final[k]) for k, v in other.state().items())


def test_dropout_statistics(tmp_path):
    nncc.export(nn.Sequential(nn.Dropout(0.3)), (torch.ones(64, 256),),
                str(tmp_path))
    ours = nncc.compile(str(tmp_path), entries=("forward", "backward"))
    x = torch.ones(64, 256)
    assert torch.equal(ours(x), x)  # eval mode
    first = ours.run("backward", x, x)
    y, gradient = first.values()
    assert torch.equal(y, gradient)  # the same mask both ways
    kept = (y != 0).float().mean().item()
    assert kept == pytest.approx(0.7, abs=0.015)
    assert torch.all((y == 0) | (y == torch.tensor(1 / 0.7)))
    again = ours.run("backward", x, x)["grad.x"]
    assert not torch.equal(again, gradient)  # others in the next run
    ours.seed(0, 1)  # `forward` was step 0
    assert torch.equal(list(ours.run("backward", x, x).values())[0], y)


def test_all_reduce(tmp_path):
    """Two halves of a batch, each with the other's gradients."""
    torch.manual_seed(0)
    module = classifier()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    (x, t), = batches(1)
    folder = str(tmp_path)
    seen, halves = [], [(x[:4], t[:4]), (x[4:], t[4:])]
    nncc.export(module, (x[:4],), folder, loss=F.cross_entropy,
                targets=(t[:4],), optimizer=optimizer)
    alone = nncc.compile(folder, entries=("loss_and_grad",))
    gradients = [alone.run("loss_and_grad", *half) for half in halves]

    def mean(bucket):
        seen.extend(bucket)
        for name, g in bucket.items():
            other = gradients[1]["grad." + name].numpy().reshape(-1)
            g += (other - g) / 2
    ours = nncc.compile(folder, entries=("train_step",), all_reduce=mean)
    ours.train_step(*halves[0])
    optimizer.zero_grad()
    F.cross_entropy(module(x), t).backward()
    optimizer.step()
    assert seen == ["2.bias", "2.weight", "0.bias", "0.weight"]
    for key, value in module.state_dict().items():
        np.testing.assert_allclose(ours.state()[key], value.numpy(), atol=1e-6)

    def fails(bucket):
        raise OSError("no network")
    ours = nncc.compile(folder, entries=("train_step",), all_reduce=fails)
    with pytest.raises(RuntimeError, match="^all_reduce gave 1$"):
        ours.train_step(*halves[0])


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.drop, self.fc = nn.Dropout(0), nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.drop(torch.relu(self.norm(self.conv(x)))).mean(
            (2, 3)))


def test_torch_loop(tmp_path):
    """A PyTorch optimizer on compiled forward and backward."""
    torch.manual_seed(0)
    module = Normed().train()
    g = torch.Generator().manual_seed(1)
    data = [(torch.randn(4, 2, 6, 6, generator=g),
             torch.randint(0, 3, (4,), generator=g)) for _ in range(5)]
    nncc.export(copy.deepcopy(module).eval(), data[0][:1], str(tmp_path))
    ours = nncc.compile(str(tmp_path), entries=(
        "forward", "train_forward", "backward")).module()
    theirs = torch.optim.Adam(module.parameters(), lr=0.01)
    own = torch.optim.Adam(ours.parameters(), lr=0.01)
    for x, t in data:
        x1, x2 = (x.clone().requires_grad_() for _ in range(2))
        theirs.zero_grad()
        own.zero_grad()
        expected = F.cross_entropy(module(x1), t)
        loss = F.cross_entropy(ours(x2), t)
        expected.backward()
        loss.backward()
        torch.testing.assert_close(x2.grad, x1.grad, atol=1e-6, rtol=1e-4)
        theirs.step()
        own.step()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    state = module.state_dict()
    for key, value in ours.named().items():
        torch.testing.assert_close(value.detach(), state[key], atol=3e-6,
                                   rtol=1e-5)
    ours.eval()
    module.eval()
    torch.testing.assert_close(ours(data[0][0]), module(data[0][0]),
                               atol=1e-5, rtol=1e-5)
