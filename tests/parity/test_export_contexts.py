"""Contexts that export is called in, and modules that fail in some."""
import contextlib
import re

import nncc
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from nncc.verify import VerificationError, verify

from exported import Wrap

torch.manual_seed(0)
X, Y = torch.randn(4, 6), torch.randn(4, 6)


def linear():
    return nn.Linear(6, 6)


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


CONTEXTS = {
    "inference_mode": torch.inference_mode, "no_grad": torch.no_grad,
    "device": lambda: torch.device("meta"),
    "default dtype": lambda: default_dtype(torch.float64),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_contexts(tmp_path, name):
    """As outside of them."""
    module = nn.Sequential(linear(), nn.BatchNorm1d(6), nn.ReLU())
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with CONTEXTS[name]():
        nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,),
                    optimizer=optimizer)
    with torch.inference_mode():
        x, y = X * 1, Y * 1
    nncc.export(module, (x,), tmp_path, loss=F.mse_loss, targets=(y,),
                optimizer=optimizer)


def fails_without(m, x):
    if not torch.is_grad_enabled():
        raise ValueError("no gradients")
    return x * 2


def test_a_module_that_needs_gradients(tmp_path):
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(Wrap(fails_without), (X,), tmp_path)
    assert re.sub(r"\w+\.py:\d+", "FILE", str(error.value)) == (
        "forward fails in eval mode without gradients on the example (FILE): "
        "ValueError: no gradients")


def test_a_module_that_fails_beside_its_files(tmp_path):
    """What PyTorch says, with its class; not all is the module's refusal."""
    module = Wrap(lambda m, x: x * m.scale)
    module.scale = 2.
    nncc.export(module, (X,), tmp_path)
    del module.scale
    with pytest.raises(VerificationError) as error:
        verify(tmp_path, module, (X,), {})
    assert str(error.value) == (
        "the exported model does not compute what the module does: forward on "
        "the example inputs fails in PyTorch: AttributeError: 'Wrap' object "
        "has no attribute 'scale' (verify=False leaves out this check)")
    with pytest.raises(KeyError):  # of who calls it
        verify(tmp_path, module, (X,), {}, modes={}.pop)
