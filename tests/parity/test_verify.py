"""The exporter's last check: it lets rounding through, and nothing else."""
import json
import random

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import nncc
from nncc import verify as checking
from nncc.dropout import WithoutDropout
from nncc.state import redrawn
from nncc.verify import VerificationError, verify


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(12, 16), nn.BatchNorm1d(16)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(16, 5)

    def forward(self, x):
        x = self.drop(torch.relu(self.norm(self.fc(x))))
        return self.head(F.dropout(x, 0.3, self.training))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(12, 8, num_layers=2, dropout=0.5)

    def forward(self, x):
        y, (h, c) = self.lstm(x.reshape(2, 4, 12))
        return y.reshape(8, 8)[:, :5] + 0 * c.sum()


class Corners(nn.Module):
    """NaN, infinities and integers among the outputs."""
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        y = self.fc(x)
        return y, torch.log(y), y > 0, 1 / (y * 0)


OPTIMIZERS = {
    "none": lambda p: None,
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "adafactor": lambda p: torch.optim.Adafactor(p),
}


def case(make=Net, optimizer="adamw", dtype=torch.float32):
    torch.manual_seed(0)
    net = make().to(dtype)
    return (net, (torch.randn(8, 12).to(dtype),), F.cross_entropy,
            (torch.randint(0, 5, (8,)),),
            OPTIMIZERS[optimizer](net.parameters()))


def written(folder, net, inputs, loss=None, targets=(), optimizer=None):
    nncc.export(net, inputs, str(folder), loss=loss, targets=targets,
                optimizer=optimizer)
    return folder


def check(folder, net, inputs, loss=None, targets=(), optimizer=None):
    verify(str(folder), net, inputs, {}, loss, targets, optimizer)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [Net, Recurrent])
def test_right_models_pass(make, optimizer, tmp_path):
    given = case(make, optimizer)
    check(written(tmp_path, *given), *given)


class DropoutBlock(nn.Module):
    """Names of torch's on what is not torch's; dropout of every form."""

    def __init__(self):
        super().__init__()
        self.op, self.dropout = nn.Dropout(0.3), 0.25
        self.fc, self.head = nn.Linear(12, 16), nn.Linear(16, 5)
        self.rnn = nn.GRU(16, 16, num_layers=2, dropout=0.5)
        self.keep = Keep(0.2)

    def forward(self, x):
        x = self.op(self.fc(x)) * (1 - self.dropout)
        x = self.keep(x)
        q = F.scaled_dot_product_attention(x, x, x, None, 0.3)
        x = self.rnn(x + torch.dropout(q, 0.4, self.training))[0]
        return self.head(F.dropout(x, p=self.dropout, training=self.training))


class Keep(nn.Sequential):
    def __init__(self, p):
        super().__init__(nn.Dropout(p), KeepP(p))


class KeepP(nn.Dropout):
    def forward(self, x):
        return x * self.p


def test_dropout_is_off_and_what_has_its_name_is_not(tmp_path, capfd):
    given = case(DropoutBlock)
    written(tmp_path, *given)
    assert "not checked" not in capfd.readouterr().err
    net, rest = Named(given[0]), given[1:4]
    written(tmp_path, net, *rest)
    model = json.loads((tmp_path / "model.json").read_text())
    assert "DropoutBlock" in model["classes"]
    assert given[0].dropout == 0.25 and given[0].op.p == 0.3


def test_functions_with_dropout_in_them():
    """Those that the compiler lacks, too."""
    x, lengths = torch.randn(3, 4, 16), [4, 2, 1]
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
    rnn = nn.LSTM(16, 16, num_layers=2, dropout=0.5)
    attention = nn.MultiheadAttention(16, 2, dropout=0.5)
    for make in (lambda: attention(x, x, x)[0], lambda: rnn(x)[0],
                 lambda: rnn(packed)[0].data, lambda: F.alpha_dropout(
                     x, training=True), lambda: F.dropout1d(x, 0.3),
                 lambda: torch.feature_dropout(x, 0.3, True)):
        with WithoutDropout():
            assert torch.equal(make(), make())
        assert not torch.equal(make(), make())


