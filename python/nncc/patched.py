"""Whether a class of torch.nn does what torch has written: its forward, the
methods that it calls, and the functions of torch that these call by name."""
import contextlib
import functools
import inspect
import os
import types
import typing

import torch
import torch.nn.functional as F

_TORCH = os.path.dirname(torch.__file__)
_OWN = (_TORCH, contextlib.__file__)  # which wraps functions of torch
_SPACES = (F, torch, torch._VF, torch.Tensor)
_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType,
             types.WrapperDescriptorType, types.GetSetDescriptorType,
             functools._lru_cache_wrapper)
_ASKED = {"is_inference_mode_enabled"}  # again.py replaces it
# Of torch's own functions of functions, and words for types.
_KINDS = {"torch._ops", "typing", "typing_extensions"}


def is_of_torch(function):
    """Written in torch itself, not put in its place by someone else; what it
    wraps, too. Other things that can be called are somebody's."""
    while function is not None:
        function = getattr(function, "__func__", function)
        if isinstance(function, types.FunctionType):
            if not function.__code__.co_filename.startswith(_OWN):
                return False
        elif not isinstance(function, _BUILT_IN) and \
                type(function).__module__ not in _KINDS:
            return False
        function = getattr(function, "__wrapped__", None)
    return True


def is_function(value):
    """Something that is called, as a class or a module has it; no class."""
    is_type = inspect.isclass(value) or typing.get_origin(value) is not None
    return not is_type and (callable(value) or isinstance(
        value, (classmethod, functools.partialmethod)))


class Originals:
    """Functions of torch and methods of some of its classes, as they are when
    this is made: forward may replace them for a while."""

    def __init__(self, kinds):
        spaces = {kind: None for one in kinds for kind in one.__mro__
                  if kind not in (torch.nn.Module, object)}
        self.found = [(vars(space), name, value) for space in
                      (*_SPACES, *spaces) for name, value in
                      vars(space).items()
                      if (is_function(value) or isinstance(value, property))
                      and name not in _ASKED]

    def are_there(self):
        return all(space.get(name) is value
                   for space, name, value in self.found)


class _Reach:
    """What a function may call: `methods` of a class by name, and whether one
    of all `is_patched`."""

    def __init__(self, function, kind=object):
        self.kind, self.methods = kind, {"forward"}
        self.seen, self.is_patched = set(), False
        self._visit(function)

    def _visit(self, function):
        self.is_patched |= not is_of_torch(function)
        function = inspect.unwrap(getattr(function, "__func__", function))
        if not isinstance(function, types.FunctionType) or \
                function in self.seen:
            return
        self.seen.add(function)
        for name in names_in(function.__code__):
            method = inspect.getattr_static(self.kind, name, None)
            if is_function(method) or isinstance(method, property):
                self.methods.add(name)
                self._visit(getattr(method, "fget", method))
            for space in _SPACES:
                own = vars(space).get(name)
                if is_function(own):
                    self.is_patched |= _plain(name) != _plain(
                        getattr(own, "__name__", name))
                    self._visit(own)


def _plain(name):
    """Torch has log_sigmoid as logsigmoid and sym_int as _sym_int; with an
    underscore at the end it is another function."""
    return name[:-1].replace("_", "") + name[-1:]


def names_in(code):
    """What a function names, also in functions inside of it."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from names_in(part)


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
