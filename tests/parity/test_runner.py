"""Compiled models from Python: what does not fit is said in a sentence."""
import re

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import nncc
from exported import Wrap


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)

    def forward(self, x, scale):
        return self.norm(self.fc(x)) * scale


torch.manual_seed(0)
X, SCALE, TARGET = torch.randn(6, 4), torch.rand(6, 1), torch.arange(6) % 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    net, path = Net(), tmp_path_factory.mktemp("model")
    nncc.export(net, (X, SCALE), str(path), loss=F.cross_entropy,
                targets=(TARGET,),
                optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    net(X, SCALE)  # moves the buffers
    torch.save(net.state_dict(), path / "state.pt")
    return path


@pytest.fixture(scope="module")
def model(folder):
    return nncc.compile(folder, entries=("forward", "train_step"))


@pytest.fixture(scope="module")
def trainable(folder):
    return nncc.compile(folder, entries=("forward", "train_forward",
                                         "backward"))


X2 = X.numpy()
BAD_CALLS = {
    "a string": (("hello", SCALE), TypeError,
                 "input x must be an array or a tensor, got str"),
    "a number": ((X, 2.0), TypeError,
                 "input scale must be an array or a tensor, got float"),
    "numbers": (([[1.0]], SCALE), TypeError, "takes 2 inputs, got 2"),
    "a module": ((nn.Linear(1, 1), SCALE), TypeError,
                 "input x must be an array or a tensor, got Linear"),
    "f64": ((X.double(), SCALE), TypeError,
            "input x must be float32, got float64"),
    "f64 array": ((X2.astype("f8"), SCALE), TypeError,
                  "input x must be float32, got float64"),
    "integers": ((X.long(), SCALE), TypeError,
                 "input x must be float32, got int64"),
    "other bytes": ((X2.astype(">f4"), SCALE), TypeError,
                    "input x must be float32, got >f4"),
    "objects": ((np.array([None]), SCALE), TypeError,
                "input x must be float32, got object"),
    "sparse": ((X.to_sparse(), SCALE), TypeError,
               "input x must be a dense tensor on the CPU, it is on "
               "torch.sparse_coo"),
    "elsewhere": ((X.to("meta"), SCALE), TypeError,
                  "input x must be a dense tensor on the CPU, it is on meta"),
    "too few": ((X,), TypeError, "takes 2 inputs, got 1; it takes x, scale"),
    "too many": ((X, SCALE, X), TypeError,
                 "takes 2 inputs, got 3; it takes x, scale"),
    "another size": ((X, SCALE[:2]), ValueError,
                     "no compiled size fits inputs of shapes [(6, 4), (2, 1)]; "
                     "compiled: [[(6, 4), (6, 1)]]: input scale is of none of "
                     "them"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_call(name, model):
    inputs, kind, text = BAD_CALLS[name]
    if name == "numbers":
        text = "input x must be an array or a tensor, got float"
    with pytest.raises(kind) as error:
        model(*inputs)
    assert str(error.value) == text


def test_names(model):
    right = model(X, SCALE)
    assert torch.equal(model(X, scale=SCALE), right)
    assert torch.equal(model(scale=SCALE, x=X), right)
    assert torch.equal(model([X, {"scale": SCALE}], None), right)
    for arguments, named, text in (
            ((X,), {"size": SCALE}, "there is no input 'size', only x, scale"),
            ((X, SCALE), {"x": X}, "input x is given twice"),
            ((), {"x": X}, "takes 2 inputs, got 1; it takes x, scale")):
        with pytest.raises(TypeError) as error:
            model(*arguments, **named)
        assert str(error.value) == text


def test_layouts(model):
    right = model(X, SCALE)
    assert torch.equal(model(X.t().contiguous().t(), SCALE), right)
    assert torch.equal(model(X.requires_grad_(), SCALE), right)
    X.requires_grad_(False)
    wide = np.zeros((12, 8), np.float32)
    wide[::-2, ::2] = X2
    ours = model(wide[::-2, ::2], SCALE.numpy())
    assert isinstance(ours, np.ndarray) and np.array_equal(ours, right.numpy())


@pytest.mark.parametrize("rate,text", [
    ("fast", "lr must be a number, got str"),
    ([0.1, 0.2], "lr must be a number, got list"),
    (-1, "lr must be at least 0 and fit into f32, got -1"),
    (1e300, "lr must be at least 0 and fit into f32, got 1e+300"),
    (float("nan"), "lr must be at least 0 and fit into f32, got nan")])
def test_rate(rate, text, model):
    with pytest.raises((TypeError, ValueError)) as error:
        model.train_step(X, SCALE, TARGET, lr=rate)
    assert str(error.value) == text


def test_rate_of_doubles(tmp_path):
    net = nn.Linear(4, 3).double()
    nncc.export(net, (X.double(),), tmp_path, loss=F.cross_entropy,
                targets=(TARGET,),
                optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    model = nncc.compile(tmp_path, entries=("train_step",))
    with pytest.raises(ValueError) as error:
        model.train_step(X.double(), TARGET, lr=float("inf"))
    assert str(error.value) == "lr must be at least 0 and fit into f64, got inf"
    model.train_step(X.double(), TARGET, lr=1e200)


def test_train_step_inputs(model):
    with pytest.raises(TypeError) as error:
        model.train_step(X, SCALE)
    assert str(error.value) == "takes 3 inputs, got 2; it takes x, scale, target"
    with pytest.raises(TypeError, match="^input target must be int64, got "
                                        "float32$"):
        model.train_step(X, SCALE, TARGET.float())
    with pytest.raises(ValueError, match="no entry 'backward' was compiled, "
                                         "only forward, train_step"):
        model.run("backward", X)


@pytest.mark.parametrize("options,text", [
    ({"threads": 0}, "threads must be a whole number of at least 1, got 0"),
    ({"threads": 2.5}, "threads must be a whole number of at least 1, got 2.5"),
    ({"seed": -1}, "seed must be a whole number from 0 to "
                   "18446744073709551615, got -1"),
    ({"dims": {"N": [-1]}}, "a size of dim N must be a whole number of at least "
                            "0, got -1"),
    ({"all_reduce": 3}, "all_reduce must be a function, got int")])
def test_options(options, text, folder):
    with pytest.raises((ValueError, TypeError)) as error:
        nncc.compile(folder, **options)
    assert str(error.value) == text


def test_folders(tmp_path, folder):
    with pytest.raises(FileNotFoundError) as error:
        nncc.compile(tmp_path / "nosuch")
    assert str(error.value) == f"there is no folder {tmp_path}/nosuch"
    with pytest.raises(FileNotFoundError) as error:
        nncc.compile(tmp_path)
    assert str(error.value) == f"{tmp_path} has no model.json"
    with pytest.raises(NotADirectoryError) as error:
        nncc.compile(folder / "model.json")
    assert "is a file: give compile the folder that nncc.export wrote" in \
        str(error.value)
    (tmp_path / "model.json").write_text("[1]")
    with pytest.raises(RuntimeError, match="a model is an object"):
        nncc.compile(tmp_path)


def test_load_state_dict(model, folder):
    state = torch.load(folder / "state.pt")
    model.load_state_dict(state)
    net = Net()
    net.load_state_dict(state)
    torch.testing.assert_close(model(X, SCALE), net.eval()(X, SCALE))
    bad = dict(state, extra=torch.ones(1))
    del bad["norm.bias"]
    bad["fc.weight"] = bad["fc.weight"][:1]
    bad["fc.bias"] = bad["fc.bias"].double()
    with pytest.raises(ValueError) as error:
        model.load_state_dict(bad)
    assert str(error.value) == (
        "the tensors do not fit the model:\n"
        "  extra is not part of the model\n"
        "  fc.bias must be float32, got float64\n"
        "  fc.weight must have shape [3, 4], got [1, 4]\n"
        "  norm.bias is missing")
    alone = nncc.compile(folder)
    with pytest.raises(RuntimeError, match="^the weights of a model without an "
                       "entry that trains cannot change: compile it with one"):
        alone.load_state_dict(state)


def test_second_derivatives(trainable):
    ours, x = trainable.module().train(), X.clone().requires_grad_()
    y = ours(x, SCALE).pow(2).sum()
    with pytest.raises(RuntimeError, match="second derivatives of a compiled "
                                           "model are not supported"):
        torch.autograd.grad(y, x, create_graph=True)


def test_no_gradient_in_eval_mode(trainable):
    ours, x = trainable.module().eval(), X.clone().requires_grad_()
    with torch.no_grad():
        assert not ours(x, SCALE).requires_grad
    y = ours(x, SCALE)
    torch.testing.assert_close(y.detach(), trainable(X, SCALE))
    with pytest.raises(RuntimeError, match="was in eval mode, which has no "
                       "gradients: call train\\(\\) before forward"):
        y.sum().backward()


def test_changes_between_forward_and_backward(trainable):
    """As in PyTorch: what backward needs must still be there."""
    for change in (lambda x, ours: x.mul_(2),
                   lambda x, ours: ours.named()["fc.weight"].data.add_(0)
                   if False else ours.named()["fc.weight"].add_(1)):
        ours, x = trainable.module().train(), X.clone()
        y = ours(x, SCALE).sum()
        with torch.no_grad():
            change(x, ours)
        with pytest.raises(RuntimeError, match="modified by an inplace"):
            y.backward()


class Power(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))

    def forward(self, x):
        return self.fc(x)


def test_backward_sees_the_buffers_of_forward(tmp_path):
    torch.manual_seed(0)
    net = Power()
    nncc.export(net, (X,), str(tmp_path))
    ours = nncc.compile(tmp_path, entries=("forward", "train_forward",
                                           "backward")).module().train()
    net.train()
    for module in (net, ours):
        (module(X) + module(2 * X).tanh()).sum().backward()
    named = ours.named()
    for name, p in net.named_parameters():
        torch.testing.assert_close(named[name].grad, p.grad)
    for name, b in net.named_buffers():
        torch.testing.assert_close(named[name], b)


def test_module_inputs(trainable):
    with pytest.raises(TypeError, match="^input x must be a tensor, got str$"):
        trainable.module()("hello", SCALE)


def test_seed(model):
    with pytest.raises(ValueError, match=re.escape(
            "step must be a whole number from 0 to 9223372036854775807, "
            "got -1")):
        model.seed(0, -1)


class Tied(nn.Module):
    """Every name that the tree of modules may hold."""

    def __init__(self):
        super().__init__()
        self.seed, self.head = nn.Linear(4, 4), nn.Linear(4, 4)
        self.head.weight = self.seed.weight
        self.inputs = nn.Sequential(nn.utils.parametrizations.weight_norm(
            nn.Linear(4, 4)), nn.BatchNorm1d(4))

    def forward(self, x):
        return self.inputs(self.head(self.seed(x).tanh()))


# Roots that are one class of torch.nn have their own names too.
ROOTS = {
    "linear": lambda: nn.Linear(4, 3),
    "norm": lambda: nn.BatchNorm1d(4),
    "lstm": lambda: nn.LSTM(4, 3),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(
        nn.Linear(4, 3)),
    "old weight norm": lambda: nn.utils.weight_norm(nn.Linear(4, 3)),
    "old spectral norm": lambda: nn.utils.spectral_norm(nn.Linear(4, 3)),
    "sequential": lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)),
    "tied": Tied,
    "bf16": lambda: nn.Linear(4, 3).bfloat16(),
    "f16": lambda: nn.Linear(4, 3).half(),
    "f64": lambda: nn.BatchNorm1d(4).double(),
}


@pytest.mark.parametrize("name", ROOTS)
def test_names_of_state(name, tmp_path):
    """The user's, both ways: files, state, load_state_dict, module()."""
    torch.manual_seed(0)
    net = ROOTS[name]()
    x = X.to(next(net.parameters()).dtype)
    nncc.export(net, (x,), tmp_path, loss=lambda y, *_: (y * y).mean(),
                optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    ours = nncc.compile(tmp_path, entries=("forward", "train_forward",
                                           "backward", "train_step"))
    own = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    assert set(load_file(tmp_path / "weights.safetensors")) == set(own)
    assert {n for n in ours.state() if n != "optimizer.step"} == set(own)
    with torch.no_grad():
        for tensor in own.values():
            tensor.mul_(2)
    ours.load_state_dict(net.state_dict())
    module = ours.module().train()
    assert set(module.state_dict()) == set(net.state_dict())
    assert set(module.named()) == set(own)
    for key, tensor in net.state_dict().items():
        assert torch.equal(module.state_dict()[key], tensor), key
    net.load_state_dict(module.state_dict())
    module.load_state_dict(net.state_dict())
    net.train()
    for one in (module, net):
        y = one(x)
        y = y[0] if isinstance(y, tuple) else y
        y.float().sin().sum().backward()
    loose = {"rtol": 0.02, "atol": 0.05} if x.element_size() == 2 else \
        {"rtol": 1e-4, "atol": 1e-5}
    for key, p in net.named_parameters():
        torch.testing.assert_close(module.named()[key].grad, p.grad, **loose)
    for key, b in net.named_buffers():
        torch.testing.assert_close(module.named()[key], b, **loose)


def test_names_of_checkpoints(tmp_path):
    """What this version wrote before had "module." in front."""
    net = nn.Linear(4, 3)
    nncc.export(net, (X,), tmp_path)
    path = tmp_path / "weights.safetensors"
    save_file({"module." + k: v for k, v in load_file(path).items()}, path)
    torch.testing.assert_close(nncc.compile(tmp_path)(X), net(X))
    ours = nncc.compile(tmp_path, entries=("forward", "backward",
                                           "train_forward"))
    ours.save(path)
    assert set(load_file(path)) == {"weight", "bias"}
    ours.module().load_state_dict({"module.weight": net.weight,
                                   "bias": net.bias})
    with pytest.raises(RuntimeError, match='Unexpected key.*"nosuch"'):
        ours.module().load_state_dict({**net.state_dict(), "nosuch": X})


def test_parameters_that_are_replaced(trainable):
    """Their values reach the compiled model's memory."""
    ours = trainable.module().train()
    right = nn.utils.parameters_to_vector(ours.parameters()) * 2
    nn.utils.vector_to_parameters(right, ours.parameters())
    expected = ours(X, SCALE)
    assert torch.equal(torch.cat([
        torch.from_numpy(trainable.state()[n]).flatten() for n, _ in
        ours.named_parameters()]), right)
    with torch.no_grad():
        trainable.state()["fc.weight"][...] /= 2
    ours.load_state_dict({**ours.state_dict(), "fc.weight":
                          ours.named()["fc.weight"] * 2}, assign=True)
    torch.testing.assert_close(ours(X, SCALE), expected)
    ours.double()
    with pytest.raises(RuntimeError) as error:
        ours(X, SCALE)
    assert str(error.value) == (
        "fc.weight is float64 [3, 4] now, the compiled model's float32 "
        "[3, 4]: convert a module before export")


def test_module_by_name(trainable):
    ours = trainable.module().train()
    torch.testing.assert_close(ours(scale=SCALE, x=X), ours(X, SCALE))
    with pytest.raises(TypeError, match="^input x is given twice$"):
        ours(X, x=X)


def test_module_without_inputs(tmp_path):
    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3))

        def forward(self):
            return self.weight.exp()
    net = Field()
    nncc.export(net, (), tmp_path)
    ours = nncc.compile(tmp_path, entries=("forward", "train_forward",
                                           "backward")).module()
    for module in (net, ours):
        module().sum().backward()
    torch.testing.assert_close(ours.named()["weight"].grad, net.weight.grad)
    torch.testing.assert_close(ours.eval()(), net())


