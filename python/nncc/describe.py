"""The tree of modules of a file: types, state, and classes, equal ones shared.

Every module of the model is in it, called or not, so that the model file
declares exactly what the weights file holds.
"""
import json

from .graph import Place, Placed
from .modules import class_of, is_container, is_sequential
from .values import dtype_of


class Tree:
    """`bodies`: path of a module -> graph of its class; `attributes`: used
    tensors that are no registered state, as (owner's path, name, tensor)."""

    def __init__(self, model, leaves, known, paths, bodies, attributes):
        self.leaves, self.known, self.paths = leaves, known, paths
        self.bodies, self.attributes = bodies, attributes
        self.classes = {}
        self.top = self._tree(model, "")

    def _tree(self, module, path):
        """The modules, parameters and buffers of a graph."""
        tree = {}
        children = self._children(module, path)
        if children:
            tree["modules"] = children
        own = {"parameters": dict(module._parameters),
               "buffers": dict(module._buffers)}
        for owner, name, tensor in self.attributes:
            if owner == path:
                own["buffers"][name] = tensor
        for key, tensors in own.items():
            described = {name: {"shape": list(t.shape), "dtype": dtype_of(
                t, f"{path}.{name}".lstrip("."))}
                for name, t in tensors.items() if t is not None}
            if described:
                tree[key] = described
        return tree

    def _children(self, module, path):
        """Under each of its names: a child may have several."""
        return {name: self._describe(child, f"{path}.{name}".lstrip("."))
                for name, child in module._modules.items()
                if child is not None}

    def _describe(self, module, path):
        described = self.leaves.get(module)
        first = self.paths[id(module)][0]
        if described and described["type"] in self.known:
            return Placed(described, Place(first, None))
        if first not in self.bodies and (is_sequential(module)
                                         or is_container(module)):
            kind = next(k.__name__ for k in type(module).__mro__
                        if k.__name__ in ("Sequential", "ModuleList",
                                          "ModuleDict")
                        and k.__module__.startswith("torch.nn"))
            children = self._children(module, path)
            if list(children) == [str(i) for i in range(len(children))]:
                children = list(children.values())
            return {"type": f"nn.{kind}", "modules": children}
        return {"type": self._class(module, path, first)}

    def _class(self, module, path, first):
        """The name of the module's class: one that is equal, or a new one."""
        body = self.bodies.get(first, {"inputs": [], "nodes": [],
                                       "outputs": []})
        tree = self._tree(module, path)
        definition = {"inputs": body["inputs"], **tree,
                      **{k: v for k, v in body.items() if k != "inputs"}}
        text = json.dumps(definition)
        base = class_of(module).__name__
        name, i = base, 2
        while name in self.classes and \
                json.dumps(self.classes[name]) != text:
            name, i = f"{base}_{i}", i + 1
        self.classes[name] = definition
        return name
