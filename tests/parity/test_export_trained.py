"""What the exporter refuses of losses and training, in full."""
import subprocess

import nncc
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from exported import Wrap, check, check_steps, close
from test_export_refused import X, Y, Part, linear, refusal


def becomes(m, x):
    y = m.layer(x) + m.other
    if m.training:
        m.other = m.count
    return y


def test_memory_of_two(tmp_path):
    """A tensor of the state on the memory of a parameter that is trained."""
    text = ("{} shares memory with {}, so that training changes both, which a "
            "compiled step does not: compute one of them in forward")

    def refused(module, parameter, other):
        assert refusal(tmp_path, module, (X,), loss=F.mse_loss,
                       targets=(Y,)) == text.format(parameter, other)
        check(tmp_path / "forward", module, (X,), (Y,), trains=False)
        for file in (tmp_path / "forward").iterdir():
            file.unlink()
        (tmp_path / "forward").rmdir()

    row = Part(lambda m, x: m.layer(x) + m.row)
    row.register_buffer("row", row.layer.weight.data[2])
    refused(row, "layer.weight", "row")
    both = Part(lambda m, x: m.layer(x) @ m.spare.weight)
    both.spare.weight = nn.Parameter(both.layer.weight.data)
    refused(both, "layer.weight", "spare.weight")
    both.layer.weight.requires_grad_(False)
    refused(both, "layer.weight", "spare.weight")
    flat = torch.randn(12, 12)  # parts of one memory, side by side
    parts = Wrap(lambda m, x: x @ m.a + x @ m.b * (x @ m.c),
                 a=nn.Parameter(flat[:6, ::2]), b=nn.Parameter(flat[:6, 1::2]),
                 c=nn.Parameter(flat[6:, :6]))
    check(tmp_path / "flat", parts, (X,), (Y,))


def sharing(m, x):
    y = m.layer(x) + x @ m.other
    if m.training:
        m.other = m.layer.weight.detach()
    return y


def sharing_transposed(m, x):
    if m.training:
        with torch.no_grad():
            m.other = m.layer.weight.t()
    return m.layer(x) + x @ m.other


def sharing_a_row(m, x):
    if m.training:
        m.row = m.layer.weight.data[0]
    return m.layer(x) + m.row


def sharing_a_count(m, x):
    if m.training:
        m.many.add_(1)
    y = m.layer(x) + m.row
    if m.training:
        m.row = m.many[6:].detach()
    return y


MEMORY = {
    "a weight": (sharing, "other", "layer.weight"),
    "a weight, transposed": (sharing_transposed, "other", "layer.weight"),
    "a row of a weight": (sharing_a_row, "row", "layer.weight"),
    "a buffer that is changed": (sharing_a_count, "row", "many"),
}


@pytest.mark.parametrize("name", MEMORY)
def test_a_buffer_on_memory_of_another(tmp_path, name):
    function, path, other = MEMORY[name]
    module = Part(function)
    module.other = torch.ones(6, 6)
    module.register_buffer("many", torch.zeros(12))
    module.register_buffer("row", torch.ones(6))
    said = refusal(tmp_path, module, (X,), loss=F.mse_loss, targets=(Y,))
    assert said.splitlines()[0] == (
        f"{path} shares memory with {other} after forward, so that what "
        "changes one changes both, which a compiled step does not (FILE): "
        "assign a clone")
    check(tmp_path, module, (X,), (Y,), trains=False)


def test_buffers_of_one_memory_that_may_stay(tmp_path):
    """Parts side by side, and memory of a parameter that is not trained."""
    def parts(m, x):
        y = m.a(x) + m.p * m.q + m.count * m.last.sum()
        if m.training:
            m.count = m.count + 1  # another tensor each time
            m.last = m.count[2:]
            m.p, m.q = torch.stack([m.p + 1, m.q * 2])
            m.frozen = m.b.weight.detach()
        return y + x @ m.frozen

    module = Wrap(parts, a=linear(), b=linear().requires_grad_(False))
    for name in "pq":
        module.register_buffer(name, torch.ones(6))
    module.register_buffer("count", torch.ones(6))
    module.register_buffer("last", torch.ones(4))
    module.register_buffer("frozen", torch.ones(6, 6))
    nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,))


def test_a_buffer_that_becomes_another(tmp_path):
    """It is the value of the other from then on."""
    module = nn.Sequential(Part(becomes))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module[0].count += 3
    nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,),
                optimizer=optimizer)
    compiled = nncc.compile(tmp_path, entries=("train_step",))
    check_steps(compiled, module, optimizer, F.mse_loss, X, Y)
    close(compiled.state()["0.other"], module[0].other)


def test_the_schema_is_read_once(tmp_path, monkeypatch):
    """By names, modules and optimizers alike."""
    ran, run = [], subprocess.run

    def counted(command, *args, **how):
        ran.append(command[1])
        return run(command, *args, **how)

    monkeypatch.setattr(subprocess, "run", counted)
    module = linear()
    nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,),
                optimizer=torch.optim.Adam(module.parameters()), verify=False)
    assert ran == ["schema", "compile"]


