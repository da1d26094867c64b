"""What the exporter writes, and what it refuses."""
import collections
import dataclasses
import json
import os

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

import nncc
from exported import Wrap as Parts
from exported import check
from test_compositions import Wrap


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x):
        return F.relu(x + self.conv(x) * self.scale, inplace=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.register_buffer("shift", torch.randn(4, 1, 1))
        self.head = nn.Linear(4, 4)
        self.tail = nn.Linear(4, 4)
        self.tail.weight = self.head.weight

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        n, c, h, w = x.shape
        x = (x + self.shift).view(n, c, h * w).mean(2)
        x.add_(1.0)
        return self.tail(self.head(x))


def test_structure_is_kept(tmp_path):
    nncc.export(Net(), (torch.randn(2, 4, 5, 5),), tmp_path)
    model = json.loads((tmp_path / "model.json").read_text())
    assert list(model["classes"]) == ["Block"]  # equal classes are shared
    assert model["modules"]["blocks"]["modules"] == [{"type": "Block"}] * 2
    assert model["classes"]["Block"]["modules"]["conv"] == {
        "type": "nn.Conv2d", "in_channels": 4, "out_channels": 4,
        "kernel_size": 3, "padding": 1}
    assert model["tie"] == {"tail.weight": "head.weight"}
    assert model["nodes"][0] == {"name": "blocks_0", "module": "blocks.0",
                                 "inputs": ["x"]}
    ops = [n["op"] for n in model["nodes"] if "op" in n]
    assert ops == ["torch.add", "Tensor.view", "Tensor.mean", "torch.add"]
    view = [n for n in model["nodes"] if n.get("op") == "Tensor.view"][0]
    assert view["inputs"][1:] == [2, 4, 25]  # sizes are folded


def test_values(parity):
    torch.manual_seed(0)
    parity(Net(), (torch.randn(2, 4, 5, 5),))


def test_numpy_and_torch(tmp_path):
    model = Net().eval()
    x = torch.randn(2, 4, 5, 5)
    nncc.export(model, (x,), tmp_path)
    compiled = nncc.compile(tmp_path)
    assert isinstance(compiled(x), torch.Tensor)
    assert isinstance(compiled(x.numpy()), np.ndarray)
    with pytest.raises(TypeError, match="takes 1 inputs, got 2"):
        compiled(x, x)
    with pytest.raises(TypeError, match="input x must be float32"):
        compiled(x.double())
    with pytest.raises(ValueError, match="no compiled size fits"):
        compiled(x[:1])


class Unsupported(nn.Module):
    def __init__(self):
        super().__init__()
        self.odd = nn.Sequential(nn.ReLU(), nn.Fold((4, 4), 2))

    def forward(self, x):
        return torch.linalg.norm(torch.special.i0(self.odd(x)))


def test_everything_unsupported_is_named(tmp_path):
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(Unsupported(), (torch.randn(1, 4, 9),), tmp_path)
    text = str(error.value)
    for line, what in zip(text.splitlines(), (
            "nn.Fold is not supported in odd.1", "torch.special.i0 is not "
            "supported", "torch.linalg.norm is not supported")):
        assert line.startswith(what + " (test_export.py:")
    assert not (tmp_path / "model.json").exists()


class Scale(nn.Module):
    """Arguments that are no tensors."""
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x, mask=None, double=False, factor=1.0):
        y = self.linear(x)
        if mask is not None:
            y = y * mask
        return (y * 2 if double else y) * factor


class ScaleTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Scale(), Scale()

    def forward(self, x, m):
        return self.second(self.first(x, m, True), double=False, mask=m,
                           factor=0.5)


class State(nn.Module):
    """A tuple of tensors in and out, at the top and in a class."""
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 8)

    def forward(self, x, state):
        return self.lstm(x, state)


class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.step = State()

    def forward(self, x, h, c):
        y, state = self.step(x, (h, c))
        y, (h, c) = self.step(y, state)
        return y + h, c


class Named(nn.Module):
    """A dict out, at the top and in a class."""
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        y = self.linear(x)
        return {"logits": y, "hidden": y.relu()}


