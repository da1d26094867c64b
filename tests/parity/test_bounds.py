"""Every record with kernels that compare each position in memory with the size
of its buffer (tests/bounds): one outside ends the program. On this CPU each
kernel is shared out to many tiles, on the others it is as it comes.
`NNCC=build/bin/nncc-bounds` makes any test here run so."""
import os
from unittest import mock

import pytest
from test_records import CASES, CPUS, GROUP, TRAINED, TRAINED_GROUP, grouped

from records import harness

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
CHECKED = os.environ.get("NNCC_BOUNDS",
                         os.path.join(ROOT, "build", "bin", "nncc-bounds"))


def batches(cases, groups):
    """A case of each batch, which stands for all."""
    return grouped([group[0] for group in
                    {id(groups[c]): groups[c] for c in cases}.values()], groups)


def stays_inside(group, entry, cpu):
    with mock.patch.dict(os.environ, NNCC=CHECKED):
        split = cpu == "native"
        for case, found in harness.runs(group, entry, cpu, () if split else
                                        (1,), split).items():
            assert not isinstance(found, str), (case, found)


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("case", batches(CASES, GROUP))
def test_forward(case, cpu):
    stays_inside(GROUP[case], "forward", cpu)


@pytest.mark.parametrize("case", batches(TRAINED, TRAINED_GROUP))
def test_backward(case):
    stays_inside(TRAINED_GROUP[case], "backward", "native")
