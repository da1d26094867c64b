"""The networks of the benchmarks, small enough to run in the emulator.

Sizes are those of docs/cuda.md where it has them, so that times on a GPU can be
compared.
"""
import dataclasses
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
sys.path[:0] = [os.path.join(ROOT, "bench"), os.path.join(ROOT, "python")]

import models  # noqa: E402
import nncc  # noqa: E402


class LeNet5(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(),
            nn.Linear(84, 10))


@dataclasses.dataclass
class Network:
    module: nn.Module
    inputs: tuple
    targets: tuple
    loss: object = F.cross_entropy  # of outputs and targets
    optimizer_class: type = torch.optim.SGD
    settings: dict = dataclasses.field(
        default_factory=lambda: dict(lr=0.01, momentum=0.9))

    def optimizer(self):
        return self.optimizer_class(self.module.parameters(), **self.settings)


def per_word(y, t):
    return F.cross_entropy(y.flatten(0, 1), t.flatten())


def of_encoder(y, pooled, t):
    return F.mse_loss(y, t) + (pooled * pooled).mean()


def pixels(*shape):
    return (torch.randn(shape),)


def numbers(count, *shape):
    return (torch.randint(0, count, shape),)


ADAM = dict(settings=dict(lr=1e-3), optimizer_class=torch.optim.AdamW)
MAKERS = {
    "lenet5": lambda: Network(
        LeNet5(), pixels(16, 1, 28, 28), numbers(10, 16),
        settings=dict(lr=1e-3), optimizer_class=torch.optim.Adam),
    "mlp": lambda: Network(models.MLP(), pixels(8, 784), numbers(10, 8)),
    "gpt2": lambda: Network(
        models.GPT2(d=128, h=4, n=2, vocab=256, t=64), numbers(256, 2, 64),
        numbers(256, 2, 64), per_word, **ADAM),
    "bert": lambda: Network(
        models.Bert(d=64, h=4, f=128, n=2, vocab=100, t=32),
        numbers(100, 2, 32), pixels(2, 32, 64), of_encoder, **ADAM),
    "lstm": lambda: Network(
        models.LSTMTagger(vocab=100, e=64, h=128, out=16),
        numbers(100, 4, 16), numbers(16, 4, 16), per_word),
    "dlrm": lambda: Network(
        models.DLRM(rows=100, d=16), pixels(32, 13) + numbers(100, 32, 8, 4),
        (torch.rand(32, 1),), F.binary_cross_entropy),
    "unet": lambda: Network(models.UNet(8), pixels(1, 3, 64, 64),
                            numbers(2, 1, 64, 64)),
    "resnet18": lambda: Network(
        models.ResNet(models.BasicBlock, [2, 2, 2, 2]), pixels(2, 3, 64, 64),
        numbers(1000, 2)),
    "mobilenetv2": lambda: Network(models.MobileNetV2(), pixels(2, 3, 64, 64),
                                   numbers(1000, 2)),
}
NAMES = tuple(MAKERS)


def network(name):
    """One of NAMES, with seeded weights and inputs."""
    torch.manual_seed(0)
    made = MAKERS[name]()
    for part in made.module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return made


def export(name, folder):
    """Writes a network with its training section; gives its inputs by
    entry."""
    made = network(name)
    nncc.export(made.module, made.inputs, folder, loss=made.loss,
                targets=made.targets, optimizer=made.optimizer(),
                verify=False)
    return {"forward": made.inputs, "train_step": made.inputs + made.targets}