class UsesNamed(nn.Module):
    def __init__(self):
        super().__init__()
        self.named = Named()

    def forward(self, x):
        result = self.named(x)
        return result["logits"] + result["hidden"]


class Mask(nn.Module):
    """A buffer that state_dict() leaves out."""
    def __init__(self):
        super().__init__()
        mask = torch.tril(torch.ones(8, 8))
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        return x @ self.mask


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = x * 2
        y += 1
        y.mul_(3)
        view = self.relu(y).view(-1)
        return view.add_(1)


class Rest(nn.Module):
    def forward(self, x, *others, factor=3):
        for other in others:
            x = x + other * factor
        return x


HIDDEN = (torch.randn(1, 2, 8), torch.randn(1, 2, 8))
torch.manual_seed(0)
X = torch.randn(4, 8)
EXPORTED = {
    "arguments": (ScaleTwice(), (X, torch.rand(4, 8))),
    "nested": (State(), (torch.randn(5, 2, 8), HIDDEN)),
    "nested_class": (Steps(), (torch.randn(1, 2, 8), *HIDDEN)),
    "dict": (Named(), (X,)),
    "dict_class": (UsesNamed(), (X,)),
    "buffer": (Mask(), (X,)),
    "in_place": (InPlace(), (X,)),
    "rest": (Rest(), (X, X * 2, X * 3)),
    "tensor": (nn.Linear(8, 3), X),
}


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [t for item in items for t in tensors(item)]


@pytest.mark.parametrize("name", EXPORTED)
def test_calls(tmp_path, name):
    model, inputs = EXPORTED[name]
    nncc.export(model, inputs, tmp_path)
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    with torch.no_grad():
        expected = tensors(model(*arguments))
    result = nncc.compile(tmp_path)(*arguments)
    result = result if isinstance(result, tuple) else (result,)
    assert len(result) == len(expected)
    for ours, theirs in zip(result, expected):
        torch.testing.assert_close(torch.as_tensor(ours), theirs)


def test_names_of_outputs(tmp_path):
    nncc.export(Named(), (X,), tmp_path)
    model = json.loads((tmp_path / "model.json").read_text())
    assert list(model["outputs"]) == ["logits", "hidden"]


def change_part(x):
    y = x * 2
    y[:, :2] = 0
    return y


def test_refused_calls(tmp_path):
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(Wrap(change_part), (X,), tmp_path)
    assert str(error.value).startswith(
        "Tensor.__setitem__ is not supported (test_export.py:")
    assert not any(tmp_path.iterdir())


@dataclasses.dataclass
class Batch:
    first: torch.Tensor
    second: torch.Tensor


Pair = collections.namedtuple("Pair", "first second")
ARGUMENTS = {
    "by name": (lambda m, ids, mask=None: ids - 2 * mask,
                {"mask": X, "ids": 2 * X}, {"ids": X, "mask": 3 * X}),
    "one dict": (lambda m, batch: batch["a"] - 2 * batch["b"],
                 ({"a": X, "b": 2 * X},), ({"a": X, "b": 3 * X},)),
    "dataclass": (lambda m, b: Batch(b.first - b.second, b.first * 2),
                  (Batch(X, 2 * X),), (Batch(X, 3 * X),)),
    "namedtuple": (lambda m, b: Pair(b.first - b.second, b.first * 2),
                   (Pair(X, 2 * X),), (Pair(X, 3 * X),)),
    "nested": (lambda m, b: {"o": [b[0]["k"], (b[1] * 2,)], "none": None},
               (({"k": X}, 2 * X),), (({"k": X}, 3 * X),)),
    "no tensors": (lambda m, x, y=None, k=2., on=True:
                   x * k if on and y is None else y, (X, None, 3., True),
                   None),
    "none at all": (lambda m: m.weight * 2, (), None),
    "one tensor twice": (lambda m, a, b: a - 2 * b, (X, X), (X, 3 * X)),
    "an input comes back": (lambda m, x: (x, x * 2), (X,), (2 * X,)),
    "one result twice": (lambda m, x: (lambda y: (y, y, y[0]))(x * 2), (X,),
                         (2 * X,)),
    "a parameter comes back": (lambda m, x: (m.weight, x * 2, m.weight),
                               (X,), (2 * X,)),
    "named twice": (lambda m, x: {"a": x, "weight": x * 2, "b": x}, (X,),
                    (2 * X,)),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(tmp_path, name):
    function, example, other = ARGUMENTS[name]

    class Model(nn.Module):
        forward = function

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8))
    check(tmp_path, Model(), example, other, trains=False)


