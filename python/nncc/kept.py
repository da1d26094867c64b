"""What Python keeps between calls of a module or a function: numbers in
attributes, containers, objects, classes, variables outside of functions,
iterators and generators, as far as a user's code reaches them.

A walk finds all of it, says of each number how to read it now, and can put
everything back. What libraries keep for themselves is not looked at.
"""
import array
import collections
import contextvars
import datetime
import dis
import enum
import functools
import itertools
import numbers
import queue
import random
import sys
import threading
import types
import warnings

import numpy
import torch

from .patched import is_of_torch, names_in

_PLAIN = (numbers.Number, str, bytes, range, type(None), enum.Enum,
          datetime.date, datetime.time, datetime.timedelta, numpy.generic,
          torch.dtype)
_DICTS = (collections.OrderedDict, dict)
_LISTS = (list, collections.deque)
_ITERATORS = (itertools.count, itertools.cycle, itertools.chain,
              itertools.islice, itertools.repeat, enumerate, zip, map, filter,
              reversed, type(iter([])), type(iter(())), type(iter({})),
              type(iter(range(0))), type(iter(set())))
_LIBRARIES = {"torch", "numpy", "nncc", *sys.stdlib_module_names}
_OBJECTS = (types.SimpleNamespace, collections.UserDict, collections.UserList,
            collections.ChainMap, threading.local, queue.Queue)
# What is called without being named.
_CALLED = {"forward", "__call__", "__iter__", "__getattr__", "__getitem__",
           "__setattr__", "__setitem__", "__len__", "__contains__", "__next__",
           "__enter__", "__exit__", "__init__", "__new__"}
_METHODS = (types.FunctionType, property, classmethod, staticmethod,
            functools.partialmethod, functools.cached_property,
            functools._lru_cache_wrapper)
_GONE = "gone"


def is_of_library(name):
    """A module of Python of this name is nobody's own."""
    return not isinstance(name, str) or name.split(".")[0] in _LIBRARIES


def _base(value, kinds):
    """The class whose methods do just what they say, whatever a subclass makes
    of them."""
    return next(kind for kind in kinds if isinstance(value, kind))


