"""Values and gradients at corners, poles, ties, infinities and NaN are
PyTorch's, in f32 and f64 (corners.py has the points)."""
import pytest
import torch

from corners import INF, NAN, Sweep, both, grid, pairs, rows

UNARY = ["exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt",
         "rsqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
         "tanh", "asinh", "acosh", "atanh", "sigmoid", "erf", "erfc", "floor",
         "ceil", "neg", "abs", "relu"]
BINARY = ["add", "sub", "mul", "div", "pow", "maximum", "minimum"]
COMPARE = ["eq", "ne", "lt", "le", "gt", "ge"]


def elementwise(dtype):
    s, x = Sweep(), grid(dtype)
    for name in UNARY:
        # PyTorch's f64 vectors overflow here, and cosh(710) is 1.1e308.
        wide = dtype == torch.float64 and name in ("sinh", "cosh")
        s.op("torch." + name, x[x.abs() != 710] if wide else x)
    for name in BINARY + COMPARE:
        s.op("torch." + name, *pairs(dtype))
    for e in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, -0.5, -1.0, -1.5, -2.0,
              -2.5, -3.0):
        s.op("torch.pow", x, e)
    for base in (0.0, 1.0, 2.0):
        s.op("torch.pow", torch.full_like(x, base), x)
    for low, high in ((0.0, 1.0), (-1.0, INF), (2.0, -2.0), (0.0, 0.0),
                      (NAN, 1.0), (-1.0, NAN)):
        s.op("torch.clamp", x, min=low, max=high)
    s.op("torch.clamp", x, min=1.0)
    s.op("torch.clamp", x, max=1.0)
    s.op("torch.div", x, 0.0)
    s.op("torch.mul", x, INF)
    a, b = pairs(dtype)
    s.op("torch.where", a > 0, a, b)
    s.add("floor_divide", [a, b], [
        ("a", "Tensor.detach", ["x0"], {}), ("b", "Tensor.detach", ["x1"], {}),
        ("y", "torch.floor_divide", ["a", "b"], {})])
    # Beyond ratios of 2^60 PyTorch's vectors have NaN, its scalars a number.
    s.op("torch.remainder", *pairs(
        dtype, both([0.0, 0.5, 1.0, 2.5, 3.0, 100.0, INF]) + [NAN]))
    s.op("F.relu6", x)
    s.op("F.silu", x)
    # PyTorch's f32 sum cancels between these.
    s.op("F.gelu", x[~((x < -2.9) & (x > -17))])
    s.op("F.gelu", x, approximate="tanh")
    s.op("F.dropout", x, p=0.0, training=True)
    return s


