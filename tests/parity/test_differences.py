"""Gradients against finite differences in f64, without PyTorch's help:
`nncc check --grad` on every module, function and loss."""
import json
import subprocess

import nncc
import pytest
import torch
from safetensors.torch import save_file

import test_losses
import test_modules

CASES = {}
for name, (module, shape) in test_modules.MODULES.items():
    if name != "dropout":  # random numbers
        CASES[name] = (test_modules.Wrap(module), (shape,), ())
for name, (function, shape) in test_modules.FUNCTIONS.items():
    if "blocks" not in name and "deep" not in name:  # minutes in f64
        CASES["f_" + name] = (test_modules.Wrap(function), (shape,), ())
for name, (body, shape, target) in test_losses.CASES.items():
    # Steps, and a logarithm at its pole, have no differences.
    if name not in ("bce_certain", "bce_logits_large", "kl_zero"):
        CASES["loss_" + name] = (test_losses.Loss(body), (shape,), (target,))


@pytest.mark.parametrize("name", CASES)
def test_differences(tmp_path, name):
    torch.manual_seed(0)
    module, shapes, targets = CASES[name]
    # Away from the corners of abs, relu and clamp, and inside (0, 1) where a
    # probability is wanted.
    inputs = [torch.rand(*shape) * 0.8 + 0.1 for shape in shapes]
    inputs += list(targets)
    nncc.export(module, tuple(inputs), str(tmp_path))
    names = list(json.loads((tmp_path / "model.json").read_text())["inputs"])
    save_file(dict(zip(names, inputs)), str(tmp_path / "in"))
    done = subprocess.run(
        [nncc.runner.find_nncc(), "check", "model.json", "--weights",
         "weights.safetensors", "--inputs", "in", "--grad"], cwd=tmp_path,
        capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from differences, allowed 1e-4, ok" in done.stdout
