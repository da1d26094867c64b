"""The demo's second half: real models through nncc and PyTorch, side by side,
and a training."""
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from safetensors.torch import save_file

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(ROOT, "bench"))
import models  # noqa: E402
import nncc  # noqa: E402

torch.set_num_threads(1)


def best_time(function):
    function()
    times = []
    while len(times) < 10:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def show(title, name):
    module, inputs = models.build(name)
    count = sum(p.numel() for p in module.parameters()) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        print(f"\n{title}: {count:.1f} M parameters")
        nncc.export(module, inputs, folder)
        lines = sum(1 for _ in open(os.path.join(folder, "model.json")))
        print(f"  exported   {lines} lines of JSON")
        start = time.perf_counter()
        compiled = nncc.compile(folder)
        print(f"  compiled   {time.perf_counter() - start:.1f} s, weights "
              "loaded and packed")
        ours = compiled(*inputs)
        with torch.no_grad():
            theirs = module(*inputs)
            error = float((ours - theirs).abs().max() / theirs.abs().max())
            torch_ms = best_time(lambda: module(*inputs))
        nncc_ms = best_time(lambda: compiled(*inputs))
        print(f"  agrees     {error:.1e} of the output's scale")
        print(f"  one thread nncc {nncc_ms:.1f} ms, PyTorch eager "
              f"{torch_ms:.1f} ms ({torch_ms / nncc_ms:.2f} x)")
        assert error < 1e-4, "the outputs differ"


def bars(count, seed):
    """Images of a bright bar in one of ten directions, with noise."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 10, count)
    y, x = np.mgrid[:28, :28] - 14
    angle = (label * np.pi / 10)[:, None, None]
    off = np.abs(np.cos(angle) * y - np.sin(angle) * x)
    image = (off < 2.5) + 0.3 * random.uniform(-1, 1, (count, 28, 28))
    return {"x": image[:, None].astype(np.float32), "label": label}


def train():
    """LeNet-5 by `nncc train`: no PyTorch in it but for the first weights."""
    print("\nLeNet-5, trained on 1600 generated images by nncc train:")
    model = os.path.join(ROOT, "examples", "lenet5.json")
    torch.manual_seed(0)
    layers = {"conv1": torch.nn.Conv2d(1, 6, 5), "fc1": torch.nn.Linear(400, 120),
              "conv2": torch.nn.Conv2d(6, 16, 5), "fc2": torch.nn.Linear(120, 84),
              "fc3": torch.nn.Linear(84, 10)}
    with tempfile.TemporaryDirectory() as folder:
        def at(name):
            return os.path.join(folder, name)
        save_file({f"{n}.{k}": v.detach() for n, layer in layers.items()
                   for k, v in layer.named_parameters()},
                  at("start.safetensors"))
        np.savez(at("train.npz"), **bars(1600, 1))
        np.savez(at("test.npz"), **bars(320, 2))
        start = time.perf_counter()
        subprocess.run([nncc.runner.find_nncc(), "train", model, "--data",
                        at("train.npz"), "--validate", at("test.npz"),
                        "--weights", at("start.safetensors"), "--epochs", "4",
                        "--lr", "0.0005", "--schedule", "cosine",
                        "--checkpoint", at("lenet5.safetensors")], check=True)
        print(f"  {time.perf_counter() - start:.1f} s with compilation")


show("ResNet-18, one image", "resnet18_b1")
show("GPT-2 124M, 64 tokens", "gpt2_s64")
train()
print("\nNext: README.md shows a model of your own in ten lines.")
