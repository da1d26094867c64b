"""A small model with weights in a folder, and a way to call nncc there."""
import os
import subprocess

import numpy as np
import pytest
from safetensors.numpy import save_file

from lenet_model import MODEL, NNCC, weights
from net_model import folder, train  # noqa: F401, fixtures


@pytest.fixture
def lenet(tmp_path):
    (tmp_path / "lenet.json").write_text(MODEL)
    save_file(weights(), tmp_path / "lenet.safetensors")
    random = np.random.default_rng(1)
    save_file({"x": random.standard_normal((1, 1, 12, 12)).astype(
        np.float32)}, tmp_path / "in.safetensors")
    np.savez(tmp_path / "train.npz", t=np.arange(7) % 3,
             x=random.standard_normal((7, 1, 12, 12)).astype(np.float32))
    return tmp_path


@pytest.fixture
def driver(monkeypatch):
    """Puts a library of build/lib, or another path, in the CUDA driver's place;
    `words` are for the emulator."""
    def use(library, words=""):
        monkeypatch.setenv("NNCC_CUDA_DRIVER", os.path.join(
            os.path.dirname(NNCC), "..", "lib", library))
        monkeypatch.setenv("NNCC_EMULATOR", words)
    return use


@pytest.fixture
def nncc(lenet):
    def call(*arguments, code=0):
        done = subprocess.run([NNCC, *arguments], cwd=lenet,
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        return done
    return call
