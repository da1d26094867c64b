"""Runs a module on example inputs and records every function of torch.

Sizes are plain integers then and control flow is decided. What Python reads
out of a tensor that depends on inputs, state or random numbers would be frozen
in the model, so it is refused, with the line that reads it. Modules are
recorded by calls.py; what gives each function its spelling is spell.py.
"""
import contextlib
import enum
import os
import sys

import numpy
import torch
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from .graph import Node, Place, Problem, common, values_in, version_of
from .modules import DTYPES, named_tensors
from .names import QUERIES
from .patched import calls_patched, is_of_torch
from .spell import spell
from .values import Values

_SKIPPED = (os.path.dirname(torch.__file__), os.path.dirname(__file__))
_HELPERS = os.path.join(_SKIPPED[0], "nn", "utils", "")
# Properties of a tensor that are tensors made of its elements.
_TENSORS = {"T", "mT", "H", "mH", "data", "real", "imag"}
# Conditions of again.py replace the name.
_in_inference_mode = torch.is_inference_mode_enabled
_HOOK = ("{} changes a gradient, which a compiled step does not: leave it out, "
         "or scale what is added to the loss")
_READS = {
    "__bool__": "bool() (an if, while, and, or, not or assert)",
    "is_nonzero": "bool()", "item": ".item()", "__float__": "float()",
    "__int__": "int()", "__index__": "an index or range()",
    "__repr__": "str() or print()", "__format__": "str.format() or an f-string",
    "tolist": ".tolist()", "numpy": ".numpy()", "__array__": "numpy",
    "__contains__": "in", "equal": "torch.equal", "allclose":
    "torch.allclose", "__complex__": "complex()"}


class GradientNode:
    """What forward gets for x.grad_fn: it may look at it; hooks are said."""

    def __init__(self, node, problem):
        vars(self).update(_node=node, _problem=problem)

    def _wrap(self, value):
        if isinstance(value, torch.autograd.graph.Node):
            return GradientNode(value, self._problem)
        return tuple(map(self._wrap, value)) if isinstance(value, tuple) \
            else value

    def __getattr__(self, name):
        if "hook" in name:
            self._problem(_HOOK.format(name), True)
        return self._wrap(getattr(self._node, name))

    def __setattr__(self, name, value):
        setattr(self._node, name, value)

    def __eq__(self, other):
        return self._node == getattr(other, "_node", other)

    def __hash__(self):
        return hash(self._node)

    @property
    def __class__(self):
        return type(self._node)


