"""Calls near a sample's: sizes, ranks, element types and numbers of one place
changed. PyTorch takes some of them and refuses others."""
import dataclasses

import torch

from .record import Sample, Tensor

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
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            for text, other in of_value(item):
                yield f"[{i}] {text}", type(value)(
                    [*value[:i], other, *value[i + 1:]])
        yield "is longer", type(value)([*value, *value[-1:]])
        yield "is shorter", type(value)(value[:-1])


def of_sample(sample):
    """(what changed, the changed sample)."""
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
