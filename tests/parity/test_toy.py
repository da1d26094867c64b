"""Every record on a target of scalar loops (tests/toy), in as many tiles as
there can be: nothing below which kernels are made of knows the CPU. `NNCC=build/bin/nncc-toy` runs any test here
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
def runs(group, entry):
    with mock.patch.dict(os.environ, NNCC=TOY):
        return harness.runs(group, entry, "x86-64", (), split=True)


def run(case, group, entry):
    found = runs(group, entry)[case]
    assert not isinstance(found, str), found
    return found[0]


@pytest.mark.parametrize("case", grouped(CASES, GROUP))
def test_forward(case):
    found = run(case, GROUP[case], "forward")
    theirs, exact = case.eager(), case.eager(torch.float64)
    for i, (their, right) in enumerate(zip(theirs, exact)):
        compare(f"y{i}", found[f"y{i}"], their, right)


@pytest.mark.parametrize("case", grouped(TRAINED, TRAINED_GROUP))
def test_backward(case):
    found = run(case, TRAINED_GROUP[case], "backward")
    theirs = harness.autograd(case, torch.float32)
    exact = harness.autograd(case, torch.float64)
    assert set(found) == set(theirs)
    for name, ours in found.items():
        compare(name, ours, theirs[name], exact[name])


def test_target_is_small():
    """What a target has to write of its own."""
    path = os.path.join(ROOT, "tests", "toy", "ToyTarget.cpp")
    assert len(open(path).read().splitlines()) < 200
