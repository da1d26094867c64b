"""Replays the corpus of every fuzz target."""
import glob
import os
import subprocess

import pytest

from lenet_model import NNCC

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REPLAY = os.path.join(os.path.dirname(NNCC), "..", "tests", "fuzz", "replay-")


@pytest.mark.parametrize("target", ["json", "safetensors", "npy", "spec"])
def test_replay(target):
    files = sorted(glob.glob(os.path.join(TESTS, "fuzz", "corpus", target,
                                          "*")))
    assert files
    done = subprocess.run([REPLAY + target, *files], text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(files)} inputs\n"
