"""Whether a class of torch.nn does what torch has written: its forward, the
methods that it calls, and the functions of torch that these call by name."""
import inspect
import os
import types

import torch
import torch.nn.functional as F

_TORCH = os.path.dirname(torch.__file__)
_SPACES = (F, torch, torch._VF, torch.Tensor)


def is_of_torch(function):
    """Written in torch itself, not put in its place by someone else."""
    code = getattr(function, "__code__", None)
    return code is None or code.co_filename.startswith(_TORCH)


class _Reach:
    """What a function may call: `methods` of a class by name, and whether one
    of all `is_patched`."""

    def __init__(self, function, kind=object):
        self.kind, self.methods = kind, {"forward"}
        self.seen, self.is_patched = set(), False
        self._visit(function)

    def _visit(self, function):
        function = inspect.unwrap(getattr(function, "__func__", function))
        if not isinstance(function, types.FunctionType) or \
                function in self.seen:
            return
        self.seen.add(function)
        self.is_patched |= not is_of_torch(function)
        for name in _names(function.__code__):
            method = inspect.getattr_static(self.kind, name, None)
            if isinstance(method, (types.FunctionType, staticmethod,
                                   classmethod, property)):
                self.methods.add(name)
                self._visit(getattr(method, "fget", method))
            for space in _SPACES:
                own = vars(space).get(name)
                if callable(own) and not inspect.isclass(own):
                    self.is_patched |= getattr(own, "__name__", name) not in (
                        name, "_" + name)
                    self._visit(own)


def _names(code):
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _names(part)


def is_patched(module, kind, made):
    """`kind` is the module's class; `made` keeps what was found out."""
    key = ("reach", kind)
    if key not in made:
        made[key] = _Reach(kind.forward, kind)
    return made[key].is_patched or any(
        name in vars(module) for name in made[key].methods)


def calls_patched(function, made):
    """Whether a function of torch calls one that was replaced."""
    if not isinstance(function, types.FunctionType):
        return False
    if function not in made:
        made[function] = _Reach(function)
    return made[function].is_patched