class Tracer(TorchFunctionMode):
    """One run of the module. `trains` says in which mode; `allow_branches`
    that values may be read and frozen."""

    def __init__(self, model, exporter, trains):
        """`exporter` has `leaves`: modules -> their description; `described`:
        modules -> the attributes that they had then; `originals`: torch's
        functions then; `unfit`: modules -> what the compiler lacks of them;
        `modes`: id of a module -> whether it trains in entries that do not,
        and in those that do."""
        super().__init__()
        self.names, self.modes = exporter.names, exporter.modes
        self.leaves, self.unfit = exporter.leaves, exporter.unfit
        self.described, self.originals = exporter.described, exporter.originals
        self.trains, self.allow_branches = trains, exporter.allow_branches
        self.values = Values(model, self.leaves)
        self.paths = {}  # id of module -> its names
        self.covered = set()  # those of parts of leaves
        named = dict(model.named_modules(remove_duplicate=False))
        for path, module in named.items():
            self.paths.setdefault(id(module), []).append(path)
            above = path.rpartition(".")[0]
            if path and (above in self.covered or named[above] in self.leaves):
                self.covered.add(path)
        self.calls = []
        self.inside = []  # paths of the modules that are running
        self.silent = 0
        self.problems = []
        self.runs_again = False  # backward calls what is running again
        self.reached = {}  # functions -> what they may call
        self.evaluated = {}  # id of a statistic -> that eval mode has read it
        self.drawn = []  # state of a generator, what draws from it, where
        self.watch = lambda: None  # is called before each function

    # --- What to say -----------------------------------------------------
    def place(self):
        """Innermost module, and line of code outside of torch."""
        frame = sys._getframe(1)
        line = helper = None
        while frame is not None:
            name = frame.f_code.co_filename
            if frame.f_code.co_name == "run_traced":
                break
            if name.startswith(_HELPERS):
                helper = helper or os.path.basename(name)[:-3]
            if not name.startswith(_SKIPPED):
                line = f"{os.path.basename(name)}:{frame.f_lineno}"
                break
            frame = frame.f_back
        return Place(self.inside[-1] if self.inside else "", line, helper)

    def place_of(self, traceback):
        """The last line outside of torch that an error came through."""
        line = None
        while traceback is not None:
            name = traceback.tb_frame.f_code.co_filename
            if not name.startswith(_SKIPPED):
                line = f"{os.path.basename(name)}:{traceback.tb_lineno}"
            traceback = traceback.tb_next
        return Place("", line)

    def problem(self, text, gradient=False, place=None):
        self.problems.append(Problem(text, place or self.place(), gradient))

    @contextlib.contextmanager
    def quiet(self, depth=1):
        """Nothing is recorded at a depth above 0."""
        before, self.silent = self.silent, depth
        try:
            yield
        finally:
            self.silent = before

    # --- Functions -------------------------------------------------------
    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.silent or not self.calls:
            return function(*args, **kwargs)
        name = getattr(function, "__name__", "")
        if name in ("__get__", "__set__"):
            return self.attribute(function, name, args)
        if name == "requires_grad_":
            return self.requires(function, args, kwargs)
        if name in QUERIES:
            claimed = name == "is_inference" and \
                torch.is_inference_mode_enabled()
            return claimed or function(*args, **kwargs)
        self.watch()
        self.check(types)
        if calls_patched(function, self.reached if self.originals.are_there()
                         else {}):
            self.problem(f"{self.names.of(function)} calls a function of torch "
                         "that was replaced: undo that, or call the "
                         "replacement itself")
        if name == "grad" or name == "backward":
            self.problem(f"a gradient inside of the model or the loss "
                         f"({self.names.of(function)}): compiled entries "
                         "have no second derivatives")
            with self.quiet():
                result = function(*args, **kwargs)
                for _, tensor in named_tensors(result):
                    self.values.bind(tensor, "grad", "input", True, True)
            return result
        problems, self.problems = self.problems, []
        inputs = [self.encode(a, strict=False) for a in args]
        named = {k: self.encode(v, strict=False) for k, v in kwargs.items()}
        tensors = {id(t): (t, version_of(t)) for _, t in
                   named_tensors((args, kwargs))}
        changes = name.endswith("_") or name.startswith("__i") or \
            name == "__setitem__"
        if changes and args and isinstance(args[0], torch.Tensor):
            self.values.freeze(args[0])
        result, is_random = self.run_drawing(
            function, lambda: self.execute(function, name, args, kwargs),
            kwargs.get("generator"))
        self.problems, found = problems, self.problems
        written = [t for t, version in tensors.values()
                   if version_of(t) != version]
        if name == "__setitem__":
            result, written = args[0], []
        if not any(True for _ in named_tensors(result)):
            self.read(function, name, (inputs, named), result, args)
            return result
        self.problems += found
        return spell(self, function, name, (args, inputs),
                     (kwargs, named), result, written, is_random)

    def run_drawing(self, what, function, generator=None):
        """The result of a function, and whether it drew random numbers; notes
        from which state."""
        generator = generator or torch.default_generator
        state = generator.get_state()
        result = function()
        is_random = not torch.equal(state, generator.get_state())
        if is_random:
            what = what if isinstance(what, str) else self.names.of(what)
            self.drawn.append((state.numpy().tobytes(), what, self.place()))
        return result, is_random

    def execute(self, function, name, args, kwargs):
        """numpy() of a tensor with a gradient is an error of its own; that the
        value is read is what matters."""
        if name in _READS:
            args = [a.detach() if isinstance(a, torch.Tensor) else a
                    for a in args]
        return function(*args, **kwargs)

    def read(self, function, name, values, result, args):
        """A function that gives no tensor: the value of one is read, or
        something is done that no graph has."""
        if isinstance(result, (torch.dtype, torch.device, torch.Size,
                               torch.layout)):
            return
        if "hook" in name:
            self.problem(_HOOK.format(name), True)
            return
        varying = [v for v in values_in(values) if v.varies]
        if not varying or self.allow_branches:
            return
        what = _READS.get(name, self.names.of(function))
        self.problem(
            f"the value of {varying[0].hint} is read by {what} and would be "
            "frozen in the model: compute with tensors, such as torch.where "
            "for a branch, or export with allow_branches=True")

    def requires(self, function, args, kwargs=None):
        """requires_grad is set: not of state, whose training it decides."""
        tensor = args[0]
        before, value = tensor.requires_grad, self.values.known(tensor)
        result = function(*args, **(kwargs or {}))
        if value is not None and value.source == "state" and \
                tensor.requires_grad != before:
            self.problem(f"requires_grad of {value.hint} is changed by "
                         "forward: set it before", gradient=True)
        return result

    def note_in_place(self, value, function):
        """Of a change in place under torch.no_grad, of which no gradient
        knows."""
        if value.flows and not torch.is_grad_enabled():
            self.problem(f"{function} changes {value.hint} in place under "
                         "torch.no_grad, and PyTorch takes its gradient as if "
                         "it had not: use its result, or a clone",
                         gradient=True)

    def note_statistics(self, tensors, are_updated):
        """Of a batch norm, whose changes torch does not count. The gradient of
        one in eval mode takes them as they are when backward runs."""
        tensors = [t for t in tensors if t is not None]
        for tensor in tensors if are_updated else ():
            self.note_updated(tensor)
        for tensor in tensors:
            if not are_updated:
                self.evaluated[id(tensor)] = torch.is_grad_enabled()
            elif self.evaluated.get(id(tensor)) and self.trains:
                self.problem(
                    "a batch norm is called in eval mode, then in train mode, "
                    "and PyTorch's gradient of the first call takes the "
                    "statistics of the second: use a module for each",
                    gradient=True)
                return

    def note_updated(self, tensor):
        """The node that was recorded last changes this tensor itself."""
        node = self.calls[-1].items[-1]
        value = self.values.known(tensor)
        self.values.written(tensor, True, node.place)
        if value.source != "state":
            value.is_updated = True  # the compiler updates buffers alone
            return
        if isinstance(tensor, torch.nn.Parameter) or \
                value.hint in self.values.attributes:
            self.problem(f"a batch norm updates {value.hint}, which is no "
                         "buffer of the model: register it as one")
            return
        node.has_effect = True
        # torch.utils.checkpoint sets hooks on what backward needs.
        hooks = torch._C._autograd._top_saved_tensors_default_hooks(False)
        if self.trains and (hooks or self.runs_again):
            self.problem(f"{value.hint} is changed in a checkpoint, which "
                         "PyTorch runs, and changes it, twice: leave the "
                         "module out of the checkpoint", gradient=True)
        if not self.trains:
            self.problem(f"{value.hint} is changed by forward: put the "
                         "module into eval mode, since entries that do not "
                         "train keep their state")

    def attribute(self, function, kind, args):
        """x.T, x.data and the like; most properties only look."""
        name = getattr(getattr(function, "__self__", None), "__name__", "")
        if kind == "__set__":
            if name == "requires_grad":
                return self.requires(function, args)
            self.problem(f"{name} of a tensor is assigned: assign the "
                         "attribute of the module, or use copy_",
                         gradient=name in ("grad", "_grad"))
            return function(*args)
        result = function(*args)
        if isinstance(result, torch.autograd.graph.Node):
            return GradientNode(result, self.problem)
        if not isinstance(result, torch.Tensor) and \
                name not in ("grad", "_grad"):
            return result  # again.py finds what depends on conditions
        self.check(())
        if name not in _TENSORS:
            self.problem(f"{name} of a tensor is read: it is no value of the "
                         "model")
            return result
        value = self.encode(args[0])
        if result is args[0]:
            return result
        if args[0].is_complex() or name == "imag":
            self.add(f"Tensor.{name}", [value], {}, result, name)
            return result
        order = {"T": list(range(result.dim()))[::-1], "H": [1, 0]}.get(name)
        if order is not None:
            op, inputs = "Tensor.permute", [value, order]
        elif name in ("mT", "mH"):
            op, inputs = "Tensor.transpose", [value, -2, -1]
        else:
            op, inputs = "Tensor.detach", [value]
        self.add(op, inputs, {}, result,
                 value.hint if name == "data" else name)
        return result

    def check(self, types):
        """Contexts and classes of tensors that change what functions do."""
        for kind in types:
            if kind not in (torch.Tensor, torch.nn.Parameter,
                            torch.nn.Buffer):
                self.problem(f"a tensor of the class {kind.__name__}, whose "
                             "functions may do other things: give plain "
                             "tensors")
        if torch.is_autocast_enabled("cpu"):
            self.problem("torch.autocast chooses other element types: convert "
                         "with Tensor.to, or disable it")
        if _in_inference_mode():
            self.problem("torch.inference_mode inside of the model: use "
                         "torch.no_grad")
        if parametrize._cache_enabled:
            self.problem("torch.nn.utils.parametrize.cached computes weights "
                         "once for several calls: leave it out")
        hooks = torch._C._autograd._top_saved_tensors_default_hooks(False)
        if hooks and not is_of_torch(hooks[0]):
            self.problem("torch.autograd.graph.saved_tensors_hooks may change "
                         "what backward reads, which a compiled step does not: "
                         "leave it out", gradient=True)
        if torch._C._functorch.maybe_current_level() is not None:
            self.problem("torch.vmap and torch.func transform the functions "
                         "inside: write the loop or the batch out")

    # --- Recording -------------------------------------------------------
    def add(self, op, inputs, arguments, result, hint, varies=False,
            flows=True, same=False):
        """Records a node whose results are these tensors. Results under
        torch.no_grad pass no gradient on, unless they are the `same` tensors
        that were given."""
        read = list(values_in([inputs, arguments]))
        buffers = None if varies else common(read)
        varies = varies or any(v.varies for v in read)
        flows = flows and any(v.flows for v in read) and op != "Tensor.detach"
        node = Node(inputs, None, self.place(), op=op, arguments=arguments)
        self.calls[-1].items.append(node)
        same = [result] if same else []
        node.results = self.bind(result, hint, node, varies, flows, buffers,
                                 same)
        return node

    def bind(self, result, hint, node, varies, flows, buffers, same=()):
        if isinstance(result, torch.Tensor):
            flows = flows and result.is_floating_point()
            value = self.values.bind(result, hint, node, varies, flows, buffers)
            if flows and not torch.is_grad_enabled() and \
                    not any(result is t for t in same):
                stop = Node([value], None, node.place, op="Tensor.detach")
                self.calls[-1].items.append(stop)
                stop.results = self.values.bind(result, hint, stop, varies,
                                                False, buffers)
            return value
        if isinstance(result, (tuple, list)):
            return [self.bind(r, hint, node, varies, flows, buffers, same)
                    for r in result]
        return None

    def encode(self, value, strict=True):
        """An argument with values in the place of tensors; what the format has
        no word for stays as it is unless `strict`."""
        if isinstance(value, torch.Tensor):
            return self.values.find(value, self.problem)
        if isinstance(value, (tuple, list)):
            return [self.encode(v, strict) for v in value]
        if isinstance(value, dict) and not strict:
            return {k: self.encode(v, strict) for k, v in value.items()}
        if isinstance(value, bool) or value is None or isinstance(value, str):
            return value
        if isinstance(value, enum.Enum):
            return value.name
        if isinstance(value, numpy.generic):
            return self.encode(value.item(), strict)
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            if value != value:
                return "nan"
            if value in (float("inf"), float("-inf")):
                return "inf" if value > 0 else "-inf"
            return float(value)
        if strict:
            if isinstance(value, torch.dtype) and value in DTYPES:
                return DTYPES[value]
            self.problem(f"an argument of type {type(value).__name__}: give "
                         "numbers, words or tensors")
            return None
        return value

    # --- Runs ------------------------------------------------------------
    def run_traced(self, call, function, args, kwargs):
        """Runs a function with all in it recorded into `call`."""
        from .calls import recording
        self.calls.append(call)
        try:
            with recording(self), self:
                return function(*args, **kwargs)
        finally:
            self.calls.pop()
