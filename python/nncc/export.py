"""Live PyTorch modules to nncc-model/1.

The module runs once on example inputs while every torch function and every
module call is recorded. Sizes are plain integers then, control flow is decided,
and the tree of modules stays as it is: torch.nn classes are leaves, other
classes become classes of the file, equal ones shared.
"""
import enum
import inspect
import json
import os
import subprocess

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from .modules import (DTYPES, UnsupportedModel, as_model, attributes, class_of,
                      is_leaf, is_sequential, named_tensors,
                      parametrizations_of)
from .optimizers import describe_training
from .verify import with_gradient

# Functions that only look at a tensor; what they give is a Python value.
_QUERIES = {"size", "dim", "numel", "ndimension", "is_floating_point",
            "element_size", "__len__", "is_contiguous", "stride",
            "requires_grad_", "get_device"}
_OPERATORS = {
    "__add__": "torch.add", "__radd__": "torch.add", "__mul__": "torch.mul",
    "__rmul__": "torch.mul", "__sub__": "torch.sub",
    "__truediv__": "torch.div", "__div__": "torch.div",
    "__matmul__": "torch.matmul", "__pow__": "torch.pow",
    "__neg__": "torch.neg", "__eq__": "torch.eq", "__ne__": "torch.ne",
    "__lt__": "torch.lt", "__le__": "torch.le", "__gt__": "torch.gt",
    "__ge__": "torch.ge", "__iadd__": "torch.add", "__imul__": "torch.mul",
    "__isub__": "torch.sub", "__itruediv__": "torch.div",
    "__rsub__": "torch.sub", "__rtruediv__": "torch.div",
    "__rdiv__": "torch.div", "__rpow__": "torch.pow",
    "__rmatmul__": "torch.matmul",
}
# The receiver is the right operand.
_REVERSED = {"__rsub__", "__rtruediv__", "__rdiv__", "__rpow__", "__rmatmul__"}


_METHODS = {f"Tensor.{n}" for n in (
    "add", "sub", "mul", "div", "pow", "matmul", "neg", "eq", "ne", "lt", "le",
    "gt", "ge")}


def _function_names():
    """Function object -> name, as the model format spells it."""
    names = {}
    for prefix, space in (("Tensor", torch.Tensor), ("torch", torch),
                          ("F", F)):
        for name in dir(space):
            function = getattr(space, name, None)
            if callable(function) and not inspect.isclass(function):
                try:
                    names[function] = f"{prefix}.{name}"
                except TypeError:
                    pass  # not hashable
    for method, name in _OPERATORS.items():
        names[getattr(torch.Tensor, method, method)] = name
    return names


class _Frame:
    """One graph being recorded: the model, or one call of a class."""

    def __init__(self, module, is_silent=False):
        self.module = module
        self.is_silent = is_silent  # inside a Sequential: children only
        self.paths = {id(m): p for p, m in module.named_modules()}
        self.names = {}   # id of tensor -> value name
        self.taken = set()
        self.nodes = []
        self.versions = {}  # id of tensor -> changes in place when named
        self.keep = []    # tensors stay alive, so that ids stay unique
        for kind in (module.named_parameters, module.named_buffers):
            for path, tensor in kind(remove_duplicate=False):
                self.names.setdefault(id(tensor), path)
                self.versions[id(tensor)] = tensor._version

    def bind(self, tensor, hint):
        base = "".join(c if c.isalnum() else "_" for c in hint) or "value"
        if base[0].isdigit():
            base = "v" + base
        name, i = base, 1
        while name in self.taken or name in ("lr", "loss", "seed", "inf",
                                             "nan"):
            name, i = f"{base}_{i}", i + 1
        self.taken.add(name)
        self.names[id(tensor)] = name
        self.versions[id(tensor)] = tensor._version
        self.keep.append(tensor)
        return name

    def bind_result(self, result, hint):
        if isinstance(result, torch.Tensor):
            return self.bind(result, hint)
        if isinstance(result, (tuple, list)):
            return [self.bind_result(r, hint) for r in result]
        return None


