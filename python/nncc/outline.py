"""From a trace to the graphs of a file.

Nodes that nothing reads are dropped. A call of a module becomes a node of the
module's class: its inputs are the values that are read inside and made
outside, its outputs those that are made inside and read outside. A module has
one class, so calls that come to another graph than the first (other sizes,
other arguments) are written out in the graph of the caller.
"""
import hashlib
import json
import keyword

import torch

from .graph import Call, Mode, Placed, Problem, common, values_in
from .modules import UnsupportedModel
from .values import dtype_of

_RESERVED = {
    "lr", "loss", "seed", "inf", "nan", *keyword.kwlist, "auto", "case",
    "char", "const", "default", "do", "double", "enum", "extern", "float",
    "goto", "inline", "int", "long", "register", "restrict", "short",
    "signed", "sizeof", "static", "struct", "switch", "typedef", "union",
    "unsigned", "void", "volatile"}
# Their arguments have more forms than the compiler has, so what they make of
# constants is computed here.
_FOLDED = {"Tensor.__getitem__", "Tensor.__setitem__"}


class Constants:
    """Tensors that forward makes of nothing, by their content."""

    def __init__(self, taken):
        self._prefix = "constants"
        while any(t.split(".")[0] == self._prefix for t in taken):
            self._prefix += "_"
        self._by_content = {}
        self.tensors = {}  # name -> tensor

    def name(self, value):
        tensor = value.tensor if value.data is None else value.data
        tensor = tensor.detach().cpu().contiguous()
        raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        key = (str(tensor.dtype), tuple(tensor.shape),
               hashlib.sha256(raw).hexdigest())
        if key not in self._by_content:
            name = f"{self._prefix}.{len(self.tensors)}"
            self._by_content[key] = name
            self.tensors[name] = tensor.clone()
        return self._by_content[key]


class _Scope:
    """The names of one graph. `prefix` is the path of its module."""

    def __init__(self, prefix, taken):
        self.prefix, self.taken = prefix, set(taken)
        self.names = {}
        self.nodes = []

    def local(self, paths):
        """The name in this graph of a module or a state, or None."""
        for path in paths:
            if not self.prefix:
                return path
            if path.startswith(self.prefix + "."):
                return path[len(self.prefix) + 1:]
        return None

    def bind(self, value, hint):
        base = "".join(c if c.isascii() and c.isalnum() else "_"
                       for c in hint).strip("_") or "value"
        if base[0].isdigit():
            base = "v" + base
        name, i = base, 1
        while name in self.taken or name in _RESERVED:
            name, i = f"{base}_{i}", i + 1
        self.taken.add(name)
        self.names[value] = name
        return name


# What to do about functions that a file of torch.nn.utils calls.
_HELPERS = {
    "parametrizations": ": remove the parametrization before export "
    "(torch.nn.utils.parametrize.remove_parametrizations); a spectral_norm "
    "may stay on a layer of torch.nn that is called itself",
    "spectral_norm": ": remove the norm before export "
    "(torch.nn.utils.remove_spectral_norm), or have it on a layer of torch.nn "
    "that is called itself",
    "rnn": ": give padded sequences and their lengths, and compute with masks",
}


def _advice(node):
    if node.is_random:
        return ", which draws random numbers: take them as an input, or use " \
            "F.dropout"
    return _HELPERS.get(node.place.helper, "") if node.place else ""


