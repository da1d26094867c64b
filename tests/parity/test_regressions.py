"""One test per bug that was found."""
import copy
import json

import nncc
import nncc.modules
import pytest
import safetensors.torch
import torch
import torch.nn as nn
import torch.nn.functional as F


def test_product_split_inside_vectors(parity):
    """A view that splits the columns of a product between its lanes."""
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(9, 60)

        def forward(self, x):
            return self.linear(x).view(4, 3, 20).transpose(0, 1)
    torch.manual_seed(0)
    parity(Heads(), (torch.randn(4, 9),), ("native", "x86-64-v3", "x86-64"))


def test_many_operands(parity):
    """More operands than one kernel call may have."""
    class Join(nn.Module):
        def forward(self, x):
            return torch.cat([x * float(i) for i in range(150)], 1)
    parity(Join(), (torch.randn(3, 2),))


@pytest.mark.parametrize("module,shape", [
    (nn.Conv2d(512, 64, 3, padding=1), (1, 512, 7, 7)),
    (nn.Conv2d(960, 64, 1), (1, 960, 7, 7)),
    (nn.Conv2d(37, 24, (11, 5), dilation=2), (1, 37, 30, 20)),
    (nn.Linear(5000, 48), (8, 5000)),
    (nn.Linear(384, 256), (64, 384)),
], ids=lambda x: type(x).__name__)
def test_rounding_of_deep_sums(module, shape, tmp_path):
    """One chain of thousands of products had five times PyTorch's error, parts
    of 384 had 1.4 times."""
    torch.manual_seed(0)
    x = torch.randn(shape)
    nncc.export(module, (x,), tmp_path)
    with torch.no_grad():
        theirs = module(x)
        exact = copy.deepcopy(module).double()(x.double())
    for cpu in ("native", "x86-64-v3", "x86-64"):
        ours = nncc.compile(tmp_path, cpu=cpu)(x)
        bound = max((theirs - exact).norm(), 2.5e-7 * exact.norm())
        assert (ours - exact).norm() <= bound, cpu


@pytest.mark.parametrize("cut", [
    lambda y: y[2:5], lambda y: y[:, 2:5], lambda y: y[:, :5],
    lambda y: y[1:, 100:], lambda y: y[:7, :101], lambda y: y[:, 64:]])
@pytest.mark.parametrize("columns", [32, 101, 128])
def test_part_of_a_product(parity, cut, columns):
    """What an epilogue keeps only a part of was written beyond its memory."""
    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(9, columns)

        def forward(self, x):
            return torch.relu(cut(self.linear(x)))
    torch.manual_seed(0)
    x = torch.randn(40, 9)
    if Part()(x).numel():
        parity(Part(), (x,), ("native", "x86-64-v3", "x86-64"), (1, 2))


def test_part_of_a_convolution(parity):
    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 40, 3, padding=1)

        def forward(self, x):
            y = self.conv(x)
            return torch.relu(y[:, 3:39, 1:5, 2:6]), torch.tanh(y[:, :, 9:])
    torch.manual_seed(0)
    parity(Part(), (torch.randn(2, 8, 10, 10),),
           ("native", "x86-64-v3", "x86-64"))


def test_part_of_attention(parity):
    class Part(nn.Module):
        def forward(self, x):
            y = torch.nn.functional.scaled_dot_product_attention(x, x, x)
            return torch.relu(y[:, 1:, 3:7, 5:21])
    torch.manual_seed(0)
    parity(Part(), (torch.randn(2, 3, 9, 24),),
           ("native", "x86-64-v3", "x86-64"))


def run_nodes(folder, nodes, **inputs):
    """The last node's value; nodes as in a model file."""
    model = {"format": "nncc-model/1",
             "inputs": {name: {"shape": list(x.shape),
                               "dtype": nncc.modules.DTYPES[
                                   x.dtype]}
                        for name, x in inputs.items()},
             "nodes": nodes, "outputs": [nodes[-1]["name"]]}
    (folder / "model.json").write_text(json.dumps(model))
    return torch.as_tensor(nncc.compile(folder)(*inputs.values()))


