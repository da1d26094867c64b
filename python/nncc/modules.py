"""What a torch.nn module is in a model file: its type, attributes and state."""
import inspect

import torch
import torch.nn as nn

from .nested import walk
from .patched import is_function, is_of_torch, is_patched

DTYPES = {
    torch.float32: "f32", torch.float64: "f64", torch.float16: "f16",
    torch.bfloat16: "bf16", torch.int64: "i64", torch.int32: "i32",
    torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8",
    torch.bool: "bool",
}


class UnsupportedModel(Exception):
    """Everything in a module that the format cannot express, with paths."""


def named_tensors(value, name=""):
    return ((n, t) for n, t, _ in walk(value, name)
            if isinstance(t, torch.Tensor))


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


def leaf_description(module, made):
    """A torch.nn module as the file has it; None where its type, attributes
    and state names do not tell what it is: it has another forward, state of
    its own, or attributes that were changed. Then what it computes is
    recorded, function by function. `made` keeps modules made for
    comparison."""
    if not is_leaf(module) or is_patched(module, class_of(module), made):
        return None
    kind = f"nn.{class_of(module).__name__}"
    try:
        described = {"type": kind, **attributes(module)}
        hidden = parametrizations_of(module)
    except (UnsupportedModel, KeyError):
        return None
    if hidden:
        described["parametrizations"] = hidden
    fresh = _rebuilt(module, made)
    if fresh is not None and not _is_like(module, fresh, hidden):
        return None
    return described


def _rebuilt(module, made):
    """A module of the same constructor arguments without memory, or None."""
    kind = class_of(module)
    arguments = {}
    for name, _, value in _held_arguments(module):
        if isinstance(value, (torch.Tensor, nn.Module)) or callable(value):
            return None
        arguments[name] = value
    key = (kind, repr(arguments))
    if key not in made:
        try:
            with torch.device("meta"):
                made[key] = kind(**arguments)
        except (TypeError, ValueError, RuntimeError):
            made[key] = None
    return made[key]


def _is_like(module, fresh, hidden):
    """The same state, children and plain attributes as in `fresh`."""
    def plain(value):
        if isinstance(value, (tuple, list)):
            return [plain(v) for v in value]
        return value

    for tensors in ("_parameters", "_buffers"):
        ours, theirs = getattr(module, tensors), getattr(fresh, tensors)
        if hidden:
            continue
        if {k for k, t in ours.items() if t is not None} != \
                {k for k, t in theirs.items() if t is not None}:
            return False
        if any(t is not None and t.shape != theirs[k].shape
               for k, t in ours.items()):
            return False
    children = set(module._modules) - {"parametrizations"}
    if children != set(fresh._modules):
        return False
    for name, value in vars(fresh).items():
        if name.startswith("_") or name in ("training", "inplace"):
            continue
        if isinstance(value, (bool, int, float, str, tuple, list,
                              type(None))) and \
                plain(getattr(module, name, None)) != plain(value):
            return False
    return True


def depends_on_mode(module):
    """Its forward, or that of a part, asks whether it trains."""
    def asks(part):
        code = getattr(type(part).forward, "__code__", None)
        return code is None or "training" in code.co_names
    return any(asks(part) for part in module.modules())


def is_sequential(module):
    """An nn.Sequential, or a subclass without a forward or state of its
    own."""
    return (isinstance(module, nn.Sequential)
            and type(module).forward is nn.Sequential.forward
            and "forward" not in vars(module)
            and is_of_torch(nn.Sequential.forward)
            and not module._parameters and not module._buffers)


def is_container(module):
    """Holds modules and nothing else: it has no forward."""
    return (isinstance(module, (nn.ModuleList, nn.ModuleDict))
            and type(module).forward is nn.Module.forward
            and "forward" not in vars(module)
            and not module._parameters and not module._buffers)


