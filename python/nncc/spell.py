"""From a call of a torch function to a node of the format.

Most calls are written as they are. What is special: changes in place (a new
value of the same tensor), functions whose result does not depend on elements
(zeros_like), conversions, and second spellings.
"""
import inspect

import torch
from torch.overrides import get_testing_overrides

from .graph import Mode, values_in
from .names import CONVERSIONS, FILLS, HARMLESS, REVERSED, dtype_name
from .values import storage_of

_MAKERS = {"tensor", "as_tensor", "asarray", "from_numpy", "scalar_tensor",
           "new_tensor", "frombuffer"}
# They take the shape of another tensor.
_SHAPED = {"expand_as": "Tensor.expand", "view_as": "Tensor.view",
           "reshape_as": "Tensor.reshape"}
# In place their result has the receiver's element type, else it is bool.
_COMPARISONS = {"eq", "ne", "lt", "le", "gt", "ge"}


class Spelling:
    """One call of a function that gave tensors."""

    def __init__(self, tracer, function, name, args, kwargs, result, written,
                 is_random):
        self.tracer, self.function, self.name = tracer, function, name
        self.raw, self.inputs = args
        self.raw_named, self.named = (dict(one) for one in kwargs)
        if not self.raw and "input" in self.raw_named:
            self.raw = (self.raw_named.pop("input"),)
            self.inputs = [self.named.pop("input")]
        self.result, self.written = result, written
        self.is_random = is_random
        self.is_same = False  # the result is an argument, unchanged
        self.op = tracer.names.of(function)
        self.hint = name.strip("_") or "value"
        first = self.raw[0] if self.raw else None
        self.receiver = first if isinstance(first, torch.Tensor) else None

    def argument(self, position, *names):
        """As it was given, and as a value."""
        if len(self.raw) > position:
            return self.raw[position], self.inputs[position]
        name = next((n for n in names if n in self.raw_named), None)
        return self.raw_named.get(name), self.named.get(name)

    def in_place(self):
        """The result is the receiver, changed."""
        return self.result is self.receiver and self.receiver is not None \
            and (self.name == "__setitem__" or
                 (self.name.endswith("_") and not self.name.endswith("__"))
                 or any(t is self.receiver for t in self.written))

    def add(self, op, inputs, arguments=None, flows=True):
        """Records the node; of a change in place, also what it does to other
        tensors on the same memory."""
        tracer = self.tracer
        in_place = self.in_place()
        if in_place and self.name != "detach_":
            tracer.note_in_place(self.inputs[0], self.op)
        node = tracer.add(op, inputs, arguments or {}, self.result, self.hint,
                          self.is_random, flows, self.is_same)
        node.is_random = self.is_random
        if in_place:
            varies = any(v.varies for v in values_in([node.results]))
            tracer.values.written(self.receiver, varies, node.place)
        return self.result

    def fill(self, value):
        """A tensor of one number."""
        shape = list(self.result.shape)
        dtype = dtype_name(self.result.dtype)
        if isinstance(value, (int, float)) and value in (0, 1) and \
                self.result.is_floating_point():
            op = "torch.ones" if value else "torch.zeros"
            return self.add(op, [shape], {"dtype": dtype})
        if any(True for _ in values_in(value)):
            return self.add("Tensor.expand", [value, shape])
        return self.add("torch.full", [shape, value], {"dtype": dtype})

    def write(self):
        tracer, name = self.tracer, self.name
        if self.raw_named.get("out") is not None:
            tracer.problem(f"{self.op} with out=: use its result")
        same = not self.in_place() and any(
            self.result is t for t in (*self.raw, *self.raw_named.values()))
        # Views of the receiver are told of where they are read again.
        others = [t for t in self.written if t is not self.result and not (
            self.in_place() and storage_of(t) == storage_of(self.receiver))]
        if others:
            tracer.problem(f"{self.op} changes its argument "
                           f"{tracer.values.known(others[0]).hint} in place")
        if same and not self.has_mode():
            return self.result  # x.to(x.dtype), x.contiguous()
        if same:  # F.dropout in eval mode
            value = next(iter(values_in(self.inputs)))
            self.result, _ = tracer.values.alias(self.result, value, None)
            self.is_same = True
        special = self.special(name.strip("_") if self.in_place() else name)
        if special is not NotImplemented:
            return special
        inputs, arguments = self.arguments()
        if name in REVERSED:
            inputs = inputs[::-1]
        op, twin = self.op, f"Tensor.{self.short()}_"
        if self.in_place() and self.keeps_type() and twin in tracer.names.ops:
            op = twin
        result = self.add(op, inputs, arguments)
        if self.op == "F.batch_norm":
            tracer.note_statistics((self.argument(1, "running_mean")[0],
                                    self.argument(2, "running_var")[0]),
                                   bool(self.argument(5, "training")[0]))
        return result

    def special(self, name):
        """Spellings of their own, or NotImplemented."""
        tracer, receiver = self.tracer, self.receiver
        if name in FILLS:
            value = FILLS[name]
            if value == "like":
                place = 2 if name == "new_full" else 1
                value = self.argument(place, "fill_value")[1]
            return self.fill(value)
        if self.in_place() and name == "zero":
            return self.fill(0)
        if self.in_place() and name == "fill":
            return self.fill(self.argument(1, "value")[1])
        if self.in_place() and name == "copy":
            return self.copy()
        if self.in_place() and name == "bernoulli":
            return self.bernoulli()
        if name in _MAKERS:
            return self.make()
        if name == "_weight_norm":
            return self.weight_norm()
        if name in ("__rtruediv__", "__rdiv__"):
            return self.divide()
        if name in ("detach", "alias"):
            return self.add("Tensor.detach" if name == "detach" else
                            "Tensor.clone", self.inputs[:1])
        if name in CONVERSIONS and receiver is not None:
            if self.result.dtype == receiver.dtype:
                return self.add("Tensor.clone", self.inputs[:1])
            return self.add("Tensor.to", self.inputs[:1],
                            {"dtype": dtype_name(self.result.dtype)})
        if self.op in ("torch.div", "Tensor.div") and \
                self.named.get("rounding_mode") == "floor":
            return self.add("torch.floor_divide", self.inputs)
        if name in _SHAPED:
            return self.add(_SHAPED[name], [self.inputs[0],
                                            list(self.result.shape)])
        if name == "t":
            if receiver.dim() < 2:
                return self.add("Tensor.clone", self.inputs[:1])
            return self.add("Tensor.transpose", [self.inputs[0], 0, 1])
        if name == "__getitem__":
            return self.add("Tensor.__getitem__", self.inputs[:1],
                            {"index": self.index(self.raw[1])})
        if name == "setitem":
            return self.add("Tensor.__setitem__",
                            [self.inputs[0], tracer.encode(self.raw[2])],
                            {"index": self.index(self.raw[1])})
        return NotImplemented

    def copy(self):
        """x.copy_(y): y in the shape and type of x."""
        source, value = self.argument(1, "src", "other")
        if not isinstance(source, torch.Tensor):
            return self.fill(value)
        ops = []
        if source.dtype != self.receiver.dtype:
            ops.append(("Tensor.to", [], {"dtype": dtype_name(
                self.receiver.dtype)}))
        if source.shape != self.receiver.shape:
            ops.append(("Tensor.expand", [list(self.receiver.shape)], {}))
        for op, rest, arguments in ops[:-1]:
            other = source.to(self.receiver.dtype)
            value = self.tracer.add(op, [value, *rest], arguments, other,
                                    "to").results
        op, rest, arguments = ops[-1] if ops else ("Tensor.clone", [], {})
        return self.add(op, [value, *rest], arguments)

    def bernoulli(self):
        """x.bernoulli_(p), as drop path draws it: 1 where dropout keeps a
        one."""
        p = self.argument(1, "p")[0]
        p = 0.5 if p is None else p
        if isinstance(p, torch.Tensor) or \
                not self.result.is_floating_point():
            return NotImplemented
        tracer, shape = self.tracer, list(self.result.shape)
        hint = self.hint

        def step(op, inputs, arguments, tensor):
            return tracer.add(op, inputs, arguments, tensor, hint, True,
                              False).results

        dtype = dtype_name(self.result.dtype)
        ones = tracer.add("torch.ones", [shape], {"dtype": dtype},
                          self.result.new_ones(shape), "ones").results
        drawn = step("F.dropout", [ones],
                     {"p": 1 - float(p), "training": True},
                     self.result.clone())
        kept = step("torch.ne", [drawn, 0], {}, self.result != 0)
        return self.add("Tensor.to", [kept], {"dtype": dtype}, False)

    def weight_norm(self):
        """g v / |v|, the norm over all dimensions but one, or over all (-1):
        what torch.nn.utils.weight_norm calls. Of halves in f32."""
        v, g = self.raw[:2]
        dim = self.argument(2, "dim")[0]
        dim = 0 if dim is None else dim
        dims = [d for d in range(v.dim()) if d != dim]

        def step(op, inputs, arguments, tensor):
            return self.tracer.add(op, inputs, arguments, tensor,
                                   self.hint).results

        direction, length = self.inputs[:2]
        is_half = v.dtype in (torch.float16, torch.bfloat16)
        if is_half:
            v, g = v.float(), g.float()
            direction = step("Tensor.to", [direction], {"dtype": "f32"}, v)
            length = step("Tensor.to", [length], {"dtype": "f32"}, g)
        norm = v * v
        value = step("torch.mul", [direction] * 2, {}, norm)
        if dims:
            norm = norm.sum(dims, keepdim=dim != -1)
            value = step("Tensor.sum", [value], {
                "dim": dims, "keepdim": dim != -1}, norm)
        norm = norm.sqrt()
        value = step("torch.sqrt", [value], {}, norm)
        value = step("torch.div", [length, value], {}, g / norm)
        if not is_half:
            return self.add("torch.mul", [direction, value])
        value = step("torch.mul", [direction, value], {}, v * (g / norm))
        return self.add("Tensor.to", [value],
                        {"dtype": dtype_name(self.result.dtype)})

    def divide(self):
        """3 / x, which PyTorch computes as x.reciprocal() * 3: infinite where
        1 / x is."""
        inverse = self.raw[0].reciprocal()
        value = self.tracer.add("torch.div", [1, self.inputs[0]], {},
                                inverse, "reciprocal").results
        return self.add("torch.mul", [value, self.inputs[1]])

    def make(self):
        """torch.tensor of numbers is a constant; of a tensor, a copy without a
        gradient; torch.as_tensor converts it."""
        tracer = self.tracer
        place = 1 if self.name == "new_tensor" else 0
        data, source = self.argument(place, "data", "obj", "s")
        values = list(values_in([source]))
        if isinstance(data, torch.Tensor):
            if data.dtype != self.result.dtype:
                source = tracer.add(
                    "Tensor.to", [source],
                    {"dtype": dtype_name(self.result.dtype)},
                    data.to(self.result.dtype), self.hint).results
            copies = self.name in ("tensor", "new_tensor")
            return self.add("Tensor.detach" if copies else "Tensor.clone",
                            [source])
        if any(v.varies for v in values) and not tracer.allow_branches:
            tracer.read(self.function, self.name, values, None, self.raw)
        value = tracer.values.bind(self.result, "constant", "constant", False,
                                   False)
        tracer.values.constants.append(value)
        return self.result

    def keeps_type(self):
        """A change in place whose result would be of another type."""
        types = {t.dtype for t in (*self.raw, *self.raw_named.values())
                 if isinstance(t, torch.Tensor)}
        return self.short() in _COMPARISONS or len(types) > 1

    def short(self):
        return self.op.rpartition(".")[2]

    # --- Arguments -------------------------------------------------------
    def bound(self):
        """Arguments by name, where the function tells its parameters."""
        try:
            signature = inspect.signature(self.function)
            kinds = {p.kind for p in signature.parameters.values()}
            if kinds & {inspect.Parameter.VAR_POSITIONAL,
                        inspect.Parameter.VAR_KEYWORD}:
                return None
            return signature, signature.bind(*self.inputs,
                                             **self.named).arguments
        except (TypeError, ValueError):
            return None

    def has_mode(self):
        bound = self.bound()
        return bound is not None and "training" in bound[0].parameters

    def arguments(self):
        """Positional ones first, words and element types by name; those that
        are at their default, or change nothing, are left out."""
        bound = self.bound()
        if bound is None:
            return self.builtin()
        inputs, arguments, positional = [], {}, True
        for name, parameter in bound[0].parameters.items():
            value = bound[1].get(name, parameter.default)
            if name == "training":
                arguments[name] = Mode(value)
                positional = False
                continue
            is_standard = not isinstance(value, (list, dict)) and \
                not any(True for _ in values_in([value])) and \
                type(value) is type(parameter.default) and \
                value == parameter.default
            if name in HARMLESS or name.startswith("_") or is_standard:
                positional = False
                continue
            value = self.word(value)
            if positional and not isinstance(value, str):
                inputs.append(value)
            else:
                positional = False
                arguments[name] = value
        return inputs, arguments

    def builtin(self):
        """Functions of C++: as they are called."""
        words = [n for n, v in enumerate(self.raw)
                 if isinstance(v, (str, torch.dtype))]
        names, inputs, arguments = [], list(self.inputs), {}
        if words:
            shown = get_testing_overrides().get(self.function)
            names = list(inspect.signature(shown).parameters) if shown else []
            for n in range(words[0], len(inputs)):
                if n < len(names):
                    arguments[names[n]] = self.word(inputs[n])
            if len(names) >= len(inputs):
                del inputs[words[0]:]
        inputs = [self.word(v) for v in inputs]
        for key, value in self.named.items():
            if value is None or key in HARMLESS or key.startswith("_"):
                continue
            arguments[key] = Mode(value) if key == "training" else \
                self.word(value)
        return inputs, arguments

    def word(self, value):
        """A dtype by its name; no objects."""
        if isinstance(value, torch.dtype):
            return dtype_name(value)
        if isinstance(value, (list, tuple)):
            return [self.word(v) for v in value]
        if value is None or isinstance(value, (bool, int, float, str)) or \
                any(True for _ in values_in([value])):
            return value
        hint = "nncc has no complex numbers, compute real and imaginary " \
            "parts" if isinstance(value, complex) else \
            "give numbers, words or tensors"
        self.tracer.problem(f"an argument of type {type(value).__name__} of "
                            f"{self.op}: {hint}")
        return None

    def index(self, index):
        parts = index if isinstance(index, tuple) else (index,)
        return [self.part(p) for p in parts]

    def part(self, part):
        """An entry of an index, as the format writes it."""
        tracer = self.tracer
        if isinstance(part, slice):
            texts = ["" if p is None else str(self.bound_of(p))
                     for p in (part.start, part.stop)]
            step = "" if part.step is None else f":{self.bound_of(part.step)}"
            return ":".join(texts) + step
        if part is Ellipsis:
            return "..."
        if isinstance(part, (list, range)) or hasattr(part, "__array__") and \
                not isinstance(part, torch.Tensor):
            part = torch.as_tensor(list(part) if isinstance(part, range)
                                   else part)
        if isinstance(part, torch.Tensor):
            value = tracer.values.find(part, tracer.problem)
            if part.dtype == torch.bool and self.name == "__getitem__":
                if value.varies or part.dim() != 1:
                    tracer.problem("an index of bools, which takes as many "
                                   "elements as are true: use torch.where")
                value = tracer.values.find(part.nonzero().flatten(),
                                           tracer.problem)
            return {"value": value}
        return part if part is None or isinstance(part, bool) else int(part)

    def bound_of(self, bound):
        if isinstance(bound, torch.Tensor):
            value = self.tracer.values.find(bound, self.tracer.problem)
            self.tracer.read(self.function, "__index__", [value], None, ())
        return int(bound)


def spell(*args):
    """Records a call; gives what the caller gets of it."""
    return Spelling(*args).write()
