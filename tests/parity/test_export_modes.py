"""What differs between eval and train mode, and contexts that stop
gradients."""
import json

import nncc
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from exported import Wrap, check, check_steps, close

torch.manual_seed(0)
X, Y = torch.randn(4, 6), torch.randn(4, 6)


def linear():
    return nn.Linear(6, 6)


class Block(nn.Module):
    """Another function in train mode."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = linear(), nn.BatchNorm1d(6)

    def forward(self, x):
        y = self.norm(self.fc(x))
        return y if self.training else F.relu(y)


class Own(nn.BatchNorm1d):
    """timm's: batch norm as a function, and what follows."""

    def forward(self, x):
        if self.training:
            self.num_batches_tracked.add_(1)
        return F.relu(F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias,
            self.training, self.momentum, self.eps))


class Super(nn.BatchNorm1d):
    def forward(self, x):
        return F.relu(super().forward(x))


class Average(nn.Module):
    """Buffers that forward changes, in place and by another tensor."""

    def __init__(self):
        super().__init__()
        self.fc = linear()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("last", torch.zeros(4, 6))

    def forward(self, x):
        y = self.fc(x)
        if self.training:
            self.count += 1
            with torch.no_grad():
                self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
            self.last = 0.5 * self.last + y.detach()
        return y * self.mean + self.count + self.last


class Swaps(nn.Module):
    """Buffers that become each other, or one that is computed."""

    def __init__(self):
        super().__init__()
        self.fc = linear()
        for i in range(4):
            self.register_buffer(f"h{i}", torch.full((6,), float(i)))

    def forward(self, x):
        y = self.fc(x) * self.h0 + self.h1 - self.h2 * self.h3
        if self.training:
            self.h0, self.h1 = self.h1, self.h0
            self.h3, self.h2 = self.h2, y.detach().mean(0)
        return y