def compositions(dtype):
    """What people write, with its corners."""
    s, x = Sweep(), grid(dtype)
    p, q = pairs(dtype)

    def unary(name, *steps, of=x):
        nodes, last = [], "x0"
        for i, (op, *rest) in enumerate(steps):
            arguments = [last if a == "." else a for a in rest] or [last]
            nodes.append((f"t{i}", op, arguments, {}))
            last = f"t{i}"
        s.add(name, [of], nodes)
    unary("sqrt(x^2)", ("torch.pow", ".", 2.0), ("torch.sqrt",))
    unary("|x|^0.5", ("torch.abs",), ("torch.pow", ".", 0.5))
    unary("1/|x|", ("torch.abs",), ("torch.pow", ".", -1.0))
    unary("x^-2", ("torch.pow", ".", -2.0))
    unary("log(relu)", ("torch.relu",), ("torch.log",))
    unary("sqrt(relu)", ("torch.relu",), ("torch.sqrt",))
    unary("log(sigmoid)", ("torch.sigmoid",), ("torch.log",))
    unary("log(1 + exp)", ("torch.exp",), ("torch.log1p",))
    unary("exp(-exp)", ("torch.exp",), ("torch.neg",), ("torch.exp",))
    unary("tanh(relu)", ("torch.relu",), ("torch.tanh",))
    unary("relu(relu6)", ("F.relu6",), ("torch.relu",))
    unary("clamp log", ("torch.clamp", ".", 1e-12), ("torch.log",))
    unary("rsqrt(x x + eps)", ("torch.mul", ".", "."),
          ("torch.add", ".", 1e-6), ("torch.rsqrt",))
    s.add("where(x > 0, log x, 0 x)", [x], [
        ("c", "torch.gt", ["x0", 0.0], {}), ("l", "torch.log", ["x0"], {}),
        ("z", "torch.mul", ["x0", 0.0], {}),
        ("y", "torch.where", ["c", "l", "z"], {})])
    s.add("max(x, y) - min(x, y)", [p, q], [
        ("a", "torch.maximum", ["x0", "x1"], {}),
        ("b", "torch.minimum", ["x0", "x1"], {}),
        ("y", "torch.sub", ["a", "b"], {})])
    s.add("sqrt(x x + y y)", [p, q], [
        ("a", "torch.mul", ["x0", "x0"], {}),
        ("b", "torch.mul", ["x1", "x1"], {}),
        ("c", "torch.add", ["a", "b"], {}), ("y", "torch.sqrt", ["c"], {})])
    s.add("x / (|x| + |y|)", [p, q], [
        ("a", "torch.abs", ["x0"], {}), ("b", "torch.abs", ["x1"], {}),
        ("c", "torch.add", ["a", "b"], {}),
        ("y", "torch.div", ["x0", "c"], {})])
    r = rows(dtype)
    s.add("norm of rows", [r], [
        ("a", "torch.mul", ["x0", "x0"], {}),
        ("b", "torch.sum", ["a"], {"dim": 1}),
        ("y", "torch.sqrt", ["b"], {})])
    s.add("log softmax of softmax", [r], [
        ("a", "F.softmax", ["x0"], {"dim": 1}), ("y", "torch.log", ["a"], {})])
    return s


def reductions(dtype):
    s, r = Sweep(sums=True), rows(dtype)
    for name in ("sum", "mean", "amax"):
        for dim in (0, 1):
            for keep in (False, True):
                s.op("torch." + name, r, dim=dim, keepdim=keep)
    for dim in (0, 1):
        s.op("F.softmax", r, dim=dim)
        s.op("F.log_softmax", r, dim=dim)
    s.op("F.layer_norm", r, normalized_shape=[5])
    constant = torch.full((3, 5), 2.0, dtype=dtype)
    constant[1] = torch.arange(5)
    s.op("F.layer_norm", constant, normalized_shape=[5])
    s.op("F.layer_norm", constant, normalized_shape=[5], eps=0.0)
    s.op("F.batch_norm", constant, None, None, training=True)
    one = torch.tensor([[1.0], [2.0], [2.0], [-INF]], dtype=dtype)
    s.op("F.softmax", one, dim=1)
    s.op("F.layer_norm", one[:3].contiguous(), normalized_shape=[1])
    return s


def windows(dtype):
    s = Sweep()
    x = torch.tensor([[
        [1.0, 1.0, 0.0, -0.0, NAN, 2.0, -INF, -INF],
        [1.0, 1.0, -0.0, 0.0, 1.0, NAN, -INF, -INF],
        [2.0, 3.0, INF, INF, 5.0, 5.0, NAN, NAN],
        [3.0, 3.0, INF, 1.0, 5.0, 4.0, NAN, NAN]]], dtype=dtype)
    s.op("F.max_pool2d", x, kernel_size=2)
    s.op("F.max_pool2d", x, kernel_size=3, stride=1)
    s.op("F.max_pool1d", x[0].contiguous(), kernel_size=3, stride=2)
    s.op("F.max_pool3d", x[None].contiguous(), kernel_size=[1, 2, 2])
    s.op("F.avg_pool2d", x, kernel_size=2)
    s.op("F.avg_pool2d", x, kernel_size=3, padding=1, stride=2)
    s.op("F.adaptive_avg_pool2d", x, output_size=[2, 3])
    wide = torch.arange(49, dtype=dtype)[None] * 0.25
    wide[0, 20] = INF
    for size in (33, 48, 49, 50, 130):  # many windows of few elements
        s.op("F.adaptive_avg_pool1d", wide, output_size=size)
    for stride in (1, 2, 3):
        s.op("F.max_pool2d", x, kernel_size=3, stride=stride, padding=1)
    s.op("F.max_pool2d", x, kernel_size=2, padding=1, ceil_mode=True)
    s.op("F.max_pool2d", x, kernel_size=2, padding=1, dilation=3)
    return s


