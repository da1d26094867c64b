"""Models of any size whose compile time should grow with their size and no
faster: what `bench/compile` times and tests/cli/test_growth.py counts.

KINDS: name -> (model of size n as a dict, flags of `nncc compile`, a size that
compiles in 2 seconds, power of the size that the model itself grows with)."""


def model(name, shape, nodes, outputs, **more):
    inputs = {} if shape is None else {"x": {"shape": shape, "dtype": "f32"}}
    return {"format": "nncc-model/1", "name": name, "inputs": inputs,
            "nodes": nodes, "outputs": outputs, **more}


def chain(name, count, step, shape=(64,), first="x", **more):
    """y0 = first, then count times what `step` makes of it: a list of nodes
    (op, inputs, attributes), of which the last gives the next value."""
    nodes, y = [], first
    for i in range(count):
        made = []
        for j, (op, inputs, *rest) in enumerate(step(i, y, made)):
            made.append(f"y{i}_{j}")
            nodes.append({"name": made[-1], "op": op, "inputs": inputs,
                          **(rest[0] if rest else {})})
        y = made[-1]
    return model(name, None if shape is None else list(shape), nodes, [y],
                 **more)


def twice(i, y, made):
    """Elementwise, and each value used twice."""
    kinds = [[("torch.mul", [y, y])], [("torch.add", [y, y])],
             [("torch.gt", [y, 0.5]), ("torch.where", [f"y{i}_0", y, y])],
             [("torch.neg", [y]), ("torch.maximum", [y, f"y{i}_0"])]]
    return kinds[i % 4]


def squares(n):
    return chain("squares", n, lambda i, y, made: [("torch.mul", [y, y])])


def mixed(n):
    return chain("mixed", n, twice)


def constants(n):
    return chain("constants", n, twice, first="w",
                 parameters={"w": {"shape": [64], "dtype": "f32"}})


def euler(n):
    return chain("euler", n, lambda i, y, made: [
        ("torch.tanh", [y]), ("torch.mul", [f"y{i}_0", 0.1]),
        ("torch.add", [y, f"y{i}_1"])])


def transposed(n):
    return chain("transposed", n, lambda i, y, made: [
        ("torch.transpose", [y, 0, 1]), ("torch.add", [y, f"y{i}_0"]),
        ("torch.mul", [f"y{i}_1", 0.5])], shape=(8, 8))


def neighbours(n):
    return chain("neighbours", n, lambda i, y, made: [
        ("Tensor.__getitem__", [y], {"index": ["1:"]}),
        ("Tensor.__getitem__", [y], {"index": [":-1"]}),
        ("torch.add", [f"y{i}_0", f"y{i}_1"])], shape=(n + 40,))


def less_the_sum(n):
    return chain("less_the_sum", n, lambda i, y, made: [
        ("torch.sum", [y]), ("torch.mul", [f"y{i}_0", 0.01]),
        ("torch.sub", [y, f"y{i}_1"])], shape=(8,))


def long(n):
    """Ops that no two of which are alike, in a row."""
    return chain("long", n, lambda i, y, made: [
        (("torch.add", "torch.mul", "torch.maximum")[i % 3],
         [y, 1 + i / 1024])])


def joins(n):
    """Each step joins what the last one gave with something made of it."""
    return chain("joins", n, lambda i, y, made: [
        ("Tensor.__getitem__", [y], {"index": [":", ":4"]}),
        ("F.relu", [f"y{i}_0"]), ("torch.cat", [[y, f"y{i}_1"], 1])],
        shape=(1, 8, 8, 8))


def sums(n):
    """Each step reads all that those before it gave, joined."""
    nodes, values = [], ["x"]
    for i in range(n):
        nodes += [
            {"name": f"c{i}", "op": "torch.cat", "inputs": [list(values)]},
            {"name": f"s{i}", "op": "torch.sum", "inputs": [f"c{i}"],
             "dim": 0, "keepdim": True},
            {"name": f"y{i}", "op": "torch.tanh", "inputs": [f"s{i}"]}]
        values.append(f"y{i}")
    return model("sums", [8], nodes, [values[-1]])


def dense(n):
    """A block of DenseNet: each layer reads all before it."""
    modules, nodes, values = {}, [], ["x"]
    for i in range(n):
        modules[f"norm{i}"] = {"type": "nn.BatchNorm2d",
                               "num_features": 16 + 12 * i}
        modules[f"conv{i}"] = {
            "type": "nn.Conv2d", "in_channels": 16 + 12 * i,
            "out_channels": 12, "kernel_size": 3, "padding": 1, "bias": False}
        nodes += [
            {"name": f"c{i}", "op": "torch.cat", "inputs": [list(values), 1]},
            {"name": f"n{i}", "module": f"norm{i}", "inputs": [f"c{i}"]},
            {"name": f"r{i}", "op": "F.relu", "inputs": [f"n{i}"]},
            {"name": f"y{i}", "module": f"conv{i}", "inputs": [f"r{i}"]}]
        values.append(f"y{i}")
    nodes.append({"name": "y", "op": "torch.cat", "inputs": [values, 1]})
    return model("dense", [1, 16, 8, 8], nodes, ["y"], modules=modules)


