"""Points where functions have corners, poles, ties and limits, and what it
means to agree there. `Sweep` puts many small graphs into one model file and
compares values and gradients with PyTorch's autograd."""
import json
import math

import nncc
import torch
import torch.nn.functional as F

DTYPES = {torch.float32: "f32", torch.float64: "f64", torch.int64: "i64",
          torch.int32: "i32", torch.int16: "i16", torch.int8: "i8",
          torch.uint8: "u8", torch.bool: "bool"}
NAN, INF = float("nan"), float("inf")
# 1 - tanh(9)^2 keeps half of the digits, in PyTorch as here.
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-8}


def both(values):
    return [s * v for v in values for s in (1.0, -1.0)]


def grid(dtype=torch.float32):
    """An odd number of points: zeros, corners of the common functions, the
    ends of the type, and where exp, tanh, erf and so on saturate."""
    info = torch.finfo(dtype)
    least = math.ldexp(info.tiny, -23 if dtype == torch.float32 else -52)
    points = both([0.0, least, info.tiny, info.eps, 1e-3, 0.5, 1.0, 2.0, 2.5,
                   3.0, 6.0, 9.0, 17.0, 20.0, 60.0, 88.0, 88.8, 104.0, 710.0,
                   745.5, 1e10, 1e19, 1e20, info.max, INF, 1 - info.eps])
    return torch.tensor(points + [NAN], dtype=dtype)


def pairs(dtype=torch.float32, points=None):
    """All pairs of fewer points, as two tensors."""
    info = torch.finfo(dtype)
    points = points or both([0.0, info.tiny, 0.5, 1.0, 2.0, 100.0, INF]) + [NAN]
    x = torch.tensor(points, dtype=dtype)
    return (x.repeat_interleave(len(points)).contiguous(), x.repeat(
        len(points)).contiguous())


def rows(dtype=torch.float32):
    """Rows of five with ties, infinities and NaN."""
    return torch.tensor([
        [0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 2.0, -1.0, 0.5],
        [-INF, 1.0, -INF, 2.0, 2.0], [-INF, -INF, -INF, -INF, -INF],
        [INF, 1.0, 2.0, 3.0, INF], [INF, -INF, 0.0, 1.0, 2.0],
        [NAN, 1.0, 2.0, 3.0, 4.0], [1.0, NAN, 2.0, NAN, 3.0],
        [1e4, -1e4, 1e4, 0.0, 1.0], [200.0, -200.0, 0.0, 104.0, 88.0],
        [-0.0, 0.0, -1.0, -0.0, -2.0], [-INF, NAN, -INF, -INF, -INF],
        [7.0, 7.0, 7.0, 7.0, 7.0]], dtype=dtype)


def differences(ours, theirs, tolerance, sums=False):
    """Positions (flat) where two tensors differ in kind or by more than a
    relative tolerance: NaN, infinities and zeros are kinds; what is next to
    zero in the type may be zero. Of `sums`, which cancel, the tolerance is
    relative to the largest number, and noise of zero is zero."""
    ours, theirs = torch.as_tensor(ours), torch.as_tensor(theirs)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    if not theirs.is_floating_point():
        return (ours != theirs).flatten().nonzero().flatten().tolist()
    assert ours.dtype == theirs.dtype
    info = torch.finfo(theirs.dtype)
    a, b = ours.double().flatten(), theirs.double().flatten()
    least = 8 * info.tiny * info.eps
    if sums:
        finite = b[b.isfinite()].abs()
        least += tolerance * float(finite.max() if len(finite) else 0)
    near = (a - b).abs() <= tolerance * b.abs() + least
    kinds = ((a == 0) == (b == 0)) | (
        torch.maximum(a.abs(), b.abs()) < max(info.tiny, least))
    same = torch.where(b.isfinite(), near & a.isfinite() & kinds,
                       (a == b) | (a.isnan() & b.isnan()))
    return (~same).nonzero().flatten().tolist()


