"""Weights files that are not what they should be, each with its sentence."""
import json
import pickle
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
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "w is a git-lfs pointer, not the file itself: run git lfs pull"),
    "html": (b"<!DOCTYPE html><html>",
             "w is an HTML page: the download failed"),
    "pickle": (pickle.dumps({}, protocol=2), "w is a Python pickle: save with "
               "safetensors.torch.save_file"),
    "zip": (b"PK\x03\x04rest", "w is a zip archive (PyTorch .pt?): save with "
            "safetensors.torch.save_file"),
    "numpy": (b"\x93NUMPY\x01\x00", "w is a NumPy array, not a safetensors "
              "file"),
    "empty": (b"", "w is truncated or no safetensors file: its header would "
              "need 0 bytes, the file has 0"),
    "short": (struct.pack("<Q", 100) + b"{}", "w is truncated or no "
              "safetensors file: its header would need 100 bytes, the file "
              "has 10"),
    "no json": (header({})[:8] + b"[]",
                "w: the header is not the JSON that it should be"),
    "cut data": (header({"a": entry()}, b"\0\0"), "w: the file is truncated: "
                 "a tensor's data lies behind its end"),
    "wrong size": (header({"a": entry((2,))}, b"\0" * 4),
                   "w: a tensor's data and shape differ in size"),
    "hole": (header({"a": entry(offsets=(4, 8))}, b"\0" * 8),
             "w: its data has holes, overlaps or something behind it"),
    "behind": (header({"a": entry()}, b"\0" * 5),
               "w: its data has holes, overlaps or something behind it"),
    "dtype": (header({"a": entry(dtype="F8")}, b"\0" * 4),
              "w: a dtype that is not supported"),
    "overflow": (header({"a": entry((1 << 62, 1 << 62))}, b"\0" * 4),
                 "w: a tensor's size overflows"),
    "twice": (b'\x7b\0\0\0\0\0\0\0{"a":' + json.dumps(entry()).encode()
              + b',"a":' + json.dumps(entry()).encode() + b"}",
              "w: a tensor stands twice in the header"),
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


def test_wrong_inputs(nncc, lenet):
    w = ("--weights", "lenet.safetensors", "--dim", "N=1")
    save_file({"x": np.zeros((1, 1, 12, 12), np.float64)}, lenet / "i")
    assert nncc("run", "lenet.json", *w, "--inputs", "i", code=1).stderr == \
        "nncc: input x must be f32, got f64\n"
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
