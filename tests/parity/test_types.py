"""Element types other than f32: the result's type and values are PyTorch's."""
import nncc
import nncc.modules
import pytest
import torch
import torch.nn.functional as F

from test_compositions import Pair, Wrap

# What single calls give is in the records (test_record_types.py): here
# operators with Python's numbers, and several types in one graph.
FUNCTIONS = {
    "literal": lambda x: x * 2 + 1,
    "float_literal": lambda x: x * 0.1,
    "negate": lambda x: x * -1,
    "reversed": lambda x: 3 - x,
    "reciprocal": lambda x: 3 / x,
    "power": lambda x: 2 ** x,
    "cube": lambda x: x ** 3,
    "maximum": lambda x: torch.maximum(x, x * 3),
    "cat": lambda x: torch.cat([x, x.float()], 1),
    "matmul": lambda x: torch.matmul(x, x.transpose(0, 1)),
}
# Of the output's scale: a few roundings to the type.
TOLERANCE = {torch.float64: 1e-13, torch.float16: 2e-3, torch.bfloat16: 2e-2,
             torch.float32: 1e-5}


DTYPES = [torch.float64, torch.float16, torch.bfloat16, torch.int64,
          torch.int32, torch.int16, torch.int8, torch.uint8]


def samples(dtype, shape, seed=0):
    """Integers over the whole range of the small types."""
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        return (torch.randn(shape, generator=generator) * 3).to(dtype)
    low, high = (0, 256) if dtype == torch.uint8 else (-128, 128)
    return torch.randint(low, high, shape, generator=generator).to(dtype)


def compare(result, expected):
    assert result.dtype == expected.dtype
    if not expected.is_floating_point():
        assert torch.equal(result, expected)
        return
    result, exact = result.double(), expected.double()
    finite = exact.isfinite()
    assert torch.equal(result.isnan(), exact.isnan())
    assert torch.equal(result[exact.isinf()], exact[exact.isinf()])
    scale = exact[finite].abs().max()
    error = (result - exact)[finite].abs().max() / scale
    assert error <= TOLERANCE[expected.dtype]


# x86-64 has no instruction for halves.
@pytest.mark.parametrize("dtype,cpu", [(d, "native") for d in DTYPES] + [
    (torch.float16, "x86-64"), (torch.bfloat16, "x86-64")], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_types(tmp_path, name, dtype, cpu):
    model = Wrap(FUNCTIONS[name])
    x = samples(dtype, (12, 20))
    nncc.export(model, (x,), str(tmp_path))
    compiled = nncc.compile(str(tmp_path), cpu=cpu)
    compare(torch.as_tensor(compiled(x)), model(x))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numbers_over_tensors(tmp_path, dtype):
    """PyTorch takes the reciprocal first: infinite where it is, and rounded."""
    model = Wrap(lambda x: (3 / x, 0.3 / x, 0 / x))
    x = torch.cat([samples(dtype, (12, 20)).flatten(),
                   torch.tensor([0, 1e-5, -1e-39, 1e-310]).to(dtype)])
    nncc.export(model, (x,), str(tmp_path))
    for result, expected in zip(nncc.compile(str(tmp_path))(x), model(x)):
        result = torch.as_tensor(result)
        assert torch.equal(result.isnan(), expected.isnan())
        assert torch.equal(result.nan_to_num(), expected.nan_to_num())


INTEGERS_BESIDE = {
    "arithmetic": lambda x, i: (x + i, i - x, x * i, i * x, i / x),
    "remainder": lambda x, i: (torch.remainder(i, x), torch.remainder(x, i)),
    "compare": lambda x, i: (x < i, x == i, i >= x),
    "in place": lambda x, i: (x.clone().add_(i), x.clone().mul_(i)),
    "rank 0": lambda x, i: (x + i[0, 0], i[0, 0] * x, x * i[0, 0],
                            x / i[0, 0], i[0, 0] - x),
}


@pytest.mark.parametrize("dtype", [torch.int64, torch.int16], ids=str)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", INTEGERS_BESIDE)
def test_integers_beside_halves(tmp_path, name, half, dtype):
    """They are rounded to the half before anything is done with them."""
    model = Pair(INTEGERS_BESIDE[name])
    i = (torch.arange(240).reshape(12, 20) * 41 - 4099).to(dtype)
    x = samples(half, (12, 20)) * 100
    x[:6] = i[:6]
    nncc.export(model, (x, i), str(tmp_path))
    for result, expected in zip(nncc.compile(str(tmp_path))(x, i),
                                model(x, i)):
        result = torch.as_tensor(result)
        assert result.dtype == expected.dtype
        assert torch.equal(result.nan_to_num(), expected.nan_to_num())


@pytest.mark.parametrize("cpu", ["native", "x86-64-v3", "x86-64"])
@pytest.mark.parametrize("dtype", DTYPES + [torch.bool], ids=str)
def test_conversions(tmp_path, dtype, cpu):
    types = [t for t in DTYPES + [torch.float32, torch.bool] if t != dtype]
    x = samples(torch.int8, (5, 21)) > 0 if dtype == torch.bool else \
        samples(dtype, (5, 21))
    model = Wrap(lambda x: tuple(x.to(to) for to in types))
    nncc.export(model, (x,), str(tmp_path))
    results = nncc.compile(str(tmp_path), cpu=cpu)(x)
    for result, expected in zip(results, model(x)):
        assert torch.equal(torch.as_tensor(result), expected)


@pytest.mark.parametrize("cpu", ["native", "x86-64"])
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_halves_bit_by_bit(tmp_path, half, cpu):
    def run(x, to, folder):
        nncc.export(Wrap(lambda x: x.to(to)), (x,), str(folder))
        compiled = nncc.compile(str(folder), cpu=cpu)
        return torch.as_tensor(compiled(x))

    def same(x, y):
        assert torch.equal(x.isnan(), y.isnan())
        number = ~y.isnan()
        assert torch.equal(x[number], y[number])
        assert torch.equal(x[number].signbit(), y[number].signbit())

    every = torch.arange(-2**15, 2**15).to(torch.int16).view(half)
    same(run(every, torch.float32, tmp_path / "widen"), every.float())
    # Every half, its neighbours in f32, and the ties between two halves.
    bits = every.float().view(torch.int32)
    x = torch.cat([bits + d for d in (-1, 0, 1, 0x0fff, 0x1000, 0x1001, 0x7fff,
                                      0x8000, 0x8001)]).view(torch.float32)
    same(run(x, half, tmp_path / "narrow"), x.to(half))


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.LayerNorm(32)
        self.qkv = torch.nn.Linear(32, 96)

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).reshape(2, 40, 3, 4, 8) \
            .permute(2, 0, 3, 1, 4).unbind(0)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(50, 16)
        self.lstm = torch.nn.LSTM(16, 24, batch_first=True)

    def forward(self, x):
        return self.lstm(self.table(x))[0]