class Sweep:
    """Graphs of one or more nodes, each on inputs of its own."""

    def __init__(self, sums=False):
        self.cases = []  # name, tensors, nodes
        self.sums = sums

    def add(self, name, tensors, nodes):
        """`nodes`: (result, op, arguments, attributes); arguments are names,
        "x0" is the first tensor; the last result is the case's. What stands
        among the attributes only has no gradient."""
        self.cases.append((name, list(tensors), nodes))

    def op(self, op, *arguments, **attributes):
        """One node. Tensors among the arguments become inputs."""
        tensors, names = [], []
        for argument in arguments:
            if isinstance(argument, torch.Tensor):
                names.append(f"x{len(tensors)}")
                tensors.append(argument)
            else:
                names.append(argument)
        text = "".join(f" {k}={v}" for k, v in attributes.items())
        self.add(op + text, tensors, [("y", op, names, attributes)])

    def model(self):
        inputs, nodes, outputs = {}, [], []
        for i, (_, tensors, case) in enumerate(self.cases):
            known = {}
            for k, x in enumerate(tensors):
                known[f"x{k}"] = f"c{i}x{k}"
                inputs[f"c{i}x{k}"] = {"shape": list(x.shape),
                                       "dtype": DTYPES[x.dtype]}
            for result, op, arguments, attributes in case:
                nodes.append({
                    "name": f"c{i}{result}", "op": op,
                    "inputs": [known.get(a, a) if isinstance(a, str)
                               else word(a) for a in arguments],
                    **{k: known.get(v, v) if isinstance(v, str) else word(v)
                       for k, v in attributes.items()}})
                known[result] = f"c{i}{result}"
            outputs.append(known[case[-1][0]])
        return {"format": "nncc-model/1", "name": "corners", "inputs": inputs,
                "nodes": nodes, "outputs": outputs}

    def inputs(self):
        return [x for _, tensors, _ in self.cases for x in tensors]

    def torch_run(self, case, cotangent):
        """The value, and the gradients of the floating inputs."""
        _, tensors, nodes = case
        known = {f"x{k}": x.detach().clone().requires_grad_(k in leaves(case))
                 for k, x in enumerate(tensors)}
        xs = [x for x in known.values() if x.requires_grad]
        for result, op, arguments, attributes in nodes:
            known[result] = function(op)(
                *[known.get(a, a) if isinstance(a, str) else a
                  for a in arguments],
                **{k: known.get(v, v) if isinstance(v, str) else v
                   for k, v in attributes.items()})
        y = known[nodes[-1][0]]
        if y.requires_grad:
            y.backward(seed(y, cotangent))
        return y.detach(), [torch.zeros_like(x) if x.grad is None else x.grad
                            for x in xs]

    def compile(self, folder, cpu="native"):
        (folder / "model.json").write_text(json.dumps(self.model()))
        return nncc.compile(folder, cpu=cpu, entries=("forward", "backward"))

    def mismatches(self, folder, cpu="native", cotangents=(1.0, -2.5, 0.0)):
        """A line for each value or gradient that differs."""
        found = []
        compiled = self.compile(folder, cpu)
        for cotangent in cotangents:
            # oneDNN's gelu, which is faster on AVX-512, overflows early.
            with torch.backends.mkldnn.flags(enabled=False):
                right = [self.torch_run(case, cotangent)
                         for case in self.cases]
            results = compiled.run("backward", *self.inputs(), *[
                seed(y, cotangent) for y, _ in right
                if y.is_floating_point()])
            for i, ((name, tensors, nodes), (y, gradients)) in enumerate(
                    zip(self.cases, right)):
                found += explain(name, tensors, "value", results[
                    f"c{i}{nodes[-1][0]}"], y, self.sums)
                for k, gradient in zip(leaves(self.cases[i]), gradients):
                    found += explain(
                        f"{name} (times {cotangent})", tensors, f"grad {k}",
                        results[f"grad.c{i}x{k}"], gradient, self.sums)
        return found


def leaves(case):
    """The numbers of the tensors that have a gradient."""
    _, tensors, nodes = case
    used = {a for _, _, arguments, _ in nodes for a in arguments
            if isinstance(a, str)}
    return [k for k, x in enumerate(tensors)
            if x.is_floating_point() and f"x{k}" in used]


def seed(y, cotangent):
    """Different ones, so that they do not cancel behind a softmax."""
    ramp = torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape)
    return cotangent * (1 + ramp.remainder(3) * 0.5)


def word(argument):
    """Infinities are words in JSON."""
    return str(argument) if argument in (INF, -INF) or \
        argument != argument else argument


def function(name):
    owner, name = name.split(".")
    return getattr({"torch": torch, "F": F, "Tensor": torch.Tensor}[owner],
                   name)


def explain(name, tensors, what, ours, theirs, sums):
    ours = torch.as_tensor(ours)
    at = differences(ours, theirs, TOLERANCE.get(theirs.dtype, 0), sums)
    if not at:
        return []
    lines = []
    for i in at[:4]:
        same = [x.flatten()[i].item() if x.numel() == theirs.numel() else "*"
                for x in tensors]
        lines.append(f"{name}, {what}[{i}] at {same}: "
                     f"{ours.flatten()[i].item()!r}, torch has "
                     f"{theirs.flatten()[i].item()!r} ({len(at)} differ)")
    return lines
