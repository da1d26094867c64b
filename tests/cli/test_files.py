"""Weights files that are not what they should be, each with its sentence."""
import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from lenet_model import weights

X = ("--input", "x=random:normal")


def header(entries, data=b"", length=None):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + \
        text + data


def entry(shape=(1,), offsets=(0, 4), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape),
            "data_offsets": list(offsets)}


BROKEN = {
    "short": (struct.pack("<Q", 100) + b"{}", "w is truncated or no "
              "safetensors file: its header would need 100 bytes, the file "
              "has 10"),
    "no json": (header({})[:8] + b"[]",
                "w: the header is not the JSON that it should be, at byte 0 of "
                "the header"),
    "seven bytes": (b"\x18" + bytes(6), "w is truncated or no safetensors "
                    "file: it has 7 bytes, the length of its header needs 8"),
    "cut data": (header({"a": entry()}, b"\0\0"), 'w: tensor "a": the file is '
                 "truncated: it ends 2 bytes before the tensor's data do"),
    "wrong size": (header({"a": entry((2,))}, b"\0" * 4),
                   'w: tensor "a": its data have 4 bytes, its shape needs 8'),
    "backwards": (header({"a": entry(offsets=(4, 0))}, b"\0" * 4), 'w: tensor '
                  '"a": its data end at 0, before they begin at 4'),
    "hole": (header({"a": entry(offsets=(4, 8))}, b"\0" * 8),
             'w: a hole of 4 bytes before the data of tensor "a"'),
    "overlap": (header({"a": entry(), "b": entry((2,), (2, 10))}, bytes(10)),
                'w: the data of tensors "a" and "b" overlap'),
    "behind": (header({"a": entry()}, b"\0" * 5),
               "w: 1 bytes behind the data of its tensors"),
    "dtype": (header({"a": entry(dtype="F8_E4M3")}, b"\0" * 4),
              'w: tensor "a": nncc has no element type F8_E4M3'),
    "overflow": (header({"a": entry((1 << 62, 1 << 62))}, b"\0" * 4),
                 'w: tensor "a": its size overflows'),
    "too large": (header({"a": entry((1 << 70,))}, b"\0" * 4),
                  'w: tensor "a": a number is too large, at byte 52 of the '
                  "header"),
    "negative": (header({"a": entry((-1,))}, b"\0" * 4), 'w: tensor "a": a '
                 "whole number that is at least 0 is missing, at byte 33 of "
                 "the header"),
    "ranks": (header({"a": entry((1,) * 9)}, b"\0" * 4),
              'w: tensor "a": a list of more than 8 numbers'),
    "key": (header({"a": {**entry(), "x": 1}}, b"\0" * 4),
            'w: tensor "a": an unknown or repeated key "x"'),
    "nested": (header({"a": [entry()]}, b"\0" * 4), 'w: tensor "a": the header '
               "is not the JSON that it should be, at byte 6 of the header"),
    "incomplete": (header({"a": {"dtype": "F32"}}, b"\0" * 4),
                   'w: tensor "a": it needs dtype, shape and data_offsets'),
    "not utf-8": (struct.pack("<Q", 4) + b'{"\xff"', "w: a byte that is no "
                  "UTF-8, at byte 2 of the header"),
    "open string": (struct.pack("<Q", 4) + b'{"a ', "w: the header ends inside "
                    "a string that begins at its byte 2"),
    "twice": (b'\x7b\0\0\0\0\0\0\0{"a":' + json.dumps(entry()).encode()
              + b',"a":' + json.dumps(entry()).encode() + b"}",
              'w: tensor "a" stands twice in the header'),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_weights(nncc, lenet, name):
    data, text = BROKEN[name]
    if name == "twice":
        body = data[8:]
        data = struct.pack("<Q", len(body)) + body + b"\0" * 4
    (lenet / "w").write_bytes(data)
    done = nncc("run", "lenet.json", "--weights", "w", *X, code=1)
    assert done.stderr == f"nncc: {text}\n"


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x2750, 0x4b50])
def test_headers_that_look_like_other_files(nncc, lenet, length):
    """The header's length may begin with a pickle's or a zip's bytes."""
    path = lenet / "lenet.safetensors"
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    text = data[8:8 + size].rstrip().ljust(length)
    path.write_bytes(struct.pack("<Q", length) + text + data[8 + size:])
    nncc("run", "lenet.json", "--weights", "lenet.safetensors", "--inputs",
         "in.safetensors")


def test_all_misfits_are_listed(nncc, lenet):
    tensors = weights()
    del tensors["conv.bias"]
    tensors["conv.weight"] = np.zeros((6, 1, 5, 5), np.float32)
    tensors["head.1.bias"] = np.zeros(10, np.float64)
    tensors["extra"] = np.zeros(1, np.float32)
    save_file(tensors, lenet / "w")
    done = nncc("run", "lenet.json", "--weights", "w", *X, code=1)
    assert done.stderr == (
        "nncc: the weights do not fit lenet:\n"
        "  conv.weight must have shape [6, 1, 3, 3], the file has "
        "[6, 1, 5, 5]\n"
        "  conv.bias is missing\n"
        "  head.1.bias must be f32, the file has f64\n"
        "  extra is not part of the model\n")