@pytest.mark.parametrize("literal", ["inf", "-inf", "nan"])
def test_literals_that_are_words(tmp_path, literal):
    """They were taken for 0."""
    x = torch.randn(5)
    result = run_nodes(tmp_path, [{"name": "y", "op": "torch.add",
                                   "inputs": ["x", literal]}], x=x)
    torch.testing.assert_close(result, x + float(literal), equal_nan=True)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "lt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_in_place_twins(tmp_path, name, dtype):
    """The result has the receiver's type; the receiver keeps its value."""
    x, y = torch.rand(5).to(dtype) + 1, torch.rand(5).double() + 1
    nodes = [{"name": "a", "op": f"Tensor.{name}_", "inputs": ["x", "y"]},
             {"name": "b", "op": "torch.add", "inputs": ["a", "x"]}]
    result = run_nodes(tmp_path, nodes, x=x, y=y)
    expected = getattr(x.clone(), name + "_")(y) + x
    assert result.dtype == expected.dtype
    torch.testing.assert_close(result, expected)


class Call(nn.Module):
    def __init__(self, body, *layers):
        super().__init__()
        self.body, self.layers = body, nn.ModuleList(layers)

    def forward(self, *xs):
        return self.body(*self.layers, *xs)


def call(layer, x):
    return layer(x)


