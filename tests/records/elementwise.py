"""Arithmetic, comparisons, functions of each element, conversions."""
import torch

from .record import B, I, Sample as S, T, more, record, second

ONE = [S(T(5, 70)), S(T(3, 1, 7)), S(T())]
# The receiver of a twin keeps its shape: these fit both.
PAIRS = [S(T(5, 70), T(5, 70)), S(T(3, 4, 7), T(4, 1)), S(T(2, 3), 1.5),
         S(T(6), 2), S(T(4, 5), T())]
# Of a number that halves do not hold: whether it is rounded shows.
ODD = [S(T(5, 70), 0.3), S(T(5, 70), T(dtype=torch.float32))]
WIDER = [S(T(3, 1, 7), T(4, 1)), S(T(), T(2, 3))]


def spelled(name, *samples, wider=(), **options):
    """torch.NAME, Tensor.NAME and the twin that changes its receiver."""
    record(f"torch.{name} Tensor.{name}", *samples, *wider, **options)
    record(f"Tensor.{name}_", *samples, **options)


for name in ("add", "sub"):
    spelled(name, *PAIRS, *ODD, S(T(4, 5), T(4, 5), alpha=2),
            S(T(5, 70), T(5, 70), alpha=0.3), S(T(5, 70), 2.7, alpha=0.3),
            wider=[*WIDER, S(T(dtype=torch.float32), T(5, 70))])
spelled("mul", *PAIRS, *ODD, S(T(6), -1),
        wider=[*WIDER, S(T(dtype=torch.float32), T(5, 70))])
for name in ("div", "pow"):
    spelled(name, *PAIRS, *ODD,
            wider=[*WIDER, S(T(dtype=torch.float32), T(5, 70))],
            within=(0.5, 3))
more("torch.pow", S(2, T(4, 5, low=0, high=4)), S(0.3, T(5, 70)),
     S(T(5, 70, low=0.5, high=3), 2.3))
record("torch.maximum Tensor.maximum torch.minimum Tensor.minimum",
       S(T(5, 70), T(5, 70)), S(T(3, 1, 7), T(4, 1)))
for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    spelled(name, *PAIRS, wider=WIDER, differentiable=False)

for name in ("exp", "erf", "sin", "cos", "neg", "abs"):
    spelled(name, *ONE)
for name in ("floor", "ceil"):
    spelled(name, *ONE)
for name in ("log", "sqrt", "rsqrt"):
    spelled(name, *ONE, within=(0.1, 4))
for name in ("exp2", "expm1", "atan", "asinh", "erfc"):
    spelled(name, *ONE)
for name in ("sinh", "cosh"):  # PyTorch's overflow early
    spelled(name, *ONE, within=(-9, 9))
for name in ("log2", "log10", "log1p"):
    spelled(name, *ONE, within=(0.1, 4))
for name in ("tan", "asin", "acos", "atanh"):
    spelled(name, *ONE, within=(-0.9, 0.9))
spelled("acosh", *ONE, within=(1.1, 4))
spelled("clamp", S(T(5, 70), -0.5, 0.5), S(T(5, 7), min=0), S(T(4), max=1.5),
        S(T(6), None, 1), S(T(6), 2.0, -1.0))

WHOLE = [S(I(5, 70, low=-50, high=50), I(5, 70, low=1, high=50)),
         S(I(4, 6, low=-99, high=99), 7),
         S(I(9, low=-50, high=50, dtype=torch.int16),
           I(9, low=1, high=9, dtype=torch.int16)),
         S(I(9, high=99, dtype=torch.uint8), I(9, low=1, high=9,
                                               dtype=torch.uint8))]
spelled("floor_divide", *WHOLE, S(T(5, 70), T(5, 70, low=0.5, high=2)),
        S(T(50, 700), 0.3), differentiable=False)
spelled("remainder", *WHOLE, S(T(5, 70), T(5, 70, low=0.5, high=2)),
        S(T(6), 1.5), S(T(5, 70), 0.3))
for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    spelled(name, *WHOLE, S(B(5, 7), B(5, 7)), differentiable=False)
for name in ("bitwise_left_shift", "bitwise_right_shift"):
    spelled(name, S(I(5, 70, low=-50, high=50), I(5, 70, high=9)),
            differentiable=False)
spelled("bitwise_not", S(I(5, 70, low=-50, high=50)), S(B(7)),
        S(I(9, high=99, dtype=torch.uint8)), differentiable=False)

record("torch.where", S(B(5, 7), T(5, 7), T(5, 7)), S(B(4, 1), T(3, 1, 7), 0),
       S(B(3), 1.5, T(3)))
record("Tensor.to", *[S(T(4, 9, low=-5, high=9), dtype=dtype) for dtype in (
    torch.float64, torch.float16, torch.int64, torch.int8, torch.bool)])
record("Tensor.float", *ONE)
record("torch.zeros_like torch.ones_like", *ONE, differentiable=False)

for of, names in {
        "sub": "subtract", "div": "divide true_divide", "mul": "multiply",
        "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
        "ge": "greater_equal", "neg": "negative", "abs": "absolute",
        "clamp": "clip", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
        "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh"}.items():
    for name in names.split():
        second(f"torch.{of}", f"torch.{name} Tensor.{name}")
