"""Every special function is as near to the exact result as its row in
ops/Unary.td says, over all of f32; f64 is next to PyTorch's."""
import json
import os
import re

import numpy as np
import pytest
import torch

import nncc
from conftest import ROOT

TABLE = dict(re.findall(
    r'Nncc_Special<"(\w+)",\s*"[^"]*",\s*"[^"]*",\s*"(\d+)">',
    open(os.path.join(ROOT, "compiler/dialect/ops/Unary.td")).read()))
SPECIAL = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-45, -1e-45,
           3.4e38, -3.4e38, 1.17549435e-38, 88.72283, 88.8, -87.4, -103.97,
           -104.1, 0.625, 0.927734375, 1.0, -1.0, 2.4142137, 0.41421357]


def samples(count):
    """Bit patterns of f32, evenly: every exponent alike, both signs; and
    numbers near 1, where logarithms cancel."""
    step = 2**32 // count | 1
    bits = np.arange(0, 2**32, step, dtype=np.uint64).astype(np.uint32)
    near = np.random.default_rng(0).uniform(-2, 2, count // 4)
    return np.concatenate([bits.view(np.float32), near,  # an odd count
                           SPECIAL]).astype(np.float32)


def compile_all(folder, shape, dtype, cpu):
    nodes = [{"name": name, "op": "torch." + name, "inputs": ["x"]}
             for name in TABLE]
    model = {"format": "nncc-model/1", "name": "table",
             "inputs": {"x": {"shape": shape, "dtype": dtype}},
             "nodes": nodes, "outputs": list(TABLE)}
    (folder / "model.json").write_text(json.dumps(model))
    return nncc.compile(folder, cpu=cpu)


def errors(name, x, got):
    """In units of the last place of the exact result rounded to f32."""
    exact = getattr(torch, name)(torch.from_numpy(x).double()).numpy()
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        ulp = np.spacing(np.abs(rounded)).astype(np.float64)
        error = np.abs(got - exact) / ulp
    if name == "sigmoid":  # as PyTorch's: 0 where exp(-x) overflows
        error = np.where((x < -88.7) & (got == 0), 0, error)
    special = ~np.isfinite(rounded)
    # Half a step below infinity both are as near.
    kind = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(special, np.where(kind, 0, np.inf), error)


def test_table_is_read():
    assert len(TABLE) >= 22 and "log1p" in TABLE


@pytest.mark.parametrize("cpu", ["native", "x86-64-v3", "x86-64"])
def test_ulp(tmp_path, cpu):
    x = samples(200_001)
    model = compile_all(tmp_path, list(x.shape), "f32", cpu)
    wrong = []
    for (name, bound), got in zip(TABLE.items(), model(x)):
        error = errors(name, x, np.asarray(got))
        worst = int(error.argmax())
        if error[worst] > int(bound):
            wrong.append((name, float(x[worst]), float(got[worst]),
                          float(error[worst]), int((error > int(bound)).sum())))
    assert not wrong, "\n".join(map(str, wrong))


def test_f64(tmp_path):
    x = samples(20_001).astype(np.float64)
    model = compile_all(tmp_path, list(x.shape), "f64", "native")
    for name, got in zip(TABLE, model(x)):
        right = getattr(torch, name)(torch.from_numpy(x))
        torch.testing.assert_close(torch.from_numpy(np.asarray(got)), right,
                                   rtol=4e-15, atol=0, equal_nan=True,
                                   msg=lambda text: name + ": " + text)


@pytest.mark.parametrize("cpu", ["native", "x86-64-v3", "x86-64"])
def test_scalars_and_vectors_agree(tmp_path, cpu):
    """A tail computed lane by lane has the bits of whole vectors."""
    x = np.concatenate([samples(400)[:401]] * 3)  # other lanes each time
    for name, got in zip(TABLE, compile_all(
            tmp_path, list(x.shape), "f32", cpu)(x)):
        parts = np.asarray(got).view(np.uint32).reshape(3, 401)
        assert (parts[0] == parts[1]).all() and (parts[0] == parts[2]).all(), \
            name
