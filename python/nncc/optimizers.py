"""What a torch.optim optimizer is in a model file: type, attributes, groups,
the parameters that it has, and the state that it brings along.

Which optimizers there are and what they take is the compiler's to say
(`nncc schema`). What would change a step and has no place in the file is
refused with a sentence.
"""
import inspect
import math
import sys
import types

import torch
from torch.optim import optimizer as torch_optimizer

from .modules import UnsupportedModel
from .patched import is_function, is_of_torch

# How a step is computed, not what it gives.
_NEUTRAL = {"foreach", "fused", "capturable"}
# Schedules of the momentum keep these in a group; those of the learning rate
# leave "initial_lr", and their rates come with each step.
_CYCLED = {"base_momentum", "max_momentum"}


def describe_training(module, optimizer, known, trained):
    """What the training section says of parameters: "frozen" and "optimizer",
    as far as there is something to say; the optimizer's state, as tensors for
    the weights file. `known` are the optimizers of the schema. `trained()`
    gives the names of parameters that a step gives a gradient; it is asked only
    if some have no state yet."""
    section, state = {}, {}
    frozen = [_pattern(name) for name, p in module.named_parameters()
              if p.is_floating_point() and not p.requires_grad]
    if frozen:
        section["frozen"] = frozen
    if optimizer is not None:
        section["optimizer"], state = _Describer(
            optimizer, module, known, trained).describe()
    return section, state


def _pattern(name):
    """A name as a pattern that matches nothing else."""
    return "".join("\\" + c if c in "*?[]{}\\" else c for c in name)


def _shape(tensor):
    return str(list(tensor.shape))


class _Describer:
    def __init__(self, optimizer, module, known, trained):
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError("optimizer must be an object of torch.optim, got "
                            f"{type(optimizer).__name__}")
        self.optimizer, self.trained = optimizer, trained
        self.kinds = known
        self.parameters = dict(module.named_parameters())
        self.names = {id(p): n for n, p in self.parameters.items()}
        self.kind = self._kind()
        one = self.kinds["optim." + self.kind]
        self.options = [key for key in one["properties"]
                        if key not in ("type", "groups", "params", "comment")]
        self.states = one["x-state"]

    def refuse(self, text):
        raise UnsupportedModel(f"the optimizer ({self.kind}): {text}")

    def _kind(self):
        kind = type(self.optimizer)
        self.kind = kind.__name__
        if getattr(torch.optim, self.kind, None) is not kind:
            self.refuse("a class of your own, of which only the step itself "
                        "says what it does: export with one of torch.optim's")
        groups = self.optimizer.param_groups
        # Since torch 2.7 AdamW is Adam with a flag.
        if self.kind in ("Adam", "AdamW"):
            flags = {bool(g.get("decoupled_weight_decay",
                                self.kind == "AdamW")) for g in groups}
            if len(flags) > 1:
                self.refuse("decoupled_weight_decay differs between groups")
            return "AdamW" if flags == {True} else "Adam"
        if "optim." + self.kind not in self.kinds:
            known = ", ".join(sorted(k.split(".")[1] for k in self.kinds))
            self.refuse(f"is not supported; supported are {known}")
        return self.kind

    def describe(self):
        self._check_step()
        groups = [self._group(i, g)
                  for i, g in enumerate(self.optimizer.param_groups)]
        described = {"type": f"optim.{self.kind}", **groups[0][1]}
        owned = {name for names, _ in groups for name in names}
        trained = [n for n, p in self.parameters.items()
                   if p.requires_grad and p.is_floating_point()]
        if owned != set(trained):
            described["params"] = [_pattern(n) for n in trained if n in owned]
        others = [{"params": [_pattern(n) for n in names], **options}
                  for names, options in groups[1:] if names]
        if others:
            described["groups"] = others
        return described, self._state(owned)

    def _check_step(self):
        """What is done around or instead of the class's step."""
        own = self.optimizer
        step = vars(own).get("step")
        # A schedule of the learning rate counts the steps; that is all.
        is_own = step is not None and not getattr(
            step, "_wrapped_by_lr_sched", False)
        # Its step is a method that calls functions of its module.
        written = [f for space in (type(own), sys.modules[
            type(own).__module__]) for f in vars(space).values()
            if is_function(f) and not (
                isinstance(f, types.FunctionType)
                and f.__module__ in sys.stdlib_module_names)]
        if is_own or not all(map(is_of_torch, written)):
            self.refuse("its step was replaced, which training would leave "
                        "out: export with an optimizer as torch makes it")
        hooks = [own._optimizer_step_pre_hooks, own._optimizer_step_post_hooks,
                 torch_optimizer._global_optimizer_pre_hooks,
                 torch_optimizer._global_optimizer_post_hooks]
        if any(hooks):
            self.refuse("a hook on its step, which training would leave out: "
                        "remove it")

    def _group(self, index, group):
        """Names of the group's parameters that have gradients; its options."""
        where = f"group {index}"
        for key in self.optimizer.defaults:
            known = key in self.options or key in _NEUTRAL or \
                key == "decoupled_weight_decay"
            if not known and group.get(key):
                self.refuse(f"{where} has {key} = {group[key]}, which is not "
                            "supported")
        if _CYCLED & group.keys():
            self.refuse(f"a schedule changes the momentum of {where}; only a "
                        "learning rate may change between steps")
        names = []
        for i, p in enumerate(group["params"]):
            name = self.names.get(id(p))
            if name is None:
                self.refuse(
                    f"parameter {i} of {where}, {_shape(p)}, is not one of the "
                    "module's: give export an optimizer of its parameters")
            if name in names:
                self.refuse(f"{name} is in {where} twice, and would be changed "
                            "twice in a step")
            names.append(name)
        return ([n for n in names if self.parameters[n].requires_grad],
                {key: self._option(where, key, group[key])
                 for key in self.options})

    def _option(self, where, key, value):
        if isinstance(value, (tuple, list)):
            return [None if v is None else self._option(where, key, v)
                    for v in value]
        if isinstance(value, bool):
            return value
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = value.item()
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            self.refuse(f"{key} of {where} is {value!r}, not a finite number")
        return value

    def _state(self, owned):
        """optimizer.step and optimizer.<state>.<parameter>, as far as there
        is any."""
        tensors, steps, fresh = {}, {}, []
        for name in sorted(owned):
            state = {k: v for k, v in self.optimizer.state.get(
                self.parameters[name], {}).items() if v is not None}
            if not state:
                fresh.append(name)
            if "step" in state:
                steps[name] = int(state.pop("step"))
            for key, value in state.items():
                if key not in self.states or \
                        not isinstance(value, torch.Tensor):
                    self.refuse(f"its state {key} of {name} has no place in a "
                                "model file")
                tensors[f"optimizer.{key}.{name}"] = value.detach()
        # SGD keeps no count, but does not start anew where it has momentum.
        count = max(steps.values(), default=1 if tensors else 0)
        late = [n for n, c in steps.items() if c != count]
        if late:
            self.refuse(f"{late[0]} has seen {steps[late[0]]} steps, others "
                        f"{count}; a compiled step has one count for all")
        # A momentum of zeros acts as one after a first step, but for dampening.
        counts = steps or any(g.get("dampening")
                              for g in self.optimizer.param_groups)
        if tensors and counts and fresh and self.trained:
            late = [n for n in fresh if n in self.trained()]
            if late:
                self.refuse(f"{late[0]} has seen no step, others {count}; a "
                            "compiled step has one count for all")
        if count:
            tensors["optimizer.step"] = torch.tensor(count)
        return tensors