def constructor_arguments(kind):
    """The constructor's parameters by name."""
    # Recurrent classes hide their arguments behind *args.
    base = nn.RNNBase if issubclass(kind, nn.RNNBase) else kind
    parameters = dict(inspect.signature(base.__init__).parameters)
    if kind is nn.RNN:
        parameters["nonlinearity"] = inspect.Parameter(
            "nonlinearity", inspect.Parameter.KEYWORD_ONLY, default="tanh")
    if base is nn.RNNBase:
        del parameters["mode"]
    return {name: p for name, p in parameters.items()
            if name not in ("self", "args", "kwargs")
            and not name.startswith("_")}


def _held_arguments(module):
    """Constructor arguments that a module keeps: name, parameter, value."""
    for name, parameter in constructor_arguments(class_of(module)).items():
        if name in ("device", "dtype", "inplace") or \
                not hasattr(module, name):
            continue
        value = getattr(module, name)
        if name == "bias" and not isinstance(value, bool):
            value = value is not None
        yield name, parameter, value


def attributes(module):
    """Constructor arguments that differ from their defaults."""
    result = {}
    for name, parameter, value in _held_arguments(module):
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
    if "dtype" in constructor_arguments(class_of(module)):
        state = [*module._parameters.values(), *module._buffers.values()]
        dtypes = {t.dtype for t in state
                  if t is not None and t.dtype.is_floating_point}
        if len(dtypes) > 1:
            raise UnsupportedModel("state of several floating types")
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
            result[name] = {"type":
                            "nn.utils.parametrizations.weight_norm",
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


def computes_tensors_in_hooks(module):
    """Has pre-hooks, all of which parametrizations_of describes."""
    hooks = module._forward_pre_hooks.values()
    return bool(hooks) and all(
        type(hook).__name__ in ("WeightNorm", "SpectralNorm")
        or hasattr(hook, "_tensor_name") for hook in hooks)


class Leaf(nn.Module):
    """A torch.nn module as a whole model. It is the child "module", but its
    state has the names that it has in itself: those come first."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.training = module.training
        self._link()

    def _link(self):
        self._parameters.update(self.module.named_parameters())
        self._buffers.update(self.module.named_buffers())

    def _apply(self, *args, **kwargs):
        super()._apply(*args, **kwargs)
        self._link()
        return self

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


def own_attributes(module):
    """What tells two modules of a class of torch.nn apart, and their parts,
    but for what tensors hold and the mode."""
    kinds = (bool, int, float, str, tuple, list, type(None))
    return {path: (id(part), type(part), {
        name: value for name, value in vars(part).items()
        if is_function(value) or isinstance(value, kinds)
        and name != "training" and not name.startswith("_")},
        _own_tensors(part)) for path, part in module.named_modules()}


def _own_tensors(module):
    """Which there are, and, of a recurrent layer, which it computes with."""
    places = [{name: tensor for name, tensor in place.items()
               if isinstance(tensor, torch.Tensor)} for place in (
                   module._buffers, module._parameters, vars(module))]
    held = {**places[0], **places[1], **places[2]}
    return [*map(sorted, places), [
        held.get(name) is tensor for name, tensor in zip(
            getattr(module, "_flat_weights_names", ()),
            getattr(module, "_flat_weights", ()))]]


def as_model(module, names):
    """The module, or a model that calls it where a node must."""
    leaves, _ = leaves_of([module], names)
    return Leaf(module) if leaves else module


def leaves_of(modules, names):
    """Modules that are nodes, with their descriptions: their type tells what
    they compute, or that the compiler lacks it. And those of a type that the
    compiler has, but not in this form, with what it lacks: what they compute
    is recorded, and may be there."""
    leaves, unfit, made = {}, {}, {}
    for module in modules:
        described = leaf_description(module, made)
        if not described:
            continue
        lacks = names.lacks_of(described)
        if lacks and lacks != described["type"]:
            unfit[module] = lacks
        elif not lacks or not any(True for _ in module.children()):
            leaves[module] = described
    return leaves, unfit