class Outline:
    """The graphs of one trace. `outputs` and `updates` (buffer -> value) are
    values; `loss` is the call of the loss and its value."""

    def __init__(self, tracer, root, outputs, constants, updates=None,
                 loss=None):
        self.names, self.paths = tracer.names, tracer.paths
        self.leaves, self.unfit = tracer.leaves, tracer.unfit
        self.constants, self.transient = constants, tracer.values.transient
        self.folded = []  # (buffers, the problem if one of them is changed)
        self.bodies = {}    # path of a module -> graph of its class
        self.problems = []
        self._baked = set()
        self._items = {}    # call -> items that are needed
        self._at, self._uses, self._span = {}, {}, {}
        updates = updates or {}
        last = [*outputs, *updates.values()]
        needed = set(last)
        self.attributes = set()  # paths of plain attributes that are read
        behind, loss_value = loss if loss else (None, None)
        if behind:
            needed.add(loss_value)
            self._sweep(behind, needed)
        self._sweep(root, needed)
        self.problems.reverse()
        self._check_constants(last)
        if self.problems:
            return  # who made it says them
        self._number(root, 0)
        end = self._span[root][1] + 1
        for value in last:
            self._uses.setdefault(value, []).append(end)
        if behind:
            self._number(behind, end + 1)
            self._uses.setdefault(loss_value, []).append(
                self._span[behind][1] + 1)
        for value in needed:
            if value.source == "state" and not value.varies:
                self.attributes.update(value.paths)
        self._scope = _Scope("", self._own_names(root.module, ""))
        self.inputs = [self._scope.bind(v, root.names[v])
                       for v in root.arguments]
        self._emit(root, self._scope, ())
        self.nodes, self._scope.nodes = self._scope.nodes, []
        self.outputs = [self._name(v, self._scope) for v in outputs]
        self.updates = {path: self._name(v, self._scope)
                        for path, v in updates.items()}
        self.targets, self.loss, self.loss_nodes = [], None, []
        if behind:
            self.targets = [self._scope.bind(v, behind.names[v])
                            for v in behind.arguments]
            self._emit(behind, self._scope, ())
            self.loss_nodes = self._scope.nodes
            self.loss = self._name(loss_value, self._scope)

    # --- What is needed, and from where to where -------------------------
    def _lacks(self, node):
        """What of a node the compiler does not have, or None."""
        if node.module:
            return self.names.lacks_of(self.leaves[node.module[0]])
        if node.op == "pass":
            return None
        return self.names.lacks(node.op, node.inputs, node.arguments)

    def _is_folded(self, item, results, problem):
        """Whether what a function makes is computed here, because nothing
        changes it and the compiler may not have it: of buffers too, if they
        are no part of state_dict()."""
        if not any(v.varies for v in results):
            return problem or item.op in _FOLDED
        buffers = common(results)
        if not problem or buffers is None or not buffers <= self.transient:
            return False
        self.folded.append((buffers, problem))
        return True

    def _check_constants(self, values, place=None):
        for value in values:
            shape = list(value.tensor.shape)
            what = value.hint if value.source == "state" else \
                f"a tensor {shape} made in forward"
            try:
                if not value.varies:
                    dtype_of(value.tensor, what)
            except UnsupportedModel as error:
                self.problems.append(Problem(str(error), place))

    def _sweep(self, call, needed):
        """Finds the items that are needed, last first."""
        kept, before = [], len(self.problems)
        for item in reversed(call.items):
            if isinstance(item, Call):
                self._sweep(item, needed)
                if self._items[item]:
                    kept.append(item)
                continue
            results = list(values_in([item.results]))
            wanted = [v for v in results if v in needed]
            if not wanted and not item.has_effect:
                continue
            lacks = self._lacks(item)
            problem = lacks and Problem(
                f"{lacks} is not supported{_advice(item)}", item.place)
            if item.op and item.op != "pass" and not item.has_effect and \
                    self._is_folded(item, results, problem):
                self._baked.update(wanted)
                continue
            if problem:
                self.problems.append(problem)
            kept.append(item)
            read = list(values_in([item.inputs, item.arguments]))
            needed.update(read)
            self._check_constants(read, item.place)
        self._items[call] = kept[::-1]
        if call.module in self.unfit and self.problems[before:]:
            self.problems[before:] = [Problem(
                f"{self.unfit[call.module]} is not supported", call.place)]

    def _number(self, call, position):
        """Positions of nodes, and of what reads their values."""
        start = position
        for item in self._items[call]:
            if isinstance(item, Call):
                position = self._number(item, position)
                continue
            position += 1
            for value in values_in([item.results]):
                self._at[value] = position
            for value in values_in([item.inputs, item.arguments]):
                self._uses.setdefault(value, []).append(position)
        self._span[call] = (start, position)
        return position

    def _inside(self, call, position):
        start, end = self._span[call]
        return start < position <= end

    def _is_constant(self, value):
        return value.source == "constant" or value in self._baked

    def _borders(self, call, scope):
        """The values that go into a call and come out of it."""
        inputs, outputs = {}, {}

        def visit(part):
            for item in self._items[part]:
                if isinstance(item, Call):
                    visit(item)
                    continue
                for value in values_in([item.inputs, item.arguments]):
                    is_state = value.source == "state" and \
                        scope.local(value.paths) is not None
                    if not is_state and not self._inside(
                            call, self._at.get(value, -1)):
                        inputs[value] = None
                for value in values_in([item.results]):
                    if any(not self._inside(call, use)
                           for use in self._uses.get(value, [])):
                        outputs[value] = None

        visit(call)
        first = [v for v in dict.fromkeys(call.arguments) if v in inputs]
        return first + [v for v in inputs if v not in first], list(outputs)

    # --- Graphs ----------------------------------------------------------
    def _own_names(self, module, prefix):
        """Names of state, which values must not have."""
        if module is None:
            return set()
        own = {*module._parameters, *module._buffers}
        return own | {n for n, v in vars(module).items()
                      if isinstance(v, torch.Tensor)}

    def _name(self, value, scope):
        if value in scope.names:
            return scope.names[value]
        if value.source == "state" and scope.local(value.paths):
            return scope.local(value.paths)
        if self._is_constant(value) and not scope.prefix:
            return self.constants.name(value)
        raise AssertionError(f"{value.hint} has no name")

    def _encode(self, item, scope):
        if isinstance(item, (list, tuple)):
            return [self._encode(i, scope) for i in item]
        if isinstance(item, dict):
            return {k: self._encode(v, scope) for k, v in item.items()}
        if any(True for _ in values_in(item)):
            return self._name(item, scope)
        return item

    def _bind(self, results, scope, hint):
        if isinstance(results, list):
            return [self._bind(r, scope, hint) for r in results]
        if results is None:
            return None
        return scope.bind(results, hint or results.hint)

    def _emit(self, call, scope, around):
        """Writes the items of a call into a graph; `around`: the modules whose
        classes the graph is part of."""
        for item in self._items[call]:
            if isinstance(item, Call):
                if not self._emit_call(item, scope, around):
                    self._emit(item, scope, around)
            elif item.op == "pass":
                scope.names[item.results] = self._name(item.inputs[0], scope)
            else:
                self._emit_node(item, scope)

    def _emit_node(self, item, scope):
        node, hint = Placed({"name": None}, item.place), None
        if item.module:
            node["module"] = scope.local(item.module[1])
            hint = node["module"]
        else:
            node["op"] = item.op
        node["inputs"] = self._encode(item.inputs, scope)
        for key, value in item.arguments.items():
            node[key] = self._encode(value, scope)
        node["name"] = self._bind(item.results, scope, hint)
        scope.nodes.append(node)

    def _emit_call(self, call, scope, around):
        """Writes a call as a node; False if it must be written out."""
        path = scope.local(call.paths)
        if call.module in self.leaves:
            return False  # its class is torch.nn's, which this call is not
        borders = path and call.module not in around and (
            self._chain(call, around) if call.kind == "chain" else
            self._class(call, around))
        if not borders or not borders[1]:
            return False
        inputs, outputs = borders
        node = Placed({"name": None, "module": path, "inputs": [
            self._name(v, scope) for v in inputs]}, call.place)
        names = [scope.bind(v, path) for v in outputs]
        node["name"] = names[0] if len(names) == 1 else names
        scope.nodes.append(node)
        return True

    def _reaches(self, call, scope):
        """All modules that are called inside belong to this one."""
        for item in self._items[call]:
            if isinstance(item, Call):
                if not scope.local(item.paths) or \
                        not self._reaches(item, scope):
                    return False
            elif item.module and not scope.local(item.module[1]):
                return False
        return True

    def _class(self, call, around):
        """Makes the class of a call; gives what goes in and out, or None if
        the module has another class already."""
        scope = _Scope(call.path, self._own_names(call.module, call.path))
        if not self._reaches(call, scope):
            return None
        inputs, outputs = self._borders(call, scope)
        names = [scope.bind(v, call.names.get(v, v.hint)) for v in inputs]
        self._emit(call, scope, (*around, call.module))
        results, unique = {}, []
        for value in outputs:
            if results.setdefault(scope.names[value], value) is value:
                unique.append(value)
        if len(unique) < len(outputs):
            return None  # one value under two names outside
        body = {"inputs": names, "nodes": scope.nodes,
                "outputs": [scope.names[v] for v in outputs]}
        known = self.bodies.setdefault(call.path, body)
        return (inputs, outputs) if _text(known) == _text(body) else None

    def _chain(self, call, around):
        """An nn.Sequential is a node if its children are called in order."""
        scope = _Scope(call.path, ())
        children = [tuple(self.paths[id(m)])
                    for m in call.module._modules.values()]
        items = self._items[call]
        if not call.is_plain or len(items) != len(children) or not items:
            return None
        value = call.arguments[0]
        for item, paths in zip(items, children):
            if isinstance(item, Call):
                same = tuple(item.paths) == paths and item.module not in around
                borders = same and (
                    self._chain(item, around) if item.kind == "chain" else
                    self._class(item, (*around, call.module)))
                if not borders or len(borders[1]) != 1:
                    return None
                inputs, (result,) = borders
            else:
                if not item.module or tuple(item.module[1]) != paths or \
                        item.arguments or isinstance(item.results, list):
                    return None
                inputs, result = item.inputs, item.results
            if inputs != [value] or result is None:
                return None
            outside = [use for use in self._uses.get(result, [])
                       if not self._inside(call, use)]
            if outside and item is not items[-1]:
                return None
            value = result
        return call.arguments[:1], [value]


def _text(body):
    return json.dumps(body, default=repr)


def merge(ours, theirs):
    """Whether two graphs are the same but for the mode that functions are
    called with. What follows the entry's mode is marked so in `theirs`."""
    if isinstance(ours, Mode) and isinstance(theirs, Mode):
        if ours.trains and not theirs.trains:
            return False
        theirs.follows = theirs.trains and not ours.trains
        return True
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(
            merge(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(
            merge(a, b) for a, b in zip(ours, theirs))
    return type(ours) is type(theirs) and ours == theirs


def plain(value):
    """Modes as the format has them."""
    if isinstance(value, Mode):
        return "mode" if value.follows else value.trains
    if isinstance(value, dict):
        content = {k: plain(v) for k, v in value.items()}
        return Placed(content, value.place) if isinstance(value, Placed) \
            else content
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value
