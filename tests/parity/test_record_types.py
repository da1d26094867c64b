"""Every record on every element type: where PyTorch takes the call, the result
has its type and value; where PyTorch refuses it, so does nncc, at the node.

What PyTorch's CPU kernels only lack ("not implemented for 'Half'") may work or
be refused.
"""
import itertools

import pytest
import torch
from test_records import compare

from records import harness
from records.record import DTYPES

HALVES = (torch.float16, torch.bfloat16)
PARTS = [(dtype, part) for dtype in DTYPES if dtype != torch.float32
         for part in range(2)]


@pytest.mark.parametrize("dtype, part", PARTS, ids=str)
def test_types(dtype, part):
    cases = harness.all_cases(dtype)[part::2]
    theirs = {case: harness.attempt(case) for case in cases}
    refused = harness.refused(cases)[1]
    wrong, computed = [], []
    for case in cases:
        if isinstance(theirs[case], NotImplementedError):
            continue
        right = isinstance(theirs[case], Exception)
        if refused[case] != (right or dtype in case.record.lacks):
            wrong.append(f"{case}: refused {refused[case]}, PyTorch "
                         f"{theirs[case]}"[:200])
        elif not refused[case]:
            computed.append(case)
    # x86-64 has no instruction for halves.
    cpus = ("native", "x86-64") if dtype in HALVES else ("native",)
    for group, cpu in itertools.product(dict.fromkeys(
            harness.batches(computed, 80).values()), cpus):
        for case, found in harness.run(group, "forward", cpu=cpu).items():
            try:
                assert not isinstance(found, str), found
                exact = case.eager(torch.float64)
                for i, their in enumerate(theirs[case]):
                    compare(f"y{i}", found[f"y{i}"], their, exact[i])
            except AssertionError as error:
                wrong.append(f"{case}: {error}")
    assert not wrong, "\n".join(wrong)
