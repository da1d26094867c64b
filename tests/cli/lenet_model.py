"""The compiler's path, and a small model with weights for the tests."""
import os

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
NNCC = os.path.join(HERE, "..", "..", "build", "bin", "nncc")
MODEL = """{"format": "nncc-model/1", "name": "lenet",
 "inputs": {"x": {"shape": ["N", 1, 12, 12], "dtype": "f32"}},
 "dims": {"N": [1, 3]},
 "modules": {
  "conv": {"type": "nn.Conv2d", "in_channels": 1, "out_channels": 6,
           "kernel_size": 3, "padding": 1},
  "pool": {"type": "nn.MaxPool2d", "kernel_size": 2},
  "head": {"type": "nn.Sequential", "modules": [
   {"type": "nn.Flatten"},
   {"type": "nn.Linear", "in_features": 216, "out_features": 10}]}},
 "nodes": [
  {"name": "a", "module": "conv", "inputs": ["x"]},
  {"name": "b", "op": "F.relu", "inputs": ["a"]},
  {"name": "c", "module": "pool", "inputs": ["b"]},
  {"name": "logits", "module": "head", "inputs": ["c"]}],
 "outputs": ["logits"],
 "training": {
  "inputs": {"t": {"shape": ["N"], "dtype": "i64"}},
  "nodes": [{"name": "l", "op": "F.cross_entropy", "inputs": ["logits", "t"]}],
  "loss": "l", "optimizer": {"type": "optim.SGD", "lr": 0.01}}}
"""


def weights(seed=0):
    random = np.random.default_rng(seed)
    shapes = {"conv.weight": (6, 1, 3, 3), "conv.bias": (6,),
              "head.1.weight": (10, 216), "head.1.bias": (10,)}
    return {name: random.standard_normal(shape).astype(np.float32)
            for name, shape in shapes.items()}
