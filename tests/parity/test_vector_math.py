"""exp, log, tanh, erf within 2 ULP of the exact result, over their ranges."""
import math

import numpy as np
import pytest
import torch
import torch.nn as nn

import nncc

RANGES = {
    "exp": (-110, 95), "log": (1e-45, 1e38), "tanh": (-12, 12),
    "erf": (-6, 6),
}
SPECIAL = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-45, -1e-45,
           3.4e38, -3.4e38, 1.17549435e-38, 88.72283, 88.8, -87.4, -103.97,
           -104.1, 0.625, 0.927734375]


class Function(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x):
        return getattr(torch, self.name)(x)


def samples(name):
    low, high = RANGES[name]
    random = np.random.default_rng(0)
    if name == "log":
        spread = np.exp(random.uniform(-103, 88, 100_000))
        near = random.uniform(0.5, 2, 100_000)
    else:
        spread = random.uniform(low, high, 100_000)
        near = random.standard_normal(100_000) * 0.1
    # An odd count runs every vector width.
    return np.concatenate([spread, near, SPECIAL]).astype(np.float32)


@pytest.mark.parametrize("cpu", ["native", "x86-64-v3", "x86-64"])
@pytest.mark.parametrize("name", RANGES)
def test_ulp(tmp_path, name, cpu):
    x = samples(name)
    nncc.export(Function(name), (torch.from_numpy(x),), tmp_path)
    got = nncc.compile(tmp_path, cpu=cpu)(x)
    with np.errstate(all="ignore"):
        if name == "erf":
            exact = np.array([math.erf(v) for v in x])
        else:
            exact = getattr(np, name)(x.astype(np.float64))
        rounded = exact.astype(np.float32)
        ulp = np.spacing(np.abs(rounded)).astype(np.float64)
    finite = np.isfinite(rounded)
    special = ~finite
    assert np.array_equal(got[special], rounded[special], equal_nan=True)
    error = np.abs(got[finite] - exact[finite]) / ulp[finite]
    worst = int(error.argmax())
    assert error[worst] <= 2, (x[finite][worst], error[worst])