class _Exporter(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.functions = _function_names()
        self.frames = []
        self.definitions = {}  # id of module -> class name
        self.classes = {}      # class name -> definition
        self.problems = []

    # --- Functions -------------------------------------------------------
    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        frame = self.frames[-1] if self.frames else None
        if frame is None or frame.is_silent:
            return function(*args, **kwargs)
        stale = self.stale(frame, (args, kwargs))
        result = function(*args, **kwargs)
        tensors = isinstance(result, torch.Tensor) or (
            isinstance(result, (tuple, list)) and len(result) > 0
            and all(isinstance(r, torch.Tensor) for r in result))
        short = getattr(function, "__name__", "")
        if short == "__setitem__":
            self.problem("Tensor.__setitem__ is not supported")
            frame.bind(args[0], "unknown")
        if not tensors or short in _QUERIES or short == "__get__":
            return result
        name = self.functions.get(function)
        if name is None:
            self.problem(f"function {function}")
            frame.bind_result(result, "unknown")
            return result
        self.problems += stale
        if short in _REVERSED:
            args = args[::-1]
        self.record(frame, name, args, kwargs, result)
        return result

    def stale(self, frame, values):
        """Sentences about tensors that are no longer what their names say."""
        return [f"{frame.names[id(t)]} was changed in place through another "
                "tensor that shares its memory"
                for _, t in named_tensors(values)
                if t._version != frame.versions.get(id(t), t._version)]

    def record(self, frame, name, args, kwargs, result):
        short = name.split(".")[-1]
        if short.endswith("_") and not short.endswith("__"):
            name = name[:-1]  # values never change: x.add_(y) is x + y
        # Operators reach us as methods; the format spells both torch.add.
        if name in _METHODS:
            name = "torch." + name.split(".")[1]
        node = {"name": None, "op": name}
        if name == "Tensor.__getitem__":
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            node["inputs"] = [self.encode(frame, args[0])]
            node["index"] = [self.encode_index(frame, i) for i in index]
        else:
            node["inputs"] = [self.encode(frame, a) for a in args]
        for key, value in kwargs.items():
            if key == "training" and not value:
                node[key] = "mode"  # what an eval run shows
            elif value is not None and not key.startswith("_") and \
                    key not in ("inplace", "out", "device"):
                node[key] = self.encode(frame, value)
        # A tensor that comes back as it is stays what it was.
        node["name"] = frame.bind_result(result, short.strip("_"))
        frame.nodes.append(node)

    def encode(self, frame, value):
        if isinstance(value, torch.Tensor):
            name = frame.names.get(id(value))
            if name is None:
                self.problem(
                    f"a tensor {list(value.shape)} that is neither input nor "
                    "state nor the result of a recorded call: register a "
                    "constant as a buffer")
                return "unknown"
            return name
        if isinstance(value, torch.dtype):
            return DTYPES[value]
        if isinstance(value, (tuple, list)):
            return [self.encode(frame, v) for v in value]
        if isinstance(value, bool) or value is None or isinstance(value, str):
            return value
        if isinstance(value, enum.Enum):
            return value.name
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            if value != value:
                return "nan"
            if value in (float("inf"), float("-inf")):
                return "inf" if value > 0 else "-inf"
            return value
        self.problem(f"an argument of type {type(value).__name__}")
        return None

    def encode_index(self, frame, index):
        if isinstance(index, slice):
            parts = ["" if p is None else str(int(p))
                     for p in (index.start, index.stop)]
            step = "" if index.step is None else f":{int(index.step)}"
            return ":".join(parts) + step
        if index is Ellipsis:
            return "..."
        if isinstance(index, torch.Tensor):
            return {"value": self.encode(frame, index)}
        return index

    # --- Modules ---------------------------------------------------------
    def call(self, original, module, args, kwargs):
        frame = self.frames[-1]
        if is_leaf(frame.module) and frame.is_silent:
            return original(module, *args, **kwargs)  # its own affair
        if not frame.is_silent:
            self.problems += self.stale(frame, (args, kwargs))
        if is_leaf(module):
            self.frames.append(_Frame(module, is_silent=True))
            try:
                result = original(module, *args, **kwargs)
            finally:
                self.frames.pop()
        elif is_sequential(module):
            inner = _Frame(module, is_silent=True)
            self.frames.append(inner)
            try:
                result = original(module, *args, **kwargs)
            finally:
                self.frames.pop()
        else:
            return self.call_class(original, module, args, kwargs)
        if frame.is_silent:
            return result
        path = self.path_of(frame, module)
        node = {"name": None, "module": path,
                "inputs": [self.encode(frame, a) for a in args]}
        for key, value in kwargs.items():
            node[key] = self.encode(frame, value)
        node["name"] = frame.bind_result(result, path.replace(".", "_"))
        frame.nodes.append(node)
        return result

    def path_of(self, frame, module):
        path = frame.paths.get(id(module))
        if path is None:
            self.problem(f"{type(module).__name__}: not part of the model")
        return path or "unknown"

    def call_class(self, original, module, args, kwargs):
        """A module of the user's own: a class whose inputs and outputs are the
        tensors of the call; its other arguments are part of the class."""
        frame, inner = self.frames[-1], _Frame(module)
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
        inputs = list(named_tensors(bound.arguments))
        names = [inner.bind(tensor, name) for name, tensor in inputs]
        self.frames.append(inner)
        try:
            result = original(module, *args, **kwargs)
        finally:
            self.frames.pop()
        outputs = [tensor for _, tensor in named_tensors(result)]
        self.problems += self.stale(inner, outputs)
        body = {"inputs": names}
        body.update(self.describe_tree(module))
        body["nodes"] = inner.nodes
        body["outputs"] = [self.encode(inner, o) for o in outputs]
        self.define(module, body)
        if frame.is_silent or not outputs:
            return result
        path = self.path_of(frame, module)
        node = {"name": None, "module": path,
                "inputs": [self.encode(frame, t) for _, t in inputs]}
        results = [frame.bind(o, path.replace(".", "_")) for o in outputs]
        node["name"] = results[0] if len(results) == 1 else results
        frame.nodes.append(node)
        return result

    def define(self, module, body):
        text = json.dumps(body)
        base = type(module).__name__
        name, i = base, 2
        while name in self.classes:
            if json.dumps(self.classes[name]) == text:
                break
            name, i = f"{base}_{i}", i + 1
        self.classes[name] = body
        self.definitions[id(module)] = name

    def describe_tree(self, module):
        """The modules, parameters and buffers of a graph."""
        tree = {}
        children = self.describe_children(module)
        if children:
            tree["modules"] = children
        for key, tensors in (("parameters", module._parameters),
                             ("buffers", module._buffers)):
            own = {name: {"shape": list(t.shape), "dtype": DTYPES[t.dtype]}
                   for name, t in tensors.items() if t is not None}
            if own:
                tree[key] = own
        return tree

    def describe_children(self, module):
        return {name: described for name, child in module.named_children()
                if (described := self.describe(child)) is not None}

    def describe(self, module):
        if isinstance(module, (nn.ModuleList, nn.ModuleDict)) or \
                is_sequential(module):
            kind = ("Sequential" if isinstance(module, nn.Sequential) else
                    "ModuleList" if isinstance(module, nn.ModuleList) else
                    "ModuleDict")
            children = self.describe_children(module)
            if list(children) == [str(i) for i in range(len(children))]:
                children = list(children.values())
            return {"type": f"nn.{kind}", "modules": children}
        if is_leaf(module):
            described = {"type": f"nn.{class_of(module).__name__}",
                         **attributes(module)}
            hidden = parametrizations_of(module)
            if hidden:
                described["parametrizations"] = hidden
            return described
        name = self.definitions.get(id(module))
        return None if name is None else {"type": name}

    def problem(self, text):
        path = ""
        for frame in self.frames[1:]:
            path = f" in {type(frame.module).__name__}"
        self.problems.append(text + path)


def _record(exporter, frame, function, args):
    """Runs a function with everything in it recorded into the frame."""
    original = nn.Module.__call__

    def call(self, *args, **kwargs):
        if exporter.frames:
            return exporter.call(original, self, args, kwargs)
        return original(self, *args, **kwargs)

    nn.Module.__call__ = call
    exporter.frames.append(frame)
    try:
        with torch.no_grad(), exporter:
            return function(*args)
    finally:
        nn.Module.__call__ = original
        exporter.frames.pop()


def _trace(module, inputs):
    exporter = _Exporter()
    root = _Frame(module)
    arguments = inspect.signature(module.forward).bind(*inputs).arguments
    model_inputs = {}
    for name, tensor in named_tensors(arguments):
        bound = root.bind(tensor, name)
        model_inputs[bound] = {"shape": list(tensor.shape),
                               "dtype": DTYPES[tensor.dtype]}
    result = _record(exporter, root, module.forward, inputs)
    return exporter, root, model_inputs, result


def _trace_loss(exporter, root, loss, outputs, targets):
    """The training section of a loss: loss(*outputs, *targets)."""
    function = loss.forward if isinstance(loss, nn.Module) else loss
    names = list(inspect.signature(function).parameters)[len(outputs):]
    inputs = {}
    for i, target in enumerate(targets):
        name = root.bind(target, names[i] if i < len(names) else "target")
        inputs[name] = {"shape": list(target.shape),
                        "dtype": DTYPES[target.dtype]}
    forward, root.nodes = root.nodes, []
    value = _record(exporter, root, function, (*outputs, *targets))
    nodes, root.nodes = root.nodes, forward
    exporter.frames.append(root)
    section = {"inputs": inputs, "nodes": nodes,
               "loss": exporter.encode(root, value)}
    exporter.frames.pop()
    return section


def _ties(module):
    """State names that share one tensor: name -> first name."""
    first, ties = {}, {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        source = first.setdefault(id(tensor), name)
        if source != name:
            ties[name] = source
    return ties


def export(module, example_inputs, directory, loss=None, targets=(),
           optimizer=None):
    """Writes directory/model.json and directory/weights.safetensors.

    With `loss`, called as loss(*outputs, *targets), and `optimizer`, a
    torch.optim object on the module's parameters, the training section too.

    `module` is run once in eval mode on `example_inputs`, a tensor or a tuple of
    arguments; tensors in tuples, lists and dicts become inputs and outputs of
    their own. A torch.nn class of its own is called "module" in the file. Raises
    UnsupportedModel with all problems found.
    """
    name = type(module).__name__.lower()
    module = as_model(module)
    was_training = module.training
    module.eval()
    if isinstance(example_inputs, torch.Tensor):
        example_inputs = (example_inputs,)
    try:
        exporter, root, inputs, result = _trace(module, tuple(example_inputs))
    finally:
        module.train(was_training)
    results = (result if isinstance(result, (tuple, list)) else
               result.values() if isinstance(result, dict) else [result])
    outputs = tuple(results)
    exporter.problems += exporter.stale(root, outputs)
    training = (_trace_loss(exporter, root, loss, outputs, targets)
                if loss else {})
    settings, optimizer_state = describe_training(
        module, optimizer if loss else None, lambda: with_gradient(
            module, tuple(example_inputs), {}, loss, targets))
    training.update(settings)
    exporter.frames.append(root)
    body = exporter.describe_tree(module)
    names = [exporter.encode(root, o) for _, o in named_tensors(outputs)]
    if isinstance(result, dict) and len(names) == len(result):
        names = dict(zip(result, names))
    exporter.frames.pop()
    exporter.problems += _unsupported(exporter, root, body)
    if exporter.problems:
        raise UnsupportedModel("\n".join(dict.fromkeys(exporter.problems)))
    model = {"format": "nncc-model/1",
             "name": name, "inputs": inputs}
    if exporter.classes:
        model["classes"] = exporter.classes
    model.update(body)
    ties = _ties(module)
    if ties:
        model["tie"] = ties
    model["nodes"] = root.nodes
    model["outputs"] = names
    if training:
        model["training"] = training
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "model.json"), "w") as file:
        file.write(_pretty(model))
    from safetensors.torch import save_file
    state = {name: tensor.detach().contiguous()
             for name, tensor in module.state_dict(keep_vars=True).items()
             if name not in ties}
    for path, part in module.named_modules():
        for name in set() if is_leaf(part) else \
                sorted(part._non_persistent_buffers_set):
            state[f"{path}.{name}".lstrip(".")] = part._buffers[name]
    state.update(optimizer_state)
    save_file(state, os.path.join(directory, "weights.safetensors"))


