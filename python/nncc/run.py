"""One run of a module under the tracer: what comes out of it, what it leaves
behind, and what of that no compiled model can do."""
import copy
import dataclasses
import inspect
from collections.abc import Mapping, MutableMapping

import torch

from .graph import Call, Node, Problem, values_in, version_of
from .modules import (UnsupportedModel, class_of, depends_on_mode,
                      named_tensors)
from .nested import walk
from .outline import Outline
from .state import python_numbers
from .trace import Tracer
from .values import dtype_of, overlaps

_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device,
          torch.Size, complex, bytes)


def mapped(value, function):
    """Nested tuples, lists, mappings and dataclasses with other tensors; the
    containers are others, of the same classes."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, tuple):
        return _tuple_like(value, [mapped(v, function) for v in value])
    if isinstance(value, list):
        other = copy.copy(value)
        other[:] = [mapped(v, function) for v in value]
        return other
    if isinstance(value, Mapping):
        return _mapping_like(value, {k: mapped(value[k], function)
                                     for k in value})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        other = copy.copy(value)
        for field in dataclasses.fields(value):
            if hasattr(value, field.name):  # also where it is frozen
                object.__setattr__(other, field.name, mapped(
                    getattr(value, field.name), function))
        return other
    return value


def once(function):
    """The same for a tensor that is met again."""
    seen = {}  # keeps the tensors, so that ids stay theirs

    def one(tensor):
        if id(tensor) not in seen:
            seen[id(tensor)] = tensor, function(tensor)
        return seen[id(tensor)][1]
    return one


def _tuple_like(value, items):
    """Past a constructor that takes other arguments than the items."""
    try:
        other = tuple.__new__(type(value), items)
    except TypeError:
        return type(value)(items)  # of C, such as torch.return_types
    if hasattr(other, "__dict__"):
        vars(other).update(vars(value))
    return other


def _mapping_like(value, items):
    if not isinstance(value, MutableMapping):
        try:
            return type(value)(items)
        except Exception:
            raise UnsupportedModel(
                f"a {type(value).__module__}.{type(value).__qualname__} is "
                "made in a way of its own, and other tensors cannot be put "
                "into one: give a dict") from None
    other = copy.copy(value)
    for key, item in items.items():
        other[key] = item
    return other


def elements(result):
    """What a loss is called with."""
    if isinstance(result, Mapping):
        return list(result.values())
    return list(result) if isinstance(result, (tuple, list)) else [result]


def check_values(value, what):
    """Refuses what may hold tensors that nobody sees."""
    for name, item, _ in walk(value):
        if not isinstance(item, (torch.Tensor, *_PLAIN)) and \
                type(item).__module__ != "enum" and item is not Ellipsis:
            kind = type(item)
            raise UnsupportedModel(
                f"{what} {name} is a {kind.__module__}.{kind.__qualname__}: "
                .replace("  ", " ").replace("builtins.", "") +
                "tensors may be in tuples, lists, dicts and dataclasses")


class Run:
    """The trace of one call of the model, and of the loss behind it."""

    def __init__(self, exporter, trains, args, kwargs, targets, conditions):
        self.exporter, self.trains = exporter, trains
        model = exporter.model
        self.tracer = Tracer(model, exporter, trains)
        self.values, self.problems = self.tracer.values, self.tracer.problems
        self.before = self._state()
        self.versions = {id(t): version_of(t)
                         for t in self.before["buffer"].values()}
        self.root = Call("model", model, [""])

        def own(tensor):
            dtype_of(tensor, f"an example of shape {list(tensor.shape)}")
            return conditions.own(tensor)

        with conditions.around(self.tracer), python_numbers(self.tracer):
            args, kwargs = mapped((args, kwargs), own)
            self.inputs = self._bind_inputs(args, kwargs)
            self.result = self.tracer.run_traced(self.root, model, args,
                                                 kwargs)
            check_values(self.result, "forward's result")
            self.outputs = [(name, self._find(t)) for name, t in
                            named_tensors(self.result)]
            self.updates = {}
            self._check_state()
            self._check_inputs(self.inputs, "input")
            self.loss = None
            if exporter.loss is not None:
                marks = self._marks()
                self._run_loss(mapped(tuple(targets), own))
                self._check_loss(marks)
        self.problems = self.tracer.problems

    def _find(self, tensor):
        return self.values.find(tensor, self.tracer.problem)

    def _bind(self, tensor, name, call):
        value = self.values.bind(tensor, name, "input", True, True)
        call.names[value] = name
        call.arguments.append(value)
        return value

    def _bind_inputs(self, args, kwargs):
        bound = self.exporter.signature.bind(*args, **kwargs)
        names = {"input": "x"} if self.exporter.is_of_torch else {}
        return [self._bind(tensor, names.get(name, name), self.root)
                for name, tensor in _arguments(bound)]

    def _check_inputs(self, values, what):
        for value in values:
            now = self.values.known(value.tensor)
            if now is not value or value.is_stale or \
                    version_of(value.tensor) != value.version:
                place = _changed_at(now) or value.stale_at
                self.tracer.problems.append(Problem(
                    f"the {what} {value.hint} is changed in place, which who "
                    "calls a compiled model does not see: change a clone",
                    place))

    def _state(self):
        model = self.exporter.model
        return {"buffer": dict(model.named_buffers(remove_duplicate=False)),
                "parameter": dict(model.named_parameters(
                    remove_duplicate=False))}

    def _marks(self):
        """What changes with each change of the state."""
        def mark(tensor):
            value = self.values.known(tensor)
            return id(tensor), version_of(tensor), value and value.is_stale
        return {kind: {path: mark(t) for path, t in tensors.items()}
                for kind, tensors in self._state().items()}

    def _check_loss(self, before):
        """The loss may call modules of the model, and that is all."""
        now = self._marks()
        for kind, tensors in self._state().items():
            for path, tensor in tensors.items():
                value = self.values.known(tensor)
                if before[kind].get(path) != now[kind][path] and not (
                        value and value.is_updated):
                    self.tracer.problems.append(Problem(
                        f"the {kind} {path} is changed by the loss: change it "
                        "in forward", _changed_at(value)))

    def _check_state(self):
        """Buffers that forward changed are updates; everything else that it
        leaves behind is refused."""
        problems, now = self.tracer.problems, self._state()
        self._check_parts(now["parameter"])
        for kind, tensors in self.before.items():
            for path, tensor in tensors.items():
                self._check_tensor(kind, path, tensor,
                                   now[kind].get(path))
        for path, (_, _, tensor) in self.values.attributes.items():
            value = self.values.known(tensor)
            if value.source != "state" or \
                    version_of(tensor) != value.version:
                problems.append(Problem(
                    f"{path} is changed by forward: register it as a "
                    "buffer", _changed_at(value)))
        if self.trains:
            self._check_memory(now["buffer"])

    def _check_memory(self, buffers):
        """A buffer on the memory of what an optimizer, or forward, changes
        is changed with it, in later steps too."""
        before = self.before["buffer"]
        changed = {id(buffers.get(path)) for path, t in before.items()
                   if version_of(t) != self.versions[id(t)]}
        for pair in [*overlaps(self.exporter.model, changed),
                     *self._one_tensor(buffers, changed)]:
            path, other = sorted(pair, key=lambda p: p not in buffers or
                                 buffers[p] is before.get(p))
            self.tracer.problems.append(Problem(
                f"{path} shares memory with {other} after forward, so that "
                "what changes one changes both, which a compiled step does "
                "not: assign a clone", _changed_at(self.updates.get(path))))

    def _one_tensor(self, buffers, changed):
        """Two names of a buffer, of which they were not before."""
        before, first = self.before["buffer"], {}
        for path, tensor in buffers.items():
            other = first.setdefault(id(tensor), path)
            if id(tensor) in changed and \
                    before.get(path) is not before.get(other):
                yield other, path

    def _check_parts(self, parameters):
        """What forward has made of the kind that a model has from the
        beginning; other modules are as good as functions."""
        known = {id(t) for t in self.before["parameter"].values()}
        made = [f"parameter {path}" for path, tensor in parameters.items()
                if path not in self.before["parameter"] and
                id(tensor) not in known]
        made += [f"module {path}, which has a state or a mode"
                 for path, part in self.exporter.model.named_modules()
                 if id(part) not in self.tracer.paths and
                 not any(True for _ in part.parameters()) and
                 (any(True for _ in part.buffers()) or depends_on_mode(part))]
        for what in made[:1]:
            self.tracer.problems.append(Problem(
                f"forward makes the {what}: do that in __init__, or call the "
                "module once before export"))

    def _check_tensor(self, kind, path, tensor, now):
        problems = self.tracer.problems
        value = now is not None and self.values.known(now)
        if value and now is not tensor and path in self.values.transient and \
                value.buffers is not None:
            return  # another table of constants, which each call would make
        is_state = value and value.source == "state" and not value.is_stale
        if is_state and now is tensor and (
                value.is_updated or version_of(now) == value.version):
            return  # as it was, or updated by the torch.nn module it is of
        if kind == "parameter":
            problems.append(Problem(
                f"the parameter {path} is changed by forward: only an "
                "optimizer may do that, keep averages in buffers",
                _changed_at(value)))
        elif not value or value.is_updated or value.is_stale or \
                not (is_state or isinstance(value.source, Node)) or \
                version_of(now) != value.version or \
                now.shape != tensor.shape or now.dtype != tensor.dtype:
            problems.append(Problem(
                f"the buffer {path} is changed by forward in a way that "
                "cannot be followed: assign it or change it in place, in its "
                "shape and type", _changed_at(value)))
        elif not self.trains:
            problems.append(Problem(
                f"the buffer {path} is changed by forward in eval mode, where "
                "a compiled model keeps its state: return it as an output, or "
                "change it only if self.training; if it is filled once, call "
                "the module before export", _changed_at(value)))
        else:
            self.updates[path] = value

    def restore_buffers(self):
        """Those that forward has put other tensors into."""
        for path in self.updates:
            owner, _, name = path.rpartition(".")
            self.exporter.model.get_submodule(owner)._buffers[name] = \
                self.before["buffer"][path]

    def _run_loss(self, targets):
        """loss(*outputs, *targets), behind the model."""
        function = self.exporter.loss
        results = elements(self.result)
        call = Call("loss", None, [""])
        names = _parameter_names(function)[len(results):]
        for i, target in enumerate(targets):
            base = names[i] if i < len(names) else "target"
            for name, tensor in named_tensors(target, base):
                self._bind(tensor, name, call)
        before = len(self.tracer.problems)
        kept = self.exporter.kept
        state = [(*item, version_of(item[1])) for item in kept.tensors()]
        try:
            value = self.tracer.run_traced(call, _as_scalar(function),
                                           (*results, *targets), {})
        except Exception:
            if self.trains:
                raise
            del self.tracer.problems[before:]
            return  # a loss of auxiliary outputs, which train mode has
        self._check_inputs(call.arguments, "target")
        self._check_kept(state, kept.buffers())
        if not isinstance(value, torch.Tensor) or value.dim() or \
                not value.is_floating_point():
            given = f"a tensor {list(value.shape)} of {value.dtype}" if \
                isinstance(value, torch.Tensor) else type(value).__name__
            self.problems.append(Problem((
                f"the loss must be a floating scalar, but it gives {given}"
                ).replace("torch.", "")))
        else:
            self.loss = (call, self._find(value))
            if self.trains and not value.requires_grad and \
                    not self.problems:
                self.problems.append(_end_of_gradient(self.loss[1]))
        if len(self.tracer.problems) > before and not self.trains:
            # An auxiliary loss has its arguments in train mode only.
            self.loss = None
            del self.tracer.problems[before:]

    def _check_kept(self, before, buffers):
        """What the loss keeps is none of the model's state."""
        for name, tensor, version in before:
            now = buffers.get(name, tensor)
            if now is tensor and version_of(tensor) == version:
                continue
            what = "buffer " if name in buffers else ""
            self.tracer.problems.append(Problem(
                f"the loss changes its {what}{name}: a compiled step keeps no "
                "state of a loss, so make it a part of the module",
                _changed_at(self.values.known(now))))

    def outline(self, with_updates=False):
        return Outline(self.tracer, self.root, [v for _, v in self.outputs],
                       self.exporter.constants,
                       self.updates if with_updates else None, self.loss)


