"""`nncc check` says that right code is right: exact integers, equal names,
steps that noise decides."""
import json
import re

import numpy as np
from safetensors.numpy import save_file


def model(inputs, nodes, outputs, **more):
    return json.dumps({
        "format": "nncc-model/1", "name": "m",
        "inputs": {k: {"shape": s, "dtype": d} for k, (s, d) in inputs.items()},
        "nodes": [{"name": n, "op": op, "inputs": list(i)}
                  for n, op, *i in nodes], "outputs": outputs, **more})


SGD = {"type": "optim.SGD", "lr": 0.1}


def test_integers_beyond_doubles(nncc, lenet):
    """Compared to the last digit, by the interpreter and by recorded values."""
    (lenet / "m.json").write_text(model(
        {"x": ([3], "i64")},
        [("r", "torch.remainder", "x", 2), ("s", "torch.add", "x", 1)],
        ["r", "s"]))
    x = ("--input", "x=[9007199254740993, -9223372036854775807, 0]")
    done = nncc("check", "m.json", *x, "--tolerance", "0")
    assert done.stdout == "".join(
        f"{n}: largest difference 0.0e+00 of its scale, allowed 0, ok\n"
        for n in "rs")
    glance = nncc("run", "m.json", *x).stdout
    assert glance == ("r i64 [3]: 1 1 0\n"
                      "s i64 [3]: 9007199254740994 -9223372036854775806 1\n")
    values = json.loads(nncc("run", "m.json", *x, "--json").stdout)
    assert [o["values"] for o in values["outputs"]] == [
        [1, 1, 0], [9007199254740994, -9223372036854775806, 1]]
    save_file({"r": np.array([1, 1, 0]), "s": np.array(
        [9007199254740994, -9223372036854775807, 1])}, lenet / "y")
    done = nncc("check", "m.json", *x, "--tolerance", "0", "--expect", "y",
                code=3)
    assert done.stdout.splitlines()[1] == (
        "s: largest difference 1.1e-19 of its scale, allowed 0, DIFFERS")


def test_a_seed_beyond_doubles(nncc, lenet):
    (lenet / "m.json").write_text(model(
        {"x": ([100], "f32")}, [("y", "F.dropout", "x")], ["y"]))
    nncc("check", "m.json", "--seed", "9007199254740993")
    nncc("check", "m.json", "--seed", str(2**64 - 1))


def test_a_parameter_called_loss(nncc, lenet):
    """train_step gives two tensors of that name."""
    (lenet / "m.json").write_text(model(
        {"x": ([2, 3], "f32")}, [("y", "torch.mul", "x", "loss")], ["y"],
        parameters={"loss": {"shape": [3], "dtype": "f32"}},
        training={"nodes": [{"name": "l", "op": "torch.sum", "inputs": ["y"]}],
                  "loss": "l", "optimizer": SGD}))
    done = nncc("check", "m.json", "--entry", "train_step")
    assert re.findall(r"(?m)^(\S+): .*, (\w+)$", done.stdout) == [
        ("loss", "ok"), ("loss", "ok"), ("optimizer.step", "ok")]


def test_steps_of_noise(nncc, lenet):
    """The gradient of a bias before a batch norm is 0 but for rounding, which
    Adam's step takes for a direction."""
    linear = {"type": "nn.Linear", "in_features": 8, "out_features": 6}
    text = json.loads(model(
        {"x": ([4, 8], "f32")}, [], ["y"],
        training={"nodes": [{"name": "l", "op": "torch.mean", "inputs": ["q"]}],
                  "loss": "l"}))
    text["modules"] = {"fc": linear, "norm": {"type": "nn.BatchNorm1d",
                                              "num_features": 6}}
    text["nodes"] = [
        {"name": "a", "module": "fc", "inputs": ["x"]},
        {"name": "y", "module": "norm", "inputs": ["a"]},
        {"name": "q", "op": "torch.exp", "inputs": ["y"]}]
    for kind in ("optim.Adam", "optim.AdamW", "optim.NAdam",
                 "optim.Adafactor"):
        text["training"]["optimizer"] = {"type": kind, "lr": 0.1}
        (lenet / "m.json").write_text(json.dumps(text))
        done = nncc("check", "m.json", "--entry", "train_step")
        assert re.search(r"(?m)^fc.bias: largest difference \S+ of its scale "
                         r"but for 6 of 6 steps by gradients of noise, allowed "
                         r"1e-4, ok$", done.stdout), done.stdout
        assert re.search(r"(?m)^fc.weight: largest difference \S+ of its "
                         r"scale, allowed 1e-4, ok$", done.stdout)


def test_nan_without_a_sign(nncc, lenet):
    (lenet / "m.json").write_text(model(
        {"x": ([2], "f32")}, [("y", "torch.log", "x")], ["y"]))
    assert nncc("run", "m.json", "--input", "x=-1").stdout == \
        "y f32 [2]: nan nan\n"
