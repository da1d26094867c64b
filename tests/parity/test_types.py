"""Element types other than f32: the result's type and values are PyTorch's."""
import nncc
import pytest
import torch
import torch.nn.functional as F

FUNCTIONS = {
    "add": lambda x: x + x,
    "literal": lambda x: x * 2 + 1,
    "float_literal": lambda x: x * 0.1,
    "divide": lambda x: x / 3,
    "compare": lambda x: (x > 1).to(torch.float32),
    "where": lambda x: torch.where(x > 1, x, 0),
    "sum": lambda x: x.sum(1),
    "amax": lambda x: x.amax(0),
    "cat": lambda x: torch.cat([x, x.float()], 1),
    "stack": lambda x: torch.stack([x, x], 1),
    "transpose": lambda x: x.transpose(0, 1).contiguous(),
    "matmul": lambda x: torch.matmul(x, x.transpose(0, 1)),
    "tanh": torch.tanh,
    "sqrt": torch.sqrt,
    "erf": torch.erf,
    "exp": torch.exp,
    "negate": lambda x: x * -1,
    "softmax": lambda x: F.softmax(x, -1),
    "gelu": F.gelu,
    "layer_norm": lambda x: F.layer_norm(x, (20,)),
}
# Of the output's scale: a few roundings to the type.
TOLERANCE = {torch.float64: 1e-13, torch.float16: 2e-3, torch.bfloat16: 2e-2,
             torch.float32: 1e-5}


class Wrap(torch.nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x)


FLOATING = ("softmax", "gelu", "layer_norm")  # PyTorch refuses integers


def refused(folder, model, x):
    nncc.export(model, (x.float(),), str(folder))
    path = folder / "model.json"
    dtype = nncc.export.__globals__["DTYPES"][x.dtype]
    path.write_text(path.read_text().replace('"f32"', f'"{dtype}"'))
    with pytest.raises(RuntimeError) as error:
        nncc.compile(str(folder))
    assert f"input must be floating, got {dtype}" in str(error.value)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [
    torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int8, torch.uint8], ids=str)
def test_types(tmp_path, name, dtype):
    torch.manual_seed(0)
    model = Wrap(FUNCTIONS[name])
    x = (torch.rand(12, 20) * 5).to(dtype)
    if name in FLOATING and not dtype.is_floating_point:
        refused(tmp_path, model, x)
        return
    expected = model(x)
    nncc.export(model, (x,), str(tmp_path))
    result = torch.as_tensor(nncc.compile(str(tmp_path))(x))
    assert result.dtype == expected.dtype
    if not expected.is_floating_point():
        assert torch.equal(result, expected)
        return
    scale = expected.double().abs().max()
    error = (result.double() - expected.double()).abs().max() / scale
    assert error <= TOLERANCE[dtype if dtype.is_floating_point
                              else torch.float32]
