"""An exported module beside the module itself, on other inputs than the
example: outputs in eval mode; outputs, buffers and gradients in train mode."""
import copy
import dataclasses

import nncc
import torch


class Wrap(torch.nn.Module):
    """function(self, *args), with parts as attributes."""

    def __init__(self, function, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = function

    def forward(self, *args, **kwargs):
        return self.function(self, *args, **kwargs)


def tensors(value):
    """The tensors in nested results."""
    if isinstance(value, torch.Tensor):
        return [value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return []
    if dataclasses.is_dataclass(value):
        value = vars(value)
    items = value.values() if isinstance(value, dict) else value
    return [t for item in items for t in tensors(item)]


def close(ours, theirs, what=""):
    ours = torch.as_tensor(ours)
    torch.testing.assert_close(ours.reshape(theirs.shape), theirs.detach(),
                               rtol=1e-4, atol=1e-5,
                               msg=lambda text: f"{what}: {text}")


def check(folder, module, example, other=None, trains=True, modes=None, **how):
    """Exports on `example`, compares on `other`. `modes(module, trains)` puts a
    copy into its modes; without it, train(trains)."""
    modes = modes or (lambda m, trains: m.train(trains))
    other = example if other is None else other
    other = other if isinstance(other, (tuple, dict)) else (other,)
    nncc.export(module, example, folder, verify=False, **how)
    entries = ("forward", "train_forward", "backward") if trains else \
        ("forward",)
    compiled = nncc.compile(folder, entries=entries)
    inputs = tensors(list(other) if isinstance(other, tuple) else
                     list(other.values()))

    def run(module, trains):
        modes(module, trains)
        return tensors(module(**other) if isinstance(other, dict) else
                       module(*other))

    with torch.no_grad():
        expected = run(copy.deepcopy(module), False)
    ours = list(compiled.run("forward", *inputs).values())
    assert len(ours) == len(expected)
    for x, y in zip(ours, expected):
        close(x, y, "forward")
    if trains:
        _check_train(module, run, compiled, inputs)
    return compiled


def _check_train(module, run, compiled, inputs):
    module = copy.deepcopy(module)
    before = {n: b.clone() for n, b in module.named_buffers()}
    expected = run(module, True)
    results = compiled.run("train_forward", *inputs)
    for x, y in zip(results.values(), expected):
        close(x, y, "train_forward")
    for name, buffer in module.named_buffers():
        close(results.get(name, before[name]), buffer, name)
    floating = [y for y in expected if y.is_floating_point()]
    # Of ones, what a norm passes back is 0, and both have noise.
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(y.shape, generator=generator).to(y.dtype)
               for y in floating]
    results = compiled.run("backward", *inputs, *weights)
    if not floating:
        return
    total = sum((y * w).sum() for y, w in zip(floating, weights))
    if total.requires_grad:
        total.backward()
    for name, parameter in module.named_parameters():
        right = parameter.grad
        close(results["grad." + name], torch.zeros_like(parameter)
              if right is None else right, f"gradient of {name}")


def check_steps(compiled, module, optimizer, loss, x, y, count=3):
    """Training steps of both, by their losses."""
    for _ in range(count):
        optimizer.zero_grad()
        right = loss(module(x), y)
        right.backward()
        optimizer.step()
        close(compiled.train_step(x, y), right)
