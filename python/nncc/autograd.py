"""Compiled forward and backward inside a PyTorch training loop."""
import torch

from .device import is_there
from .runner import flat


class _Run(torch.autograd.Function):
    """Outputs in train mode; backward computes them again, with the same
    random numbers and buffers, and nothing else is saved in between."""

    @staticmethod
    def forward(ctx, module, count, *tensors):
        ctx.module, ctx.count, ctx.step = module, count, module.steps_taken
        # Autograd says if one is changed in place before backward.
        ctx.save_for_backward(*tensors)
        ctx.buffers = module.updated_buffers()
        module.steps_taken += 1
        results = module.call("train_forward", tensors[:count], ctx.step)
        module.set_buffers(results)
        outputs = tuple(t for name, t in results.items()
                        if name not in ctx.buffers)
        ctx.outputs = [(name, t.shape, t.dtype, t.device)
                       for name, t in results.items()
                       if name not in ctx.buffers]
        ctx.set_materialize_grads(False)
        reaching = set().union(*(
            module.reached.get(key, ()) for key, needed in zip(
                module.gradients, ctx.needs_input_grad[2:]) if needed))
        ctx.mark_non_differentiable(
            *[t for t, (name, *_) in zip(outputs, ctx.outputs)
              if name not in reaching])
        return outputs

    @staticmethod
    def backward(ctx, *cotangents):
        """What no output with a gradient depends on gets none, not zeros:
        optimizers leave it alone."""
        if torch.is_grad_enabled():
            raise RuntimeError("second derivatives of a compiled model are not "
                               "supported: call backward without create_graph")
        module, inputs = ctx.module, ctx.saved_tensors[:ctx.count]
        given = [torch.zeros(shape, dtype=dtype, device=device) if c is None
                 else c.contiguous() for c, (_, shape, dtype, device) in
                 zip(cotangents, ctx.outputs) if dtype.is_floating_point]
        used = {name for c, (name, *_) in zip(cotangents, ctx.outputs)
                if c is not None}
        after = module.updated_buffers()
        module.set_buffers(ctx.buffers)
        results = module.call("backward", (*inputs, *given), ctx.step)
        module.set_buffers(after)
        of = [results[key] if used & module.reached.get(key, set()) else None
              for key in module.gradients]
        return (None, None, *of)


class _InEvalMode(torch.autograd.Function):
    """What forward gave, so that backward does not end there in silence."""

    @staticmethod
    def forward(ctx, count, *tensors):
        outputs = tuple(t.view_as(t) for t in tensors[:count])
        ctx.mark_non_differentiable(
            *[t for t in outputs if not t.is_floating_point()])
        return outputs

    @staticmethod
    def backward(ctx, *_):
        raise RuntimeError("the compiled model was in eval mode, which has no "
                           "gradients: call train() before forward")


class CompiledModule(torch.nn.Module):
    """See CompiledModel.module. Its parameters and buffers have the names of
    the model's; empty modules stand for the parts that they are in."""

    def __init__(self, compiled, seed=0):
        super().__init__()
        self.compiled, self.seed, self.steps_taken = compiled, seed, 0
        self.memory = compiled.tensors()
        self.is_there = any(map(is_there, self.memory.values()))
        self.inputs = compiled.signature("forward")[0]
        gradients = compiled.signature("backward")[1]
        self.trained = [n for n in self.memory if "grad." + n in gradients]
        self.reached = compiled.reached("backward")
        self.gradients = ["grad." + n for n in [*self.inputs, *self.trained]]
        self.updated = [n for n in compiled.signature("train_forward")[1]
                        if n in self.memory]
        owned = {name: torch.nn.Parameter(tensor) if name in self.trained
                 else tensor for name, tensor in self.memory.items()}
        owned.update((tie, owned[name]) for tie, name in compiled.ties.items()
                     if tie != "module." + name)  # a torch.nn class, exported
        self.names = set(owned)
        for name, tensor in owned.items():
            *path, last = name.split(".")
            part = self
            for step in path:
                part = part._modules.setdefault(step, torch.nn.Module())
            own = part._parameters if isinstance(
                tensor, torch.nn.Parameter) else part._buffers
            own[last] = tensor
        self._register_load_state_dict_pre_hook(self._rename)

    def _rename(self, state, prefix, *_):
        """Other names of a tensor, as load_state_dict of the model takes."""
        for alias, name in self.compiled.aliases.items():
            if prefix + alias in state and alias not in self.names:
                tensor = state.pop(prefix + alias)
                state.setdefault(prefix + name, tensor)

    def named(self):
        """Parameters and buffers under their names in the model."""
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}

    def updated_buffers(self):
        return {name: self.memory[name].clone() for name in self.updated}

    def set_buffers(self, values):
        with torch.no_grad():
            for name in self.updated:
                self.memory[name].copy_(values[name])

    def call(self, entry, inputs, step=None):
        """Runs an entry on tensors, with the random numbers of `step`."""
        self.compiled.changed()  # by the optimizer, perhaps
        if step is not None:
            self.compiled.seed(self.seed, step)
        return self.compiled.run_tensors(entry, inputs, self.is_there)

    def _own(self):
        """The tensors as the compiled model has them: one whose .data was
        replaced goes back to the model's memory, with its values."""
        tensors = self.named()
        for name, memory in self.memory.items():
            tensor = tensors[name]
            if tensor.data_ptr() == memory.data_ptr():
                continue
            if tensor.dtype != memory.dtype or tensor.shape != memory.shape \
                    or tensor.device != memory.device:
                raise RuntimeError(
                    f"{name} is {_kind(tensor)} now, the compiled model's "
                    f"{_kind(memory)}: convert a module before export")
            memory.copy_(tensor.detach())
            tensor.data = memory
        return tensors

    def forward(self, *inputs, **named):
        given = self.compiled.in_order(
            "forward", flat(inputs, self.inputs), named)
        for name, x in given.items():
            if not isinstance(x, torch.Tensor):
                raise TypeError(f"input {name} must be a tensor, got "
                                f"{type(x).__name__}")
        inputs, tensors = tuple(given.values()), self._own()
        parameters = [tensors[name] for name in self.trained]
        if self.training:
            outputs = _Run.apply(self, len(inputs), *inputs, *parameters)
        else:
            outputs = tuple(self.call("forward", inputs).values())
            if torch.is_grad_enabled():
                outputs = _InEvalMode.apply(len(outputs), *outputs, *inputs,
                                            *parameters)
        return outputs[0] if len(outputs) == 1 else outputs


def _kind(tensor):
    kind = str(tensor.dtype).replace("torch.", "")
    where = "" if tensor.device.type == "cpu" else f" on {tensor.device}"
    return f"{kind} {list(tensor.shape)}{where}"
