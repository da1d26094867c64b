"""The module as it was before export, and inputs that differ from the
example."""
import collections
import contextlib
import dataclasses
import functools
import random
import sys
import types

import torch

from .patched import is_of_torch, names_in
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


class Reached:
    """What a function that is no part of the model, a loss, can keep things
    in: itself, if it is a module or another object; what it is bound to or
    made of; what it names outside of it, as far as that are modules, objects
    that are called, and containers."""

    def __init__(self, function, model):
        self._objects, self._holders = [], {}  # (name, object)
        self._known = set(map(id, model.modules()))
        self._visit(function, "")
        self._parts = [_Part(one) for _, one in self._objects]
        self._values = [(t, t.detach().clone()) for _, t in self.tensors()]

    def _visit(self, value, name):
        if isinstance(value, torch.nn.Module):
            self._visit_held([(f"{name}.{path}".strip("."), part) for
                              path, part in value.named_modules()])
        elif isinstance(value, functools.partial):
            for item in (value.func, *value.args, *value.keywords.values()):
                self._visit(item, name)
        elif isinstance(value, types.MethodType):
            self._visit(value.__func__, name)
            self._visit_object(value.__self__, name)
        elif isinstance(value, types.FunctionType):
            if id(value) not in self._known and not is_of_torch(value):
                self._known.add(id(value))
                for key, item in _named_by(value):
                    self._visit(item, key)
        elif callable(value):
            self._visit_object(value, name)
        else:
            _holders(value, self._holders)
            for item in _inside(value):
                if callable(item):
                    self._visit(item, name)

    def _visit_object(self, value, name):
        """What is called, or has a method that is."""
        if isinstance(value, torch.nn.Module):
            self._visit(value, name)
        elif hasattr(value, "__dict__") and not isinstance(
                value, (type, types.ModuleType)):
            self._visit_held([(name, value)])

    def _visit_held(self, named):
        new = [(n, one) for n, one in named if id(one) not in self._known]
        self._known.update(id(one) for _, one in new)
        self._objects += new
        for name, one in new:
            self._visit(getattr(type(one), "forward" if isinstance(
                one, torch.nn.Module) else "__call__", None), name)
            for key, item in vars(one).items():
                self._visit(item, f"{name}.{key}".lstrip("."))

    def tensors(self):
        """Buffers and plain attributes: (name, tensor)."""
        for path, one in self._objects:
            for name, tensor in (*self._buffers(one), *plain_attributes(one)):
                yield f"{path}.{name}".lstrip("."), tensor

    def buffers(self):
        return {f"{path}.{name}".lstrip("."): tensor
                for path, one in self._objects
                for name, tensor in self._buffers(one)}

    @staticmethod
    def _buffers(one):
        return one.named_buffers(recurse=False) if isinstance(
            one, torch.nn.Module) else ()

    def restore(self):
        for part in self._parts:
            part.restore()
        for holder, content in self._holders.values():
            _restore(holder, content)
        with torch.no_grad():
            for tensor, data in self._values:
                if not same(tensor, data):
                    tensor.detach().copy_(data)


def _inside(value):
    """What a small container holds."""
    kind = type(value)
    held = value.values() if kind in _DICTS else value if kind in _LISTS or \
        kind in (tuple, set) else ()
    return list(held) if len(held) < 10000 else []


def _named_by(function):
    """Variables outside of a function that it names, and its defaults: name,
    value."""
    for name, cell in zip(function.__code__.co_freevars,
                          function.__closure__ or ()):
        with contextlib.suppress(ValueError):  # it is not set
            yield name, cell.cell_contents
    for name in names_in(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for value in (*(function.__defaults__ or ()),
                  *(function.__kwdefaults__ or {}).values()):
        yield "default", value


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
