"""The demo's second half: real models through nncc and PyTorch, side by side."""
import os
import sys
import tempfile
import time

import torch

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


show("ResNet-18, one image", "resnet18_b1")
show("GPT-2 124M, 64 tokens", "gpt2_s64")
print("\nNext: README.md shows a model of your own in ten lines.")
