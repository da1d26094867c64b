"""Every record on a target of scalar loops (tests/toy): nothing below which
kernels are made of knows the CPU. `NNCC=build/bin/nncc-toy` runs any test here
on it."""
import functools
import os
from unittest import mock

import pytest
import torch
from test_records import (CASES, GROUP, TRAINED, TRAINED_GROUP, compare,
                          grouped)

from records import harness

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TOY = os.environ.get("NNCC_TOY", os.path.join(ROOT, "build", "bin", "nncc-toy"))


@functools.lru_cache(None)
def run(group, entry):
    with mock.patch.dict(os.environ, NNCC=TOY):
        return harness.run(group, entry, cpu="x86-64", threads=1)


@pytest.mark.parametrize("case", grouped(CASES, GROUP))
def test_forward(case):
    found = run(GROUP[case], "forward")[case]
    assert not isinstance(found, str), found
    theirs, exact = case.eager(), case.eager(torch.float64)
    for i, (their, right) in enumerate(zip(theirs, exact)):
        compare(f"y{i}", found[f"y{i}"], their, right)


@pytest.mark.parametrize("case", grouped(TRAINED, TRAINED_GROUP))
def test_backward(case):
    found = run(TRAINED_GROUP[case], "backward")[case]
    assert not isinstance(found, str), found
    theirs = harness.autograd(case, torch.float32)
    exact = harness.autograd(case, torch.float64)
    for name, ours in found.items():
        compare(name, ours, theirs[name], exact[name])


def test_target_is_small():
    """What a target has to write of its own."""
    path = os.path.join(ROOT, "tests", "toy", "ToyTarget.cpp")
    assert len(open(path).read().splitlines()) < 200
