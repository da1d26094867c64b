"""The module as it was before export, and inputs that differ from the
example."""
import collections
import contextlib
import dataclasses
import random
import sys
import types

import torch

from .values import plain_attributes

_LISTS = (list, collections.deque)
_DICTS = (dict, collections.OrderedDict, collections.defaultdict,
          collections.Counter)


def _holders(value, found, depth=0):
    """Containers, and plain objects, with what they hold: id -> (holder,
    content)."""
    kind = type(value)
    if kind in _DICTS:
        content, inside = list(value.items()), value.values()
    elif kind in _LISTS or kind is set:
        content = inside = list(value)
    elif dataclasses.is_dataclass(value) and hasattr(value, "__dict__") and \
            not isinstance(value, type) or kind is types.SimpleNamespace:
        content, inside = dict(vars(value)), list(vars(value).values())
    else:
        return
    if id(value) not in found and depth < 4 and len(content) < 10000:
        found[id(value)] = value, content
        for item in inside:
            _holders(item, found, depth + 1)


def _restore(holder, content):
    if type(holder) in _DICTS:
        holder.clear()
        for key, value in content:
            holder[key] = value
    elif type(holder) is set:
        holder.clear()
        holder.update(content)
    elif type(holder) in _LISTS:
        holder.clear()
        holder.extend(content)
    else:
        vars(holder).clear()
        vars(holder).update(content)


class _Part:
    """Everything that a forward may change in one module."""

    def __init__(self, module):
        self.module = module
        self.attributes, self.holders = dict(vars(module)), {}
        for value in self.attributes.values():
            _holders(value, self.holders)

    def restore(self):
        own = vars(self.module)
        for name in [n for n in own if n not in self.attributes]:
            del own[name]
        own.update(self.attributes)
        for holder, content in self.holders.values():
            _restore(holder, content)


class Snapshot:
    """Puts a module and the generators of random numbers back. What is as in
    `other`, a snapshot from before, is kept once."""

    def __init__(self, module, other=None):
        self.parts = [_Part(m) for m in module.modules()]
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
        self.random = _generators()

    def value_of(self, tensor):
        """What it was; of one that is made of others, what it is."""
        return self.values.get(id(tensor), tensor.detach())

    def restore_tensors(self):
        with torch.no_grad():
            for tensor, data, _, _ in self.tensors:
                if not same(tensor, data):
                    tensor.detach().copy_(data)

    def restore(self):
        for part in self.parts:
            part.restore()
        self.restore_tensors()
        for tensor, _, grad, requires in self.tensors:
            tensor.grad = grad
            if tensor.requires_grad != requires:
                if not tensor.is_leaf:
                    tensor.detach_()  # something with a gradient came there
                tensor.requires_grad_(requires)
        _set_generators(self.random)


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


def redrawn(tensor):
    """Other values of the same kind: floats drawn again, others permuted."""
    if tensor.numel() == 0:
        return tensor.clone()
    if tensor.is_floating_point():
        wide = tensor.double()
        spread = wide.std(correction=0).nan_to_num()
        other = wide.mean().nan_to_num() + spread * torch.randn_like(wide)
        return torch.where(wide.isfinite(), other, wide).to(tensor.dtype)
    order = torch.randperm(tensor.numel())
    return tensor.flatten()[order].reshape(tensor.shape)


def plain_state(module):
    """Numbers, words and flags that modules keep as attributes."""
    kinds = (bool, int, float, str, type(None))
    return {f"{path}.{name}".lstrip("."): value
            for path, part in module.named_modules()
            for name, value in vars(part).items()
            if name != "training" and isinstance(value, kinds)}
