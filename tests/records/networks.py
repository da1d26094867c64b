"""The networks of the benchmarks, small enough to run in the emulator."""
import dataclasses
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..",
                                "bench"))

import models  # noqa: E402


@dataclasses.dataclass
class Network:
    module: nn.Module
    inputs: tuple
    targets: tuple
    loss: callable  # of outputs and targets

    def optimizer(self):
        return torch.optim.AdamW(self.module.parameters(), lr=1e-3)


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 10))


def of_words(y, t):
    return F.cross_entropy(y.flatten(0, 1), t.flatten())


def of_encoder(y, pooled, t):
    return F.mse_loss(y, t) + (pooled * pooled).mean()


def network(name):
    """One of NAMES, with seeded weights and inputs."""
    torch.manual_seed(0)
    images = (torch.randn(2, 3, 64, 64),)
    words = (torch.randint(0, 97, (2, 16)),)
    labels = (torch.randint(0, 10, (2,)),)
    tags = (torch.randint(0, 10, (2, 16)),)
    return {
        "lenet": lambda: Network(lenet(), (torch.randn(2, 1, 28, 28),), labels,
                                 F.cross_entropy),
        "mlp": lambda: Network(models.MLP(), (torch.randn(2, 784),), labels,
                               F.cross_entropy),
        "resnet18": lambda: Network(
            models.ResNet(models.BasicBlock, [2, 2, 2, 2]), images, labels,
            F.cross_entropy),
        "mobilenetv2": lambda: Network(models.MobileNetV2(), images, labels,
                                       F.cross_entropy),
        "unet": lambda: Network(
            models.UNet(8), images, (torch.randint(0, 2, (2, 64, 64)),),
            F.cross_entropy),
        "bert": lambda: Network(
            models.Bert(d=64, h=4, f=128, n=2, vocab=97, t=16), words,
            (torch.randn(2, 16, 64),), of_encoder),
        "gpt2": lambda: Network(models.GPT2(d=64, h=4, n=2, vocab=97, t=16),
                                words, words, of_words),
        "lstm": lambda: Network(models.LSTMTagger(97, 32, 48, 10), words, tags,
                                of_words),
        "dlrm": lambda: Network(
            models.DLRM(4, 100, 16),
            (torch.randn(4, 13), torch.randint(0, 100, (4, 4, 4))),
            (torch.rand(4, 1),), F.binary_cross_entropy)}[name]()


NAMES = ("lenet", "mlp", "resnet18", "mobilenetv2", "unet", "bert", "gpt2",
         "lstm", "dlrm")
