"""Every name of the format against PyTorch, by its record: values on three
CPUs, gradients and buffers in train mode; equal bits for one and two threads,
and for kernels as they are and shared out to many tiles.

A tensor is right if its error against f64 is at most twice PyTorch's own, or
1e-5 of its scale.
"""
import functools
import json
import os
import subprocess
import sys

import nncc
import pytest
import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

from records import RECORDS, harness  # noqa: E402
from records.split import SPLIT  # noqa: E402

CASES = harness.all_cases()
TRAINED = [c for c in CASES if c.record.differentiable]
GROUP = {**harness.batches(CASES)}
TRAINED_GROUP = harness.batches(TRAINED)
CPUS = ("native", "x86-64-v3", "x86-64")


def grouped(cases, groups):
    """Cases of one batch go to one worker."""
    numbers = {}
    for case in cases:
        numbers.setdefault(id(groups[case]), len(numbers))
    return [pytest.param(case, id=str(case), marks=pytest.mark.xdist_group(
        f"records {numbers[id(groups[case])]}")) for case in cases]


@functools.lru_cache(None)
def runs(group, entry, cpu="native"):
    return harness.runs(group, entry, cpu, (1, 2), split=cpu == "native")


def run(case, group, entry, cpu="native"):
    """The results of a case, which must be the same however it runs."""
    found = runs(group, entry, cpu)[case]
    assert not isinstance(found, str), found
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for name, value in found[0].items():
            assert torch.equal(value.nan_to_num(7), other[name].nan_to_num(7)), \
                f"bits of {name} depend on threads or tiles"
    return found[0]


def compare(name, ours, theirs, exact, least=1e-5):
    assert ours.dtype == theirs.dtype, name
    assert ours.shape == theirs.shape, name
    if not ours.is_floating_point():
        assert torch.equal(ours, theirs), name
        return
    ours, theirs, exact = ours.double(), theirs.double(), exact.double()
    assert torch.equal(ours.isnan(), theirs.isnan()), name
    infinite = theirs.isinf()
    assert torch.equal(ours[infinite], theirs[infinite]), name
    finite = exact.isfinite() & theirs.isfinite()
    if not finite.any():
        return
    ours, theirs, exact = ours[finite], theirs[finite], exact[finite]
    scale = exact.abs().max()
    if scale < 1e-12:  # zero in exact arithmetic: noise in both
        scale = torch.ones(())
    error = float((ours - exact).abs().max() / scale)
    other = float((theirs - exact).abs().max() / scale)
    assert error <= max(2 * other, least), (name, error, other)


def test_every_name_has_a_record():
    done = subprocess.run([nncc.runner.find_nncc(), "schema"], check=True,
                          capture_output=True, text=True)
    schema = json.loads(done.stdout)["$defs"]
    names = set(schema["node"]["properties"]["op"]["enum"])
    for module in schema["module"]["anyOf"]:
        names.update(module["properties"]["type"].get("enum", []))
    names -= {"nn.Sequential", "nn.ModuleList", "nn.ModuleDict"}
    assert names == set(RECORDS)


def split_kinds(cases):
    return {kernel["kind"] for kernel in harness.kernels(cases)
            if kernel["tiles"] > 1}


@pytest.mark.parametrize("name", SPLIT)
def test_large_sample_is_split(name):
    record = RECORDS[name]
    number = record.samples.index(SPLIT[name])
    assert split_kinds([harness.Case(record, number)]), name


def test_kernels_of_each_kind_are_split():
    """By the numbers that their cost models choose."""
    kinds = {kernel["kind"] for group in dict.fromkeys(TRAINED_GROUP.values())
             for kernel in harness.kernels(group)}
    large = [case for case in TRAINED
             if case.sample is SPLIT.get(case.record.name)]
    attention = RECORDS["F.scaled_dot_product_attention"]
    assert kinds == split_kinds([harness.Case(attention, 0), *large])


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("case", grouped(CASES, GROUP))
def test_forward(case, cpu):
    found = run(case, GROUP[case], "forward", cpu)
    theirs, exact = case.eager(), case.eager(torch.float64)
    assert len(found) == len(theirs)
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
