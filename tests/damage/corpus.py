"""Small valid models: the samples of all records, and a few that are whole.
Each is (text, lists of entries that it may be compiled with)."""
import glob
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("..", os.path.join("..", "..", "python")):
    sys.path.insert(0, os.path.join(HERE, folder))

from records.harness import all_cases, model_of, parts_of

F, B = ["forward"], ["backward"]
ENTRIES = ["loss", "loss_and_grad", "train_step", "train_forward"]


def shaped(*shape, dtype="f32"):
    return {"shape": list(shape), "dtype": dtype}


def model(inputs, nodes, outputs, **others):
    return {"format": "nncc-model/1", "name": "m", "inputs": inputs, **others,
            "nodes": nodes, "outputs": outputs}


def samples():
    """Every sample of every record, as a model of its own."""
    for case in all_cases():
        yield model_of(parts_of([case]))


LSTM = model(
    {"x": shaped(2, 5, 3), "n": shaped(2, dtype="i64")},
    [{"name": ["y", ["h", "c"]], "module": "lstm", "inputs": ["x"],
      "lengths": "n"}], ["y", "h", "c"],
    modules={"lstm": {"type": "nn.LSTM", "input_size": 3, "hidden_size": 4,
                      "num_layers": 2, "batch_first": True, "dropout": 0.1}})

NORMED = model(
    {"x": shaped(2, 4, 6, 7)},
    [{"name": "a", "module": "conv", "inputs": ["x"]},
     {"name": "y", "module": "fc", "inputs": ["a"]}], ["y"],
    modules={"conv": {"type": "nn.Conv2d", "in_channels": 4, "out_channels": 4,
                      "kernel_size": 2, "stride": 2, "groups": 2,
                      "parametrizations": {
                          "weight": {"type": "nn.utils.spectral_norm",
                                     "n_power_iterations": 2}}},
             "fc": {"type": "nn.Linear", "in_features": 3, "out_features": 2,
                    "parametrizations": {
                        "weight": {"type": "nn.utils.weight_norm",
                                   "dim": 0}}}})

CLASSES = model(
    {"x": {"shape": ["N", 4], "dtype": "f32"}},
    [{"name": "a", "module": "blocks.0", "inputs": ["x"]},
     {"name": "b", "module": "blocks.1", "inputs": ["a"]},
     {"name": "c", "module": "tail", "inputs": ["b"]},
     {"name": "d", "op": "torch.mul", "inputs": ["c", "scale"]},
     {"name": "f", "module": "parts.one", "inputs": ["d"]},
     {"name": "e", "op": "F.linear", "inputs": ["f", "tail.0.weight"]}],
    {"out": "e", "middle": "b"},
    dims={"N": [1, 3]},
    parameters={"scale": shaped(4)}, buffers={"offset.0": shaped(4)},
    tie={"tail.0.weight": "blocks.0.fc.weight"},
    classes={"Inner": {"inputs": ["u"], "nodes": [
        {"name": "v", "op": "F.silu", "inputs": ["u"]}], "outputs": ["v"]},
        "Block": {"inputs": ["x"], "modules": {
            "fc": {"type": "nn.Linear", "in_features": 4, "out_features": 4},
            "inner": {"type": "Inner"}}, "nodes": [
            {"name": "y", "module": "fc", "inputs": ["x"]},
            {"name": "z", "module": "inner", "inputs": ["y"]},
            {"name": "r", "op": "torch.add", "inputs": ["x", "z"]}],
            "outputs": ["r"]}},
    modules={"blocks": {"type": "nn.ModuleList",
                        "modules": [{"type": "Block"}, {"type": "Block"}]},
             "parts": {"type": "nn.ModuleDict",
                       "modules": {"one": {"type": "nn.Tanh"}}},
             "tail": {"type": "nn.Sequential", "modules": {
                 "0": {"type": "nn.Linear", "in_features": 4,
                       "out_features": 4},
                 "1": {"type": "nn.ReLU"}}}})


def trained(optimizer, **more):
    return model(
        {"x": shaped(4, 8)},
        [{"name": "a", "module": "fc1", "inputs": ["x"]},
         {"name": "b", "module": "norm", "inputs": ["a"]},
         {"name": "c", "module": "drop", "inputs": ["b"]},
         {"name": "y", "module": "fc2", "inputs": ["c"]}], ["y"],
        modules={"fc1": {"type": "nn.Linear", "in_features": 8,
                         "out_features": 6},
                 "norm": {"type": "nn.BatchNorm1d", "num_features": 6},
                 "drop": {"type": "nn.Dropout", "p": 0.25},
                 "fc2": {"type": "nn.Linear", "in_features": 6,
                         "out_features": 3}},
        training={"inputs": {"t": shaped(4, dtype="i64")},
                  "nodes": [{"name": "l", "op": "F.cross_entropy",
                             "inputs": ["y", "t"]}],
                  "loss": "l", "optimizer": optimizer, **more})


def wholes():
    yield from (CLASSES, LSTM, NORMED)
    yield trained({"type": "optim.AdamW", "lr": 0.01, "betas": [0.9, 0.99],
                   "groups": [{"params": ["*.bias"], "weight_decay": 0}]},
                  clip_grad_norm=1.0, accumulate_steps=2, frozen=["fc1.*"])
    yield trained({"type": "optim.SGD", "lr": 0.1, "momentum": 0.9,
                   "nesterov": True}, clip_grad_value=0.5)
    yield trained({"type": "optim.Adam", "lr": 0.1, "amsgrad": True})


def collect():
    for one in wholes():
        entries = [F, B]
        if "training" in one:
            entries += [[name] for name in ENTRIES] + [
                ["forward", "train_step"], ENTRIES]
        yield json.dumps(one), entries
    for path in sorted(glob.glob(os.path.join(HERE, "..", "..", "examples",
                                              "*.json"))):
        yield open(path).read(), [F, B]


WHOLES = list(collect())
MODELS = [(text, [F, F, B]) for text in samples()] + WHOLES