def two(m, x, z):
    y = m.a(x)
    return y, m.b(x * 2) + m.floor.floor() + m.stopped.detach(), y > 0, z * 2


@pytest.mark.parametrize("used", [[0], [1], [0, 1], [3], [0, 3]])
def test_what_has_no_gradient(tmp_path, used):
    """It stays None, as in PyTorch, and the optimizer leaves it alone."""
    torch.manual_seed(0)
    net = Wrap(two, a=nn.Linear(4, 3), b=nn.Linear(4, 3), c=nn.Linear(4, 3),
               floor=nn.Parameter(torch.randn(3)),
               stopped=nn.Parameter(torch.randn(3)))
    net.tied = net.b
    nncc.export(net, (X, SCALE), tmp_path)
    ours = nncc.compile(tmp_path, entries=("forward", "train_forward",
                                           "backward")).module().train()
    given = []
    for module in (net, ours):
        adam = torch.optim.AdamW(module.parameters(), lr=0.1, weight_decay=0.5)
        given += [[x.clone().requires_grad_() for x in (X, SCALE)]]
        for _ in range(2):
            adam.zero_grad()
            outputs = module(*given[-1])
            sum(outputs[i].pow(2).sum() for i in used).backward()
            adam.step()
    pairs = [*zip(*given), *((p, ours.named()[n])
                             for n, p in net.named_parameters())]
    for theirs, own in pairs:
        assert (theirs.grad is None) == (own.grad is None)
        torch.testing.assert_close(own, theirs)
        if own.grad is not None:
            torch.testing.assert_close(own.grad, theirs.grad)


@pytest.mark.parametrize("frozen", [(), ("a",), ("a", "b")])
@pytest.mark.parametrize("of", [(), (0,), (1,), (0, 1)])
def test_outputs_without_a_gradient(tmp_path, frozen, of):
    """Those that nothing with a gradient reaches: in PyTorch backward fails
    there, and does not end in silence."""
    torch.manual_seed(0)
    net = Wrap(lambda m, x, z: (m.a(x), m.b(x.detach()), x.detach() * 2, z * 2,
                                (m.a(x) + z).detach(), x * 0 + z),
               a=nn.Linear(4, 4), b=nn.Linear(4, 4))
    inputs = X, torch.randn(X.shape)
    nncc.export(net, inputs, tmp_path)
    ours = nncc.compile(tmp_path, entries=("forward", "train_forward",
                                           "backward")).module().train()
    for name in frozen:
        for module in (net.get_submodule(name), ours.get_submodule(name)):
            module.requires_grad_(False)
    given = [x.clone().requires_grad_(i in of) for i, x in enumerate(inputs)]
    theirs, own = ([y.requires_grad for y in module(*given)]
                   for module in (net, ours))
    assert own == theirs