F = nn.functional
EMPTY = {
    "linear": (Call(call, nn.Linear(8, 16)), (0, 8)),
    "no features": (Call(call, nn.Linear(0, 16)), (3, 0)),
    "convolution": (Call(call, nn.Conv2d(3, 8, 3, padding=1)), (0, 3, 9, 9)),
    "norms": (Call(lambda m, n, x: n(m(x)), nn.BatchNorm2d(3),
                   nn.LayerNorm(4)), (0, 3, 4, 4)),
    "pooling": (Call(call, nn.MaxPool2d(2)), (0, 3, 8, 8)),
    "softmax": (Call(lambda x: F.softmax(x, 0)), (0, 5)),
    "sum": (Call(lambda x: x.sum(0)), (0, 5)),
    "mean": (Call(lambda x: x.mean()), (0, 5)),
    "joined": (Call(lambda x, y: torch.cat([x, y, x], 0)), (0, 5), (3, 5)),
    "product": (Call(lambda x, y: x @ y), (2, 4, 0), (2, 0, 5)),
    "attention": (Call(lambda x: F.scaled_dot_product_attention(x, x, x)),
                  (0, 2, 5, 8)),
    "no keys": (Call(lambda x, y: F.scaled_dot_product_attention(x, y, y)),
                (1, 2, 3, 8), (1, 2, 0, 8)),
    "recurrent": (Call(lambda m, x: m(x)[0], nn.LSTM(5, 6)), (3, 0, 5)),
    "loss": (Call(lambda x, y: F.mse_loss(x, y)), (0, 3), (0, 3)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_tensors(tmp_path, name):
    """Divisions by zero elements ended the compiler."""
    module, *shapes = EMPTY[name]
    xs = tuple(torch.randn(shape) for shape in shapes)
    expected = module.eval()(*xs)
    nncc.export(module, xs, tmp_path)
    compiled = nncc.compile(tmp_path, entries=("forward", "backward"))
    torch.testing.assert_close(compiled(*xs), expected, equal_nan=True)
    gradients = compiled.run("backward", *xs, torch.ones_like(expected))
    parameters = dict(module.named_parameters())
    if parameters:
        module.train()(*xs).sum().backward()
    for path, parameter in parameters.items():
        torch.testing.assert_close(gradients["grad." + path], parameter.grad)
    for path, buffer in module.named_buffers():
        torch.testing.assert_close(gradients[path], buffer)


def repeated(v, times, dim):
    """Each entry of `v` along dim, `times` times in a row: what a model with
    grouped queries does with its keys."""
    shape = list(v.shape)
    shape.insert(dim + 1, times)
    v = v.unsqueeze(dim + 1).expand(shape)
    return v.reshape(*shape[:dim], shape[dim] * times, *shape[dim + 2:])


@pytest.mark.parametrize("body, shapes", [
    (lambda a, v: a @ repeated(v, 3, 0), [(6, 4, 5), (2, 5, 6)]),
    (lambda a, v: repeated(a, 3, 0) @ v, [(2, 4, 5), (6, 5, 6)]),
    (lambda a, v: repeated(a, 2, 1) @ v, [(3, 2, 5), (3, 5, 4)]),
    (lambda a, v: a @ repeated(v, 2, 1), [(3, 4, 6), (3, 3, 20)]),
    (lambda a, v: a @ repeated(v, 2, 2), [(3, 4, 6), (3, 6, 10)]),
    (lambda a, v: a @ repeated(v, 2, 0)[1:], [(3, 4, 6), (2, 6, 10)]),
    (lambda a, v: F.conv2d(repeated(a, 2, 1), v), [(1, 3, 8, 8), (4, 6, 3, 3)]),
    (lambda q, k, v: F.scaled_dot_product_attention(
        q, repeated(k, 3, 0), repeated(v, 3, 0)),
     [(6, 4, 6), (2, 5, 6), (2, 5, 6)]),
    (lambda q, k, v: F.scaled_dot_product_attention(
        q, repeated(k, 3, 1), repeated(v, 3, 1), is_causal=True),
     [(2, 6, 5, 8), (2, 2, 5, 8), (2, 2, 5, 8)]),
])
def test_repeated_rows(parity, body, shapes):
    parity(Call(body), tuple(map(torch.randn, shapes)),
           ("native", "x86-64"))


def test_many_buffers_behind_a_product(parity):
    """More masks than a kernel may have buffers."""
    def body(x, w, *masks):
        y = x @ w
        for mask in masks:
            y = torch.where(mask > 0, y, mask)
        return y
    torch.manual_seed(0)
    parity(Call(body), tuple(torch.randn(8, 8) for _ in range(82)))


class Constants(nn.Module):
    """Products and attentions of tensors that no memory holds."""

    def forward(self, x):
        ones = torch.ones(1, 4, 6, dtype=x.dtype)
        return (F.scaled_dot_product_attention(x, ones, x * 2),
                F.scaled_dot_product_attention(ones, x, ones),
                ones[0].transpose(0, 1) @ x[0], x[0] @ torch.ones(6, 5, dtype=x.dtype))


def test_products_of_constants(parity):
    """They were refused: a constant has no strides in memory."""
    torch.manual_seed(0)
    parity(Constants(), (torch.randn(1, 4, 6),))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_sequence_of_one(tmp_path, kind):
    """The initial state of one step alone is such a constant."""
    torch.manual_seed(0)
    model, x = kind(5, 6, num_layers=2), torch.randn(1, 2, 5)
    nncc.export(model, (x,), tmp_path)
    compiled = nncc.compile(tmp_path, entries=("forward", "backward"))
    torch.testing.assert_close(compiled(x)[0], model(x)[0])


def test_gradient_of_a_table(tmp_path):
    """A scatter has no elements to count code by; that was a crash."""
    torch.manual_seed(0)
    model, ids = nn.Embedding(5, 6), torch.tensor([1, 3, 1])
    nncc.export(model, (ids,), tmp_path)
    compiled = nncc.compile(tmp_path, entries=("forward", "backward"))
    up = torch.randn(3, 6)
    model(ids).backward(up)
    torch.testing.assert_close(
        compiled.run("backward", ids, up)["grad.weight"],
        model.weight.grad)


def test_gradients_of_weights_alone(tmp_path):
    """A loss without inputs: its gradients were looked for in @prepare, which
    has nothing that meets other processes."""
    class Decay(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x):
            return (self.fc.weight ** 2).sum() + self.fc.bias.exp().sum()
    torch.manual_seed(0)
    module, x = Decay(), torch.randn(2)
    nncc.export(module, (x,), tmp_path, loss=lambda y: y * 2)
    ours = nncc.compile(tmp_path, entries=("loss_and_grad",)).run(
        "loss_and_grad", x)
    (module(x) * 2).backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(torch.as_tensor(ours["grad." + name]),
                                   parameter.grad)


def test_integers_that_number_things(tmp_path):
    """Classes, rows and steps were compared and shifted in the type of the
    integers that number them: 259 is 3 in u8."""
    torch.manual_seed(0)
    shapes = {"x": ([4, 300], "f32"), "y": ([4], "u8"), "t": ([300, 2], "f32"),
              "i": ([3], "i8"), "s": ([200, 2, 3], "f32"), "n": ([2], "i16")}
    rnn = nn.RNN(3, 4)
    model = {
        "format": "nncc-model/1", "name": "m",
        "inputs": {n: {"shape": s, "dtype": d} for n, (s, d) in shapes.items()},
        "modules": {"rnn": {"type": "nn.RNN", "input_size": 3,
                            "hidden_size": 4}},
        "nodes": [
            {"name": "loss", "op": "F.cross_entropy", "inputs": ["x", "y"]},
            {"name": "rows", "op": "Tensor.__getitem__", "inputs": ["t"],
             "index": [{"value": "i"}]},
            {"name": ["h", "last"], "module": "rnn", "inputs": ["s"],
             "lengths": "n"}],
        "outputs": ["loss", "rows", "last"]}
    (tmp_path / "model.json").write_text(json.dumps(model))
    safetensors.torch.save_file(
        {"rnn." + n: t.detach() for n, t in rnn.named_parameters()},
        tmp_path / "weights.safetensors")
    x, table, sequence = (torch.randn(shapes[n][0]) for n in "xts")
    classes = torch.tensor([156, 3, 2, 1], dtype=torch.uint8)
    numbers = torch.tensor([-1, 5, -128], dtype=torch.int8)
    steps = torch.tensor([150, 20], dtype=torch.int16)
    loss, rows, last = nncc.compile(tmp_path)(x, classes, table, numbers,
                                              sequence, steps)
    torch.testing.assert_close(loss, F.cross_entropy(x, classes))
    torch.testing.assert_close(rows, table[numbers.long()])
    packed = nn.utils.rnn.pack_padded_sequence(sequence, steps.long())
    torch.testing.assert_close(last, rnn(packed)[1])


@pytest.mark.parametrize("number", [5, -4])
def test_rows_out_of_range(tmp_path, number):
    """They were moved into the range, since -1 counts from the end."""
    class Rows(nn.Module):
        def forward(self, x, i):
            return x[i]
    nncc.export(Rows(), (torch.randn(3, 2), torch.tensor([0, -1])), tmp_path)
    compiled = nncc.compile(tmp_path)
    with pytest.raises(RuntimeError) as error:
        compiled(torch.randn(3, 2), torch.tensor([0, number]))
    assert str(error.value) == f"input i: element 1 is {number}, outside [-3, 3)"


@pytest.mark.parametrize("cpu", ["native", "x86-64-v3", "x86-64"])
def test_sign_of_zero(tmp_path, cpu):
    """tanh(-0.0) was 0.0 in f32."""
    class Odd(nn.Module):
        def forward(self, x):
            return torch.stack([
                f(x) for f in (torch.tanh, torch.sin, torch.tan, torch.asin,
                               torch.atan, torch.sinh, torch.asinh, torch.atanh,
                               torch.erf, torch.expm1, torch.log1p, torch.neg,
                               torch.floor, torch.ceil, F.relu, F.gelu,
                               F.silu)])
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor([0.0, -0.0], dtype=dtype).repeat(9)
        nncc.export(Odd(), (x,), tmp_path, verify=False)
        ours, theirs = nncc.compile(tmp_path, cpu=cpu)(x), Odd()(x)
        assert torch.equal(ours.signbit(), theirs.signbit())


@pytest.mark.parametrize("cpu", ["native", "x86-64-v2"])
@pytest.mark.parametrize("to", [torch.int64, torch.int32, torch.int16,
                                torch.uint8], ids=str)
def test_integers_of_no_number(tmp_path, to, cpu):
    """LLVM may take any integer for NaN: it left a choice of NaN away where
    only an integer was made of it."""
    class Cut(nn.Module):
        def forward(self, x):
            return torch.log2(x).to(to)
    x = torch.tensor([-6, 11, 0, -90, 3, -1, 17], dtype=torch.int8)
    nncc.export(Cut(), (x,), tmp_path)
    assert torch.equal(nncc.compile(tmp_path, cpu=cpu)(x), Cut()(x))
