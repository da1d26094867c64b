"""Turns dropout off, in what a module calls and in a model file, so that both
compute the same in train mode. Only what torch and the format call so: a class
of the user's may have such a name, and attributes that it computes with."""
import copy
import inspect

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from .modules import constructor_arguments

# Functions that have no signature: the probability's place, its name.
_KNOWN = {"scaled_dot_product_attention": (4, "dropout_p")}
_RECURRENT = {torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu}


def _probabilities():
    """Function of torch -> place and name of the probability of its
    dropout."""
    found = {}
    for space in (F, torch):
        for name, function in vars(space).items():
            if name in _KNOWN:
                found[function] = _KNOWN[name]
            elif inspect.isbuiltin(function):
                if "dropout" in name:
                    found[function] = (1, "p")
            elif inspect.isfunction(function):
                for i, one in enumerate(inspect.signature(
                        function).parameters):
                    if one == "dropout_p" or one == "p" and "dropout" in name:
                        found[function] = (i, one)
    return found


_PROBABILITIES = _probabilities()


class WithoutDropout(TorchFunctionMode):
    """Every dropout keeps all elements."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        args, kwargs = list(args), dict(kwargs or {})
        if function in _RECURRENT:
            # has_biases, num_layers, dropout: the first flag and two behind.
            first = next((i for i, a in enumerate(args)
                          if isinstance(a, bool)), len(args))
            args[first + 2:first + 3] = [0.0] * (len(args) > first + 2)
        elif function in _PROBABILITIES:
            place, name = _PROBABILITIES[function]
            if len(args) > place:
                args[place] = 0.0
            else:
                kwargs[name] = 0.0
        return function(*args, **kwargs)


def without_dropout(model):
    """The same model file without."""
    model = copy.deepcopy(model)
    for graph in _graphs(model):
        for node in graph.get("nodes", []):
            _silence_node(node)
        for module in _modules(graph):
            _silence_module(module)
    return model


def _graphs(model):
    """All that have nodes or modules."""
    for graph in (model, model.get("training", {}),
                  *model.get("classes", {}).values()):
        yield graph
        if isinstance(graph.get("train"), dict):
            yield graph["train"]


def _modules(graph):
    """The modules of a graph, also in containers."""
    inside = graph.get("modules", {})
    for module in inside.values() if isinstance(inside, dict) else inside:
        yield module
        yield from _modules(module)


def _silence_node(node):
    space, _, name = node.get("op", "").rpartition(".")
    function = getattr({"F": F, "torch": torch}.get(space), name, None)
    if function in _PROBABILITIES:
        place, key = _PROBABILITIES[function]
        if len(node["inputs"]) > place:
            node["inputs"][place] = 0.0
        else:
            node[key] = 0.0


def _silence_module(module):
    space, _, name = module["type"].rpartition(".")
    kind = getattr(nn, name, None) if space == "nn" else None
    if kind is None:
        return
    if issubclass(kind, nn.modules.dropout._DropoutNd):
        module["p"] = 0.0
    elif "dropout" in constructor_arguments(kind):
        module["dropout"] = 0.0
