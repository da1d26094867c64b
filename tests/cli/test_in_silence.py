"""What nothing is said of: samples left out, links."""
import json
import os

import numpy as np
import pytest


@pytest.fixture
def seventeen(folder):
    x, t = np.load(folder / "x.npy"), np.load(folder / "t.npy")
    np.savez(folder / "v.npz", x=x[:17], t=t[:17])
    np.savez(folder / "whole.npz", x=x[:16], t=t[:16])
    return "--validate", "v.npz"


def test_samples_left_out(train, seventeen):
    first = ("nncc: --data: 2 of 42 samples fill no batch of 4, each epoch "
             "leaves %s out\n")
    second = ("nncc: --validate: 1 of 17 samples fills no batch of 4, the loss "
              "is without the last\n")
    for flags, which in (((), "others"), (("--in-order",), "the last"),
                         (("--last", "drop"), "others")):
        text = train(*seventeen, *flags).stderr
        assert text.startswith(first % which + second + "nncc: done"), text
    whole = ("--data", "whole.npz")
    assert train(*seventeen, data=whole).stderr.startswith(second)
    assert train("--validate", "whole.npz", "--last", "error",
                 data=whole).stderr.startswith("nncc: done")
    result = json.loads(train(*seventeen, "--json").stdout)
    assert (result["left_out"], result["validation_left_out"]) == (2, 1)
    result = json.loads(train("--json", data=whole).stdout)
    assert result["left_out"] == 0 and "validation_left_out" not in result


def test_last_is_error_for_validation_too(train, seventeen):
    assert train(*seventeen, "--last", "error", code=1,
                 data=("--data", "whole.npz")).stderr == (
        "nncc: --validate: 17 samples are no whole number of batches of 4: "
        "--last=drop leaves the rest out\n")


def test_links_to_nothing_are_followed(nncc, lenet):
    """As links to files are: what they point to is made."""
    os.mkdir(lenet / "real")
    run = ("run", "lenet.json", "--weights", "lenet.safetensors", "--input",
           "x=ones", "--outputs")
    for name, command in (("y.safetensors", run), ("y.npz", run),
                          ("m.o", ("lenet.json", "-o")),
                          ("m.so", ("lenet.json", "-o"))):
        os.symlink(f"real/{name}", lenet / name)
        for _ in range(2):  # there is nothing, then a file
            nncc(*command, name)
            assert os.path.islink(lenet / name)
            assert os.path.isfile(lenet / "real" / name)
    os.symlink("no/y.npz", lenet / "z.npz")
    assert nncc(*run, "z.npz", code=5).stderr == (
        "nncc: cannot write z.npz: No such file or directory\n")
