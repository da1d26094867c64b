"""Gradients of every record against finite differences in f64, without
PyTorch's help: `nncc check --grad` on many samples at once."""
import os
import subprocess

import nncc
import pytest
from safetensors.torch import save_file

from test_records import TRAINED

from records import harness
from records.split import SPLIT



def is_large(case):
    """Samples that have the formulas of smaller ones."""
    inputs = harness.tensors_of([list(case.drawn[1]), case.drawn[2]])
    return case.sample is SPLIT.get(case.record.name) or \
        sum(x.numel() for x in inputs) > 50000


# The gradient of a padding row is 0 by definition.
CASES = [case for case in TRAINED if not is_large(case) and
         "padding_idx" not in {**case.sample.kwargs, **case.sample.make}]
GROUPS = list(dict.fromkeys(harness.batches(CASES, 20).values()))


def check(cases, folder):
    parts = harness.parts_of(cases)
    harness.write(parts, folder)
    save_file({name: tensor.contiguous() for part in parts
               for name, tensor in part.inputs.items()}, folder / "in")
    weights = [] if not os.path.exists(folder / "weights.safetensors") else \
        ["--weights", "weights.safetensors"]
    return subprocess.run(
        [nncc.runner.find_nncc(), "check", "model.json", *weights,
         "--inputs", "in", "--grad"], cwd=folder, capture_output=True,
        text=True)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: str(group[0]))
def test_differences(group, tmp_path):
    done = check(group, tmp_path)
    wrong = [line for line in done.stdout.splitlines()
             if "from differences" in line and not line.endswith(", ok")]
    assert done.returncode == 0, "\n".join(wrong) + done.stderr
    assert "from differences, allowed 1e-4, ok" in done.stdout
