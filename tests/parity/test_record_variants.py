"""Calls near those of the records (records/variants.py): what PyTorch refuses
is refused at its node or module; of what PyTorch takes nncc refuses no more
than records/refused.py counts; what both take has PyTorch's values. Values are
computed of a quarter of the calls near first samples and of one in 48 near the
others, with NNCC_FULL of all.

Not compared: what PyTorch's CPU kernels only lack, values that it finds out at
run time (indices beyond their tensor, integers divided by 0), and tensors
without elements that PyTorch's transposed convolutions and pools refuse: here
their result has no elements either.
"""
import dataclasses
import os
import zlib

import pytest
import torch
from test_records import compare

from records import RECORDS, harness, variants
from records.refused import REFUSED

FULL = os.environ.get("NNCC_FULL") == "1"
PARTS = 6
BEYOND = ("valid range", "out of DATA bounds", "i < index_size",
          "is out of bounds", "index out of range", "ZeroDivisionError")
LACKS = ("smaller than kernel size",)  # before padding
EMPTY = ("Pool", "pool", "Transpose", "transpose", "EmbeddingBag")


def cases_of(part):
    """{case: what is changed} of the samples of each PARTS-th record."""
    cases = {}
    for record in list(RECORDS.values())[part::PARTS]:
        changed = list(variants.of_record(record))
        other = dataclasses.replace(record, samples=tuple(s for _, s in changed))
        for i, (text, _) in enumerate(changed):
            case = harness.Case(other, i)
            if is_writable(case):
                cases[case] = text
    return cases


def is_writable(case):
    """Whether PyTorch constructs the module, so that it has state."""
    try:
        return bool(harness.Written(case, 0))
    except Exception:  # whatever PyTorch raises
        return False


def is_compared(case, theirs):
    if isinstance(theirs, NotImplementedError) or any(
            text in str(theirs) for text in BEYOND + LACKS):
        return False
    tensors = harness.tensors_of(case.drawn[1:])
    return not (isinstance(theirs, Exception) and
                any(name in case.record.name for name in EMPTY) and
                any(t.numel() == 0 for t in tensors))


@pytest.mark.parametrize("part", range(PARTS))
def test_variants(part):
    cases = cases_of(part)
    theirs = {case: harness.attempt(case) for case in cases}
    refused = {}
    for group in dict.fromkeys(harness.batches(list(cases), 300).values()):
        refused.update(harness.refused(list(group))[1])
    wrong = [f"accepted: {case.record.name}, {text}: {theirs[case]}"
             for case, text in cases.items()
             if isinstance(theirs[case], Exception) and not refused[case] and
             is_compared(case, theirs[case])]
    only = {record.name: [] for record in list(RECORDS.values())[part::PARTS]}
    for case, text in cases.items():
        if refused[case] and not isinstance(theirs[case], Exception):
            only[case.record.name].append(text)
    wrong += [f"{name}: {len(texts)} calls that PyTorch takes are refused, not "
              f"{REFUSED.get(name, 0)}: {texts}" for name, texts in only.items()
              if len(texts) != REFUSED.get(name, 0)]
    both = [case for case in cases if not refused[case] and
            not isinstance(theirs[case], Exception) and
            (FULL or zlib.crc32(str(case).encode()) %
             (4 if cases[case].startswith("0:") else 48) == 0)]
    for group in dict.fromkeys(harness.batches(both, 80).values()):
        for case, found in harness.run(group, "forward").items():
            try:
                assert not isinstance(found, str), found
                exact = case.eager(torch.float64)
                for i, their in enumerate(theirs[case]):
                    compare(f"y{i}", found[f"y{i}"], their, exact[i])
            except AssertionError as error:
                wrong.append(f"{case.record.name}, {cases[case]}: {error}")
    assert not wrong, "\n".join(wrong)
