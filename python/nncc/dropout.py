"""Turns dropout off, in a module and in a model file, so that both compute the
same in train mode."""
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


class WithoutDropout(TorchFunctionMode):
    """Every dropout keeps all elements."""

    _DROPOUTS = {getattr(space, name) for space in (F, torch)
                 for name in dir(space)
                 if "dropout" in name and callable(getattr(space, name))}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function in self._DROPOUTS:
            if "p" in kwargs or len(args) < 2:
                kwargs["p"] = 0.0
            else:
                args = (args[0], 0.0, *args[2:])
        if function is F.scaled_dot_product_attention:
            if len(args) > 4:
                args = (*args[:4], 0.0, *args[5:])
            elif "dropout_p" in kwargs:
                kwargs["dropout_p"] = 0.0
        return function(*args, **kwargs)


def silence_modules(module):
    """Dropout that is an attribute of a module, not a call that is seen."""
    for part in module.modules():
        if isinstance(getattr(part, "dropout", None), float):
            part.dropout = 0.0
        if isinstance(part, torch.nn.modules.dropout._DropoutNd):
            part.p = 0.0


def without_dropout(model):
    """The same in a model file."""
    if isinstance(model, list):
        return [without_dropout(item) for item in model]
    if not isinstance(model, dict):
        return model
    result = {key: without_dropout(value) for key, value in model.items()}
    name = str(result.get("type", "")) + str(result.get("op", ""))
    if "dropout" in name.lower():
        inputs = result.get("inputs", [])
        if len(inputs) > 1 and "op" in result:
            result["inputs"] = [inputs[0], 0.0, *inputs[2:]]
        else:
            result["p"] = 0.0
    if str(result.get("type", "")).startswith("nn.") and \
            isinstance(result.get("dropout"), float):
        result["dropout"] = 0.0
    if str(result.get("op", "")).endswith("scaled_dot_product_attention"):
        if "dropout_p" in result:
            result["dropout_p"] = 0.0
        elif len(result.get("inputs", [])) > 4:
            result["inputs"][4] = 0.0
    return result


# --- Inputs drawn again ------------------------------------------------------
