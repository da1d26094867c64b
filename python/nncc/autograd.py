"""Compiled forward and backward inside a PyTorch training loop."""
import torch

from .runner import _flat


class _Run(torch.autograd.Function):
    """Outputs in train mode; backward computes them again, with the same
    random numbers and buffers, and nothing else is saved in between."""

    @staticmethod
    def forward(ctx, module, inputs, *tensors):
        ctx.module, ctx.step = module, module.step
        # Autograd says if one is changed in place before backward.
        ctx.save_for_backward(*inputs, *tensors[len(inputs):])
        ctx.count = len(inputs)
        ctx.buffers = {n: module.named()[n].clone() for n in module.updated}
        module.step += 1
        compiled = module.compiled
        compiled.changed()  # by the optimizer, perhaps
        compiled.seed(module.seed, ctx.step)
        results = compiled.run("train_forward", *inputs)
        module.set_buffers(results)
        outputs = tuple(t for name, t in results.items()
                        if name not in module.updated)
        ctx.mark_non_differentiable(
            *[t for t in outputs if not t.is_floating_point()])
        return outputs

    @staticmethod
    def backward(ctx, *cotangents):
        if torch.is_grad_enabled():
            raise RuntimeError("second derivatives of a compiled model are not "
                               "supported: call backward without create_graph")
        module, inputs = ctx.module, ctx.saved_tensors[:ctx.count]
        compiled = module.compiled
        entry = compiled.signature("backward")
        wanted = [name for name in entry[0] if name.startswith("grad.")]
        given = [c for c in cotangents if c is not None and
                 c.is_floating_point()]
        assert len(given) == len(wanted)
        after = {n: module.named()[n].clone() for n in module.updated}
        module.set_buffers(ctx.buffers)
        compiled.changed()
        compiled.seed(module.seed, ctx.step)
        results = compiled.run("backward", *inputs,
                               *[c.contiguous() for c in given])
        module.set_buffers(after)
        of = [results.get("grad." + name) for name in
              module.input_names + module.parameter_names]
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
    """See CompiledModel.module."""

    def __init__(self, compiled, seed=0):
        super().__init__()
        self.compiled, self.seed, self.step = compiled, seed, 0
        backward = compiled.signature("backward")
        gradients = {name[5:] for name in backward[1]
                     if name.startswith("grad.")}
        state = compiled.state()
        self.updated = [name for name in
                        compiled.signature("train_forward")[1]
                        if name in state]
        self.input_names = compiled.signature("forward")[0]
        self.parameter_names = [n for n in state if n in gradients]
        self._tensors = {}
        for name, array in state.items():
            tensor = torch.from_numpy(array)
            if name in gradients:
                tensor = torch.nn.Parameter(tensor)
                self.register_parameter(name.replace(".", "/"), tensor)
            else:
                self.register_buffer(name.replace(".", "/"), tensor)
            self._tensors[name] = tensor

    def set_buffers(self, values):
        with torch.no_grad():
            for name in self.updated:
                self._tensors[name].copy_(values[name])

    def named(self):
        """Parameters and buffers under their names in the model."""
        return dict(self._tensors)

    def forward(self, *inputs):
        inputs = tuple(_flat(inputs))
        for name, x in zip(self.input_names, inputs):
            if not isinstance(x, torch.Tensor):
                raise TypeError(f"input {name} must be a tensor, got "
                                f"{type(x).__name__}")
        parameters = [self._tensors[n] for n in self.parameter_names]
        if self.training:
            outputs = _Run.apply(self, inputs, *inputs, *parameters)
        else:
            self.compiled.changed()
            outputs = tuple(self.compiled.run("forward", *inputs).values())
            if torch.is_grad_enabled():
                outputs = _InEvalMode.apply(len(outputs), *outputs, *inputs,
                                            *parameters)
        return outputs[0] if len(outputs) == 1 else outputs
