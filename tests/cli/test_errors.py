"""Bad models: every case of bad_models.txt gives exactly its expected text.

A case is a title, a model, and the diagnostics; `scripts/test.sh` compares all
of the text, location and caret included.
"""
import os
import subprocess

import pytest

HERE = os.path.dirname(__file__)
NNCC = os.path.join(HERE, "..", "..", "build", "bin", "nncc")


def cases():
    text = open(os.path.join(HERE, "bad_models.txt")).read()
    for block in text.split("\n=== ")[1:]:
        title, rest = block.split("\n", 1)
        model, expected = rest.split("\n---\n", 1)
        yield pytest.param(model, expected.strip("\n"), id=title)


@pytest.mark.parametrize("model,expected", list(cases()))
def test_bad_model(tmp_path, model, expected):
    path = tmp_path / "m.json"
    path.write_text(model)
    done = subprocess.run([NNCC, "compile", "m.json", "-o", "m.o"],
                          cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.strip("\n") == expected
    assert done.returncode == 1
    assert not (tmp_path / "m.o").exists()