class Kept:
    """Everything that `roots`, pairs of name and value, reach but for what has
    an id in `known`."""

    def __init__(self, roots, known=()):
        self.objects = []  # that have attributes: (name, object)
        self.generators = set()  # names of those that are none of torch
        self.seen = set(known)  # ids
        self._reads = {}  # name of a number -> what reads it now
        self._undo = []  # (function, holder, content)
        self._names = set(_CALLED)  # that the functions say
        self._code = []  # theirs
        self._unnamed = {}  # name -> methods that nobody calls yet
        self._open = collections.deque()
        for name, value in roots:
            self._later(name, value, lambda value=value: value)
        while self._open:  # near ones first, which gives short names
            self._visit(*self._open.popleft())

    def numbers(self):
        """What they are now, by name."""
        return {name: self.read(name) for name in self._reads}

    def read(self, name):
        try:
            return self._reads[name]()
        except Exception:
            return _GONE

    def around(self, name):
        """The number, or where it is gone, those beside it."""
        if self.read(name) != _GONE:
            return self.read(name)
        place = name.rpartition(".")[0]
        return [self.read(n) for n in self._reads
                if n.rpartition(".")[0] == place]

    def is_only_counted(self, name):
        """A variable or an attribute that code assigns, or adds to, but never
        asks for."""
        word = name.rpartition(".")[2].rstrip("'")
        uses = [use for code in self._code for use in _uses(code, word)]
        return bool(uses) and "read" not in uses

    def restore(self):
        for function, holder, content in self._undo:
            function(holder, content)

    def _number(self, name, read):
        while name in self._reads:
            name += "'"  # another thing of this name
        self._reads[name] = read

    def _later(self, name, value, get):
        """`get()` gives what is in the place of the value then."""
        self._open.append((name.lstrip("."), value, get))

    def _items(self, name, get, items, item):
        for key, value in items:
            self._later(f"{name}.{key}", value,
                        lambda key=key: item(get(), key))

    def _visit(self, name, value, get):
        if isinstance(value, _PLAIN):
            self._number(name, lambda: repr(get()))
            return
        if id(value) in self.seen:
            return
        self.seen.add(id(value))
        for kinds, look in _LOOKS:
            if isinstance(value, kinds):
                look(self, name, value, get)
                return
        if not is_of_library(type(value).__module__):
            self._object(name, value, get)

    # --- Containers ------------------------------------------------------
    def _dict(self, name, value, get):
        kind = _base(value, _DICTS)
        self._keep_dict(value)
        self._items(name, get, list(kind.items(value)), kind.__getitem__)
        self._attributes(name, value, get)

    def _keep_dict(self, value):
        content = [(k, _own(v)) for k, v in _base(value, _DICTS).items(value)]
        self._undo.append((_put_into_dict, value, content))

    def _list(self, name, value, get):
        kind = _base(value, _LISTS)
        content = list(kind.__iter__(value))
        self._undo.append((_put_into_list, value, list(map(_own, content))))
        self._items(name, get, enumerate(content), kind.__getitem__)
        self._attributes(name, value, get)

    def _tuple(self, name, value, get):
        self._items(name, get, enumerate(value), tuple.__getitem__)

    def _set(self, name, value, get):
        if isinstance(value, set):
            self._undo.append((_put_into_set, value, set(value)))
        for one in value:
            if isinstance(one, _PLAIN):
                self._number(f"{name}.{one}", lambda one=one:
                                       True if one in get() else _GONE)

    def _array(self, name, value, get):
        if not value.dtype.hasobject:
            self._undo.append((_put_into_array, value, value.copy()))
            self._number(name, lambda: get().tobytes())

    def _numbers(self, name, value, get):
        self._undo.append((_put_into_numbers, value, value[:]))
        self._number(name, lambda: bytes(memoryview(get()).cast("B")))

    def _context(self, name, value, get):
        missing = object()
        one = value.get(missing)
        if one is not missing:
            self._undo.append((contextvars.ContextVar.set, value, one))
            self._later(name, one, lambda: get().get())

    # --- What moves on ---------------------------------------------------
    def _random(self, name, value, get):
        self._undo.append((random.Random.setstate, value, value.getstate()))
        self._number(name, lambda: get().getstate())
        self.generators.add(name)

    def _numpy_random(self, name, value, get):
        self._undo.append((_put_into_bits, value, _bits(value).state))
        self._number(name, lambda: repr(_bits(get()).state))
        self.generators.add(name)

    def _torch_random(self, name, value, get):
        """What draws from it the tracer sees, but not who seeds it."""
        self._undo.append((torch.Generator.set_state, value,
                           value.get_state()))
        self._number(name, lambda: get().initial_seed())

    def _iterator(self, name, value, get):
        def read():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                parts = get().__reduce__()[1:]
            return Kept([("", parts)]).numbers()
        self._number(name, read)

    def _running(self, name, value, get):
        def read():
            frame = get().gi_frame
            return frame and (frame.f_lasti, [
                repr(v) for v in frame.f_locals.values()
                if isinstance(v, _PLAIN)])
        self._number(name, read)

    # --- Objects ---------------------------------------------------------
    def _module(self, name, value, get):
        for path, part in value.named_modules():
            if part is value or id(part) not in self.seen:
                self.seen.add(id(part))
                self._object(f"{name}.{path}".strip("."), part,
                             lambda part=part: part)

    def _object(self, name, value, get):
        self.objects.append((name, value))
        self._attributes(name, value, get)
        self._later("", type(value), None)
        slots = [slot for kind in type(value).__mro__
                 for slot, member in vars(kind).items()
                 if isinstance(member, types.MemberDescriptorType)
                 and hasattr(value, slot)]
        for slot in slots:
            one = getattr(value, slot)
            self._undo.append((_put_into_slot, value, (slot, one)))
            self._later(f"{name}.{slot}", one,
                        lambda slot=slot: getattr(get(), slot))

    def _attributes(self, name, value, get):
        own = getattr(value, "__dict__", None)
        if not isinstance(own, dict):
            return
        self._keep_dict(own)
        is_module = isinstance(value, torch.nn.Module)
        held = ("_parameters", "_buffers", "_modules") if is_module else ()
        for key in held:
            if isinstance(own.get(key), dict):  # else it is of torch.jit
                self._keep_dict(own[key])
                for part, one in own[key].items():
                    if isinstance(one, torch.Tensor):  # has attributes
                        self._later(f"{name}.{part}", one,
                                    lambda one=one: one)
        if is_module:
            names = value._non_persistent_buffers_set
            self._undo.append((_put_into_set, names, set(names)))
            held += ("_non_persistent_buffers_set", "training")
        self._items(name, get, [(k, v) for k, v in own.items()
                                if k not in held],
                    lambda one, key: vars(one)[key])

    def _variables(self, name, space, keys):
        """Those of a class or a Python module."""
        for key in keys:
            value = vars(space)[key]
            if not callable(value):
                self._undo.append((_put_into_space, space, (key, value)))
            one = (f"{name}.{key}", value, lambda key=key: vars(space)[key])
            if isinstance(value, _METHODS) and key not in self._names:
                self._unnamed.setdefault(key, []).append(one)
            else:
                self._open.append(one)

    def _class(self, _, value, get):
        for kind in value.__mro__:
            if is_of_library(kind.__module__) or \
                    kind is not value and id(kind) in self.seen:
                continue
            self.seen.add(id(kind))
            self._variables(kind.__qualname__, kind, [
                key for key in list(vars(kind)) if key in _CALLED or
                not key.startswith("__")])

    # --- Functions -------------------------------------------------------
    def _function(self, name, value, get):
        self._wrapper(name, value, get)
        space = value.__globals__
        if is_of_library(space.get("__name__")) or is_of_torch(value):
            return
        called = value.__qualname__.replace(".<locals>", "")
        self._attributes(called, value, lambda: value)
        for key, cell in zip(value.__code__.co_freevars,
                             value.__closure__ or ()):
            try:
                content = cell.cell_contents
            except ValueError:
                continue  # it is not set
            self._undo.append((_put_into_cell, cell, content))
            self._later(key, content,
                        lambda cell=cell: cell.cell_contents)
        for one in (*(value.__defaults__ or ()),
                    *(value.__kwdefaults__ or {}).values()):
            self._later(called, one, lambda one=one: one)
        self._code.append(value.__code__)
        names = set(names_in(value.__code__))
        new, self._names = names - self._names, self._names | names
        module = sys.modules.get(space.get("__name__"))
        if module is not None and vars(module) is space:
            self._globals(module, names)
        for one in new:
            self._open.extend(self._unnamed.pop(one, ()))

    def _globals(self, module, names):
        """What code with these names may mean of a Python module."""
        known = (id(module), frozenset(names))
        if known in self.seen or is_of_library(module.__name__):
            return
        self.seen.add(known)
        own, new = vars(module), []
        for key in [key for key in names if key in own]:
            if isinstance(own[key], types.ModuleType):
                self._globals(own[key], names)
            elif (id(module), key) not in self.seen:
                self.seen.add((id(module), key))
                new.append(key)
        self._variables(module.__name__, module, new)

    def _wrapper(self, name, value, get):
        """A method, a property, a partial and the like: what it is made
        of."""
        for key in ("__self__", "__func__", "__wrapped__", "func", "args",
                    "keywords", "fget"):
            part = getattr(value, key, None)
            if part is not None:
                self._later(name, part, lambda part=part: part)