def _changed_at(value):
    """Where a tensor got the value that it has in the end, if that is
    known."""
    if value and isinstance(value.source, Node):
        return value.source.place
    return value.stale_at if value else None


def _end_of_gradient(loss):
    """Where the way from the loss to parameters ends: the last function that
    has something with a gradient to read."""
    open_, seen = [loss], set()
    while open_:
        value = open_.pop(0)
        node = value.source
        if value in seen or not isinstance(node, Node):
            continue
        seen.add(value)
        read = list(values_in([node.inputs, node.arguments]))
        own = node.module[0].parameters() if node.module else ()
        if any(t.requires_grad for t in (*own, *(v.tensor for v in read))):
            what = node.op or f"nn.{class_of(node.module[0]).__name__}"
            return Problem(
                f"the gradient of the loss ends at {what}: leave out "
                "torch.no_grad and detach, and compute with floats",
                node.place)
        open_ += read
    return Problem("the loss depends on no parameter that requires a gradient: "
                   "set requires_grad before export")


def _as_scalar(loss):
    """The loss with its one element in no dimensions: backward() takes it in
    any."""
    def function(*args):
        value = loss(*args)
        one = isinstance(value, torch.Tensor) and value.numel() == 1
        return value.reshape(()) if one and value.dim() else value
    return function


def _arguments(bound):
    """The tensors among bound arguments, named by parameter."""
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            for key, item in value.items():
                yield from named_tensors(item, key)
        else:
            yield from named_tensors(value, name)


def _parameter_names(function):
    function = function.forward if isinstance(function, torch.nn.Module) \
        else function
    try:
        return [name for name, p in
                inspect.signature(function).parameters.items()
                if p.kind in (inspect.Parameter.POSITIONAL_ONLY,
                              inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        return []
