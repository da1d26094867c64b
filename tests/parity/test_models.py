"""Whole networks against live PyTorch: values, CPUs, threads, batches."""
import os

import pytest
import torch
import torch.nn as nn

import models

CPUS = ("native", "x86-64-v3", "x86-64")
THREADS = (1, 2, 3)
SMALL = ["mlp_b1", "mlp_b64", "unet_b1", "dlrm_b128", "mobilenetv2_b1",
         "resnet18_b1", "lstm_b1", "lstm_b8"]
LARGE = ["resnet50_b1", "resnet50_b8", "bert_base_s128", "gpt2_s64"]
full = os.environ.get("NNCC_FULL") == "1"


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.AvgPool2d(2)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(torch.tanh(self.conv1(x)))
        x = self.pool(torch.tanh(self.conv2(x)))
        x = torch.flatten(x, 1)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


@pytest.mark.parametrize("batch", [1, 5])
def test_lenet(parity, batch):
    torch.manual_seed(0)
    parity(LeNet5(), (torch.randn(batch, 1, 28, 28),), CPUS, THREADS)


@pytest.mark.parametrize("name", SMALL)
def test_small(parity, name):
    module, inputs = models.build(name)
    parity(module, inputs, CPUS if full else ("native",), THREADS)


@pytest.mark.parametrize("name", LARGE)
def test_large(parity, name):
    if not full and name in ("resnet50_b8",):
        pytest.skip("runs in scripts/test.sh --full")
    module, inputs = models.build(name)
    parity(module, inputs, CPUS if full else ("native",),
           THREADS if full else (1, 2))


def test_small_transformers_on_all_cpus(parity):
    """The shapes of BERT and GPT-2, small enough for every CPU in CI."""
    torch.manual_seed(0)
    bert = models.Bert(d=64, h=4, f=128, n=2, vocab=100, t=32)
    parity(bert, (torch.randint(0, 100, (2, 17)),), CPUS, THREADS)
    gpt = models.GPT2(d=64, h=4, n=2, vocab=97, t=32)
    parity(gpt, (torch.randint(0, 97, (2, 19)),), CPUS, THREADS)