def losses(dtype):
    s = Sweep(sums=True)
    p, q = pairs(dtype)
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        s.op("F." + name, p, q, reduction="none")
    s.op("F.kl_div", p, q.abs(), reduction="none")
    s.op("F.smooth_l1_loss", p, q, reduction="none", beta=0.5)
    s.op("F.smooth_l1_loss", p, q, reduction="none", beta=0.0)
    s.op("F.huber_loss", p, q, reduction="none", delta=0.5)
    s.op("F.kl_div", p, q, reduction="none", log_target=True)
    for reduction in ("none", "mean", "sum"):
        s.op("F.binary_cross_entropy_with_logits", *pairs(
            dtype, both([0.0, 0.5, 1.0, 20.0, 104.0, 1e5]) + [NAN]),
            reduction=reduction)
    inside = torch.finfo(dtype).eps
    x, t = pairs(dtype, [0.0, inside, 0.3, 0.5, 1 - inside, 1.0])
    s.op("F.binary_cross_entropy", x, t, reduction="none")
    s.add("bce with weight", [x, t, t.clone()], [
        ("y", "F.binary_cross_entropy", ["x0", "x1"],
         {"reduction": "sum", "weight": "x2"})])
    logits, hit = pairs(dtype, both([0.0, 1.0, 20.0, 104.0, 1e5]))
    hit = (hit > 0).to(dtype)
    s.add("bce with pos_weight", [
        logits, hit, torch.full((1,), 3.0, dtype=dtype)], [
        ("y", "F.binary_cross_entropy_with_logits", ["x0", "x1"],
         {"reduction": "none", "pos_weight": "x2"})])
    numbers = grid(dtype)[:-1]
    for t in (0.0, 0.5, 1.0):
        s.add(f"bce(sigmoid), {t}", [numbers, torch.full_like(numbers, t)], [
            ("a", "torch.sigmoid", ["x0"], {}),
            ("y", "F.binary_cross_entropy", ["a", "x1"],
             {"reduction": "none"})])
    classes(s, dtype)
    return s


def weighted(s, x, target, weight, **attributes):
    s.add(f"cross entropy with weights {attributes}", [x, target, weight], [
        ("y", "F.cross_entropy", ["x0", "x1"],
         {"weight": "x2", **attributes})])


def classes(s, dtype):
    r = rows(dtype)
    target = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2])
    ignored = torch.full_like(target, -100)
    some = torch.where(target == 1, ignored, target)
    weight = torch.tensor([1.0, 0.0, 2.0, 0.5, 0.0], dtype=dtype)
    for reduction in ("none", "mean", "sum"):
        for t in (target, some, ignored):
            s.op("F.cross_entropy", r, t, reduction=reduction)
            s.op("F.nll_loss", r, t, reduction=reduction)
        weighted(s, r, some, weight, reduction=reduction)
        s.op("F.cross_entropy", r[:3].contiguous(), some[:3],
             reduction=reduction, label_smoothing=0.1)
        weighted(s, r[:2].contiguous(), target[:2], weight,
                 reduction=reduction, label_smoothing=1.0)
    zero = torch.zeros(5, dtype=dtype)
    weighted(s, r[:2].contiguous(), target[:2], zero)
    odds = torch.tensor([[1.0, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0]], dtype=dtype)
    s.op("F.cross_entropy", r[:2].contiguous(), odds)
    s.op("F.cross_entropy", r[8:10].contiguous(), odds, label_smoothing=0.2)


FAMILIES = {f.__name__: f for f in (elementwise, compositions, reductions,
                                    windows, losses)}


# Other CPUs compute functions by other instructions.
@pytest.mark.parametrize("family, cpu", [
    (family, cpu) for family in FAMILIES
    for cpu in ("native", "x86-64-v3", "x86-64")
    if cpu == "native" or family in ("elementwise", "compositions")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_corners(tmp_path, family, dtype, cpu):
    found = FAMILIES[family](dtype).mismatches(tmp_path, cpu)
    assert not found, "\n".join(found)