def _supported():
    """Module types and functions that the compiler knows."""
    from .runner import find_nncc
    schema = json.loads(subprocess.run([find_nncc(), "schema"], check=True,
                                       capture_output=True, text=True).stdout)
    names = set(schema["$defs"]["node"]["properties"]["op"]["enum"])
    for module in schema["$defs"]["module"]["anyOf"]:
        names.update(module["properties"]["type"].get("enum", []))
    return names


def _unsupported(exporter, root, body):
    """A sentence for every module and function that the compiler lacks."""
    known, problems = _supported(), []

    def modules(tree, prefix):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for name, module in items:
            path = f"{prefix}{name}"
            if module["type"].startswith("nn.") and \
                    module["type"] not in known:
                problems.append(f"{path}: {module['type']} is not supported")
            modules(module.get("modules", {}), path + ".")

    graphs = {"": {**body, "nodes": root.nodes}}
    graphs.update({f"class {k}: ": v for k, v in exporter.classes.items()})
    for where, graph in graphs.items():
        modules(graph.get("modules", {}), where)
        for node in graph["nodes"]:
            if "op" in node and node["op"] not in known:
                problems.append(f"{where}{node['op']} is not supported")
    return problems


def _pretty(value, indent=0):
    """JSON with one line per node or module, as a person would write it."""
    flat = json.dumps(value)
    if len(flat) + indent <= 100 or not isinstance(value, (dict, list)):
        return flat
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{json.dumps(k)}: {_pretty(v, indent + 1)}"
                 for k, v in value.items()]
        return "{\n" + ",\n".join(pad + i for i in items) + "}"
    return "[\n" + ",\n".join(pad + _pretty(v, indent + 1)
                              for v in value) + "]"
