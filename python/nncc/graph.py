"""What a trace records: values, nodes and calls of modules, in one order.

A value is one state of a tensor, known by the tensor that Python holds; a
change in place makes a new value of the same tensor. Calls of modules only
group nodes: which values go in and out of them is found afterwards
(outline.py), from who reads what.
"""


class Mode:
    """An argument that says whether the module trains: both traces together
    tell whether it follows the entry's mode."""

    def __init__(self, trains):
        self.trains = bool(trains)
        self.follows = False

    def __repr__(self):
        return f"mode {self.trains}"


class Value:
    """A tensor between two changes.

    `source` is the node that gives it, or "input", "state" or "constant".
    `varies` says that its elements depend on inputs, state or random numbers;
    `flows` that a gradient goes through it. `buffers` are the paths of those
    that they depend on, None if they depend on more than buffers and constants.
    """
    __slots__ = ("hint", "source", "tensor", "paths", "varies", "buffers",
                 "flows", "version", "is_stale", "data", "number",
                 "is_updated", "stale_at")

    def __init__(self, hint, source, tensor, varies, flows, paths=(),
                 buffers=None):
        self.hint, self.source, self.tensor = hint, source, tensor
        self.varies, self.flows, self.paths = varies, flows, tuple(paths)
        self.buffers = buffers if varies else frozenset()
        self.version = version_of(tensor)
        self.is_stale = False  # no longer what the tensor holds
        self.stale_at = None
        self.is_updated = False  # by the torch.nn module that it is of
        self.number = 0  # in the order of making
        self.data = None  # of a constant that was changed in place later


class Node:
    """A function or a torch.nn module, called once."""
    __slots__ = ("op", "module", "inputs", "arguments", "results", "place",
                 "has_effect", "is_random")

    def __init__(self, inputs, results, place, op=None, module=None,
                 arguments=None, has_effect=False):
        self.op, self.module, self.inputs = op, module, inputs
        self.arguments, self.results = arguments or {}, results
        self.place, self.has_effect = place, has_effect
        self.is_random = False


class Call:
    """One call of a module: `kind` is "model", "class" or "chain" (an
    nn.Sequential); `paths` are the module's names in the model."""

    def __init__(self, kind, module, paths, place=None):
        self.kind, self.module, self.paths = kind, module, paths
        self.place = place
        self.items = []
        self.names = {}  # value -> the name of the argument that it is
        self.arguments = []  # values, as given
        self.is_plain = False  # called with one tensor and nothing else
        self.made = 0  # values there were before it

    @property
    def path(self):
        return self.paths[0]


class Place:
    """Where something happens: in the module `path`, at a line of a file;
    `helper` is the file of torch.nn.utils that does it, if one does."""

    def __init__(self, path, line, helper=None):
        self.path, self.line, self.helper = path, line, helper

    def __str__(self):
        parts = [f"in {self.path}"] if self.path else []
        parts += [f"({self.line})"] if self.line else []
        return " ".join(parts)


class Placed(dict):
    """A part of the file, and where in the module it comes from."""

    def __init__(self, content, place):
        super().__init__(content)
        self.place = place


class Problem:
    """A sentence about a place; `gradient`: only about entries that train."""

    def __init__(self, text, place=None, gradient=False):
        self.text, self.place, self.gradient = text, place, gradient


def sentences(problems):
    """One line per text and source line, however many modules meet it."""
    groups = {}
    for problem in problems:
        place = problem.place
        key = (problem.text, place.line if place else None)
        paths = groups.setdefault(key, [])
        if place and place.path and place.path not in paths:
            paths.append(place.path)
    lines = []
    for (text, line), paths in groups.items():
        where = ""
        if paths:
            more = len(paths) - 1
            where = f" in {paths[0]}" + (
                f" and {more} other module{'s' * (more > 1)}" if more else "")
        subject, colon, advice = text.partition(": ")
        where += f" ({line})" if line else ""
        lines.append(subject + where + colon + advice)
    return "\n".join(lines)


def common(values):
    """The buffers that they depend on, or None."""
    sets = [v.buffers for v in values]
    return None if None in sets else frozenset().union(*sets)


def version_of(tensor):
    try:
        return tensor._version
    except (RuntimeError, AttributeError):
        return 0  # of inference mode, which counts nothing


def values_in(item):
    """The values in nested lists and dicts."""
    if isinstance(item, Value):
        yield item
    elif isinstance(item, (list, tuple)):
        for one in item:
            yield from values_in(one)
    elif isinstance(item, dict):
        for one in item.values():
            yield from values_in(one)
