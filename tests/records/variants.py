"""Calls near a sample's: sizes, ranks, element types and numbers of one place
changed, arguments left out or null. PyTorch takes some and refuses others."""
import dataclasses

import torch

from .record import Sample, Tensor

INF, NAN = float("inf"), float("nan")
OTHER_TYPES = {torch.int64: torch.float32, torch.bool: torch.int64}


def of_tensor(tensor):
    """(what changed, the changed tensor)."""
    shape = tensor.shape
    for d, size in enumerate(shape):
        for other in {size + 1, 1, 0} - {size}:
            yield f"size {d} is {other}", dataclasses.replace(
                tensor, shape=(*shape[:d], other, *shape[d + 1:]))
    yield "a rank more", dataclasses.replace(tensor, shape=(2, *shape))
    if shape:
        yield "a rank less", dataclasses.replace(tensor, shape=shape[1:])
    other = OTHER_TYPES.get(tensor.dtype, torch.int64)
    yield f"is {other}", dataclasses.replace(
        tensor, dtype=other, low=0, high=2)
    if tensor.dtype is None:
        yield "is f64", dataclasses.replace(tensor, dtype=torch.float64)


def of_value(value):
    """The same for a value that has tensors and numbers somewhere inside."""
    if isinstance(value, Tensor):
        yield from of_tensor(value)
    elif isinstance(value, bool):
        yield f"is {not value}", not value
    elif isinstance(value, int):
        for other in sorted({-value - 1, value - 1, value + 1, 0, 7} - {value}):
            yield f"is {other}", other
        yield "is 1.5", 1.5
    elif isinstance(value, float):
        for other in (-value, 0.0, 2, 1e39, INF, NAN):
            if other != value:
                yield f"is {other}", other
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            for text, other in of_value(item):
                yield f"[{i}] {text}", type(value)(
                    [*value[:i], other, *value[i + 1:]])
        yield "is longer", type(value)([*value, *value[-1:]])
        yield "is shorter", type(value)(value[:-1])


def fewer(sample):
    """Arguments left out: the last ones, each that has a name, all of them;
    null in the place of those that are no tensors, one by one and all."""
    args, kwargs, make = sample.args, sample.kwargs, sample.make
    for count in range(1, len(args)):
        yield f"only {count} arguments", Sample(*args[:count], make=make)
    for key in kwargs:
        rest = {k: v for k, v in kwargs.items() if k != key}
        yield f"no {key}", Sample(*args, make=make, **rest)
        yield f"{key} null", Sample(*args, make=make, **{**kwargs, key: None})
    yield "only arguments in order", Sample(*args, make=make)
    for key in make:
        rest = {k: v for k, v in make.items() if k != key}
        yield f"constructed without {key}", Sample(*args, make=rest, **kwargs)
        yield f"{key} null", Sample(*args, make={**make, key: None}, **kwargs)
    numbers = [i for i, arg in enumerate(args)
               if isinstance(arg, (int, float, str))]
    for which in [[i] for i in numbers] + [numbers]:
        yield f"arguments {which} null", Sample(
            *[None if i in which else arg for i, arg in enumerate(args)],
            make=make, **kwargs)
    yield "all null by name", Sample(*args, make=make,
                                     **dict.fromkeys(kwargs))


def of_record(record):
    """(what changed, the changed sample): of each sample, and the arguments of
    two samples together."""
    for i, sample in enumerate(record.samples):
        for text, other in of_sample(sample):
            yield f"{i}: {text}", other
        for k, more in enumerate(record.samples):
            if k != i and (more.kwargs or more.make):
                yield f"{i}: with those of {k}", Sample(
                    *sample.args, make={**sample.make, **more.make},
                    **{**sample.kwargs, **more.kwargs})


def of_sample(sample):
    """(what changed, the changed sample)."""
    yield from fewer(sample)
    for i, arg in enumerate(sample.args):
        for text, other in of_value(arg):
            args = (*sample.args[:i], other, *sample.args[i + 1:])
            yield f"argument {i} {text}", Sample(*args, make=sample.make,
                                                 **sample.kwargs)
    for key, value in sample.kwargs.items():
        for text, other in of_value(value):
            yield f"{key} {text}", Sample(*sample.args, make=sample.make,
                                          **{**sample.kwargs, key: other})
    for key, value in sample.make.items():
        for text, other in of_value(value):
            yield f"{key} {text}", Sample(
                *sample.args, make={**sample.make, key: other},
                **sample.kwargs)
