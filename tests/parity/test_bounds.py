"""Kernels that check the bounds of their buffers run modules of every kind.
NNCC_CHECK_BOUNDS=1 makes any other test do so too: a kernel that reads or
writes outside ends the test run with a sentence."""
import subprocess

import pytest
import torch

import nncc
import test_attention_gradients as attention
import test_modules


@pytest.fixture(autouse=True)
def checked(monkeypatch):
    monkeypatch.setenv("NNCC_CHECK_BOUNDS", "1")


def test_kernels_are_checked(tmp_path):
    nncc.export(torch.nn.ReLU(), (torch.randn(3),), tmp_path)
    text = subprocess.run(
        [nncc.runner.find_nncc(), "compile", tmp_path / "model.json",
         "--emit=llvm"], check=True, capture_output=True, text=True).stdout
    assert "nncc_out_of_bounds" in text


@pytest.mark.parametrize("name", list(test_modules.MODULES)[::5])
def test_module(parity, name):
    torch.manual_seed(0)
    module, shape = test_modules.MODULES[name]
    parity(test_modules.Wrap(module), (torch.randn(shape),))


@pytest.mark.parametrize("name", list(attention.CASES)[::4])
def test_attention(tmp_path, name):
    attention.test_attention(tmp_path, name, "native")