class Frozen(nn.Module):
    """Its train() leaves a part in eval mode."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = linear(), nn.BatchNorm1d(6)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x):
        return self.norm(self.fc(x))


def saved_on_cpu(module, x):
    with torch.autograd.graph.save_on_cpu():
        return module.a(x).tanh()


def attributes_set(module, x):
    """Of modules of torch.nn, by mode and for good."""
    module.norm.momentum = 0.5 if module.training else 0.1
    module.drop.p, module.layer.eps = 0., 1.
    module.conv.stride, module.act.approximate = (2,), "tanh"
    y = module.norm(module.layer(module.drop(module.a(x))))
    return module.act(y), module.conv(y.view(2, 2, 6))


def eval_behind_train(module, x):
    y = module.a(x)
    return F.batch_norm(y, module.a.running_mean, module.a.running_var) + y


def eval_before_train(module, x):
    was = module.training
    y = module.a.eval()(x)
    module.a.train(was)
    return module.b(y) + module.a(x)


def eval_function_before_train(module, x):
    y = F.batch_norm(x, module.a.running_mean, module.a.running_var)
    return module.b(y) + module.a(x)


def without_gradient(module, x):
    with torch.no_grad():
        y = module.a(x) * 2
    return module.b(y)


def passed_without_gradient(module, x):
    """What comes back as it was given keeps its gradient."""
    y = module.a(x)
    module.drop.eval()
    with torch.no_grad():
        same = (y.to(y.dtype), y.contiguous(), F.dropout(y, 0.5, False),
                module.id(y), module.drop(y), module.none(y), module.passes(y))
        other = (y.view(4, 6), module.zero(y), y.clone())
    return sum(k * t for k, t in enumerate((*same, *other), 2))


def in_place_without_gradient(module, x):
    y = module.a(x)
    with torch.no_grad():
        y.mul_(2)
    return y


def module_in_place_without_gradient(module, x):
    y = module.a(x)
    with torch.no_grad():
        module.b(y)
    return y


def with_gradient_inside(module, x):
    with torch.no_grad():
        y = module.a(x)
        with torch.enable_grad():
            y = y + module.b(x)
    return y * 2


MODES = {
    "self.training": lambda: Wrap(
        lambda m, x: m.a(x) * 2 if m.training else m.b(x), a=linear(),
        b=linear()),
    "in a class": lambda: nn.Sequential(Block(), Block()),
    "more outputs": lambda: Wrap(
        lambda m, x: (m.a(x), m.b(x)) if m.training else m.a(x), a=linear(),
        b=Block()),
    "a function": lambda: Wrap(
        lambda m, x: F.dropout(m.a(x), 0., m.training), a=linear()),
    "own batch norm": lambda: nn.Sequential(linear(), Own(6), linear()),
    "super().forward": lambda: nn.Sequential(linear(), Super(6)),
    "forward called": lambda: Wrap(
        lambda m, x: m.b.forward(m.a.forward(x)), a=linear(),
        b=nn.BatchNorm1d(6)),
    "buffers": Average,
    "buffers that are swapped": Swaps,
    "train() of its own": Frozen,
    "no_grad": lambda: Wrap(without_gradient, a=linear(), b=linear()),
    "no_grad around a class": lambda: Wrap(
        lambda m, x: m.b(torch.no_grad()(m.a)(x)), a=Wrap(
            lambda m, x: m.a(x) * 2, a=linear()), b=linear()),
    "enable_grad": lambda: Wrap(with_gradient_inside, a=linear(), b=linear()),
    "detach": lambda: Wrap(lambda m, x: m.a(x).detach() * m.b(x).data
                           + m.b(x), a=linear(), b=linear()),
    "checkpoint": lambda: Wrap(
        lambda m, x: checkpoint(m.a, x, use_reentrant=False) * 2,
        a=nn.Sequential(linear(), nn.LayerNorm(6))),
    "set in forward": lambda: Wrap(
        lambda m, x: m.b(x) + m.a.eval()(m.b(x)), a=nn.BatchNorm1d(6),
        b=linear()),
    "reentrant checkpoint": lambda: Wrap(
        lambda m, x: checkpoint(m.a, m.b(x), use_reentrant=True) * 2,
        a=linear(), b=linear()),
    "save_on_cpu": lambda: Wrap(saved_on_cpu, a=linear()),
    "attributes set in forward": lambda: Wrap(
        attributes_set, a=linear(), norm=nn.BatchNorm1d(6), act=nn.GELU(),
        drop=nn.Dropout(0.5), layer=nn.LayerNorm(6), conv=nn.Conv1d(2, 2, 3)),
    "passed under no_grad": lambda: Wrap(
        passed_without_gradient, a=linear(), id=nn.Identity(),
        drop=nn.Dropout(0.5), zero=nn.Dropout(0.), none=nn.Sequential(),
        passes=Wrap(lambda m, x: x)),
    "a look at grad_fn": lambda: Wrap(looked_at, a=linear()),
    "a checkpoint with an argument that requires a gradient": lambda: Wrap(
        lambda m, x: checkpoint(
            lambda x, _: m.b(x), x, torch.ones(1, requires_grad=True),
            use_reentrant=True) + m.a(x), a=linear(), b=linear()),
    "eval mode behind train mode": lambda: Wrap(
        eval_behind_train, a=nn.BatchNorm1d(6)),
}


@pytest.mark.parametrize("name", MODES)
def test_modes(tmp_path, name):
    torch.manual_seed(0)
    check(tmp_path, MODES[name](), (X,), (Y,))


def test_one_graph_where_modes_agree(tmp_path):
    nncc.export(nn.Sequential(Block(), nn.Dropout(0.5)).eval(), (X,), tmp_path)
    model = json.loads((tmp_path / "model.json").read_text())
    assert "train" not in model  # only the class differs
    assert [n["op"] for n in model["classes"]["Block"]["nodes"][2:]] == \
        ["F.relu"]
    assert len(model["classes"]["Block"]["train"]["nodes"]) == 2


def test_counting_batches_needs_no_second_graph(tmp_path):
    nncc.export(nn.Sequential(linear(), Own(6)), (X,), tmp_path)
    model = json.loads((tmp_path / "model.json").read_text())
    assert list(model["train"]) == ["updates"]
    assert list(model["train"]["updates"]) == ["1.num_batches_tracked"]
    assert "train" not in model["classes"]["Own"]
    norm = model["classes"]["Own"]["nodes"][1]
    assert norm["op"] == "F.batch_norm" and norm["training"] == "mode"


def test_a_part_in_eval_mode(tmp_path):
    """A frozen batch norm, in a module that trains."""
    torch.manual_seed(0)
    module = nn.Sequential(linear(), nn.BatchNorm1d(6), nn.Sequential(
        nn.BatchNorm1d(6), nn.Dropout(0.5)))
    module[1].eval()
    module[2][1].eval()

    def modes(copied, trains):
        copied.train(trains)
        if trains:
            copied[1].eval()
            copied[2][1].eval()
    check(tmp_path, module, (X,), (Y,), modes=modes)


def test_a_part_in_train_mode(tmp_path):
    """Dropout for samples of a posterior: the whole is in eval mode."""
    module = nn.Sequential(linear(), nn.Dropout(0.5)).eval()
    module[1].train()
    nncc.export(module, (X,), tmp_path)
    compiled = nncc.compile(tmp_path)
    right = module[0](Y)
    first, second = compiled(Y), compiled(Y)
    assert not torch.equal(first, second)
    kept = first != 0
    assert 0 < kept.sum() < kept.numel()
    close(first[kept], 2 * right[kept])


def test_batch_norm_in_train_mode(tmp_path):
    module = nn.Sequential(linear(), nn.BatchNorm1d(6)).eval()
    module[1].train()
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(module, (X,), tmp_path)
    assert str(error.value).splitlines()[0] == (
        "1.num_batches_tracked is changed by forward in 1: put the module into eval "
        "mode, since entries that do not train keep their state")


def drop_path(module, x):
    if not module.training:
        return x
    mask = x.new_empty((x.shape[0], 1)).bernoulli_(0.75)
    return x + module.a(x) * mask.div_(0.75)


def test_drop_path(tmp_path):
    module = Wrap(drop_path, a=linear())
    x = torch.randn(400, 6)
    check(tmp_path, module, (x,), (x * 2,), trains=False)
    compiled = nncc.compile(tmp_path, entries=("forward", "train_forward"))
    dropped = next(iter(compiled.run("train_forward", x).values())) - x
    right = module.a(x) / 0.75
    kept = dropped.abs().sum(1) > 0
    assert 240 < kept.sum() < 360
    close(dropped[kept], right[kept])


def test_auxiliary_head(tmp_path):
    """More outputs in train mode, a loss that takes them all."""
    torch.manual_seed(0)
    module = MODES["more outputs"]()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)

    def loss(main, other, target):
        return F.mse_loss(main, target) + 0.3 * F.mse_loss(other, target)

    nncc.export(module, (X,), tmp_path, loss=loss, targets=(Y,),
                optimizer=optimizer)
    compiled = nncc.compile(tmp_path, entries=("forward", "train_step"))
    close(compiled(Y), module.eval()(Y))
    module.train()
    for _ in range(2):
        optimizer.zero_grad()
        right = loss(*module(X), Y)
        right.backward()
        optimizer.step()
        close(compiled.train_step(X, Y), right)
    state = compiled.state()
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        close(state[name], tensor, name)


def test_steps_of_swapped_buffers(tmp_path):
    torch.manual_seed(0)
    module = Swaps()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,),
                optimizer=optimizer)
    compiled = nncc.compile(tmp_path, entries=("train_step",))
    check_steps(compiled, module, optimizer, F.mse_loss, X, Y, 5)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        close(compiled.state()[name], tensor, name)


def test_no_loss_in_eval_mode(tmp_path):
    module = MODES["more outputs"]()
    nncc.export(module, (X,), tmp_path, targets=(Y,),
                loss=lambda a, b, t: F.mse_loss(a + b, t))
    with pytest.raises(RuntimeError, match='the entry loss needs a "loss"'):
        nncc.compile(tmp_path, entries=("loss",))


def test_loss_of_both_modes(tmp_path):
    """`loss` validates in eval mode."""
    torch.manual_seed(0)
    module = MODES["in a class"]()
    nncc.export(module, (X,), tmp_path, targets=(Y,), loss=F.mse_loss)
    compiled = nncc.compile(tmp_path, entries=("loss", "loss_and_grad"))
    close(compiled.run("loss", X, Y)["loss"], F.mse_loss(module.eval()(X), Y))
    close(compiled.run("loss_and_grad", X, Y)["loss"],
          F.mse_loss(module.train()(X), Y))


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 3 * g * ctx.saved_tensors[0]


def layer_drop(module, x):
    if module.training and torch.rand(()) < 0.5:
        return x
    return module.a(x)


def hooked(module, x):
    y = module.a(x)
    if y.requires_grad:
        y.register_hook(lambda g: g * 2)
    return y * 2


def looked_at(module, x):
    y = module.a(x) * 2
    if module.training:
        assert y.grad_fn.name() == "MulBackward0" and y.grad_fn == y.grad_fn
        assert isinstance(y.grad_fn, torch.autograd.graph.Node), repr(y)
    return y


def hooked_node(module, x):
    y = module.a(x) * 2
    if module.training:
        y.grad_fn.next_functions[0][0].register_hook(lambda g, _: g)
    return y


def hooked_edge(module, x):
    y = module.a(x) * 2
    if module.training:
        edge = torch.autograd.graph.get_gradient_edge(y)
        edge.node.register_prehook(lambda g: (g[0] * 2,))
    return y


def freezes(module, x):
    module.a.weight.requires_grad_(False)
    y = module.a(x)
    module.a.weight.requires_grad = True
    return y


def with_hook():
    module = nn.Sequential(linear())
    module[0].register_full_backward_hook(lambda m, i, o: (i[0] * 2,))
    return module


def saves_less(module, x):
    with torch.autograd.graph.saved_tensors_hooks(
            lambda t: t.half(), lambda t: t.float()):
        y = x * x
    return y * module.a(x)


def seeded(m, x):
    torch.manual_seed(0)
    return F.dropout(m.a(x), 0.5, m.training)


def seeded_module(m, x):
    state = torch.get_rng_state()
    if m.training:
        torch.set_rng_state(m.state)
    y = m.drop(m.a(x))
    torch.set_rng_state(state)
    return y


def seeded_generator(m, x):
    if not m.training:
        return m.a(x)
    generator = torch.Generator().manual_seed(0)
    return m.a(x) * torch.empty(4, 6).bernoulli_(0.5, generator=generator)


def seeded_besides(m, x):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return F.dropout(m.a(x), 0.5, m.training)


def with_state(module):
    module.state = torch.get_rng_state()
    return module


def seeded_in_a_hook():
    module = nn.Sequential(linear(), nn.Dropout(0.5))
    module[1].register_forward_pre_hook(
        lambda m, args: torch.manual_seed(0) and None)
    return module


def again(name, **how):
    return (lambda: Wrap(lambda m, x: checkpoint(m.a, m.b(x), **how), a=Block(),
                         b=linear()),
            f"a.norm.{name} is changed in a checkpoint, which PyTorch runs, "
            "and changes it, twice in a.norm (test_export_modes.py:LINE): "
            "leave the module out of the checkpoint")


BOTH_MODES = (
    "a batch norm is called in eval mode, then in train mode, and PyTorch's "
    "gradient of the first call takes the statistics of the second in a "
    "(test_export_modes.py:LINE): use a module for each")
HOOKED = ("{} changes a gradient, which a compiled step does not "
          "(test_export_modes.py:LINE): leave it out, or scale what is added "
          "to the loss")
SEEDED = ("{} draws the same numbers in each call, and a compiled model would "
          "draw others{} (test_export_modes.py:LINE): leave out what seeds the "
          "generator")
IN_PLACE = (" changes a in place under torch.no_grad, and PyTorch takes its "
            "gradient as if it had not (test_export_modes.py:LINE): use its "
            "result, or a clone")
FORWARD_ONLY = {
    "in place under no_grad": (
        lambda: Wrap(in_place_without_gradient, a=linear()),
        "torch.mul" + IN_PLACE),
    "a module in place under no_grad": (
        lambda: Wrap(module_in_place_without_gradient, a=linear(),
                     b=nn.ReLU(inplace=True)), "nn.ReLU" + IN_PLACE.replace(
                         "it had not", "it had not in b")),
    "both modes": (lambda: Wrap(eval_before_train, a=nn.BatchNorm1d(6),
                                b=linear()), BOTH_MODES),
    "both modes of a function": (
        lambda: Wrap(eval_function_before_train, a=nn.BatchNorm1d(6),
                     b=linear()), BOTH_MODES),
    "requires_grad": (
        lambda: Wrap(freezes, a=linear()), "requires_grad of a.weight is "
        "changed by forward (test_export_modes.py:LINE): set it before"),
    "checkpoint": again("num_batches_tracked", use_reentrant=False),
    "reentrant checkpoint": again("num_batches_tracked", use_reentrant=True),
    "saved tensors": (
        lambda: Wrap(saves_less, a=linear()),
        "torch.autograd.graph.saved_tensors_hooks may change what backward "
        "reads, which a compiled step does not (test_export_modes.py:LINE): "
        "leave it out"),
    "autograd.Function": (
        lambda: Wrap(lambda m, x: Square.apply(m.a(x)), a=linear()),
        "Square.apply has a gradient of its own, which a compiled step does "
        "not use (test_export_modes.py:LINE): write it with functions of "
        "torch"),
    "layer drop": (
        lambda: Wrap(layer_drop, a=linear()),
        "the value of lt is read by bool() (an if, while, and, or, not or "
        "assert) and would be frozen in the model (test_export_modes.py:LINE):"
        " compute with tensors, such as torch.where for a branch, or export "
        "with allow_branches=True"),
    "a seed": (lambda: Wrap(seeded, a=linear()),
               SEEDED.format("F.dropout", "")),
    "a seed before a module": (
        lambda: with_state(Wrap(seeded_module, a=linear(),
                                drop=nn.Dropout(0.5))),
        SEEDED.format("nn.Dropout", " in drop")),
    "a seeded generator": (lambda: Wrap(seeded_generator, a=linear()),
                           SEEDED.format("Tensor.bernoulli_", "")),
    "a seed besides": (lambda: Wrap(seeded_besides, a=linear()),
                       SEEDED.format("F.dropout", "")),
    "a seed in a hook": (
        seeded_in_a_hook, SEEDED.format("nn.Dropout", " in 1").replace(
            " (test_export_modes.py:LINE)", "")),
    "tensor hook": (
        lambda: Wrap(hooked, a=linear()),
        HOOKED.format("register_hook")),
    "a hook on a node": (lambda: Wrap(hooked_node, a=linear()),
                         HOOKED.format("register_hook")),
    "a hook on an edge": (lambda: Wrap(hooked_edge, a=linear()),
                          HOOKED.format("register_prehook")),
    "a checkpoint of what needs no gradient": (
        lambda: Wrap(lambda m, x: checkpoint(m.b, x, use_reentrant=True)
                     + m.a(x), a=linear(), b=linear()),
        "a reentrant checkpoint, none of whose arguments requires a gradient, "
        "gives its parts none (test_export_modes.py:LINE): use it with "
        "use_reentrant=False"),
    "backward hook": (
        with_hook, "the backward hook <lambda> of 0, which a compiled step "
        "leaves out: remove it"),
}


@pytest.mark.parametrize("name", FORWARD_ONLY)
def test_forward_only(tmp_path, name, capsys):
    """What only training cannot do: refused with a loss, else said."""
    make, text = FORWARD_ONLY[name]
    module = make()
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(module, (X,), tmp_path, loss=F.mse_loss, targets=(Y,))
    said = str(error.value).splitlines()[0]
    line = "".join(c for c in said.partition(".py:")[2].partition(")")[0])
    assert said == text.replace("LINE", line)
    assert not any(tmp_path.iterdir())
    check(tmp_path, module, (X,), (Y,), trains=False)
    assert "for forward only, since in train mode " + said in \
        capsys.readouterr().err
    with pytest.raises(RuntimeError) as error:
        nncc.compile(tmp_path, entries=("backward",))
    assert "error: the entry backward trains, and this model has no graph " \
        f"for that: {said}" in str(error.value)