def test_more_arguments_by_name(tmp_path):
    def forward(m, *args, **named):
        return args[0] - 2 * named["z"]
    nncc.export(Parts(forward), (X,), tmp_path, example_kwargs={"z": X})
    torch.testing.assert_close(nncc.compile(tmp_path)(X, 3 * X), -5 * X)


ORDERS = {
    "one dict": (lambda m, batch, x: batch["a"] - 2 * batch["x_a"] * x,
                 ({"a": X, "x_a": 2 * X}, X)),
    "nested": (lambda m, b: b["l"][0] - 2 * b["l"][1]["a"] * b["a b"],
               ({"l": [X, {"a": 2 * X}], "a b": 3 * X},)),
    "in a tuple": (lambda m, b, *rest: b[0]["k"] - 2 * b[0]["j"] * rest[0][7]
                   + rest[0][8], (({"k": X, "j": 2 * X}, 3 * X),
                                  {7: X, 8: 2 * X})),
    "by name": (lambda m, x, y: x - 2 * y, {"x": X, "y": 2 * X}),
}


@pytest.mark.parametrize("name", ORDERS)
def test_dicts_in_any_order(tmp_path, name):
    """Keys say what a tensor is, not its place."""
    function, example = ORDERS[name]

    def turned(value):
        if isinstance(value, tuple):
            return tuple(map(turned, value))
        return dict(reversed([(k, turned(v)) for k, v in value.items()])) \
            if isinstance(value, dict) else value

    class Model(nn.Module):
        forward = function
    module = Model()
    right = module(**example) if isinstance(example, dict) else \
        module(*example)
    nncc.export(module, example, tmp_path)
    compiled = nncc.compile(tmp_path)
    arguments = (example,) if isinstance(example, dict) else example
    for given in (arguments, tuple(map(turned, arguments))):
        torch.testing.assert_close(compiled(*given), right)
    if name == "by name":
        torch.testing.assert_close(compiled(**turned(example)), right)
    if name == "one dict":
        with pytest.raises(TypeError) as error:
            compiled({"a": X, "b": X}, X)
        assert str(error.value) == (
            "a dict of a, b does not fit the inputs batch_a, batch_x_a: give "
            "them by name")


def test_dataclasses_as_inputs(tmp_path):
    nncc.export(Parts(lambda m, b: b.first - 2 * b.second), (Batch(X, 2 * X),),
                tmp_path)
    compiled = nncc.compile(tmp_path)
    torch.testing.assert_close(compiled(Batch(X, 3 * X)), -5 * X)
    torch.testing.assert_close(compiled(Pair(X, 3 * X)), -5 * X)


def test_files(tmp_path, capsys):
    """With the user's mask, and a line that says what was written."""
    nncc.export(nn.Linear(8, 3), (X,), tmp_path)
    assert capsys.readouterr().err == (
        f"nncc: wrote {tmp_path}/model.json and weights.safetensors: 27 "
        "numbers, 108 B\n")
    mask = os.umask(0)
    os.umask(mask)
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o777 == 0o666 & ~mask
    assert len(list(tmp_path.iterdir())) == 2


class Runs(nn.Module):
    """Counts its runs."""
    runs = 0

    def forward(self, x):
        Runs.runs += 1
        return x * 2