class Named(nn.Module):
    """Children that are called like keys of the file."""

    def __init__(self, net):
        super().__init__()
        self.nodes, self.modules_ = net, nn.ModuleDict({"op": nn.Dropout()})

    def forward(self, x):
        return self.modules_["op"](self.nodes(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_pass(dtype, tmp_path):
    net, inputs, loss, targets, _ = case(dtype=dtype)
    written(tmp_path, net, inputs)
    check(tmp_path, net, inputs)


def test_what_is_not_finite(tmp_path):
    net, inputs, *_ = case(Corners)
    check(written(tmp_path, net, inputs), net, inputs)


def test_nothing_is_touched(tmp_path):
    given = case()
    net, inputs, loss, targets, optimizer = given
    written(tmp_path, *given)
    loss(net(*inputs), *targets).backward()
    optimizer.step()
    state = {k: v.clone() for k, v in net.state_dict().items()}
    kept = {n: p.grad.clone() for n, p in net.named_parameters()}
    moments = optimizer.state[net.head.weight]["exp_avg"].clone()
    written(tmp_path, *given)
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    expected = torch.rand(1), random.random(), np.random.rand()
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    net.norm.eval()
    check(tmp_path, *given)
    assert (torch.rand(1), random.random(), np.random.rand()) == expected
    assert net.training and not net.norm.training and net.drop.p == 0.5
    for name, value in net.state_dict().items():
        assert torch.equal(value, state[name])
    for name, p in net.named_parameters():
        assert torch.equal(p.grad, kept[name])
    assert torch.equal(optimizer.state[net.head.weight]["exp_avg"], moments)


def set_in(*path):
    *path, key, value = path

    def edit(model, _):
        for step in path:
            model = model[step]
        model[key] = value
    return edit


def add_to(name, value):
    def edit(_, weights):
        weights[name] += value
    return edit


FAULTS = {
    "epsilon": (set_in("modules", "norm", "eps", 1e-4), 'output "'),
    "bias": (add_to("head.bias", 3e-5), 'output "'),
    "momentum": (set_in("modules", "norm", "momentum", 0.11),
                 "after a training step norm.running_mean"),
    "decay": (set_in("training", "optimizer", "weight_decay", 0.02),
              "after a training step fc.weight"),
    "rate": (set_in("training", "optimizer", "lr", 0.0101),
             "after a training step fc.weight"),
    "betas": (set_in("training", "optimizer", "betas", [0.9, 0.99]),
              "after a training step optimizer.exp_avg_sq.fc.weight"),
    "clip": (set_in("training", "clip_grad_norm", 0.1),
             "after a training step fc.weight"),
    "frozen": (set_in("training", "frozen", ["fc.bias"]),
               "after a training step optimizer.exp_avg.fc.bias is missing"),
    "owned": (set_in("training", "optimizer", "params", ["head.*"]),
              "after a training step fc.weight"),
    "loss": (set_in("training", "nodes", 0, "label_smoothing", 0.01),
             "the loss"),
    "output": (set_in("outputs", ["fc"]), 'output "fc"'),
    "unknown op": (set_in("nodes", 2, "op", "F.leaky"), "nncc does not take the exported model: model.json:"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(name, tmp_path):
    given = case()
    written(tmp_path, *given)
    edit, text = FAULTS[name]
    model = json.loads((tmp_path / "model.json").read_text())
    path = tmp_path / "weights.safetensors"
    weights = load_file(path)
    edit(model, weights)
    (tmp_path / "model.json").write_text(json.dumps(model))
    save_file(weights, path)
    with pytest.raises(VerificationError) as error:
        check(tmp_path, *given)
    assert text in str(error.value)
    assert isinstance(error.value, nncc.UnsupportedModel)


class Branch(nn.Module):
    def forward(self, x):
        return x if self.given or bool(x[0, 0] == 1) else -x


def test_other_inputs(tmp_path):
    """A branch on values: the same as the module on the example only."""
    net, x = Branch(), torch.arange(1.0, 13).reshape(1, 12)
    net.given = True
    written(tmp_path, net, (x,))
    net.given = False
    with pytest.raises(VerificationError, match="on inputs drawn like them"):
        check(tmp_path, net, (x,))


class Picky(nn.Module):
    def forward(self, i, table):
        if not self.given and i.tolist() != [0, 2, 1]:
            raise ValueError("no")
        return table[i]


def test_inputs_that_mean_something(tmp_path, capfd):
    net, inputs = Picky(), (torch.tensor([0, 2, 1]), torch.randn(3, 4))
    net.given = True
    written(tmp_path, net, inputs)
    net.given = False
    check(tmp_path, net, inputs)  # the numbers stay where others are refused


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        noise = torch.rand_like(x) if self.training and self.noisy else 0
        return self.fc(x + noise)


def test_random_numbers_are_told(tmp_path, capfd):
    given = case(Noisy)
    given[0].noisy = False
    written(tmp_path, *given)
    given[0].noisy = True
    check(tmp_path, *given)
    assert "train mode draws random numbers; the training step was not " \
        "checked" in capfd.readouterr().err


def test_progress(tmp_path, capfd, monkeypatch):
    given = case()
    written(tmp_path, *given)
    monkeypatch.setattr(checking._Progress.__init__, "__defaults__", (0.0,))
    check(tmp_path, *given)
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1] == ("nncc: checking the exported model: one training step "
                         "beside PyTorch's")
    verify(tmp_path, given[0], given[1], {})
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1] == ("nncc: checking the exported model: train mode and "
                         "gradients beside PyTorch's")


def test_drawn_again():
    g = torch.Generator().manual_seed(0)
    draw = redrawn
    positive = torch.rand(100) + 1
    again = draw(positive, g)
    assert again.min() >= 1 and again.max() <= 2 and not torch.equal(
        again, positive)
    mask = torch.tensor([[0.0, float("-inf")], [0.0, 0.0]])
    assert set(draw(mask, g).flatten().tolist()) <= {0.0, float("-inf")}
    ids = torch.arange(10)
    assert sorted(draw(ids, g).tolist()) == ids.tolist()
    assert draw(torch.zeros(0, 3), g).shape == (0, 3)
    assert draw(torch.full((5,), 2.0), g).unique().numel() > 1
    assert draw(torch.ones(4, dtype=torch.bool), g).dtype == torch.bool


class Modal(nn.Module):
    """One module in eval mode, several in train mode."""
    def __init__(self, change):
        super().__init__()
        self.fc, self.norm, self.change = nn.Linear(12, 5), \
            nn.BatchNorm1d(5), change

    def forward(self, x):
        y = self.norm(self.fc(x))
        if self.training and self.change == "output":
            y = y * 1.5
        if self.training and self.change == "gradient":
            y = y + (y - y.detach())
        if self.training and self.change == "buffer":
            self.norm.num_batches_tracked.add_(1)
        if self.training and self.change == "none":
            y = y.detach()
        return y


@pytest.mark.parametrize("change,text", [
    ("output", r'output "\w+" in train mode differs by up to '),
    ("gradient", "the gradient of fc.weight differs by up to "),
    ("none", "the gradient of fc.weight differs by up to "),
    ("buffer", "after a call in train mode norm.num_batches_tracked differs in 1 of 1")
])
def test_train_mode_without_a_loss(tmp_path, change, text):
    torch.manual_seed(0)
    net, inputs = Modal(""), (torch.randn(8, 12),)
    written(tmp_path, net, inputs)
    verify(tmp_path, net, inputs, {})
    net.change = change
    with pytest.raises(VerificationError, match=text):
        verify(tmp_path, net, inputs, {})


class Stops(nn.Module):
    """Passes no gradient to some of its inputs, or another one."""

    def __init__(self, has_parameters, reads=False):
        super().__init__()
        self.reads, self.stops = reads, ()
        self.fc = nn.Linear(12, 12) if has_parameters else nn.Tanh()

    def forward(self, x, given, number):
        if "x" in self.stops:
            x = x.detach()
        y = given["y"].detach() if "y" in self.stops else given["y"]
        y = y + (y - y.detach()) * ("twice" in self.stops)
        if self.reads:
            x.numpy()
        return self.fc(x) + y * 0 + y * y, number + 1


@pytest.mark.parametrize("has_parameters", [True, False])
@pytest.mark.parametrize("stops,text", [
    ("x", "the gradient of input x differs by up to "),
    ("y", "the gradient of input given_y differs by up to "),
    ("twice", "the gradient of input given_y differs by up to ")])
def test_gradients_of_inputs(tmp_path, has_parameters, stops, text):
    torch.manual_seed(0)
    net, x = Stops(has_parameters), torch.randn(4, 12)
    inputs = (x, {"y": x}, torch.tensor(3))  # one tensor, two gradients
    written(tmp_path, net, inputs)
    verify(tmp_path, net, inputs, {})
    net.stops = (stops,)
    with pytest.raises(VerificationError, match=text):
        verify(tmp_path, net, inputs, {})


def test_inputs_that_must_have_no_gradient(tmp_path, capfd):
    torch.manual_seed(0)
    net = Stops(True, reads=True)
    inputs = (torch.randn(4, 12), {"y": torch.randn(4, 12)}, torch.tensor(3))
    nncc.export(net, inputs, tmp_path, allow_branches=True)
    net.stops = ("twice",)
    verify(tmp_path, net, inputs, {})
    assert capfd.readouterr().err.splitlines()[-1] == (
        "nncc: train mode takes no inputs that require a gradient; the "
        "gradients of inputs were not checked")


def test_integers_alone(tmp_path):
    """Nothing has a gradient."""
    net = nn.Sequential(nn.Linear(12, 5), Positive())
    written(tmp_path, net, (torch.randn(4, 12),))
    written(tmp_path, Positive(), (torch.randn(4, 12),))


class Positive(nn.Module):
    def forward(self, x):
        return (x > 0).long()