def pool(n):
    """Windows of n x n that overlap."""
    return model("pool", [1, 2, 12, 12],
                 [{"name": "y", "module": "pool", "inputs": ["x"]}], ["y"],
                 modules={"pool": {"type": "nn.MaxPool2d", "kernel_size": n,
                                   "stride": 1, "padding": n // 2}})


def splits(n):
    """n depthwise branches between two pointwise convolutions."""
    width = 20 * (n + 1)

    def conv(cin, cout, size, groups):
        return {"type": "nn.Conv2d", "in_channels": cin, "out_channels": cout,
                "kernel_size": size, "padding": size // 2, "groups": groups}
    modules = {"a": conv(8, width, 1, 1), "b": conv(width, 8, 1, 1)}
    nodes = [{"name": "a", "module": "a", "inputs": ["x"]},
             {"name": [f"p{i}" for i in range(n + 1)], "op": "torch.split",
              "inputs": ["a", 20, 1]}]
    for i in range(1, n + 1):
        modules[f"d{i}"] = conv(20, 20, 3, 20)
        nodes.append({"name": f"q{i}", "module": f"d{i}", "inputs": [f"p{i}"]})
    parts = ["p0"] + [f"q{i}" for i in range(1, n + 1)]
    nodes += [{"name": "c", "op": "torch.cat", "inputs": [parts, 1]},
              {"name": "y", "module": "b", "inputs": ["c"]}]
    return model("splits", [1, 8, 8, 8], nodes, ["y"], modules=modules)


def layers(n):
    """LSTM layers in both directions, trained: state that is read and written
    in n places."""
    return model("layers", [5, 2, 4],
                 [{"name": ["y", ["h", "c"]], "module": "rnn", "inputs": ["x"]},
                  {"name": "loss", "op": "torch.sum", "inputs": ["y"]}],
                 ["loss"],
                 modules={"rnn": {"type": "nn.LSTM", "input_size": 4,
                                  "hidden_size": 3, "num_layers": n,
                                  "bidirectional": True}},
                 training={"loss": "loss",
                           "optimizer": {"type": "optim.SGD", "lr": 0.1}})


def parts(n):
    """Taken apart and put together the other way round."""
    nodes = [{"name": f"p{i}", "op": "Tensor.__getitem__", "inputs": ["x"],
              "index": [f"{i}:{i + 1}"]} for i in range(n)]
    nodes.append({"name": "y", "op": "torch.cat",
                  "inputs": [[f"p{i}" for i in reversed(range(n))]]})
    return model("parts", [n], nodes, ["y"])


def slices(n):
    """Each a part of the one before."""
    return chain("slices", n, lambda i, y, made: [
        ("Tensor.__getitem__", [y], {"index": ["1:"]})], shape=(n + 4,))


def costly(n):
    """Functions whose code is long."""
    return chain("costly", n, lambda i, y, made: [("torch.tanh", [y])])


def matmuls(n):
    """Products in a row, all by the input."""
    return chain("matmuls", n, lambda i, y, made: [("torch.matmul", [y, "x"])],
                 shape=(4, 4))


BACKWARD = ["--entries", "backward"]
KINDS = {
    "squares": (squares, [], 200, 1), "mixed": (mixed, [], 200, 1),
    "constants": (constants, [], 200, 1), "euler": (euler, [], 200, 1),
    "transposed": (transposed, [], 200, 1),
    "neighbours": (neighbours, [], 200, 1),
    "less_the_sum": (less_the_sum, [], 200, 1), "long": (long, [], 5000, 1),
    "joins": (joins, [], 32, 1), "splits": (splits, [], 8, 1),
    # Step i reads i values; a window has n * n elements.
    "sums": (sums, [], 80, 2), "dense": (dense, [], 32, 2),
    "pool": (pool, BACKWARD, 5, 2),
    "parts": (parts, BACKWARD, 1000, 1), "slices": (slices, BACKWARD, 8000, 1),
    "costly": (costly, [], 500, 1), "matmuls": (matmuls, BACKWARD, 1000, 1),
    "mixed_backward": (mixed, BACKWARD, 200, 1),
    "layers": (layers, ["--entries", "train_step"], 128, 1)}
