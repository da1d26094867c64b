"""Several functions in one graph against live PyTorch, on three CPUs: views that
products and attention read through, values used twice, several outputs. What
one call computes is a record's to say (tests/records)."""
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

CPUS = ("native", "x86-64-v3", "x86-64")


class Wrap(nn.Module):
    """A module or function of tensors as a model."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x)


class Pair(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x, y):
        return self.body(x, y)


FUNCTIONS = {
    "transpose": (lambda x: x.transpose(0, 1) + 1.0, (5, 17)),
    "permute_reshape": (lambda x: x.permute(2, 0, 1).reshape(6, -1), (3, 4, 8)),
    "slice": (lambda x: x[1:, ::2] * 2.0, (5, 9)),
    "index": (lambda x: x[:, -1, None, ...], (5, 9, 3)),
    "cat": (lambda x: torch.cat([x, x * 2.0, x[:, :3]], 1), (5, 9)),
    # Parts that begin within a vector, and at the start of one.
    "sum_of_cat": (lambda x: torch.cat([x, x * 2.0, x[:, :3]], 1).sum(1),
                   (5, 90)),
    "max_of_cat": (lambda x: torch.cat([x, x * 2.0, x + 1.0], 1).amax((0, 1)),
                   (5, 90)),
    "sum_of_whole_cat": (lambda x: torch.cat([x, x * 2.0, x[:, :3]], 1).sum(1),
                         (5, 96)),
    "stack": (lambda x: torch.stack([x, x + 1.0], 1), (5, 32)),
    "sin_cos": (lambda x: torch.sin(x) * torch.cos(x), (5, 70)),
    "where": (lambda x: torch.where(x > 0, x, x * 0.1), (5, 70)),
    "division": (lambda x: x / (x.abs() + 1.0), (5, 70)),
    "matmul_self": (lambda x: torch.matmul(x, x.transpose(1, 2)), (3, 9, 20)),
    "expand": (lambda x: x.unsqueeze(1).expand(5, 4, 70) * 2.0, (5, 70)),
    "matmul_self_wide": (lambda x: torch.matmul(x, x.transpose(1, 2)),
                         (2, 128, 40)),
    "matmul_self_row": (lambda x: torch.matmul(x[:, :1], x.transpose(1, 2)),
                        (2, 70, 40)),
    "matmul_uneven": (lambda x: torch.matmul(x, x.transpose(1, 2)),
                      (1, 101, 37)),
    "matmul_shared": (lambda x: torch.matmul(x, x[0].transpose(0, 1)),
                      (3, 30, 64)),
    "transpose_copy": (lambda x: x.transpose(1, 2).contiguous().view(3, -1),
                       (3, 50, 37)),
    "transpose_add": (lambda x: x + x.transpose(1, 2), (2, 33, 33)),
    "transpose_outer": (lambda x: x.permute(2, 1, 0) * 2.0, (40, 5, 23)),
    "attention_transposed": (lambda x: F.scaled_dot_product_attention(
        x.transpose(1, 2), x.transpose(1, 2), x.transpose(1, 2)),
        (2, 40, 33)),
    "arange": (lambda x: x + torch.arange(9), (5, 9)),
    "constants": (lambda x: x * torch.ones(5, 1) + torch.zeros((9,)) +
                  torch.full((5, 9), 2.5), (5, 9)),
    "several_outputs": (lambda x: (x.exp(), x.transpose(0, 1), x), (5, 9)),
    "unused_and_shared": (lambda x: (x + 1.0, x + 1.0), (5, 9)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(parity, name):
    torch.manual_seed(0)
    function, shape = FUNCTIONS[name]
    parity(Wrap(function), (torch.randn(*shape),), CPUS, (1, 2))


def test_attention_mask_hides_blocks(parity):
    """Rows whose first blocks of keys are all masked."""
    torch.manual_seed(0)
    mask = torch.zeros(70, 1200)
    mask[::2, :700] = float("-inf")
    model = Pair(lambda x, m: F.scaled_dot_product_attention(
        x[:, :70], x, x, m))
    parity(model, (torch.randn(2, 1200, 32), mask), CPUS, (1, 2))