def convolutional():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 20, 3, padding=1), torch.nn.BatchNorm2d(20),
        torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(20, 20, 3, groups=20, stride=2, padding=1),
        torch.nn.ConvTranspose2d(20, 8, 2, stride=2), torch.nn.Flatten(),
        torch.nn.Linear(8 * 8 * 10, 7))


NETWORKS = {"convolutional": (convolutional, (2, 3, 17, 19)),
            "attention": (Attention, (2, 40, 32)),
            "recurrent": (Recurrent, None)}


@pytest.mark.parametrize("cpu", ["native", "x86-64-v3", "x86-64"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16,
                                   torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(tmp_path, name, dtype, cpu):
    """Norms of the error against f64: at most 1.5 times PyTorch's own."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    model = make().eval().to(dtype)
    x = torch.randn(shape).to(dtype) if shape else torch.randint(50, (3, 9))
    theirs = model(x).detach()
    nncc.export(model, (x,), str(tmp_path))
    ours = torch.as_tensor(nncc.compile(str(tmp_path), cpu=cpu)(x))
    assert ours.dtype == dtype
    model.double()
    exact = model(x.double() if shape else x).detach()
    distance = (theirs.double() - exact).norm()
    floor = 1e-15 * exact.norm()  # f64 beside itself
    assert (ours.double() - exact).norm() <= 1.5 * distance + floor


RANKS = {"add": lambda x, y: x + y, "less": lambda x, y: (x < y).float(),
         "reversed": lambda x, y: y * x,
         "where": lambda x, y: torch.where(x > 1, x, y),
         "maximum": lambda x, y: torch.maximum(y, x)}


@pytest.mark.parametrize("name", RANKS)
@pytest.mark.parametrize("rank0", [torch.float64, torch.float32, torch.int64,
                                   torch.bool], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int32,
                                   torch.uint8, torch.bool], ids=str)
def test_rank_0_beside_others(tmp_path, name, dtype, rank0):
    x = (torch.arange(6).reshape(2, 3) % 4).to(dtype)
    y = torch.tensor(2, dtype=rank0)
    expected = RANKS[name](x, y)
    nncc.export(Pair(RANKS[name]), (x, y), str(tmp_path))
    result = torch.as_tensor(nncc.compile(str(tmp_path))(x, y))
    assert result.dtype == expected.dtype
    assert torch.equal(result, expected)
