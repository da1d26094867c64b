"""Every special function is as near to the exact result as its row in
ops/Unary.td says, over all of f32 and f64; what becomes of powers, remainders
and whole numbers; and that none of it calls a library."""
import json
import os
import re
import subprocess

import mpmath
import numpy as np
import pytest
import torch

import nncc
from nncc.runner import find_nncc

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
TABLE = {name: (int(f32), int(f64)) for name, f32, f64 in re.findall(
    r'Nncc_Special<"(\w+)",\s*"[^"]*",\s*"[^"]*",\s*"(\d+)", "(\d+)">',
    open(os.path.join(ROOT, "compiler/dialect/ops/Unary.td")).read())}
CPUS = ["native", "x86-64-v3", "x86-64"]
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


def write_model(folder, ops, inputs, shape, dtype):
    nodes = [{"name": op, "op": "torch." + op, "inputs": inputs} for op in ops]
    tensor = {"shape": shape, "dtype": dtype}
    model = {"format": "nncc-model/1", "name": "table",
             "inputs": {name: tensor for name in inputs},
             "nodes": nodes, "outputs": list(ops)}
    (folder / "model.json").write_text(json.dumps(model))


def compile_all(folder, shape, dtype, cpu, ops=TABLE, inputs=("x",)):
    write_model(folder, ops, list(inputs), shape, dtype)
    return nncc.compile(folder, cpu=cpu)


