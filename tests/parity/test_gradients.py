"""The compiled `backward` entry against PyTorch's autograd in train mode: per
input and parameter, error against f64 at most twice PyTorch's own."""
import copy
import json

import nncc
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

import test_compositions
import test_losses
import test_parametrized
import test_recurrent


def run_autograd(module, inputs, cotangents, to):
    module = copy.deepcopy(module).to(to).train()
    xs = [x.detach().clone().to(to).requires_grad_()
          if x.is_floating_point() else x for x in inputs]
    outputs = module(*xs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    torch.autograd.backward(
        [o for o in outputs if o.requires_grad],
        [c.to(to) for o, c in zip(outputs, cotangents) if o.requires_grad])
    gradients = {f"input {i}": x.grad for i, x in enumerate(xs)
                 if x.is_floating_point()}
    gradients.update((n, p.grad) for n, p in module.named_parameters())
    gradients.update((n, b) for n, b in module.named_buffers()
                     if "running" in n or "tracked" in n)
    return gradients


@pytest.fixture
def gradients(tmp_path):
    def check(module, inputs, threads=(1,)):
        torch.manual_seed(1)
        with torch.no_grad():
            outputs = copy.deepcopy(module).train()(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        cotangents = [torch.randn_like(o) for o in outputs
                      if o.is_floating_point()]
        nncc.export(module, inputs, tmp_path)
        results = []
        for count in threads:
            model = nncc.compile(tmp_path, threads=count,
                                 entries=("forward", "backward"))
            results.append(model.run("backward", *inputs, *cotangents))
        for other in results[1:]:
            for name, value in results[0].items():
                assert torch.equal(value, other[name]), name
        ours = results[0]
        names = list(json.loads((tmp_path / "model.json").read_text())
                     ["inputs"])
        theirs = run_autograd(module, inputs, cotangents, torch.float32)
        exact = run_autograd(module, inputs, cotangents, torch.float64)
        for name, right in exact.items():
            key = name
            if name.startswith("input "):
                key = "grad." + names[int(name[6:])]
            elif "grad." + name in ours:
                key = "grad." + name
            if right is None:
                right = their = torch.zeros_like(ours[key])
            else:
                their = theirs[name]
            # NaN where PyTorch has it (kl_div by a target of 0), then numbers.
            assert torch.equal(ours[key].isnan(), right.isnan()), name
            mine, their, right = (t.double().nan_to_num() for t in
                                  (ours[key], their, right))
            scale = right.abs().max().clamp_min(1e-30)
            # What is zero in exact arithmetic is noise in both.
            if scale < 1e-12:
                scale = torch.ones(())
            error = float((mine - right).abs().max() / scale)
            other = float((their - right).abs().max() / scale)
            assert error <= max(2 * other, 1e-5), (name, error, other)
    return check


# Integers have no gradient; some cases only repeat others.
@pytest.mark.parametrize("name", [
    n for n in test_compositions.FUNCTIONS
    if n not in ("attention_deep", "attention_blocks")])
def test_function(gradients, name):
    torch.manual_seed(0)
    function, shape = test_compositions.FUNCTIONS[name]
    gradients(test_compositions.Wrap(function), (torch.randn(*shape),))


# PyTorch differentiates a clamped denominator here, not the formula.
@pytest.mark.parametrize("name", [n for n in test_losses.CASES
                                  if n != "bce_certain"])
def test_loss(gradients, name):
    torch.manual_seed(0)
    body, shape, target = test_losses.CASES[name]
    x = torch.randn(*shape)
    if name == "bce_weight":
        x = x.sigmoid()
    gradients(test_losses.Loss(body), (x, target))


@pytest.mark.parametrize("name", ["weight_norm_new", "weight_norm_dim"])
def test_parametrized_module(gradients, name):
    torch.manual_seed(0)
    layer, shape = test_parametrized.LAYERS[name]
    gradients(test_parametrized.Wrap(layer()), (torch.randn(*shape),))


@pytest.mark.parametrize("kind", test_recurrent.KINDS)
def test_recurrent_layers(gradients, kind):
    torch.manual_seed(0)
    layer = kind(9, 20, num_layers=2, bidirectional=True)
    gradients(test_recurrent.Layer(layer), (torch.randn(5, 3, 9),), (1, 2))


@pytest.mark.parametrize("part", test_recurrent.PARTS)
@pytest.mark.parametrize("kind, steps", test_recurrent.LENGTHS)
def test_recurrent_part(gradients, kind, part, steps):
    torch.manual_seed(0)
    layer = kind(5, 6, bidirectional=part == "outputs")
    states = [torch.randn(1 + (part == "outputs"), 2, 6)
              for _ in range(1 + (kind is nn.LSTM))]
    gradients(test_recurrent.Layer(layer, part),
              (torch.randn(steps, 2, 5), *states))


def test_recurrent_relu(gradients):
    torch.manual_seed(0)
    gradients(test_recurrent.Layer(nn.RNN(5, 6, nonlinearity="relu")),
              (torch.randn(4, 2, 5),))


class Ties(nn.Module):
    """Equal operands and elements, and values on the bounds."""

    def forward(self, x):
        y = torch.relu(x) + F.relu6(x) + x.clamp(0, 6) + x.abs()
        y = y + torch.maximum(x, x.floor()) + torch.minimum(x, x.floor())
        return y, x.amax(1), F.max_pool2d(x[None], 2)


def test_ties(gradients):
    gradients(Ties(), (torch.tensor([[0.0, 6, 1, 1], [-1, -1, 6, 0],
                                     [2, 2, 2, 2], [0, 0, 0, 0]]),))


class Power(nn.Module):
    def forward(self, x, y):
        return torch.pow(x, y)


def test_power(gradients):
    x = torch.tensor([0.0, 0.0, 2.0, 3.0, 0.5])
    y = torch.tensor([0.0, 2.0, 0.0, 2.5, -1.0])
    gradients(Power(), (x, y))


class Lenet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 120), nn.Linear(120, 10)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        return self.fc2(torch.relu(self.fc1(torch.flatten(x, 1))))


def test_lenet(gradients):
    torch.manual_seed(0)
    gradients(Lenet(), (torch.randn(4, 1, 28, 28),), (1, 2, 3))


@pytest.mark.parametrize("make", [
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    lambda p: torch.optim.AdamW(
        [{"params": p[:1]}, {"params": p[1:], "weight_decay": 0.0}])])
@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), F.cross_entropy])
def test_loss_and_grad(tmp_path, loss, make):
    torch.manual_seed(0)
    model, x = Lenet(), torch.randn(4, 1, 28, 28)
    target = torch.tensor([3, 1, 0, 9])
    nncc.export(model, (x,), str(tmp_path), loss=loss, targets=(target,),
                optimizer=make(list(model.parameters())))
    ours = nncc.compile(str(tmp_path), entries=("forward", "loss_and_grad"))
    value = loss(model(x), target)
    value.backward()
    result = ours.run("loss_and_grad", x, target)
    assert torch.allclose(result.pop("loss"), value.detach(), rtol=1e-5)
    expected = {f"grad.{n}": p.grad for n, p in model.named_parameters()}
    assert result.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.allclose(result[name], gradient, rtol=1e-4, atol=1e-6)