def test_weights_of_another_model(nncc, lenet):
    """The cause is guessed before its consequences."""
    call = ("run", "lenet.json", "--weights", "w", *X)
    fits = "nncc: the weights do not fit lenet: "
    save_file({f"bn{i}.weight": np.zeros(3, np.float32) for i in range(122)},
              lenet / "w")
    assert nncc(*call, code=1).stderr == fits + (
        "these are the weights of another model (122 of 122 names unknown, as "
        "bn0.weight)\n")
    save_file({"module." + k: v for k, v in weights().items()}, lenet / "w")
    assert nncc(*call, code=1).stderr == fits + (
        'their names begin with "module.", which the model\'s do not\n')
    save_file({**weights(), **{f"bn{i}": np.zeros(3, np.float32)
                               for i in range(20)}}, lenet / "w")
    lines = nncc(*call, code=1).stderr.splitlines()
    assert lines[0] == fits + "they may be of another model, 20 of 24 names " \
        "are unknown" and len(lines) == 14 and lines[-1] == "  and 8 more"


def test_wrong_inputs(nncc, lenet):
    w = ("--weights", "lenet.safetensors", "--dim", "N=1")
    save_file({"x": np.zeros((1, 1, 12, 12), np.float64)}, lenet / "i")
    assert nncc("run", "lenet.json", *w, "--inputs", "i", code=1).stderr == \
        ("nncc: input x must be f32, got f64 from --inputs i: --convert "
         "converts it\n")
    nncc("run", "lenet.json", *w, "--inputs", "i", "--convert")
    save_file({"x": np.zeros((1, 12, 12), np.float32)}, lenet / "i")
    assert nncc("run", "lenet.json", *w, "--inputs", "i", code=1).stderr == \
        "nncc: input x must have shape [1, 1, 12, 12], got [1, 12, 12]\n"


def test_index_out_of_range(nncc, lenet):
    (lenet / "e.json").write_text(json.dumps({
        "format": "nncc-model/1", "name": "e",
        "inputs": {"ids": {"shape": [3], "dtype": "i64"}},
        "modules": {"e": {"type": "nn.Embedding", "num_embeddings": 4,
                          "embedding_dim": 2}},
        "nodes": [{"name": "y", "module": "e", "inputs": ["ids"]}],
        "outputs": ["y"]}))
    save_file({"e.weight": np.zeros((4, 2), np.float32)}, lenet / "w")
    save_file({"ids": np.array([0, 3, 4])}, lenet / "i")
    done = nncc("run", "e.json", "--weights", "w", "--inputs", "i", code=1)
    assert done.stderr == "nncc: input ids: element 2 is 4, outside [0, 4)\n"


def test_lengths_out_of_range(nncc, lenet):
    """As pack_padded_sequence; one input that two layers read."""
    (lenet / "r.json").write_text(json.dumps({
        "format": "nncc-model/1", "name": "r",
        "inputs": {"x": {"shape": [5, 2, 3], "dtype": "f32"},
                   "z": {"shape": [4, 2, 3], "dtype": "f32"},
                   "n": {"shape": [2], "dtype": "i32"}},
        "modules": {k: {"type": "nn.RNN", "input_size": 3, "hidden_size": 3}
                    for k in "ab"},
        "nodes": [{"name": ["y", "h"], "module": "a", "inputs": ["x"],
                   "lengths": "n"},
                  {"name": ["v", "w"], "module": "b", "inputs": ["z"],
                   "lengths": "n"}],
        "outputs": ["y", "v"]}))
    state = {f"{k}.{n}_l0": np.zeros(s, np.float32) for k in "ab"
             for n, s in (("weight_ih", (3, 3)), ("weight_hh", (3, 3)),
                          ("bias_ih", 3), ("bias_hh", 3))}
    save_file(state, lenet / "w")
    for lengths, bad in (("[4,1]", None), ("[0,1]", (0, 0, 6)),
                         ("[1,-1]", (1, -1, 6)), ("[5,4]", (0, 5, 5)),
                         ("[6,4]", (0, 6, 6))):
        done = nncc("run", "r.json", "--weights", "w", "--input", "*=zeros",
                    "--input", f"n={lengths}", code=1 if bad else 0)
        assert done.stderr == ("nncc: input n: element %d is %d, outside "
                               "[1, %d)\n" % bad if bad else "")


def test_part_of_an_input_as_index(nncc, lenet):
    """A column that is no index may hold anything."""
    (lenet / "p.json").write_text(json.dumps({
        "format": "nncc-model/1", "name": "p",
        "inputs": {"ids": {"shape": [3, 2], "dtype": "i64"}},
        "modules": {"e": {"type": "nn.Embedding", "num_embeddings": 4,
                          "embedding_dim": 2}},
        "nodes": [{"name": "c", "op": "Tensor.__getitem__", "inputs": ["ids"],
                   "index": [":", 0]},
                  {"name": "y", "module": "e", "inputs": ["c"]}],
        "outputs": ["y"]}))
    save_file({"e.weight": np.zeros((4, 2), np.float32)}, lenet / "w")
    save_file({"ids": np.array([[0, 9], [3, -7], [1, 99]])}, lenet / "i")
    nncc("run", "p.json", "--weights", "w", "--inputs", "i")
