"""What rounding may do: how far values of a compiled model may be from
PyTorch's.

A difference within 1e-5 of the scale (of the tensor, or of the slice that an
element lies in) is let through; of a larger one PyTorch's own distance from the
same run in f64 must be the cause.
"""
import numpy as np
import torch

# Of the scale, by element type.
LIMITS = {torch.float64: 1e-7, torch.float32: 1e-5, torch.float16: 4e-3,
           torch.bfloat16: 3e-2}


def largest_of(x, dims=None):
    """The largest magnitude, of all or along `dims`; NaN where one is."""
    x = x.detach()
    if dims is None:
        low, high = x.aminmax()
    else:
        low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
    return torch.maximum(high, -low)


def wide(x):
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def is_finite(x):
    return not x.numel() or bool(torch.isfinite(largest_of(x)))


class Scale:
    """Of each element of a finite tensor: the largest of its slices' maxima
    that is smallest, but no less than a thousandth of the tensor's."""

    def __init__(self, x):
        self.whole = largest_of(x)
        self.floor = (self.whole * 1e-3).clamp_min(1e-30)
        ranks = range(x.dim() if x.dim() > 1 else 0)
        self.parts = [largest_of(x, [e for e in ranks if e != d]) for d in ranks]

    def __call__(self, rows=slice(None)):
        scale = self.whole
        for d, part in enumerate(self.parts):
            scale = torch.minimum(scale, part[rows] if d == 0 else part)
        return torch.maximum(scale, self.floor)


def _parts(x):
    """Rows at a time, so that what is computed of them stays in the cache."""
    count = max(1, (1 << 18) // max(1, x[0].numel()))
    return [slice(i, i + count) for i in range(0, x.shape[0], count)]


def worst(x, right, scale):
    """The largest distance, by the scale of where it is."""
    if not x.numel():
        return 0.0
    if x.dim() == 0:
        return float((x - right).abs() / scale())
    return max(float(((x[r] - right[r]).abs() / scale(r)).max())
               for r in _parts(x))


def allowed_beside(error):
    """How far from f64 we may be where PyTorch is this far: a little more, but
    where nothing of it is right, both are noise (what cancels exactly)."""
    return error * (4 if error < 0.05 else 100)


def differs(ours, theirs, exact, limit, others=list):
    """How two tensors differ, if it is by more than rounding. `exact()` gives
    PyTorch's in f64, or None; `others()` what it gives for values that are a
    few roundings away."""
    if ours.shape != theirs.shape:
        return f"is {list(ours.shape)}, PyTorch's {list(theirs.shape)}"
    if ours.dtype != theirs.dtype:
        return f"is {ours.dtype}, PyTorch's {theirs.dtype}"
    if torch.equal(ours, theirs):
        return None
    if not theirs.is_floating_point():
        right, off = exact(), int((ours != theirs).sum())
        allowed = 0 if right is None else 4 * int((theirs != right).sum())
        return None if off <= allowed else \
            f"differs in {off} of {ours.numel()} elements"
    x, y = wide(ours), wide(theirs)
    finite = slice(None)
    if not (is_finite(x) and is_finite(y)):
        finite = x.isfinite() & y.isfinite()
        if not (finite | (x == y) | (x.isnan() & y.isnan())).all():
            return "is not finite where PyTorch's is, or the other way round"
        x, y = (torch.where(finite, v, 0) for v in (x, y))
    scale = Scale(y)
    if worst(x, y, scale) <= limit:
        return None
    right = exact()
    if right is not None:
        right = right.double()
        if isinstance(finite, torch.Tensor):
            right = torch.where(finite & right.isfinite(), right, y.double())
        off = worst(x, right, scale)
        if off <= max(limit, allowed_beside(worst(y, right, scale))):
            return None
        if off <= max((allowed_beside(worst(wide(z), y, scale))
                       for z in others() if is_finite(z)), default=0):
            return None
    return (f"differs by up to {float((x - y).abs().max()):.3g} where "
            f"PyTorch's values reach {float(y.abs().max()):.3g}")


def limit_of(tensors):
    return max([LIMITS[t.dtype] for t in tensors if t.dtype in LIMITS],
               default=1e-5)


def like(ours, theirs):
    """An array of the compiled model as a tensor; NumPy has no bf16."""
    if not isinstance(ours, torch.Tensor):
        ours = torch.from_numpy(np.asarray(ours, order="C"))
        if theirs.dtype == torch.bfloat16:
            ours = ours.view(torch.bfloat16)
    return ours


def rows_of(x):
    return (x.shape[0] if x.dim() > 1 else 1, -1)


def row_scale(largest):
    return torch.maximum(largest, largest.max() * 1e-3)


def beyond(x, right, old, limit):
    """Where two results of a step that began at `old` (null: at 0) differ by
    more than the rounding of the value and of the step: numbers of elements,
    differences, and what would have been allowed. Row by row, in few passes
    over large tensors."""
    if not right.numel():
        return None
    rows = rows_of(right)
    x, right = (wide(v).reshape(rows) for v in (x, right))
    old = None if old is None else wide(old).reshape(rows)
    off = x - right
    largest, value = largest_of(off, 1), largest_of(right, 1)
    step = value if old is None else largest_of(right - old, 1)
    if not (largest.isfinite().all() and value.isfinite().all()):
        finite = right.isfinite()
        if not torch.equal(x.isfinite(), finite):
            infinite = torch.tensor([float("inf")])
            return torch.tensor([0]), infinite, infinite * 0
        return beyond(*(v if v is None else torch.where(finite, v, 0)
                         for v in (x, right, old)), limit)
    allowed = limit * row_scale(step) + limit / 20 * value
    numbers = (largest > allowed).reshape(-1).nonzero().reshape(-1)
    if not len(numbers):
        return None
    off, allowed = off[numbers].abs(), allowed[numbers]
    row, column = (off > allowed).nonzero(as_tuple=True)
    return (numbers[row] * right.shape[1] + column, off[row, column],
            allowed[row, 0])