_LOOKS = (
    (torch.nn.Module, Kept._module), (_DICTS, Kept._dict),
    (_LISTS, Kept._list), (tuple, Kept._tuple),
    ((set, frozenset), Kept._set), (torch.Tensor, Kept._attributes),
    (numpy.ndarray, Kept._array),
    ((array.array, bytearray), Kept._numbers),
    (contextvars.ContextVar, Kept._context), (random.Random, Kept._random),
    ((numpy.random.Generator, numpy.random.RandomState), Kept._numpy_random),
    (torch.Generator, Kept._torch_random), (_ITERATORS, Kept._iterator),
    (types.GeneratorType, Kept._running), (type, Kept._class),
    (types.FunctionType, Kept._function),
    ((types.MethodType, property, classmethod, staticmethod,
      functools.partial, functools.partialmethod, functools.cached_property,
      functools._lru_cache_wrapper), Kept._wrapper),
    (_OBJECTS, Kept._object))


def _uses(code, word):
    """What code, and code inside of it, does with a name: "read", "count" or
    "store"."""
    steps = list(dis.get_instructions(code))
    for i, step in enumerate(steps):
        if isinstance(step.argval, types.CodeType):
            yield from _uses(step.argval, word)
        elif step.argval == word:
            then = [s for s in steps[i + 1:i + 5] if s.opname != "SWAP"][:3]
            counts = [s.opname for s in then[:1]] == ["LOAD_CONST"] and \
                then[1].argrepr.endswith("=") and \
                then[1].opname == "BINARY_OP" and \
                then[2].opname.startswith("STORE") and then[2].argval == word
            yield "store" if step.opname.startswith("STORE") else \
                "count" if counts else "read"


# --- Putting it back -----------------------------------------------------
def _own(value):
    """An iterator has no way back, but a copy goes on from here."""
    if not isinstance(value, _ITERATORS):
        return value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind, arguments, *state = value.__reduce__()
        other = kind(*map(_own, arguments))
        for one in state:
            other.__setstate__(tuple(
                list(part) if isinstance(part, list) else _own(part)
                for part in one) if isinstance(one, tuple) else one)
    return other


def _are(ours, theirs):
    return len(ours) == len(theirs) and all(
        x is y for x, y in zip(ours, theirs))


def _put_into_dict(holder, content):
    kind = _base(holder, _DICTS)
    keys, values = zip(*content) if content else ((), ())
    if _are(list(kind.keys(holder)), keys) and \
            _are(list(kind.values(holder)), values):
        return
    kind.clear(holder)
    for key, value in content:
        kind.__setitem__(holder, key, _own(value))


def _put_into_list(holder, content):
    kind = _base(holder, _LISTS)
    if not _are(list(kind.__iter__(holder)), content):
        kind.clear(holder)
        kind.extend(holder, map(_own, content))


def _put_into_set(holder, content):
    if set(holder) != content:
        holder.clear()
        holder.update(content)


def _put_into_array(holder, content):
    if holder.flags.writeable:
        holder[...] = content


def _put_into_numbers(holder, content):
    holder[:] = content


def _bits(value):
    return value._bit_generator if isinstance(
        value, numpy.random.RandomState) else value.bit_generator


def _put_into_bits(holder, state):
    _bits(holder).state = state


def _put_into_slot(holder, content):
    if getattr(holder, content[0], None) is not content[1]:
        object.__setattr__(holder, *content)


def _put_into_space(holder, content):
    key, value = content
    if vars(holder).get(key) is not value:
        setattr(holder, key, _own(value))


def _put_into_cell(holder, content):
    holder.cell_contents = content