def test_odd_losses(tmp_path):
    def refused(loss, targets=(Y,)):
        return refusal(tmp_path, linear(), (X,), loss=loss, targets=targets)

    assert refused(lambda o, t: o - t) == (
        "the loss must be a floating scalar, but it gives a tensor [4, 6] of "
        "float32")
    assert refused(lambda o, t: float((o - t).sum())).splitlines()[0] == (
        "the value of sum is read by float() and would be frozen in the model "
        "(FILE): compute with tensors, such as torch.where for a branch, or "
        "export with allow_branches=True")
    assert refused(lambda o, t: torch.linalg.norm(o - t)) == (
        "torch.linalg.norm is not supported (FILE)")

    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6))

        def forward(self, o, t):
            return ((o - t) * self.weight).sum()
    assert refused(Weighted()) == (
        "the loss has parameters of its own: make it a part of the module")
    with pytest.raises(TypeError, match="an optimizer and targets need a "
                       "loss"):
        nncc.export(linear(), (X,), tmp_path, targets=(Y,))


def test_losses_that_change_the_model(tmp_path):
    module = Part(lambda m, x: m.layer(x) + m.count)
    module.norm = nn.BatchNorm1d(6)

    def refused(change):
        def loss(y, t):
            change(y)
            return F.mse_loss(y, t)
        return refusal(tmp_path, module, (X,), loss=loss, targets=(Y,))

    text = "the buffer count is changed by the loss (FILE): change it in forward"
    assert refused(lambda y: module.training and module.count.add_(1)) == text
    assert refused(lambda y: setattr(
        module, "count", torch.zeros(()))).splitlines()[0] == text
    assert refused(lambda y: module.layer.weight.data.mul_(2)).splitlines()[
        0] == ("the parameter layer.weight is changed by the loss (FILE): "
               "change it in forward")
    nncc.export(module, (X,), tmp_path, targets=(Y,),
                loss=lambda y, t: F.mse_loss(module.norm(y), t), verify=False)


def without_gradient(m, x):
    with torch.no_grad():
        return m.layer(x) * 2


ENDS = {
    "no_grad": (without_gradient, "nn.Linear in 1.layer (FILE)"),
    "a module in no_grad": (lambda m, x: torch.no_grad()(m.layer)(x),
                            "nn.Linear in 1.layer (FILE)"),
    "detach": (lambda m, x: torch.relu(m.layer(x).detach() + 1),
               "Tensor.detach in 1 (FILE)"),
    "data": (lambda m, x: F.linear(x, m.layer.weight.data, m.layer.bias.data),
             "Tensor.detach in 1 (FILE)"),
    "comparison": (lambda m, x: (m.layer(x) > 0).float(),
                   "torch.gt in 1 (FILE)"),
    "integers": (lambda m, x: m.layer(x).long() * 1.0,
                 "Tensor.to in 1 (FILE)"),
}


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", ENDS)
def test_losses_without_a_gradient(tmp_path, name, verify):
    function, where = ENDS[name]
    module = nn.Sequential(nn.Identity(), Part(function))
    assert refusal(tmp_path, module, (X,), loss=F.mse_loss, targets=(Y,),
                   verify=verify) == (
        f"the gradient of the loss ends at {where}: leave out torch.no_grad "
        "and detach, and compute with floats")


def test_losses_of_what_is_frozen(tmp_path):
    for module in (linear().requires_grad_(False), nn.ReLU()):
        assert refusal(tmp_path, module, (X,), loss=F.mse_loss,
                       targets=(Y,)) == (
            "the loss depends on no parameter that requires a gradient: set "
            "requires_grad before export")


def test_a_checkpoint_of_what_is_frozen(tmp_path):
    """It has no gradient to give."""
    module = Wrap(lambda m, x: checkpoint(m.b, x, use_reentrant=True) + m.a(x),
                  a=linear(), b=linear().requires_grad_(False))
    nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,))


def test_bare_target(tmp_path):
    nncc.export(linear(), X, tmp_path, loss=F.mse_loss, targets=Y)


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_loss_of_one_element(tmp_path, shape):
    """PyTorch's backward() takes it in any dimensions."""
    def loss(y, t):
        return F.mse_loss(y, t).reshape(shape)
    module = linear()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    nncc.export(module, (X,), tmp_path, loss=loss, targets=(Y,),
                optimizer=optimizer, verify=True)
    ours = nncc.compile(tmp_path, entries=("train_step",))
    value = loss(module(X), Y)
    value.backward()
    optimizer.step()
    assert ours.train_step(X, Y) == pytest.approx(value.item(), rel=1e-5)
    assert torch.allclose(torch.tensor(ours.state()["weight"]), module.weight,
                          atol=1e-6)
