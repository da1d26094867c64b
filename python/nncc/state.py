"""The module as it was before export, and inputs that differ from the
example."""
import contextlib
import random
import sys

import torch

from .kept import Kept
from .values import plain_attributes

class Snapshot:
    """Puts a module and the generators of random numbers back. What is as in
    `other`, a snapshot from before, is kept once."""

    def __init__(self, module, other=None):
        self.kept = Kept([("", module)])
        attributes = [t for m in module.modules()
                      for _, t in plain_attributes(m) if t.is_leaf]
        tensors = [*module.parameters(), *module.buffers(), *attributes]
        known = other.values if other else {}
        self.values = {}  # id of a tensor -> a copy of it
        for tensor in tensors:
            value = known.get(id(tensor))
            if value is None or not same(tensor, value):
                value = tensor.detach().clone()
            self.values[id(tensor)] = value
        self.tensors = [(t, self.values[id(t)], t.grad, t.requires_grad)
                        for t in tensors]
        self.leaves = {id(t) for t in tensors
                       if t.is_leaf and not t._is_view()}
        self.random = _generators()

    def value_of(self, tensor):
        """What it was; of one that is made of others, what it is."""
        return self.values.get(id(tensor), tensor.detach())

    def restore_tensors(self):
        with torch.no_grad():
            for tensor, data, _, _ in self.tensors:
                if id(tensor) in self.leaves and not tensor.is_leaf:
                    tensor.detach_()  # what was added to it had a gradient
                if not same(tensor, data):
                    tensor.detach().copy_(data)

    def restore(self):
        self.kept.restore()
        self.restore_tensors()
        for tensor, _, grad, requires in self.tensors:
            tensor.grad = grad
            if tensor.requires_grad != requires:
                if not tensor.is_leaf:
                    tensor.detach_()  # something with a gradient came there
                tensor.requires_grad_(requires)
        _set_generators(self.random)


class Reached(Kept):
    """What a function that is no part of the model, a loss, can keep things
    in, but for the model itself."""

    def __init__(self, function, model):
        super().__init__([("", function)], map(id, model.modules()))
        self._values = [(t, t.detach().clone()) for _, t in self.tensors()]

    def tensors(self):
        """Buffers and plain attributes: (name, tensor)."""
        for path, one in self.objects:
            for name, tensor in (*self._buffers(one), *plain_attributes(one)):
                yield f"{path}.{name}".lstrip("."), tensor

    def buffers(self):
        return {f"{path}.{name}".lstrip("."): tensor
                for path, one in self.objects
                for name, tensor in self._buffers(one)}

    @staticmethod
    def _buffers(one):
        return one.named_buffers(recurse=False) if isinstance(
            one, torch.nn.Module) else ()

    def restore(self):
        super().restore()
        with torch.no_grad():
            for tensor, data in self._values:
                if not same(tensor, data):
                    tensor.detach().copy_(data)


@contextlib.contextmanager
def left_alone(function, model):
    """What `function`, which is no part of the model, keeps is in the end as
    it was."""
    reached = Reached(function, model)
    try:
        yield reached
    finally:
        reached.restore()


def same(a, b):
    """Equal bits, also of NaN."""
    return a.shape == b.shape and a.dtype == b.dtype and (
        torch.equal(a, b) or a.is_floating_point() and
        torch.allclose(a, b, rtol=0, atol=0, equal_nan=True))


def _generators():
    numpy = sys.modules.get("numpy")
    return (torch.get_rng_state(), random.getstate(),
            numpy and numpy.random.get_state())


def _set_generators(state):
    torch.set_rng_state(state[0])
    random.setstate(state[1])
    if state[2] is not None:
        sys.modules["numpy"].random.set_state(state[2])


def eagerly():
    """torch.compile changes no values, and does not bear our modes."""
    return torch.compiler.set_stance("force_eager") \
        if "torch._dynamo" in sys.modules else contextlib.nullcontext()


@contextlib.contextmanager
def python_numbers(tracer):
    """Says so where forward draws from Python's or numpy's generator: before
    the function behind it, or at the end."""
    def drawn():
        numpy = sys.modules.get("numpy")
        state = numpy.random.get_state() if numpy else None
        return {"Python's random": random.getstate(), "numpy.random":
                state and (state[1].tobytes(), state[2])}
    before = drawn()

    def look():
        now = drawn()
        for name in [n for n in now if now[n] != before[n]]:
            tracer.problem(f"forward draws numbers from {name}, which would be "
                           "frozen in the model: draw them with torch")
        before.update(now)
    tracer.watch = look
    yield
    look()


def redrawn(tensor, generator=None):
    """Another tensor of this kind: scale, sign and range stay."""
    def at_random(shape):
        return torch.randint(0, max(tensor.numel(), 1), shape,
                             generator=generator)
    if tensor.numel() == 0:
        return tensor.clone()
    flat = tensor.detach().reshape(-1)
    if tensor.dtype == torch.bool:
        return torch.rand(tensor.shape, generator=generator) < 0.5
    if not tensor.is_floating_point():
        order = torch.randperm(flat.numel(), generator=generator)
        return flat[order].reshape(tensor.shape)
    x = flat.double()
    if not torch.isfinite(x).all() or x.unique().numel() in (2, 3):
        # A mask, or the like: its values, elsewhere.
        return flat[at_random((flat.numel(),))].reshape(tensor.shape)
    low, high = x.min(), x.max()
    unit = torch.rand(x.shape, generator=generator, dtype=torch.float64)
    if low == high:
        drawn = low * (0.5 + unit) if low != 0 else 2 * unit - 1
    elif low >= 0 or high <= 0:
        drawn = low + (high - low) * unit
    else:
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        drawn = (x.mean() + x.std() * noise).clamp(low, high)
    return drawn.to(tensor.dtype).reshape(tensor.shape)
