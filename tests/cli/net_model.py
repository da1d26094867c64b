"""A small network to train, with weights and data in each format."""
import subprocess

import numpy as np
import pytest
from safetensors.numpy import save_file

from lenet_model import NNCC

MODEL = """{"format": "nncc-model/1", "name": "net",
 "inputs": {"x": {"shape": [4, 6], "dtype": "f32"}},
 "modules": {"fc1": {"type": "nn.Linear", "in_features": 6,
                     "out_features": 16},
             "drop": {"type": "nn.Dropout", "p": 0.1},
             "fc2": {"type": "nn.Linear", "in_features": 16,
                     "out_features": 3}},
 "nodes": [{"name": "a", "module": "fc1", "inputs": ["x"]},
           {"name": "b", "op": "F.relu", "inputs": ["a"]},
           {"name": "c", "module": "drop", "inputs": ["b"]},
           {"name": "y", "module": "fc2", "inputs": ["c"]}],
 "outputs": ["y"],
 "training": {
   "inputs": {"t": {"shape": [4], "dtype": "i64"}},
   "nodes": [{"name": "loss", "op": "F.cross_entropy", "inputs": ["y", "t"]}],
   "loss": "loss",
   "optimizer": {"type": "optim.Adam", "lr": 0.02}}}
"""


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "net.json").write_text(MODEL)
    save_file({name: random.uniform(-0.4, 0.4, shape).astype(np.float32)
               for name, shape in (("fc1.weight", (16, 6)),
                                   ("fc1.bias", (16,)),
                                   ("fc2.weight", (3, 16)),
                                   ("fc2.bias", (3,)))},
              tmp_path / "w.safetensors")
    x = random.standard_normal((42, 6)).astype(np.float32)
    t = np.argmax(x[:, :3], axis=1)
    np.savez(tmp_path / "train.npz", x=x, t=t)
    np.savez_compressed(tmp_path / "packed.npz", x=x, t=t)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", t)
    save_file({"x": x[:20], "t": t[:20]}, tmp_path / "a.safetensors")
    save_file({"x": x[20:], "t": t[20:]}, tmp_path / "b.safetensors")
    return tmp_path


@pytest.fixture
def train(folder):
    def call(*arguments, code=0, data=("--data", "train.npz"),
             start=("--weights", "w.safetensors")):
        done = subprocess.run([NNCC, "train", "net.json", *data, *start,
                               *arguments], cwd=folder, capture_output=True,
                              text=True, timeout=120)
        assert done.returncode == code, done.stderr
        return done
    return call
