"""Small valid models: one for every name of the registry, and a few that are
whole. Each is (text, lists of entries that it may be compiled with)."""
import glob
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
F, B = ["forward"], ["backward"]
IMAGE, WIDE, GRID = [2, 4, 7], [2, 4, 6, 7], [1, 2, 4, 5, 6]


def shaped(*shape, dtype="f32"):
    return {"shape": list(shape), "dtype": dtype}


def model(inputs, nodes, outputs, **others):
    return {"format": "nncc-model/1", "name": "m", "inputs": inputs, **others,
            "nodes": nodes, "outputs": outputs}


def function(name, inputs, *positional, outputs="y", **arguments):
    """A call of a function of all inputs, then of what is written."""
    node = {"name": outputs, "op": name,
            "inputs": [*inputs, *positional], **arguments}
    flat = outputs if isinstance(outputs, list) else [outputs]
    return model(inputs, [node], flat)


def module(name, inputs, outputs="y", flat=None, **attributes):
    node = {"name": outputs, "module": "net.0", "inputs": list(inputs)}
    flat = flat or (outputs if isinstance(outputs, list) else [outputs])
    return model(inputs, [node], flat, modules={
        "net": {"type": "nn.ModuleDict",
                "modules": {"0": {"type": name, **attributes}}}})


def spellings(name, *kinds):
    return [kind + "." + name for kind in kinds or ("torch", "Tensor")]


def twins(name):
    return spellings(name) + ["Tensor." + name + "_"]


X, XY = {"x": shaped(3, 5)}, {"x": shaped(3, 5), "y0": shaped(5)}
LABELS = {"x": shaped(4, 3), "t": shaped(4, dtype="i64")}
PAIR = {"x": shaped(4, 3), "t": shaped(4, 3)}
COUNTS = {"x": shaped(2, 3, dtype="i64")}


