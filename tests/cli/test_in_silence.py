"""What nothing is said of: samples left out, files of others, links."""
import json
import os

import numpy as np
import pytest

from net_model import MODEL

PLAIN = json.loads(MODEL)
PLAIN["nodes"][3]["inputs"] = ["b"]
del PLAIN["nodes"][2], PLAIN["modules"]["drop"]


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


def test_a_seed_of_nothing(train, folder):
    """It orders samples, and keys dropout."""
    (folder / "net.json").write_text(json.dumps(PLAIN))
    assert train("--seed", "1", "--in-order", code=2).stderr == (
        "nncc: --seed does nothing beside --in-order here: train_step draws no "
        "random numbers\n")
    train("--seed", "1")
    (folder / "net.json").write_text(MODEL)
    train("--seed", "1", "--in-order")


FACE = "a configuration of Hugging Face"
FOREIGN = [
    ({"architectures": ["BertModel"], "hidden_size": 768}, FACE),
    ({"model_type": "gpt2", "transformers_version": "5.0"}, FACE),
    ({"metadata": {}, "weight_map": {"a": "model-1.safetensors"}},
     "an index of Hugging Face weights in several files"),
    ({"class_name": "Sequential", "config": {}}, "a Keras model"),
    ({"modelTopology": {}, "format": "layers-model"},
     "a TensorFlow.js model"),
    ({"cells": [], "nbformat": 4}, "a Jupyter notebook")]


@pytest.mark.parametrize("verb", [
    ("compile",), ("run",), ("check",), ("bench",), ("inspect",),
    ("train", "--data", "train.npz")])
def test_json_of_other_tools(nncc, lenet, verb):
    for content, kind in FOREIGN:
        (lenet / "m.json").write_text(json.dumps(content))
        done = nncc(verb[0], "m.json", *verb[1:], code=1)
        lines = done.stderr.splitlines()
        column = lines[0].split(":")[2]
        assert lines[0] == (f"m.json:1:{column}: error: this is {kind}, not a "
                            'model of nncc: "format" must be "nncc-model/1"')
        assert lines[-1] == "1 error" and len(lines) == 4
        assert (column == "1") == ("format" not in content)


def test_json_of_nncc(nncc, lenet):
    nncc("lenet.json", "-o", "m.o")
    for arguments, kind in (
            (("schema",), "a JSON schema"),
            (("inspect", "lenet.json", "--json"),
             "what nncc inspect --json printed"),
            (("inspect", "m.o", "--json"), "what nncc inspect --json printed"),
            (("compile", "lenet.json", "--json"),
             "what nncc compile --json printed"),
            (("bench", "lenet.json", "--seconds", "0.01", "--json"),
             "what nncc bench --json printed")):
        (lenet / "m.json").write_text(nncc(*arguments).stdout)
        text = nncc("compile", "m.json", code=1).stderr
        assert f"error: this is {kind}, not a model of nncc: " in text
        assert text.endswith("\n1 error\n")


def test_models_of_other_tools(nncc, lenet):
    (lenet / "m").write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    assert nncc("run", "m", code=1).stderr == (
        "nncc: m is a TFLite model, not a model of nncc\n")


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
