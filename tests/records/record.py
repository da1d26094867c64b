"""What a record says: the calls of a name that are tried, and on what values.

A sample is a call as PyTorch's user writes it: `Sample(T(3, 4), dim=-1)`, and
for a module `Sample(T(3, 4), make=dict(dim=-1))`, what it is constructed with.
Tensors stand in it as descriptions; `draw` gives them values.
"""
import dataclasses
import math

import torch

RECORDS = {}

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
DTYPES = FLOATS + INTEGERS + (torch.bool,)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Of this shape, with values drawn from [low, high), or normal. Without a
    dtype it has the one that a check chooses: f32 where values count."""
    shape: tuple
    dtype: torch.dtype = None
    low: float = None
    high: float = None

    def draw(self, generator, chosen=torch.float32):
        dtype = self.dtype or chosen
        if dtype == torch.bool:
            return torch.rand(self.shape, generator=generator) < 0.5
        if not dtype.is_floating_point:
            low = 0 if dtype == torch.uint8 else -100
            low = low if self.low is None else math.ceil(self.low)
            high = 100 if self.high is None else max(int(self.high), low + 1)
            return torch.randint(low, high, self.shape,
                                 generator=generator).to(dtype)
        if self.low is None:
            return torch.randn(self.shape, generator=generator).to(dtype)
        uniform = torch.rand(self.shape, generator=generator)
        return (uniform * (self.high - self.low) + self.low).to(dtype)


def T(*shape, low=None, high=None, dtype=None):
    return Tensor(shape, dtype, low, high)


def I(*shape, high, low=0, dtype=torch.int64):
    """Integers from [low, high)."""
    return Tensor(shape, dtype, low, high)


def B(*shape):
    return Tensor(shape, torch.bool)


@dataclasses.dataclass(frozen=True)
class Sample:
    args: tuple
    kwargs: dict
    make: dict

    def __init__(self, *args, make=None, **kwargs):
        object.__setattr__(self, "args", args)
        object.__setattr__(self, "kwargs", kwargs)
        object.__setattr__(self, "make", make or {})

    def within(self, low, high):
        """The same with its tensors of no other range in [low, high)."""
        def bounded(value):
            if isinstance(value, (list, tuple)):
                return type(value)(bounded(v) for v in value)
            if isinstance(value, Tensor) and value.dtype is None and \
                    value.low is None:
                return dataclasses.replace(value, low=low, high=high)
            return value
        return Sample(*bounded(self.args), make=self.make,
                      **{k: bounded(v) for k, v in self.kwargs.items()})


@dataclasses.dataclass(frozen=True)
class Record:
    """All that is known of one name.

    lacks: dtypes that PyTorch takes and nncc refuses. differentiable: gradients
    are compared. fixed: positions and names of arguments that PyTorch does not
    differentiate."""
    name: str
    samples: tuple
    lacks: tuple = ()
    differentiable: bool = True
    fixed: tuple = ()

    @property
    def is_module(self):
        return self.name.startswith("nn.")

    @property
    def is_in_place(self):
        return self.name.endswith("_") and not self.name.endswith("__")


def record(names, *samples, within=None, **options):
    """Adds a record of the same samples for each of the names (one text, with
    spaces); `within` bounds the values of tensors without a range."""
    if within:
        samples = [s.within(*within) for s in samples]
    for name in names.split():
        assert name not in RECORDS, name
        RECORDS[name] = Record(name, tuple(samples), **options)


def second(of, names):
    """Adds records of names that the definition of another has, too: they need
    no more than one sample."""
    first = RECORDS[of]
    for name in names.split():
        assert name not in RECORDS, name
        RECORDS[name] = dataclasses.replace(first, name=name,
                                            samples=first.samples[:1])


def more(name, *samples):
    """Adds samples to the record of one name."""
    RECORDS[name] = dataclasses.replace(
        RECORDS[name], samples=RECORDS[name].samples + samples)