DIRECTORIES = {
    "a file": (lambda d: d / "file", FileExistsError, "cannot write to the "
               "directory {}/file: it is a file"),
    "below a file": (lambda d: d / "file" / "new", NotADirectoryError, "cannot "
                     "write to the directory {}/file/new: not a directory"),
    "a link to nothing": (lambda d: d / "link", FileExistsError, "cannot write "
                          "to the directory {}/link: it is a link to nothing"),
    "a folder in the way": (
        lambda d: d / "full", IsADirectoryError, "cannot write to the "
        "directory {}/full: model.json in it is a folder"),
    "too long": (lambda d: d / "new" / ("n" * 300), OSError, "cannot write to "
                 f"the directory {{}}/new/{'n' * 300}: file name too long"),
    "empty": (lambda d: "", ValueError, "directory must be a path, got ''"),
    "no name": (lambda d: "a\0b", ValueError,
                "directory must be a path, got 'a\\x00b'"),
    "none": (lambda d: None, TypeError,
             "directory must be a path, got NoneType"),
    "the inputs": (lambda d: X, TypeError,
                   "directory must be a path, got Tensor"),
}


@pytest.mark.parametrize("name", DIRECTORIES)
def test_directories_that_cannot_be_written_to(tmp_path, name):
    """Found before the module runs; what was made is removed."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "full" / "model.json").mkdir(parents=True)
    before, runs = sorted(tmp_path.rglob("*")), Runs.runs
    make, kind, text = DIRECTORIES[name]
    with pytest.raises(kind) as error:
        nncc.export(Runs(), (X,), make(tmp_path))
    assert str(error.value) == text.format(tmp_path)
    assert Runs.runs == runs and sorted(tmp_path.rglob("*")) == before


def test_no_folder_is_left_behind(tmp_path):
    """Where export refuses; and one that is there stays."""
    for folder in (tmp_path / "new" / "one", tmp_path):
        with pytest.raises(nncc.UnsupportedModel):
            nncc.export(Wrap(change_part), (X,), folder)
        assert not any(tmp_path.iterdir())
    nncc.export(Wrap(lambda x: x * 2), (X,), bytes(tmp_path / "new" / "one"))
    assert len(list((tmp_path / "new" / "one").iterdir())) == 2


def said(folder, capsys, *args, **how):
    """What export says behind the size of the files."""
    capsys.readouterr()
    nncc.export(*args, folder, **how)
    return capsys.readouterr().err.partition(" B; ")[2].rstrip("\n")


def test_outputs_that_are_no_tensors(tmp_path, capsys):
    def forward(m, x):
        y = x * 2
        return {"y": y, "parts": (x.shape[0], None, "word" * 20), "scale": 0.5,
                "loss": None if m.training else y.sum()}
    assert said(tmp_path, capsys, Parts(forward), (X,)) == (
        "left out of the outputs, since they are no tensors: parts_0 (4), "
        "parts_1 (None), parts_2 ('wordwordword...dwordwordword'), scale (0.5),"
        " loss (None)")
    ours = nncc.compile(tmp_path)
    assert ours.signature("forward")[1] == ["y", "loss"]
    check(tmp_path, Parts(lambda m, x: (None, x * 2, 3)), (X,), (2 * X,))
    assert said(tmp_path, capsys, nn.Linear(8, 3), (X,)) == ""


@pytest.mark.parametrize("result", [None, 3, (), {"a": 1.0}])
def test_no_outputs(tmp_path, result):
    with pytest.raises(nncc.UnsupportedModel) as error:
        nncc.export(Parts(lambda m, x: result), (X,), tmp_path)
    assert str(error.value) == ("forward gives no tensor, so a compiled model "
                                "would compute nothing")


def test_gradients_there_are(tmp_path, capsys):
    """What optimizer.step() would use is not what a compiled step does."""
    net, target = nn.Sequential(nn.Linear(8, 3), nn.Linear(3, 3)), X[:, :3]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    how = {"loss": F.mse_loss, "targets": (target,), "optimizer": optimizer}
    assert said(tmp_path, capsys, net, (X,), **how) == ""
    F.mse_loss(net(X), target).backward()
    assert said(tmp_path, capsys, net, (X,), **how) == (
        "the gradients that parameters have now are left out, as after "
        "zero_grad(): 0.weight and 3 others")
    assert said(tmp_path, capsys, net, (X,)) == ""
    optimizer.zero_grad(set_to_none=False)
    assert said(tmp_path, capsys, net, (X,), **how) == ""
    net[1].bias.grad.fill_(1)
    assert said(tmp_path, capsys, net, (X,), **how) == (
        "the gradients that parameters have now are left out, as after "
        "zero_grad(): 1.bias")
