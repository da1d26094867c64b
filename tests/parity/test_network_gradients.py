"""Gradients of whole networks against autograd, per parameter and input.

The error against f64 is at most twice PyTorch's own, or 1e-5 of the
gradient's size. Where an activation lies within rounding of a kink of ReLU or
ReLU6, f32 may take the other side, and so may PyTorch. MobileNetV2 has two
million activations for such an input, and no input without one at a kink.
Networks with many kinks are judged twice: with SiLU in the place of ReLU, where
the bound holds for the mean square over three inputs, and as they are in f64,
which has no activation that close to a kink.
"""
import copy
import math
import os

import pytest
import torch
from torch import nn

import models
import nncc
from test_gradients import run_autograd
from test_training import LeNet5

full = os.environ.get("NNCC_FULL") == "1"


def images(batch, size):
    return lambda: (torch.randn(batch, 3, size, size),)


def ids(vocabulary, *shape):
    return lambda: (torch.randint(0, vocabulary, shape),)


# name -> (module, inputs)
KINKED = {
    "resnet18": (lambda: models.ResNet(models.BasicBlock, [2, 2, 2, 2]),
                 images(2, 64)),
    "mobilenetv2": (models.MobileNetV2, images(4, 64)),
    "unet": (lambda: models.UNet(c=8), images(2, 64)),
}
NETWORKS = {
    "mlp": (models.MLP, lambda: (torch.randn(16, 784),)),
    "lenet5": (LeNet5, lambda: (torch.randn(4, 1, 28, 28),)),
    "lstm": (lambda: models.LSTMTagger(vocab=200, e=32, h=48, out=9),
             ids(200, 3, 12)),
    "bert": (lambda: models.Bert(d=128, h=4, f=256, n=2, vocab=300, t=64),
             ids(300, 2, 40)),
    "gpt2": (lambda: models.GPT2(d=128, h=4, n=2, vocab=300, t=64),
             ids(300, 2, 40)),
    "dlrm": (lambda: models.DLRM(tables=4, rows=500, d=16),
             lambda: (torch.randn(16, 13), torch.randint(0, 500, (16, 4, 4)))),
}


def errors(module, inputs, compiled):
    """Per gradient and buffer: ours and PyTorch's, relative to its size."""
    with torch.no_grad():
        outputs = copy.deepcopy(module).train()(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    cotangents = [torch.randn_like(o) for o in outputs]
    exact = run_autograd(module, inputs, cotangents, torch.float64)
    theirs = run_autograd(module, inputs, cotangents, torch.float32)
    names, _ = compiled.signature("backward")
    ours = {f"input {names.index(k[5:])}" if k[5:] in names else
            k.removeprefix("grad."): v for k, v in
            compiled.run("backward", *inputs, *cotangents).items()}
    largest = max(g.abs().max().item() for n, g in exact.items()
                  if g is not None and g.is_floating_point())
    result = {}
    for name, right in exact.items():
        if right is None or not right.is_floating_point():
            continue
        # A gradient that is 0 in exact arithmetic has the others' noise.
        scale = max(right.norm().item(), 1e-3 * largest)
        result[name] = [((x[name].double() - right).norm() / scale).item()
                        for x in (ours, theirs)]
    return result


def beyond(module, draws, compiled):
    """The gradients whose error is too large, as a mean square over inputs: one
    draw of a small gradient has either's luck."""
    found = [errors(module, inputs, compiled) for inputs in draws]
    means = {key: [math.sqrt(sum(each[key][i] ** 2 for each in found) /
                             len(found)) for i in range(2)] for key in found[0]}
    return {key: (own, theirs) for key, (own, theirs) in means.items()
            if own > max(2 * theirs, 1e-5)}


def prepared(make, inputs, folder):
    """The module in train mode without dropout, and its backward."""
    torch.manual_seed(0)
    module = make().train()
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0  # other random numbers than PyTorch's
    nncc.export(module, inputs(), str(folder))
    return module, nncc.compile(str(folder), entries=("backward",))


def smooth(module):
    for name, child in module.named_children():
        if isinstance(child, (nn.ReLU, nn.ReLU6)):
            setattr(module, name, nn.SiLU())
        else:
            smooth(child)
    return module


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name, tmp_path):
    make, inputs = NETWORKS[name]
    module, compiled = prepared(make, inputs, tmp_path)
    assert beyond(module, [inputs()], compiled) == {}


@pytest.mark.parametrize("name", KINKED)
def test_without_kinks(name, tmp_path):
    make, inputs = KINKED[name]
    module, compiled = prepared(lambda: smooth(make()), inputs, tmp_path)
    draws = [inputs() for _ in range(3)]
    assert beyond(module, draws, compiled) == {}


@pytest.mark.parametrize("name", KINKED)
def test_with_kinks(name, tmp_path):
    make, inputs = KINKED[name]
    module, compiled = prepared(
        lambda: make().double(), lambda: tuple(x.double() for x in inputs()),
        tmp_path)
    found = errors(module, tuple(x.double() for x in inputs()), compiled)
    assert {key: own for key, (own, _) in found.items() if own > 1e-11} == {}


@pytest.mark.skipif(not full, reason="runs in scripts/test.sh --full")
def test_gpt2_124m(tmp_path):
    torch.manual_seed(0)
    module, inputs = models.build("gpt2_s64")
    nncc.export(module, inputs, str(tmp_path))
    compiled = nncc.compile(str(tmp_path), entries=("backward",))
    assert beyond(module, [inputs], compiled) == {}
