"""Calls of modules while tracing.

A torch.nn module that the file can describe is a leaf: one node. Every other
module runs with its functions recorded, grouped by the call. The recorder
stands in the place of `forward`, so hooks run outside of it and are recorded
as part of whoever calls.
"""
import contextlib
import functools
import inspect

import torch
import torch.nn as nn

from .graph import Call, Node, values_in, version_of
from .modules import (class_of, computes_tensors_in_hooks, depends_on_mode,
                      is_sequential, named_tensors, own_attributes)


@contextlib.contextmanager
def recording(tracer):
    """Puts the tracer between torch.nn and the modules."""
    module_call = nn.Module.__call__
    is_own = module_call is nn.Module._wrapped_call_impl
    script_call = torch.jit.ScriptFunction.__call__
    function = torch.autograd.Function
    apply = function.__dict__["apply"]

    def call(self, *args, **kwargs):
        # What torch.compile has made of one is left out, a patch is not.
        original = self._call_impl if is_own else functools.partial(
            module_call, self)
        return call_module(tracer, self, original, args, kwargs)

    def call_script(self, *args, **kwargs):
        if tracer.silent or not tracer.calls:
            return script_call(self, *args, **kwargs)
        tracer.problem("a function of torch.jit.script, whose steps cannot be "
                       "seen: give the function that it was made of")
        return unseen(tracer, functools.partial(script_call, self, *args,
                                                **kwargs))

    def run(cls, *args, **kwargs):
        return run_function(tracer, cls, args, kwargs)

    nn.Module.__call__ = call
    function.apply = classmethod(run)
    torch.jit.ScriptFunction.__call__ = call_script
    try:
        yield
    finally:
        torch.jit.ScriptFunction.__call__ = script_call
        nn.Module.__call__ = module_call
        function.apply = apply


class _Context:
    """What the forward of an autograd.Function may ask of its context."""

    def __init__(self, arguments):
        self.needs_input_grad = tuple(
            isinstance(a, torch.Tensor) and a.requires_grad for a in arguments)

    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors

    save_for_forward = save_for_backward

    def mark_dirty(self, *tensors):
        pass

    mark_non_differentiable = mark_dirty

    def set_materialize_grads(self, value):
        pass


def run_function(tracer, cls, args, kwargs):
    """An autograd.Function: its forward is recorded, its own gradient is
    not."""
    if cls.__name__ == "CheckpointFunction":
        run, _, *rest = args
        before, tracer.runs_again = tracer.runs_again, True
        try:
            result = run(*rest)
        finally:
            tracer.runs_again = before
        _check_passes(tracer, rest, result)
        return result
    tracer.problem(f"{cls.__name__}.apply has a gradient of its own, which a "
                   "compiled step does not use: write it with functions of "
                   "torch", gradient=True)
    context = _Context(args)
    if cls.setup_context is not torch.autograd.Function.setup_context:
        return cls.forward(*args, **kwargs)
    return cls.forward(context, *args, **kwargs)


def _check_passes(tracer, given, result):
    """autograd.Function passes a gradient on if a tensor that it is given
    requires one."""
    if torch.is_grad_enabled() and not any(
            isinstance(t, torch.Tensor) and t.requires_grad for t in given):
        for _, tensor in named_tensors(result):
            if tensor.requires_grad:
                tracer.problem(
                    "a reentrant checkpoint, none of whose arguments requires "
                    "a gradient, gives its parts none: use it with "
                    "use_reentrant=False", gradient=True)
                return


def unseen(tracer, original):
    """What is refused already; its results are as good as inputs."""
    result = original()
    with tracer.quiet():
        for name, tensor in named_tensors(result):
            tracer.values.bind(tensor, name, "input", True, True)
    return result


def call_module(tracer, module, call, args, kwargs):
    """nn.Module.__call__ while tracing; `call` is what it was."""
    original = functools.partial(call, *args, **kwargs)
    if tracer.silent or not tracer.calls:
        return original()
    if isinstance(module, torch.jit.ScriptModule):
        tracer.problem("a torch.jit.ScriptModule, whose functions cannot be "
                       "seen: give the module that it was made of")
        return unseen(tracer, original)
    if type(module).__name__ == "OptimizedModule":
        return module._orig_mod(*args, **kwargs)
    paths = tracer.paths.get(id(module), ())
    tracer.inside.append(paths[0] if paths else type(module).__name__)
    try:
        paths = [path for path in paths if path not in tracer.covered]
        if not paths or not paths[0]:
            return original()  # no part of the model on its own, or all of it
        return _with_recorder(tracer, module, paths, original)
    finally:
        tracer.inside.pop()


def _with_recorder(tracer, module, paths, original):
    """Calls the module with a recorder in the place of its forward. Pre-hooks
    that only compute its tensors belong to it."""
    missing = object()
    own = vars(module).get("forward", missing)
    forward = module.forward
    versions = [(t, version_of(t)) for t in module.buffers()]
    leaf = module in tracer.leaves and \
        own_attributes(module) == tracer.described[module] and \
        tracer.originals.are_there() and _is_one(module) and \
        _has_its_state(tracer, module, paths)

    def restore():
        if own is missing:
            vars(module).pop("forward", None)
        else:
            vars(module)["forward"] = own

    def recorder(*args, **kwargs):
        restore()
        with tracer.quiet(1):
            if leaf:
                result = _leaf(tracer, module, paths, forward, args, kwargs)
                _note_updates(tracer, module, versions)
            else:
                result = _group(tracer, module, paths, forward, args, kwargs)
        tracer.silent = 0  # for hooks behind it
        return result

    vars(module)["forward"] = recorder
    try:
        with tracer.quiet(leaf and computes_tensors_in_hooks(module)):
            return original()
    finally:
        restore()