def ulps(got, exact):
    """Errors in units of the last place of the exact result rounded to the
    type of `got`. What rounds to infinity or is NaN must be that, and zeros
    must have the right sign: there they are 0 or infinite."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        error = np.abs(got - exact) / np.spacing(np.abs(rounded))
    same = (got == rounded) & (np.signbit(got) == np.signbit(rounded))
    same |= np.isnan(got) & np.isnan(rounded)
    special = ~np.isfinite(rounded) | ((rounded == 0) & (got == 0))
    return np.where(special, np.where(same, 0, np.inf), error)


def errors(name, x, got):
    exact = getattr(torch, name)(torch.from_numpy(x).double()).numpy()
    return forgiven(name, x, got, ulps(got, exact))


def forgiven(name, x, got, error):
    if name == "sigmoid":  # as PyTorch's: 0 where exp(-x) overflows
        least = -88.7 if got.dtype == np.float32 else -709.7
        error = np.where((x < least) & (got == 0), 0, error)
    return error


def check(names, bounds, x, found, errors):
    wrong = []
    for name, bound, got in zip(names, bounds, found):
        error = errors(name, x, np.asarray(got))
        worst = int(error.argmax())
        if not error[worst] <= bound:
            wrong.append((name, float(x[worst]), float(got[worst]),
                          float(error[worst]), int((error > bound).sum())))
    assert not wrong, "\n".join(map(str, wrong))


def test_table_is_read():
    assert len(TABLE) >= 22 and "log1p" in TABLE


@pytest.mark.parametrize("cpu", CPUS)
def test_ulp(tmp_path, cpu):
    x = samples(200_001)
    model = compile_all(tmp_path, list(x.shape), "f32", cpu)
    check(TABLE, [f32 for f32, _ in TABLE.values()], x, model(x), errors)


LONG = np.longdouble  # 64 bits of mantissa


def wide_samples(count):
    """All exponents; where functions cancel; multiples of pi/2, small and
    huge, and the f64 that is nearest to one of all."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**64, count, dtype=np.uint64)
    signs = random.choice([-1, 1], count)
    tiny = np.exp2(random.uniform(-70, 0, count)) * signs
    quarters = np.concatenate([
        random.integers(1, 2**n, count // 2) for n in (20, 22, 40, 53)])
    huge = quarters * np.exp2(random.integers(0, 960, len(quarters)))
    return np.concatenate([
        bits.view(np.float64), tiny, 1 + tiny, 1 - np.abs(tiny),
        random.uniform(-2, 2, count), random.uniform(-40, 40, count),
        random.uniform(-750, 750, count), quarters * (np.pi / 2),
        huge * (np.pi / 2), [6381956970095103 * 2.0**797],
        [709.78, 709.79, 710.4, 710.476, -708.4, -745.1, -745.2, 0.92, 0.4375,
         2.4375, 22, 26.5, 27.2, 2.0**22, 1e308, -1e308, 5e-324, -5e-324],
        SPECIAL])


def by_digits(name, x):
    """erf and erfc, which NumPy does not have."""
    if not abs(x) < 30:
        return LONG({"erf": np.sign(x), "erfc": 1 - np.sign(x)}[name])
    if name == "erf" and abs(x) < 1e-300:
        return LONG(x) * (2 / np.sqrt(np.arccos(LONG(-1))))
    exact = getattr(mpmath, name)(mpmath.mpf(x))
    high = float(exact)
    return LONG(high) + LONG(float(exact - high))


def exact(name, x):
    x = x.astype(LONG)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-x))
    if name in ("erf", "erfc"):
        with mpmath.workprec(80):
            return np.array([by_digits(name, float(y)) for y in x])
    return getattr(np, re.sub("^a(?=.*(sin|cos|tan))", "arc", name))(x)


def wide_errors(name, x, got):
    if name in ("erf", "erfc"):  # which take long
        x, got = x[::7], got[::7]
    with np.errstate(all="ignore"):
        error = ulps(got, exact(name, x))
    return forgiven(name, x, got, error)


@pytest.mark.parametrize("cpu", CPUS)
def test_wide_ulp(tmp_path, cpu):
    x = wide_samples(6_001)
    model = compile_all(tmp_path, list(x.shape), "f64", cpu)
    check(TABLE, [f64 for _, f64 in TABLE.values()], x, model(x), wide_errors)


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scalars_and_vectors_agree(tmp_path, cpu, dtype):
    """A tail computed lane by lane has the bits of whole vectors, also where
    only some lanes are large angles."""
    x = np.concatenate([samples(400)[:401]] * 3)  # other lanes each time
    name = {np.float32: "f32", np.float64: "f64"}[dtype]
    model = compile_all(tmp_path, list(x.shape), name, cpu)
    for name, got in zip(TABLE, model(x.astype(dtype))):
        parts = np.asarray(got).view(np.uint8).reshape(3, -1)
        assert (parts[0] == parts[1]).all() and (parts[0] == parts[2]).all(), \
            name


def pairs(dtype, count):
    """Numbers of all exponents and a grid of special ones; with exponents
    between under- and overflow of powers, bases near 1 too."""
    random = np.random.default_rng(0)
    unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")

    def anything():
        return random.integers(0, 2 ** (8 * unsigned.itemsize), count,
                               dtype=unsigned).view(dtype)
    special = np.array(
        [0.0, 1, 2, 0.5, 3, 2.5, 1 / 3, 1e30, 2.0**24, 2.0**53, 2.0**53 - 1,
         np.inf, np.nan, np.finfo(dtype).max, np.finfo(dtype).tiny,
         np.finfo(dtype).smallest_subnormal], dtype)
    grid = np.meshgrid(*[np.concatenate([special, -special])] * 2)
    near = 1 + random.uniform(-1, 1, count) * np.exp2(
        -random.integers(1, 40, count))
    with np.errstate(all="ignore"):
        bases = np.concatenate([np.abs(anything()), near.astype(dtype)])
        reach = np.log(float(np.finfo(dtype).max)) / np.abs(
            np.log(bases.astype(np.float64)))
        powers = random.uniform(-1.05, 1.05, 2 * count) * reach
        middle, whole = random.uniform(-9, 9, (3, count)), random.integers(
            -30, 30, count)
        x = np.concatenate([anything(), bases, *middle[:2], grid[0].ravel()])
        y = np.concatenate([anything(), powers, whole, middle[2],
                            grid[1].ravel()])
        return x.astype(dtype), y.astype(dtype)


def compile_pairs(folder, x, cpu, ops):
    return compile_all(folder, list(x.shape), f"f{8 * x.itemsize}", cpu, ops,
                       ("x", "y"))


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("dtype, bound", [(np.float32, 0.51),
                                          (np.float64, 1.3)])
def test_pow(tmp_path, cpu, dtype, bound):
    x, y = pairs(dtype, 20_001)
    got = np.asarray(compile_pairs(tmp_path, x, cpu, ["pow"])(x, y))
    with np.errstate(all="ignore"):
        error = ulps(got, np.power(x.astype(LONG), y.astype(LONG)))
    worst = int(error.argmax())
    assert error[worst] <= bound, (x[worst], y[worst], got[worst])


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_remainders_are_exact(tmp_path, cpu, dtype):
    """PyTorch's own gives up where the quotient has too many bits."""
    x, y = pairs(dtype, 2_001)
    rest, ratio = compile_pairs(tmp_path, x, cpu,
                                ["remainder", "floor_divide"])(x, y)
    with np.errstate(all="ignore"):
        right = np.fmod(x, y)
        right = np.where((right != 0) & ((right < 0) != (y < 0)), right + y,
                         right)
    np.testing.assert_array_equal(ulps(np.asarray(rest), right), 0)
    right = torch.floor_divide(torch.from_numpy(x), torch.from_numpy(y))
    np.testing.assert_array_equal(ulps(np.asarray(ratio), right.numpy()), 0)


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whole_numbers(tmp_path, cpu, dtype):
    """x86-64 itself has no instruction for them."""
    x = pairs(dtype, 2_001)[0]
    x = np.concatenate([x, np.arange(-9, 9, 0.5, dtype), [0.49999997, -0.1]])
    x = x.astype(dtype)
    model = compile_all(tmp_path, list(x.shape), f"f{8 * x.itemsize}", cpu,
                        ["floor", "ceil"])
    for got, right in zip(model(x), (np.floor(x), np.ceil(x))):
        np.testing.assert_array_equal(ulps(np.asarray(got), right), 0)


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
def test_no_library_is_called(tmp_path, cpu, dtype):
    """An object asks for nothing but functions of libc that LLVM may call."""
    for ops, inputs in ((TABLE, ["x"]), (["floor", "ceil"], ["x"]),
                        (["pow", "remainder", "floor_divide"], ["x", "y"])):
        write_model(tmp_path, ops, inputs, [37], dtype)
        subprocess.run([find_nncc(), "compile", "model.json", "-c",
                        f"-mcpu={cpu}", "-o", "m.o"], cwd=tmp_path, check=True)
        asked = subprocess.run(["nm", "-u", "m.o"], cwd=tmp_path, check=True,
                               capture_output=True, text=True).stdout.split()
        assert set(asked) <= {"U", "memcpy", "memset"}, asked
