"""How the model format spells the functions that PyTorch calls.

One function object may have several names (torch.mm is torch.spmm); the one
that the compiler's schema has is taken. Of those that it has as aliases
(torch.swapaxes), it is the one that they stand for.
"""
import inspect

import torch
import torch.nn.functional as F

from .modules import DTYPES
from .schema import Schema

# Functions that only look at a tensor; what they give is a Python value that
# does not depend on the tensor's elements.
QUERIES = {
    "size", "dim", "numel", "nelement", "ndimension", "is_floating_point",
    "is_complex", "is_signed", "is_conj", "is_neg", "is_inference",
    "element_size", "__len__", "is_contiguous", "stride", "storage_offset",
    "get_device", "has_names", "is_same_size", "is_shared",
    "is_pinned", "is_set_to", "dim_order", "data_ptr", "__hash__", "__dir__",
    "retain_grad", "result_type", "can_cast", "is_distributed", "type_of",
    "_is_view", "_assert", "_assert_async", "__dlpack_device__",
    "is_coalesced", "_has_compatible_shallow_copy_type"}

_OPERATORS = {
    "__add__": "torch.add", "__radd__": "torch.add", "__mul__": "torch.mul",
    "__rmul__": "torch.mul", "__sub__": "torch.sub",
    "__truediv__": "torch.div", "__div__": "torch.div",
    "__matmul__": "torch.matmul", "__pow__": "torch.pow",
    "__neg__": "torch.neg", "__eq__": "torch.eq", "__ne__": "torch.ne",
    "__lt__": "torch.lt", "__le__": "torch.le", "__gt__": "torch.gt",
    "__ge__": "torch.ge", "__iadd__": "torch.add", "__imul__": "torch.mul",
    "__isub__": "torch.sub", "__itruediv__": "torch.div",
    "__idiv__": "torch.div", "__ipow__": "torch.pow", "__abs__": "torch.abs",
    "__rsub__": "torch.sub", "__rtruediv__": "torch.div",
    "__rdiv__": "torch.div", "__rpow__": "torch.pow",
    "__rmatmul__": "torch.matmul", "__invert__": "torch.bitwise_not",
    "rsub": "torch.sub",
}
for _method, _op in {
        "floordiv": "floor_divide", "mod": "remainder", "and": "bitwise_and",
        "or": "bitwise_or", "xor": "bitwise_xor",
        "lshift": "bitwise_left_shift",
        "rshift": "bitwise_right_shift"}.items():
    for _side in ("", "r", "i"):
        _OPERATORS[f"__{_side}{_method}__"] = f"torch.{_op}"
# The receiver is the right operand.
REVERSED = {"__rsub__", "__rpow__", "__rmatmul__", "__rfloordiv__", "__rmod__",
            "__rlshift__", "__rrshift__", "rsub"}

# Conversions: the result's element type is all that they say.
CONVERSIONS = {
    "to", "type", "type_as", "float", "double", "half", "bfloat16", "long",
    "int", "short", "char", "byte", "bool", "cpu", "cuda"}

# What these make of a tensor does not depend on its elements: value -> how it
# is filled ("like": with the given value).
FILLS = {
    "zeros_like": 0, "ones_like": 1, "full_like": "like", "empty_like": 0,
    "new_zeros": 0, "new_ones": 1, "new_full": "like", "new_empty": 0,
    "empty": 0, "empty_strided": 0, "new_empty_strided": 0}

# Arguments without an effect on values.
HARMLESS = {"device", "memory_format", "layout", "pin_memory", "non_blocking",
            "inplace", "out", "copy", "requires_grad", "generator", "names"}


def function_names():
    """Function object -> its names, as the model format spells them."""
    names = {}
    spaces = (("torch", torch), ("F", F), ("Tensor", torch.Tensor),
              ("torch.linalg", torch.linalg), ("torch.fft", torch.fft),
              ("torch.special", torch.special), ("torch.nn.init",
                                                 torch.nn.init))
    for prefix, space in spaces:
        for name in dir(space):
            function = getattr(space, name, None)
            if callable(function) and not inspect.isclass(function):
                try:
                    names.setdefault(function, []).append(f"{prefix}.{name}")
                except TypeError:
                    pass  # not hashable
    for method, name in _OPERATORS.items():
        for space in (torch.Tensor, torch):
            function = getattr(space, method, None)
            if function is not None:
                names[function] = [name]
    return names


class Names(Schema):
    """What the compiler knows, and how it calls what PyTorch calls."""

    def __init__(self):
        super().__init__()
        self._functions = function_names()

    # torch's own have another order of arguments than those of F.
    _OTHERS = {torch.batch_norm, torch.embedding, torch.kl_div,
               torch.binary_cross_entropy_with_logits}

    def of(self, function):
        """The format's name of a function; where the compiler has none,
        PyTorch's own."""
        try:
            names = self._functions.get(function, [])
        except TypeError:
            names = []
        if not names:
            return _spelled(function)
        others = ("torch", "Tensor") if function in self._OTHERS else \
            ("torch", "Tensor", "F")
        for name in names:
            space, short = name.rsplit(".", 1)
            if short.endswith("_") and not short.endswith("__"):
                short = short[:-1]  # values never change: x.add_(y) is x + y
            known = self._known(space, short, others)
            if known:
                return known
        own = getattr(function, "__name__", "").rstrip("_")
        same = [n for n in names if n.rsplit(".", 1)[1].rstrip("_") == own]
        return (same or names)[0]

    def _known(self, space, short, others):
        """What the compiler has under this name, in its space or in others."""
        for where in (_METHODS.get(short, space), space, *others):
            name = f"{where}.{short}"
            if name in self.aliases:
                return self._known(*self.aliases[name].rsplit(".", 1), others)
            if name in self.ops:
                return name
        return None


# Operators reach us as methods; the format spells both torch.add.
_METHODS = {n: "torch" for n in (
    "add", "sub", "mul", "div", "pow", "matmul", "neg", "eq", "ne", "lt", "le",
    "gt", "ge")}


def _spelled(function):
    """A name to show for a function that torch does not list."""
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", None) or \
        getattr(function, "__name__", None) or str(function)
    if type(function).__name__.startswith("OpOverload"):
        return f"torch.ops.{function}"
    return f"{module}.{name}".strip(".").replace("torch._C._nn", "F")


def dtype_name(dtype):
    """The format's name of an element type, or PyTorch's."""
    return DTYPES.get(dtype, str(dtype))