def _is_one(module):
    """Its parts have its mode, if that matters, and no hooks."""
    return not any(part._forward_hooks or part._forward_pre_hooks or (
        part.training != module.training and depends_on_mode(part))
        for part in module.modules() if part is not module)


def _has_its_state(tracer, module, paths):
    """Its parameters and buffers are still the ones of the model."""
    for kind in (module.named_parameters, module.named_buffers):
        for name, tensor in kind(remove_duplicate=False):
            value = tracer.values.known(tensor)
            if not value or f"{paths[0]}.{name}" not in value.paths:
                return False
    return True


def _leaf(tracer, module, paths, forward, args, kwargs):
    """A torch.nn module is one node."""
    tracer.check(())
    place = tracer.place()
    inputs = [tracer.encode(a) for a in args]
    arguments = {k: tracer.encode(v) for k, v in kwargs.items()
                 if v is not None}
    mode, trains = tracer.modes[id(module)], module.training
    # It keeps a mode of its own, or forward itself has set it.
    if (mode[0] >= mode[1] or trains != mode[tracer.trains]) and \
            depends_on_mode(module):
        arguments["training"] = trains
    given = {id(t): version_of(t) for _, t in named_tensors((args, kwargs))}
    for _, tensor in named_tensors((args, kwargs)):
        if getattr(module, "inplace", False):
            tracer.values.freeze(tensor)
    result, _ = tracer.run_drawing(f"nn.{class_of(module).__name__}",
                                   lambda: forward(*args, **kwargs))
    same = []
    result = _replace(result, lambda t: _fresh(tracer, t, given, same))
    has_parameters = any(True for _ in module.parameters())
    has_state = has_parameters or any(True for _ in module.buffers())
    read = list(values_in([inputs, arguments]))
    node = Node(inputs, None, place, module=(module, paths),
                arguments=arguments)
    tracer.calls[-1].items.append(node)
    node.results = tracer.bind(
        result, paths[0], node,
        has_state or any(v.varies for v in read)
        or "Dropout" in type(module).__name__,
        has_parameters or any(v.flows for v in read), None, same)
    for _, tensor in named_tensors(result):
        if id(tensor) in given:
            tracer.note_in_place(read[0], f"nn.{class_of(module).__name__}")
            tracer.values.written(tensor, True, place)
    return result


def _note_updates(tracer, module, versions):
    """A torch.nn module that has changed its buffers: the compiler knows how,
    in entries that train."""
    for tensor in [t for t, version in versions if version_of(t) != version]:
        tracer.note_updated(tensor)
        tracer.values.known(tensor).is_updated = True
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        tracer.note_statistics(
            (module.running_mean, module.running_var),
            module.training and module.track_running_stats)


def _fresh(tracer, tensor, given, same):
    """A tensor that comes back as it was given gets a twin, among `same`, so
    that both have values of their own: only one of them may be dropped in
    train mode."""
    if given.get(id(tensor)) == version_of(tensor):
        with torch.enable_grad():
            tensor = torch.ops.aten.alias.default(tensor)
        same.append(tensor)
    return tensor


def _replace(value, function):
    """`value` with its tensors replaced, in tuples, lists and dicts."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if type(value) in (tuple, list):
        return type(value)(_replace(v, function) for v in value)
    if type(value) is dict:
        return {k: _replace(v, function) for k, v in value.items()}
    return value


def _group(tracer, module, paths, forward, args, kwargs):
    """A module whose functions are recorded, grouped by the call."""
    kind = "chain" if is_sequential(module) else "class"
    call = Call(kind, module, paths, tracer.place())
    try:
        bound = inspect.signature(forward).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        bound = {"input": (args, kwargs)}
    for name, tensor in named_tensors(bound):
        value = tracer.values.find(tensor, tracer.problem)
        call.names.setdefault(value, name)
        call.arguments.append(value)
    call.is_plain = len(args) == 1 and not kwargs and \
        isinstance(args[0], torch.Tensor)
    tracer.calls[-1].items.append(call)
    tracer.calls.append(call)
    call.made = tracer.values.count
    try:
        with tracer.quiet(0):
            result = forward(*args, **kwargs)
        return _replace(result, lambda t: _passed(tracer, call, t))
    finally:
        tracer.calls.pop()


def _passed(tracer, call, tensor):
    """A tensor that a call gives back without having made it is a value of
    its own outside: drop path gives its argument back in eval mode."""
    value = tracer.values.find(tensor, tracer.problem)
    if value.number >= call.made and isinstance(value.source, Node):
        return tensor
    node = Node([value], None, call.place, op="pass")
    other, node.results = tracer.values.alias(tensor, value, node)
    call.items.append(node)
    return other
