"""Integers are exact and wrap to their type, in compiled code and in the
reference interpreter alike."""
import json
import subprocess

import pytest
import torch
from safetensors.numpy import save_file

import nncc
from corners import DTYPES, Sweep, function
from nncc.runner import find_nncc

WHOLE = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8]
BINARY = ["add", "sub", "mul", "floor_divide", "remainder", "bitwise_and",
          "bitwise_or", "bitwise_xor", "bitwise_left_shift",
          "bitwise_right_shift", "maximum", "minimum", "lt", "ge", "pow"]
UNARY = ["abs", "neg", "bitwise_not"]


def ends(dtype):
    info = torch.iinfo(dtype)
    points = {info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 7, 31,
              63, 64, 100}
    if info.min:
        points |= {-1, -2, -3, -7, -100}
    return torch.tensor(sorted(points), dtype=dtype)


def allowed(name, x, y):
    """Where PyTorch has a value."""
    if name in ("floor_divide", "remainder"):
        return (y != 0) & ~((y == -1) & (x == torch.iinfo(x.dtype).min))
    if name == "pow":
        return (y >= 0) & (y < 64)
    if name.endswith("shift"):
        return (y >= 0) & (y < torch.iinfo(x.dtype).bits)
    return torch.ones_like(x, dtype=torch.bool)


def sweep(dtype):
    s, x = Sweep(), ends(dtype)
    a, b = x.repeat_interleave(len(x)), x.repeat(len(x))
    for name in BINARY:
        keep = allowed(name, a, b)
        s.op("torch." + name, a[keep], b[keep])
    for name in UNARY:
        if name != "neg" or dtype != torch.uint8:
            s.op("torch." + name, x)
    for other in WHOLE:
        s.op("Tensor.to", x, DTYPES[other])
    s.op("torch.sum", x)
    s.op("torch.amax", x)
    s.op("torch.add", x, 100)
    s.op("torch.clamp", x, min=3, max=100)
    return s


def check_reference(folder, sweep):
    """`nncc check` compares compiled code with the interpreter."""
    save_file({name: x.numpy() for name, x in zip(
        sweep.model()["inputs"], sweep.inputs())},
        str(folder / "in.safetensors"))
    done = subprocess.run(
        [find_nncc(), "check", str(folder / "model.json"), "--inputs",
         str(folder / "in.safetensors")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("dtype", WHOLE, ids=str)
def test_integers(tmp_path, dtype):
    s = sweep(dtype)
    (tmp_path / "model.json").write_text(json.dumps(s.model()))
    results = nncc.compile(tmp_path)(*s.inputs())
    for (name, tensors, nodes), got in zip(s.cases, results):
        arguments = [tensors.pop(0) if isinstance(a, str) and a[0] == "x"
                     else a for a in nodes[0][2]]
        if nodes[0][1] == "Tensor.to":
            arguments[1] = {v: k for k, v in DTYPES.items()}[arguments[1]]
        right = function(nodes[0][1])(*arguments, **nodes[0][3])
        got = torch.as_tensor(got)
        assert got.dtype == right.dtype and torch.equal(got, right), (
            name, got, right)


@pytest.mark.parametrize("dtype", WHOLE, ids=str)
def test_reference(tmp_path, dtype):
    s = sweep(dtype)
    (tmp_path / "model.json").write_text(json.dumps(s.model()))
    check_reference(tmp_path, s)


def test_undefined_by_pytorch(tmp_path):
    """Nothing traps: x / 0 is 0, the least number by -1 wraps, everything is
    shifted out."""
    least = -2**63
    s = Sweep()
    x = torch.tensor([5, -5, least, least, 1, -1, -1])
    y = torch.tensor([0, 0, -1, 0, 64, 64, -1])
    for name in ("floor_divide", "remainder", "bitwise_left_shift",
                 "bitwise_right_shift"):
        s.op("torch." + name, x, y)
    (tmp_path / "model.json").write_text(json.dumps(s.model()))
    quotient, rest, left, right = [
        torch.as_tensor(r).tolist() for r in nncc.compile(tmp_path)(*s.inputs())]
    assert quotient[:4] == [0, 0, least, 0]
    assert rest[:4] == [0, 0, 0, 0]
    assert left[4:] == [0, 0, 0]
    assert right[4:] == [0, -1, -1]
    check_reference(tmp_path, s)


def test_literals_beyond_doubles(tmp_path):
    s, big = Sweep(), 2**53 + 1
    x = torch.tensor([0, 1, -2**63, 2**63 - 1, big])
    s.op("torch.add", x, big)
    s.op("torch.mul", x, big)
    s.op("torch.eq", x, big)
    s.op("torch.clamp", x, min=-big, max=big)
    s.op("torch.add", x, x, alpha=big)
    s.op("torch.maximum", x, -big)
    (tmp_path / "model.json").write_text(json.dumps(s.model()))
    results = nncc.compile(tmp_path)(*s.inputs())
    right = [x + big, x * big, x == big, x.clamp(-big, big), x + x * big,
             x.clamp(min=-big)]
    for got, expected in zip(results, right):
        assert torch.equal(torch.as_tensor(got), expected)


def test_numbers_beyond_the_type(tmp_path):
    """A number wraps to the tensor's type where PyTorch's does; a division is
    by the number itself."""
    s = Sweep()
    for dtype, number in ((torch.int8, 300), (torch.uint8, -1),
                          (torch.uint8, 300), (torch.int16, -40000),
                          (torch.int32, 2**40 + 5)):
        x = torch.tensor([1, 44, 100], dtype=dtype)
        for name in ("add", "sub", "mul", "div", "eq", "lt", "ge",
                     "floor_divide", "remainder", "bitwise_and"):
            s.op("torch." + name, x, number)
    (tmp_path / "model.json").write_text(json.dumps(s.model()))
    results = nncc.compile(tmp_path)(*s.inputs())
    for (name, tensors, nodes), got in zip(s.cases, results):
        right = function(nodes[0][1])(tensors[0], nodes[0][2][1])
        got = torch.as_tensor(got)
        assert got.dtype == right.dtype and torch.equal(got, right), (
            name, nodes[0][2], got, right)


def test_least_of_all_is_an_identity(tmp_path):
    s = Sweep()
    s.op("F.max_pool1d", torch.tensor([[-2**63, -2**63 + 1, -5]]),
         kernel_size=2, padding=1)
    s.op("torch.amax", torch.full((3,), -2**63), dim=0)
    (tmp_path / "model.json").write_text(json.dumps(s.model()))
    pooled, largest = nncc.compile(tmp_path)(*s.inputs())
    assert torch.as_tensor(pooled).tolist() == [[-2**63, -5]]
    assert int(largest) == -2**63


def test_int32_pooling_over_padding(tmp_path):
    """The padding was 0 in narrow types."""
    s = Sweep()
    s.op("F.max_pool1d", torch.tensor([[-4, -3, -5]], dtype=torch.int32),
         kernel_size=2, padding=1)
    (tmp_path / "model.json").write_text(json.dumps(s.model()))
    assert torch.as_tensor(nncc.compile(tmp_path)(*s.inputs())).tolist() == [
        [-4, -3]]
