"""One test per bug that was found."""
import torch
import torch.nn as nn


def test_product_split_inside_vectors(parity):
    """A view that splits the columns of a product between its lanes."""
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(9, 60)

        def forward(self, x):
            return self.linear(x).view(4, 3, 20).transpose(0, 1)
    torch.manual_seed(0)
    parity(Heads(), (torch.randn(4, 9),), ("native", "x86-64-v3", "x86-64"))


def test_many_operands(parity):
    """More operands than one kernel call may have."""
    class Join(nn.Module):
        def forward(self, x):
            return torch.cat([x * float(i) for i in range(150)], 1)
    parity(Join(), (torch.randn(3, 2),))
