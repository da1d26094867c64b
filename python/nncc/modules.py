"""What a torch.nn module is in a model file: its type, attributes and state."""
import inspect

import torch
import torch.nn as nn

DTYPES = {
    torch.float32: "f32", torch.float64: "f64", torch.float16: "f16",
    torch.bfloat16: "bf16", torch.int64: "i64", torch.int32: "i32",
    torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8",
    torch.bool: "bool",
}


class UnsupportedModel(Exception):
    """Everything in a module that the format cannot express, with paths."""


def named_tensors(value, name=""):
    """The tensors in nested tuples, lists and dicts, each with a name of the
    keys that lead to it."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, (tuple, list, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from named_tensors(item, f"{name}_{key}" if name else
                                     str(key))


def class_of(module):
    """The class as it was before parametrize gave the module one of its own."""
    kind = type(module)
    parametrized = kind.__module__ == "torch.nn.utils.parametrize"
    return kind.__bases__[0] if parametrized else kind


def is_leaf(module):
    """torch.nn's own classes keep their type; containers are no leaves."""
    kind = class_of(module)
    return (kind.__module__.startswith("torch.nn.modules")
            and kind not in (nn.Sequential, nn.ModuleList, nn.ModuleDict))


def is_sequential(module):
    return (isinstance(module, nn.Sequential)
            and type(module).forward is nn.Sequential.forward)


def attributes(module):
    """Constructor arguments that differ from their defaults."""
    result = {}
    # Recurrent classes hide their arguments behind *args.
    kind = nn.RNNBase if isinstance(module, nn.RNNBase) else class_of(module)
    parameters = dict(inspect.signature(kind.__init__).parameters)
    if type(module) is nn.RNN:
        parameters["nonlinearity"] = inspect.Parameter(
            "nonlinearity", inspect.Parameter.KEYWORD_ONLY, default="tanh")
    for name, parameter in parameters.items():
        if name == "mode" and kind is nn.RNNBase:
            continue
        if name in ("self", "device", "dtype", "inplace", "args", "kwargs") \
                or not hasattr(module, name) or name.startswith("_"):
            continue
        value = getattr(module, name)
        if name == "bias" and not isinstance(value, bool):
            value = value is not None
        if isinstance(value, torch.Tensor):
            value = {"shape": list(value.shape), "dtype": DTYPES[value.dtype]}
        if isinstance(value, tuple):
            value = list(value)
        default = parameter.default
        plain = value
        if isinstance(value, list) and len(set(value)) == 1 and \
                name != "normalized_shape":
            plain = value[0]
        if default is not inspect.Parameter.empty and default in (value,
                                                                  plain):
            continue
        if callable(value) and not isinstance(value, nn.Module):
            value = value.__name__
        result[name] = plain if isinstance(plain, (int, float)) else value
    if "dtype" in parameters:
        state = [*module._parameters.values(), *module._buffers.values()]
        dtypes = {t.dtype for t in state
                  if t is not None and t.dtype.is_floating_point}
        if len(dtypes) == 1 and dtypes != {torch.float32}:
            result["dtype"] = DTYPES[dtypes.pop()]
    return result


def _power_method(norm):
    return {"dim": norm.dim, "eps": norm.eps,
            "n_power_iterations": norm.n_power_iterations}


def parametrizations_of(module):
    """Tensors that torch.nn.utils computes from others: name -> description."""
    result = {}
    for name, chain in getattr(module, "parametrizations", {}).items():
        if len(chain) != 1 or type(chain[0]).__name__ not in (
                "_WeightNorm", "_SpectralNorm"):
            raise UnsupportedModel(
                f"the parametrization of {name} of {class_of(module).__name__}"
                f" by {', '.join(type(c).__name__ for c in chain)}")
        one = chain[0]
        if type(one).__name__ == "_WeightNorm":
            result[name] = {"type": "nn.utils.weight_norm",
                            "dim": None if one.dim == -1 else one.dim}
        else:
            result[name] = {"type":
                            "nn.utils.parametrizations.spectral_norm",
                            **_power_method(one)}
    for hook in module._forward_pre_hooks.values():
        kind = type(hook).__name__
        if kind == "WeightNorm":
            result[hook.name] = {"type": "nn.utils.weight_norm",
                                 "dim": None if hook.dim == -1 else hook.dim}
        elif kind == "SpectralNorm":
            result[hook.name] = {"type": "nn.utils.spectral_norm",
                                 **_power_method(hook)}
        elif hasattr(module, f"{getattr(hook, '_tensor_name', '')}_mask"):
            result[hook._tensor_name] = {
                "type": "nn.utils.prune.custom_from_mask"}
    return result


class _Leaf(nn.Module):
    """A torch.nn module as a whole model: its state is below "module"."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


class _Chain(nn.Module):
    """An nn.Sequential as a whole model: its state keeps its names."""

    def __init__(self, sequential):
        super().__init__()
        for name, child in sequential.named_children():
            self.add_module(name, child)

    def forward(self, x):
        for child in self.children():
            x = child(x)
        return x


def as_model(module):
    if is_sequential(module):
        return _Chain(module)
    return _Leaf(module) if is_leaf(module) else module

