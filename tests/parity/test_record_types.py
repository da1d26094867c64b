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
# Whose kernels in PyTorch round halves between their steps.
COARSE = set("""
    F.softmax torch.softmax Tensor.softmax nn.Softmax
    F.log_softmax torch.log_softmax Tensor.log_softmax nn.LogSoftmax
    F.adaptive_avg_pool3d nn.AdaptiveAvgPool3d F.scaled_dot_product_attention
    nn.BatchNorm1d nn.BatchNorm2d nn.BatchNorm3d nn.EmbeddingBag
    nn.GRU nn.LSTM nn.RNN F.mse_loss nn.MSELoss nn.HuberLoss
    F.kl_div nn.KLDivLoss F.binary_cross_entropy_with_logits nn.BCEWithLogitsLoss
    """.split())
PARTS = [(dtype, part) for dtype in DTYPES if dtype != torch.float32
         for part in range(2)]


def compare_halves(case, ours, theirs, exact):
    """Computed in f32 and rounded once, as PyTorch's kernels do but for the end
    of a row that fills no vector: all but a few elements have their bits; of
    coarse ones, no more are farther from the exact value than are nearer."""
    differ = (ours != theirs) & ~(ours.isnan() & theirs.isnan())
    if case.record.name in COARSE:
        error, other = ((y.double() - exact).abs() for y in (ours, theirs))
        differ = (error > other).sum() - (error < other).sum()
    few = 8 + 0.05 * ours.numel()
    count = int(differ.sum())
    assert count <= few, f"{count} of {ours.numel()} differ"


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
                    if their.dtype in HALVES:
                        compare_halves(case, found[f"y{i}"], their, exact[i])
            except AssertionError as error:
                wrong.append(f"{case}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_gradients_of_halves(dtype, part):
    """Sums of many are f32 there, too: twice PyTorch's error, or an ulp, where
    its forward and backward round a number and do not."""
    cases = [case for case in harness.all_cases(dtype)[part::2]
             if case.record.differentiable and dtype not in case.record.lacks
             and not isinstance(harness.attempt(case), Exception)]
    wrong = []
    for group in dict.fromkeys(harness.batches(cases, 80).values()):
        for case, found in harness.run(group, "backward").items():
            try:
                assert not isinstance(found, str), found
                theirs = harness.autograd(case)
                exact = harness.autograd(case, torch.float64)
                for name, ours in found.items():
                    compare(name, ours, theirs[name], exact[name],
                            torch.finfo(dtype).eps)
            except AssertionError as error:
                wrong.append(f"{case}: {error}")
    assert not wrong, "\n".join(wrong)
