"""ptxas that does not do what it should: a sentence, nothing written."""
import os

import pytest

# What stands in its place -> what nncc says of it.
BROKEN = {
    'echo "ptxas fatal   : no licence" >&2; exit 255':
        "ptxas fatal   : no licence",
    'for i; do case $i in *.ptx) echo "$i, line 7: error";; esac; done; exit 1':
        "the PTX, line 7: error",
    "exit 3": "{ptxas} failed with code 3 and says nothing",
    "kill -KILL $$": "{ptxas}: Killed",
    "exit 0": "{ptxas} made no cubin",
    'while [ "$1" != -o ]; do shift; done; echo no >"$2"':
        "{ptxas} made no cubin",
    None: "{ptxas}: posix_spawn failed: Exec format error",
}


@pytest.mark.parametrize("images", ["any", "cubin"])
@pytest.mark.parametrize("script", BROKEN, ids=str)
def test_broken(nncc, lenet, monkeypatch, tmp_path_factory, script, images):
    own = tmp_path_factory.mktemp("own")
    monkeypatch.setenv("TMPDIR", str(own))
    folder = lenet / "toolkit" / "bin"
    folder.mkdir(parents=True)
    ptxas = folder / "ptxas"
    ptxas.write_text(f"#!/bin/sh\n{script}\n" if script else "no program")
    ptxas.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(folder.parent))
    before = sorted(os.listdir(lenet))
    done = nncc("compile", "lenet.json", "--target=cuda:sm_80", "-o", "x.o",
                f"--images={images}", code=4)
    assert done.stderr == (
        f"nncc: sm_80: kernel k0: {BROKEN[script].format(ptxas=ptxas)}\n")
    assert sorted(os.listdir(lenet)) == before
    assert os.listdir(own) == []


def test_no_room(nncc, lenet, monkeypatch):
    """Its files are temporary ones."""
    folder = lenet / "bin"
    folder.mkdir()
    (folder / "ptxas").write_text("#!/bin/sh\n")
    (folder / "ptxas").chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(lenet))
    monkeypatch.setenv("TMPDIR", "/no/folder")
    assert nncc("compile", "lenet.json", "--target=cuda:sm_80",
                code=4).stderr == (
        "nncc: sm_80: kernel k0: cannot make a temporary file in /no/folder: "
        "No such file or directory\n")