def test_frozen_and_unwanted(tmp_path):
    """Frozen parameters and inputs without "grad" get no gradient."""
    model, x = Lenet(), torch.randn(2, 1, 28, 28)
    nncc.export(model, (x,), str(tmp_path), loss=F.cross_entropy,
                targets=(torch.tensor([3, 1]),))
    path = tmp_path / "model.json"
    file = json.loads(path.read_text())
    file["training"]["frozen"] = ["conv*", "fc1.bias"]
    file["inputs"]["x"]["grad"] = False
    path.write_text(json.dumps(file))
    model = nncc.compile(str(tmp_path), entries=("forward", "backward"))
    result = model.run("backward", x, torch.ones(2, 10))
    assert [n for n in result if n.startswith("grad.")] == [
        "grad.fc1.weight", "grad.fc2.weight", "grad.fc2.bias"]


class Embed(nn.Module):
    def __init__(self, rows, width, padding):
        super().__init__()
        self.table = nn.Embedding(rows, width, padding_idx=padding)

    def forward(self, ids):
        return self.table(ids)


# Widths around whole vectors and blocks of columns; many repeated rows.
@pytest.mark.parametrize("rows,width,padding", [
    (5, 1, None), (5, 3, 2), (7, 16, -1), (9, 64, None), (3, 70, 0),
    (100, 130, 99), (2, 257, 1), (6, 48, None)])
def test_scatter(gradients, rows, width, padding):
    torch.manual_seed(0)
    gradients(Embed(rows, width, padding),
              (torch.randint(0, rows, (4, 11)),), (1, 2, 3))


class Tied(nn.Module):
    """The scatter is added to the gradient of a product."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(37, 24)

    def forward(self, ids):
        return F.linear(torch.tanh(self.table(ids)), self.table.weight)


def test_scatter_into_a_product(gradients):
    torch.manual_seed(0)
    gradients(Tied(), (torch.randint(0, 37, (3, 9)),), (1, 2))


# Overlaps, gaps between windows, borders, dilation; channels last and first.
@pytest.mark.parametrize("pool,shape", [
    (nn.MaxPool2d(2), (2, 3, 8, 8)), (nn.MaxPool2d(3, 2, 1), (2, 17, 9, 10)),
    (nn.MaxPool2d(3, 1), (1, 4, 6, 7)), (nn.MaxPool2d(2, 3), (2, 5, 11, 8)),
    (nn.MaxPool2d((3, 2), (1, 2), (1, 0), (2, 1)), (2, 6, 9, 8)),
    (nn.MaxPool1d(4, 3, 2), (3, 5, 20)), (nn.AvgPool2d(3, 2, 1), (2, 19, 8, 9)),
    (nn.MaxPool3d(2, 1), (1, 3, 4, 5, 4)), (nn.MaxPool2d(5, 2), (2, 64, 9, 9)),
    (nn.AvgPool2d((2, 4), (2, 1)), (2, 3, 6, 11)),
    (nn.AvgPool2d(7, 1), (2, 3, 12, 13)), (nn.MaxPool2d(9, 2, 4), (1, 5, 19, 18)),
    (nn.AvgPool1d(40, 3), (2, 3, 90)), (nn.AvgPool3d(4, 1), (1, 2, 6, 7, 6))])
def test_fold(gradients, pool, shape):
    torch.manual_seed(0)
    channels = shape[1]
    kind = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}[len(shape)]
    gradients(nn.Sequential(kind(channels, channels, 1), pool),
              (torch.randn(*shape),), (1, 2))
    gradients(test_compositions.Wrap(pool), (torch.randn(*shape),))


# The mean over few and many elements, far from and near 0.
@pytest.mark.parametrize("batch,size,shift", [
    (2, 2, 0), (2, 3, 5), (8, 16, 0), (3, 30, -3), (16, 1, 0), (5, 7, 50),
    (1, 40, 1), (4, 4, 0)])
def test_batch_norm(gradients, batch, size, shift):
    torch.manual_seed(0)
    gradients(nn.Sequential(nn.BatchNorm2d(6)),
              (torch.randn(batch, 6, size, size) + shift,), (1, 3))
