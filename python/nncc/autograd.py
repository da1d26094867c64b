"""Compiled forward and backward inside a PyTorch training loop."""
import torch


class _Run(torch.autograd.Function):
    """Outputs in train mode; backward computes them again, with the same
    random numbers, and nothing is saved in between."""

    @staticmethod
    def forward(ctx, module, inputs, *parameters):
        ctx.module, ctx.inputs, ctx.step = module, inputs, module.step
        module.step += 1
        compiled = module.compiled
        compiled.changed()  # by the optimizer, perhaps
        compiled.seed(module.seed, ctx.step)
        results = compiled.run("train_forward", *inputs)
        module.update_buffers(results)
        outputs = tuple(t for name, t in results.items()
                        if name not in module.updated)
        ctx.mark_non_differentiable(
            *[t for t in outputs if not t.is_floating_point()])
        return outputs

    @staticmethod
    def backward(ctx, *cotangents):
        module, inputs = ctx.module, ctx.inputs
        compiled = module.compiled
        entry = compiled.signature("backward")
        wanted = [name for name in entry[0] if name.startswith("grad.")]
        given = [c for c in cotangents if c is not None and
                 c.is_floating_point()]
        assert len(given) == len(wanted)
        compiled.changed()
        compiled.seed(module.seed, ctx.step)
        results = compiled.run("backward", *inputs,
                               *[c.contiguous() for c in given])
        of = [results.get("grad." + name) for name in
              module.input_names + module.parameter_names]
        return (None, None, *of)


class CompiledModule(torch.nn.Module):
    """See CompiledModel.module."""

    def __init__(self, compiled, seed=0):
        super().__init__()
        self.compiled, self.seed, self.step = compiled, seed, 0
        backward = compiled.signature("backward")
        gradients = {name[5:] for name in backward[1]
                     if name.startswith("grad.")}
        outputs = compiled.signature("forward")[1]
        state = compiled.state()
        self.updated = [name for name in
                        compiled.signature("train_forward")[1]
                        if name not in outputs]
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

    def update_buffers(self, results):
        with torch.no_grad():
            for name in self.updated:
                self._tensors[name].copy_(results[name])

    def named(self):
        """Parameters and buffers under their names in the model."""
        return dict(self._tensors)

    def forward(self, *inputs):
        if not self.training:
            self.compiled.changed()
            return self.compiled(*inputs)
        tensors = [*inputs, *(self._tensors[n] for n in self.parameter_names)]
        outputs = _Run.apply(self, inputs, *tensors)
        return outputs[0] if len(outputs) == 1 else outputs
