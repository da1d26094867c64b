"""Gradients of attention against autograd: whole rows and blocks of keys,
causal, masked, odd sizes, all vector widths."""
import copy
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

import nncc
from test_gradients import run_autograd

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

from records.harness import kernels_of, nncc_run  # noqa: E402

CPUS = ("native", "x86-64-v3", "x86-64")


class Attention(nn.Module):
    def __init__(self, mask=None, **options):
        super().__init__()
        self.options = options
        self.register_buffer("mask", mask)

    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, self.mask,
                                              **self.options)


def hiding(rows, columns):
    """Every second row sees none of the first keys."""
    mask = torch.zeros(rows, columns)
    mask[::2, :columns // 2] = float("-inf")
    return mask


# name -> (shape of q, keys, width of v, module)
CASES = {
    "one": ((1, 8), 1, 8, Attention()),
    "no_batch": ((3, 8), 5, 2, Attention()),
    "small": ((2, 3, 5, 4), 7, 3, Attention()),
    "causal": ((1, 2, 64, 64), 64, 64, Attention(is_causal=True)),
    "causal_odd": ((1, 2, 65, 33), 65, 17, Attention(is_causal=True)),
    "causal_more_rows": ((2, 2, 100, 8), 60, 8, Attention(is_causal=True)),
    "causal_more_keys": ((2, 2, 60, 8), 100, 8, Attention(is_causal=True)),
    "scale": ((2, 33, 16), 47, 40, Attention(scale=0.3)),
    "wide": ((1, 9, 150), 9, 150, Attention()),
    "groups_of_rows": ((1, 1, 300, 64), 128, 64, Attention()),
    "blocks": ((1, 1, 200, 16), 1333, 24, Attention()),
    "blocks_causal": ((1, 2, 1300, 8), 1300, 8, Attention(is_causal=True)),
    "mask": ((2, 3, 21, 16), 30, 16, Attention(torch.randn(21, 30))),
    "mask_causal": ((2, 40, 8), 40, 8, Attention(
        torch.tril(torch.ones(40, 40)).bool())),
    "mask_blocks": ((1, 70, 16), 1200, 16, Attention(hiding(70, 1200))),
}


def value(module, inputs, to):
    with torch.no_grad():
        return copy.deepcopy(module).to(to)(*(x.to(to) for x in inputs))


def compare(module, inputs, folder, cpu="native", threads=(1,)):
    """A norm's distance from f64 is at most twice PyTorch's: of the value and
    of each input's gradient."""
    torch.manual_seed(1)
    with torch.no_grad():
        cotangent = torch.randn_like(module(*inputs))
    nncc.export(module, inputs, folder)
    results = []
    for count in threads:
        compiled = nncc.compile(folder, entries=("backward",), cpu=cpu,
                                threads=count)
        names = compiled.signature("backward")[0]
        given = compiled.run("backward", *inputs, cotangent)
        results.append([next(iter(given.values())),
                        *(given["grad." + n] for n in names[:len(inputs)])])
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other))
    theirs, exact = ([value(module, inputs, to), *(
        run_autograd(module, inputs, [cotangent], to)[f"input {i}"]
        for i in range(len(inputs)))] for to in (torch.float32, torch.float64))
    for i, right in enumerate(exact):
        own = (results[0][i] - right).norm()
        bound = max(2 * (theirs[i] - right).norm(), 1e-6 * right.norm())
        assert own <= bound, (i, own, bound)


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("name", CASES)
def test_attention(tmp_path, name, cpu):
    shape, keys, width, module = CASES[name]
    torch.manual_seed(0)
    compare(copy.deepcopy(module), (
        torch.randn(shape), torch.randn(*shape[:-2], keys, shape[-1]),
        torch.randn(*shape[:-2], keys, width)), tmp_path, cpu,
        (1, 3) if cpu == "native" else (1,))


@pytest.mark.parametrize("rows,keys", [(300000, 5), (20000, 1100)])
def test_many_rows(tmp_path, rows, keys):
    """Threads may have no more than 2 MB of stack, which does not hold sums and
    maxima of them all."""
    torch.manual_seed(0)
    before = threading.stack_size(2 << 20)
    try:
        with ThreadPoolExecutor(1) as small:
            small.submit(compare, Attention(), (
                torch.randn(1, rows, 4), torch.randn(1, keys, 4),
                torch.randn(1, keys, 3)), tmp_path).result()
    finally:
        threading.stack_size(before)


@pytest.mark.parametrize("name", ["groups_of_rows", "blocks", "blocks_causal",
                                  "mask_blocks"])
def test_chunks_of_rows(tmp_path, name):
    """A head's rows in many chunks give the bits of one."""
    shape, keys, width, module = CASES[name]
    torch.manual_seed(0)
    inputs = (torch.randn(shape), torch.randn(*shape[:-2], keys, shape[-1]),
              torch.randn(*shape[:-2], keys, width))
    nncc.export(module, inputs, tmp_path)
    command = [f"{tmp_path}/model.json", "--entries=backward"]
    key, = (kernel["key"] for kernel in kernels_of(command)
            if "chunk" in kernel["schedule"])
    results = []
    for chunk in (shape[-2], 50, 1):
        schedules = tmp_path / f"{chunk}.json"
        schedules.write_text(json.dumps({key: {"block": 16, "chunk": chunk}}))
        library = f"{tmp_path}/{chunk}.so"
        nncc_run("compile", *command, f"--schedules={schedules}", "-o", library)
        compiled = nncc.runner.CompiledModel(library, "attention",
                                             tmp_path / "weights.safetensors")
        given = compiled.run("backward", *inputs,
                             torch.ones(*shape[:-1], width))
        results.append([torch.as_tensor(x) for x in given.values()])
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other))


def test_gradient_of_mask(tmp_path):
    class Masked(nn.Module):
        def forward(self, x, mask):
            return F.scaled_dot_product_attention(x, x, x, mask)
    torch.manual_seed(0)
    compare(Masked(), (torch.randn(2, 3, 21, 16), torch.randn(3, 21, 21)),
            tmp_path)


def test_scores_are_not_in_memory(tmp_path):
    x = torch.randn(1, 2, 512, 16)
    nncc.export(Attention(), (x, x, x), tmp_path)
    report = subprocess.run(
        [nncc.runner.find_nncc(), "inspect", "model.json", "--entries",
         "backward", "--json"], cwd=tmp_path, check=True, capture_output=True)
    entry, = json.loads(report.stdout)["entries"]
    assert entry["arena_bytes"] < 512 * 512 * 4


def test_grouped_queries(tmp_path):
    """Keys and values that several heads share."""
    class Grouped(nn.Module):
        def forward(self, q, k, v):
            k, v = (t[:, :, None].expand(2, 2, 3, 9, 8).reshape(2, 6, 9, 8)
                    for t in (k, v))
            return F.scaled_dot_product_attention(q, k, v)
    torch.manual_seed(0)
    compare(Grouped(), (torch.randn(2, 6, 7, 8), torch.randn(2, 2, 9, 8),
                        torch.randn(2, 2, 9, 8)), tmp_path)
