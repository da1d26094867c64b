"""The code of a model grows as the model does. Counted in operations, not in
seconds; bench/compile has those."""
import json
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..",
                                "bench"))
import growing
from lenet_model import NNCC


# The most operations of a model; wider vectors take more rows at once.
MOST = {"x86-64-v3": 50000, "x86-64-v4": 70000}


def operations(folder, kind, size, cpu):
    """Operations of all kernels' loops."""
    make, flags = growing.KINDS[kind][:2]
    path = folder / f"{size}.json"
    path.write_text(json.dumps(make(size)))
    text = subprocess.run(
        [NNCC, "compile", path, "--emit=linalg", f"-mcpu={cpu}", *flags],
        check=True, capture_output=True, text=True, timeout=120).stdout
    return text.count("\n")


@pytest.mark.parametrize("cpu", MOST)
@pytest.mark.parametrize("kind", growing.KINDS)
def test_code_grows_with_the_model(tmp_path, kind, cpu):
    size, power = growing.KINDS[kind][2:]
    half = operations(tmp_path, kind, size // 2, cpu)
    whole = operations(tmp_path, kind, size, cpu)
    assert whole <= 1.2 * half * (size / (size // 2)) ** power
    assert whole <= MOST[cpu]