def functions():
    for name in ("add", "sub", "mul", "div", "pow", "eq", "ne", "lt", "le",
                 "gt", "ge"):
        for spelling in twins(name):
            if spelling.endswith("_") and name in ("eq", "lt", "gt"):
                yield function(spelling, X, 2)
            else:
                yield function(spelling, XY)
    for name in ("maximum", "minimum"):
        for spelling in spellings(name):
            yield function(spelling, XY)
    for name in ("exp", "log", "sqrt", "rsqrt", "erf", "sin", "cos", "floor",
                 "ceil", "neg", "abs"):
        for spelling in twins(name):
            yield function(spelling, X)
    for spelling in twins("clamp"):
        yield function(spelling, X, min=-1, max=0.5)
    for name in ("relu", "sigmoid", "tanh"):
        for spelling in twins(name) + ["F." + name]:
            yield function(spelling, X)
    for name in ("F.relu_", "F.relu6", "F.silu", "torch.ones_like",
                 "torch.zeros_like", "Tensor.contiguous", "Tensor.clone",
                 "Tensor.detach", "Tensor.detach_", "Tensor.float"):
        yield function(name, X)
    yield function("F.gelu", X, approximate="tanh")
    for name in ("softmax", "log_softmax"):
        for spelling in spellings(name) + ["F." + name]:
            yield function(spelling, X, dim=-1)
    yield function("F.dropout", X, p=0.3, training="mode")
    yield function("Tensor.to", X, dtype="i32")
    yield function("torch.where", {"c": shaped(3, 5, dtype="bool"), **XY})
    for name in ("mean", "sum", "amax"):
        for spelling in spellings(name):
            yield function(spelling, X, dim=[0, -1], keepdim=True)
    for name in ("matmul", "mm"):
        for spelling in spellings(name):
            yield function(spelling, {"x": shaped(3, 5), "w": shaped(5, 4)})
    for spelling in spellings("bmm") + ["Tensor.__matmul__"]:
        yield function(spelling, {"x": shaped(2, 3, 5), "w": shaped(2, 5, 4)})
    yield function("F.linear", {"x": shaped(3, 5), "w": shaped(4, 5),
                                "b": shaped(4)})
    heads = shaped(2, 3, 7, 4)
    yield function("F.scaled_dot_product_attention",
                   {"q": heads, "k": heads, "v": heads, "m": shaped(7, 7)},
                   is_causal=False, scale=0.5)
    yield function("F.embedding", {"i": shaped(2, 3, dtype="i64"),
                                   "w": shaped(9, 4)}, padding_idx=0)
    yield function("F.layer_norm", {"x": shaped(2, 3, 4)},
                   normalized_shape=[3, 4], eps=1e-5)
    channels = {name: shaped(4) for name in ("m", "v", "w", "b")}
    yield function("F.batch_norm", {"x": shaped(2, 4, 3), **channels},
                   training="mode", momentum=0.1)
    for rank, shape in ((1, IMAGE), (2, WIDE), (3, GRID)):
        x, k = {"x": shaped(*shape)}, [2] * rank
        channel = shape[1]
        yield function(f"F.conv{rank}d",
                       {**x, "w": shaped(6, channel // 2, *k), "b": shaped(6)},
                       stride=[1] * rank, padding=1, dilation=1, groups=2)
        yield function(f"F.max_pool{rank}d", x, kernel_size=k, stride=1,
                       padding=1, ceil_mode=True)
        yield function(f"F.avg_pool{rank}d", x, kernel_size=3, stride=k,
                       padding=1, count_include_pad=False)
        yield function(f"F.adaptive_avg_pool{rank}d", x, output_size=k)
    yield from losses()
    yield from shapes()


def losses():
    chance = {"x": shaped(4, 3), "t": shaped(4, 3), "w": shaped(3)}
    yield function("F.cross_entropy", LABELS, label_smoothing=0.1,
                   ignore_index=1, reduction="sum")
    yield function("F.nll_loss", LABELS, ignore_index=-100)
    yield function("F.binary_cross_entropy", PAIR, weight="t")
    yield function("F.binary_cross_entropy_with_logits", chance,
                   reduction="none")
    yield function("F.mse_loss", PAIR)
    yield function("F.l1_loss", PAIR, reduction="none")
    yield function("F.smooth_l1_loss", PAIR, beta=0.5)
    yield function("F.huber_loss", PAIR, delta=0.5)
    yield function("F.kl_div", PAIR, log_target=True, reduction="batchmean")
    weight = {"shape": [3], "dtype": "f32"}
    yield module("nn.CrossEntropyLoss", LABELS, weight=weight,
                 label_smoothing=0.1)
    yield module("nn.NLLLoss", LABELS, weight=weight, ignore_index=2)
    yield module("nn.BCELoss", PAIR, weight=weight)
    yield module("nn.BCEWithLogitsLoss", PAIR, pos_weight=weight)
    yield module("nn.MSELoss", PAIR, reduction="sum")
    yield module("nn.L1Loss", PAIR)
    yield module("nn.SmoothL1Loss", PAIR, beta=2.0)
    yield module("nn.HuberLoss", PAIR, delta=2)
    yield module("nn.KLDivLoss", PAIR, log_target=False)


def shapes():
    cube = {"x": shaped(2, 3, 4)}
    for name in ("Tensor.view", "Tensor.reshape"):
        yield function(name, cube, 6, -1)
    yield function("torch.reshape", cube, shape=[4, -1])
    for spelling in spellings("flatten"):
        yield function(spelling, cube, start_dim=1, end_dim=-1)
    yield function("Tensor.expand", {"x": shaped(1, 4)}, 2, 3, -1)
    for spelling in spellings("permute"):
        yield function(spelling, cube, dims=[2, 0, 1])
    for spelling in twins("transpose"):
        yield function(spelling, cube, 0, -1)
    for spelling in twins("unsqueeze"):
        yield function(spelling, cube, dim=-1)
    for spelling in twins("squeeze"):
        yield function(spelling, {"x": shaped(2, 1, 4)}, 1)
    for spelling in spellings("unbind"):
        yield function(spelling, {"x": shaped(2, 3)}, outputs=["a", "b"])
    yield function("Tensor.split", {"x": shaped(2, 6)}, split_size=[2, 4],
                   dim=1, outputs=["a", "b"])
    yield function("torch.split", {"x": shaped(2, 6)}, 3, 1,
                   outputs=["a", "b"])
    for spelling in spellings("chunk"):
        yield function(spelling, {"x": shaped(2, 5)}, 2, dim=1,
                       outputs=["a", "b"])
    two = {"x": shaped(2, 3), "z": shaped(2, 3)}
    for name in ("torch.cat", "torch.concat", "torch.stack"):
        yield model(two, [{"name": "y", "op": name, "inputs": [["x", "z"]],
                           "dim": 1}], ["y"])
    for spelling in spellings("index_select"):
        yield model({"x": shaped(4, 3), "i": shaped(5, dtype="i64")},
                    [{"name": "y", "op": spelling, "inputs": ["x", 0, "i"]}],
                    {"rows": "y"})
    yield function("Tensor.__getitem__",
                   {"x": shaped(4, 9, 3, 2)}, index=[0, "1:8:2", None, "..."])
    yield model({"x": shaped(4, 3), "i": shaped(2, 2, dtype="i64")},
                [{"name": "y", "op": "Tensor.__getitem__", "inputs": ["x"],
                  "index": [{"value": "i"}, ":-1"]}], ["y"])
    yield function("torch.arange", {}, 1, 9, 2, dtype="i32")
    yield function("torch.zeros", {}, 2, 3, dtype="f16")
    yield function("torch.ones", {}, size=[2, 3])
    yield function("torch.full", {}, [2, 3], 7)


def modules():
    for name in ("ReLU", "ReLU6", "SiLU", "Tanh", "Sigmoid", "Identity"):
        yield module("nn." + name, X)
    yield module("nn.GELU", X, approximate="none")
    yield module("nn.Softmax", X, dim=1)
    yield module("nn.LogSoftmax", X, dim=0)
    yield module("nn.Dropout", X, p=0.2)
    yield module("nn.Flatten", {"x": shaped(2, 3, 4)}, start_dim=1)
    yield module("nn.Linear", X, in_features=5, out_features=4, bias=True,
                 parametrizations={
                     "weight": {"type": "nn.utils.weight_norm", "dim": 0}})
    yield module("nn.LayerNorm", X, normalized_shape=[5])
    yield module("nn.Embedding", COUNTS, num_embeddings=9, embedding_dim=4,
                 padding_idx=0)
    yield module("nn.EmbeddingBag", COUNTS, num_embeddings=9, embedding_dim=4,
                 mode="mean")
    for rank, shape in ((1, IMAGE), (2, WIDE), (3, GRID)):
        x, channels = {"x": shaped(*shape)}, shape[1]
        norm = {"weight": {"type": "nn.utils.spectral_norm"}}
        yield module(f"nn.Conv{rank}d", x, in_channels=channels,
                     out_channels=4, kernel_size=2, stride=2, padding=1,
                     dilation=1, groups=2, parametrizations=norm)
        yield module(f"nn.ConvTranspose{rank}d", x, in_channels=channels,
                     out_channels=4, kernel_size=3, stride=2, padding=1,
                     output_padding=1)
        yield module(f"nn.BatchNorm{rank}d", x, num_features=channels)
        yield module(f"nn.MaxPool{rank}d", x, kernel_size=2, dilation=1)
        yield module(f"nn.AvgPool{rank}d", x, kernel_size=2, ceil_mode=True)
        yield module(f"nn.AdaptiveAvgPool{rank}d", x, output_size=2)
    sequence = {"x": shaped(5, 2, 3)}
    for name in ("RNN", "GRU"):
        yield module("nn." + name, sequence, ["y", "h"], input_size=3,
                     hidden_size=4, num_layers=2, bidirectional=True)
    ragged = {"x": shaped(2, 5, 3), "n": shaped(2, dtype="i64")}
    lstm = module("nn.LSTM", ragged, ["y", ["h", "c"]], ["y", "h", "c"],
                  input_size=3, hidden_size=4, batch_first=True, dropout=0.1)
    lstm["nodes"][0].update(inputs=["x"], lengths="n")
    yield lstm


CLASSES = model(
    {"x": {"shape": ["N", 4], "dtype": "f32"}},
    [{"name": "a", "module": "blocks.0", "inputs": ["x"]},
     {"name": "b", "module": "blocks.1", "inputs": ["a"]},
     {"name": "c", "module": "tail", "inputs": ["b"]},
     {"name": "d", "op": "torch.mul", "inputs": ["c", "scale"]},
     {"name": "e", "op": "F.linear", "inputs": ["d", "tail.0.weight"]}],
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
    yield CLASSES
    yield trained({"type": "optim.AdamW", "lr": 0.01, "betas": [0.9, 0.99],
                   "groups": [{"params": ["*.bias"], "weight_decay": 0}]},
                  clip_grad_norm=1.0, accumulate_steps=2, frozen=["fc1.*"])
    yield trained({"type": "optim.SGD", "lr": 0.1, "momentum": 0.9,
                   "nesterov": True}, clip_grad_value=0.5)
    yield trained({"type": "optim.Adam", "lr": 0.1, "amsgrad": True})


def collect():
    models = []
    for one in [*functions(), *modules()]:
        models.append((json.dumps(one), [F, F, B]))
    for one in wholes():
        entries = [F, B]
        if "training" in one:
            entries += [["loss_and_grad"], ["train_step"],
                        ["forward", "train_step"]]
        models.append((json.dumps(one), entries))
    for path in sorted(glob.glob(os.path.join(HERE, "..", "..", "examples",
                                              "*.json"))):
        models.append((open(path).read(), [F, B]))
    return models


MODELS = collect()
