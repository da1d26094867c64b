"""Files of other tools: each verb and flag says what it got."""
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import subprocess
import zipfile

import numpy as np
import pytest

from lenet_model import NNCC

W = ("--weights", "lenet.safetensors")


def zipped(*names):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 40)
    return data.getvalue()


def elf(kind, interpreter=False):
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", kind, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<I", 3 if interpreter else 1) + bytes(60)


def tar():
    block = bytearray(512)
    block[:5] = b"a.txt"
    block[257:262] = b"ustar"
    return bytes(block)


CONVERT = ": safetensors.torch.save_file(module.state_dict(), ...) writes one"
UNPACK = ": unpack it first"

# What the bytes are, what is said of them, and what to do.
KINDS = {
    "program": (elf(2), "an ELF program"),
    "program anywhere": (elf(3, True), "an ELF program"),
    "cut elf": (b"\x7fELF\2\1\1", "a truncated ELF file"),
    "core": (elf(4), "a core dump"),
    "torch": (zipped("archive/data.pkl", "archive/version"),
              "a PyTorch checkpoint", CONVERT),
    "torch, old": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M",
                   "a PyTorch checkpoint", CONVERT),
    "keras": (zipped("metadata.json", "keras.h5"), "a Keras model"),
    "office": (zipped("[Content_Types].xml"), "an Office document"),
    "zip": (zipped("a.txt"), "a zip archive"),
    "empty zip": (zipped(), "an empty zip archive"),
    "pickle": (pickle.dumps({"a": 1}, protocol=4), "a Python pickle", CONVERT),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file (Keras?)"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:\xff", "an ONNX model"),
    "saved model": (b"\x08\x01\x12\x80\x02\x0a", "a TensorFlow SavedModel"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(8), "a TFLite model"),
    "gguf": (b"GGUF\3\0\0\0", "a GGUF file"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
    "gzip": (gzip.compress(b"{}"), "gzip data", UNPACK),
    "xz": (lzma.compress(b"{}"), "xz data", UNPACK),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\0", "zstd data", UNPACK),
    "tar": (tar(), "a tar archive", UNPACK),
    "pdf": (b"%PDF-1.7\n", "a PDF document"),
    "sqlite": (b"SQLite format 3\0", "an SQLite database"),
    "parquet": (b"PAR1\x15\x04", "a Parquet file"),
    "utf-16": ("{}".encode("utf-16"), "text in UTF-16", ": save it as UTF-8"),
    "utf-16, no mark": ('{"format": 1}'.encode("utf-16-le"), "text in UTF-16",
                        ": save it as UTF-8"),
    "utf-16, other end": ('{"format": 1}\n'.encode("utf-16-be"),
                          "text in UTF-16", ": save it as UTF-8"),
    "utf-32": ("[1]".encode("utf-32"), "text in UTF-32", ": save it as UTF-8"),
    "utf-32, no mark": ('{"format"'.encode("utf-32-le"), "text in UTF-32",
                        ": save it as UTF-8"),
    "bom": ("{}".encode("utf-8-sig"), "text with a byte order mark in front",
            ": save it as UTF-8 without one"),
    "html": (b"<!DOCTYPE html><html>", "an HTML page", ": the download failed"),
    "xml": (b"<?xml version='1.0'?>", "an XML document"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a git-lfs pointer", ": run git lfs pull"),
    "script": (b"#!/bin/sh\n", "a script"),
    "zeros": (bytes(100), "a file of zeros"),
}

# Flag -> (call with the file in it, the words around what it is).
FLAGS = {
    "model": (("compile", "f", "-o", "m.o"), "f is %s, not a model"),
    "run": (("run", "f"), "f is %s, not a model"),
    "inspect": (("inspect", "f"), "f is %s, not a model"),
    "schedules": (("compile", "lenet.json", "--schedules", "f"),
                  "f is %s, not a file of schedules"),
    "compare": (("bench", "lenet.json", "--compare", "f"),
                "f is %s, not the output of nncc bench --json"),
    "weights": (("run", "lenet.json", "--weights", "f"),
                "--weights f: it is %s, not a safetensors file"),
    "embed": (("compile", "lenet.json", "--embed-weights", "--weights", "f"),
              "--weights f: it is %s, not a safetensors file"),
    "start": (("train", "lenet.json", "--data", "train.npz", "--weights", "f"),
              "--weights f: it is %s, not a safetensors file"),
    "checkpoint": (("train", "lenet.json", "--data", "train.npz", "--resume",
                    "--checkpoint", "f"),
                   "--checkpoint f: it is %s, not a safetensors file"),
    "inputs": (("run", "lenet.json", *W, "--inputs", "f"),
               "--inputs f: it is %s, not a safetensors, .npz or .npy file"),
    "input": (("run", "lenet.json", *W, "--input", "x=@f"),
              "--input x f: it is %s, not a safetensors, .npz or .npy file"),
    "expect": (("check", "lenet.json", "--expect", "f"),
               "--expect f: it is %s, not a safetensors, .npz or .npy file"),
    "data": (("train", "lenet.json", "--data", "f"),
             "--data f: it is %s, not a safetensors, .npz or .npy file"),
    "named data": (("train", "lenet.json", "--data", "x=@f"),
                   "--data f: it is %s, not a safetensors, .npz or .npy file"),
    "validate": (("train", "lenet.json", "--data", "train.npz", "--validate",
                  "f"), "--validate f: it is %s, not a safetensors, .npz or "
                 ".npy file"),
}


@pytest.mark.parametrize("flag", FLAGS)
def test_other_files(nncc, lenet, flag):
    arguments, text = FLAGS[flag]
    for name, (data, kind, *advice) in KINDS.items():
        (lenet / "f").write_bytes(data)
        done = nncc(*arguments, code=1)
        how = "".join(advice)
        if how == CONVERT and text.startswith("f is"):
            how = ": nncc.export(module, ...) writes models"
        if kind.endswith(" model") and text.endswith("not a model"):
            how = " of nncc" + how  # it is one of another tool
        assert done.stderr == f"nncc: {text % kind}{how}\n", name


@pytest.mark.parametrize("flag", FLAGS)
def test_files_that_are_no_files(nncc, lenet, flag):
    arguments, text = FLAGS[flag]
    done = nncc(*arguments, code=5)
    assert done.stderr == "nncc: cannot read f: No such file or directory\n"
    (lenet / "f").write_bytes(b"")
    assert nncc(*arguments, code=1).stderr == \
        f"nncc: {text % 'an empty file'}\n"
    (lenet / "f").unlink()
    os.mkdir(lenet / "f")
    done = nncc(*arguments, code=5)
    assert done.stderr == "nncc: cannot read f: it is a directory\n"


def test_our_own_files_in_the_wrong_place(nncc, lenet):
    nncc("lenet.json", "-o", "lenet.o")
    nncc("lenet.json", "-o", "lenet.a")
    nncc("lenet.json", "-o", "lenet.so")
    np.save(lenet / "x.npy", np.zeros(3, "f"))
    kinds = {"lenet.o": "an object file", "lenet.a": "an archive of objects",
             "lenet.so": "a shared library", "x.npy": "a NumPy array",
             "train.npz": "a NumPy .npz archive",
             "lenet.safetensors": "a safetensors file"}
    for name, kind in kinds.items():
        assert nncc("compile", name, code=1).stderr == \
            f"nncc: {name} is {kind}, not a model\n"
    done = nncc("run", "lenet.json", "--weights", "lenet.json", code=1)
    assert done.stderr == ("nncc: --weights lenet.json: it is JSON text, not a "
                           "safetensors file\n")
    # A compiled model is one by its bytes, whatever its name.
    os.rename(lenet / "lenet.so", lenet / "lenet.bin")
    assert nncc("run", "lenet.bin", *W, "--input", "x=ones").stdout == nncc(
        "run", "lenet.o", *W, "--input", "x=ones").stdout


@pytest.mark.parametrize("text,said", [
    ("format: nncc-model/1\nname: lenet\n", "f looks like YAML, but a model is "
     "JSON"),
    ("---\n- a\n", "f looks like YAML, but a model is JSON"),
    ("[model]\nname = 'lenet'\n", "f looks like TOML, but a model is JSON"),
    ("name = 'lenet'\n", "f looks like TOML, but a model is JSON")])
def test_other_text(nncc, lenet, text, said):
    (lenet / "f").write_text(text)
    assert nncc("compile", "f", code=1).stderr == f"nncc: {said}\n"


def test_libraries_that_are_no_models(nncc, lenet):
    """Found out before any of their code runs."""
    (lenet / "f.c").write_text(
        "#include <stdlib.h>\nvoid *x_model(void) { abort(); }\n"
        "__attribute__((constructor)) static void f(void) { abort(); }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "f.c", "-o", "f.so"], cwd=lenet,
                   check=True)
    nncc("lenet.json", "-o", "cut.so")
    data = (lenet / "cut.so").read_bytes()
    (lenet / "cut.so").write_bytes(data[:len(data) // 2])
    for name in ("f.so", "cut.so"):
        assert nncc("run", name, *W, code=1).stderr == (
            f"nncc: {name} is no compiled model: nncc did not write it, or it "
            "is damaged\n")
    done = nncc("run", "/bin/ls", code=1)
    assert done.stderr == "nncc: /bin/ls is an ELF program, not a model\n"


def npy(shape, data=b"", descr="'<f4'", order="False"):
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + \
        data


@pytest.mark.parametrize("data,text", [
    (npy("(2,)", bytes(4)), "it is truncated: the file is shorter than its "
     "shape"),
    (npy("(2,)", bytes(12)), "the file is longer than its shape"),
    (npy("(-1,)"), "a malformed .npy shape"),
    (npy("(4611686018427387904, 4)"), "a malformed .npy shape"),
    (npy("(2,)", bytes(4), descr="'>f2'"), "the element type '>f2', which nncc "
     "does not have: save it as .astype('float32')"),
    (npy("(2,)", bytes(4), descr="'<u2'"), "the element type '<u2', which nncc "
     "does not have: save it as .astype('int64')"),
    (npy("(1,)", bytes(4), descr="'|O'"),
     "the element type '|O', which nncc does not have"),
    (npy("(1,)", bytes(4), descr="[('a', '<f4')]"),
     "the element type of a structured array, which nncc does not have"),
    (npy("(2, 2)", bytes(16), order="True"),
     "the array is in Fortran order: save numpy.ascontiguousarray"),
    (b"\x93NUMPY\1\0\xff\xff{}", "it is truncated inside its header"),
    (b"\x93NUMPY\1\0v", "it is truncated inside its header"),
    (b"\x93NUMPY\4\0\1\0{}", "version 4 of the .npy format, nncc reads 1 to "
     "3"),
    (npy("(1,)").replace(b"descr", b"desce"), "a malformed .npy header")])
def test_damaged_npy(nncc, lenet, data, text):
    (lenet / "f.npy").write_bytes(data)
    call = ("run", "lenet.json", *W)
    assert nncc(*call, "--input", "x=@f.npy", code=1).stderr == \
        f"nncc: f.npy: {text}\n"
    with zipfile.ZipFile(lenet / "f.npz", "w") as archive:
        archive.writestr("x.npy", data)
    assert nncc(*call, "--inputs", "f.npz", code=1).stderr == \
        f"nncc: f.npz: x.npy: {text}\n"


def test_damaged_archives(nncc, lenet):
    data = (lenet / "train.npz").read_bytes()
    call = ("train", "lenet.json", *W, "--data", "f.npz")
    for size in (40, 400, len(data) - 5):
        (lenet / "f.npz").write_bytes(data[:size])
        for verb in (call, ("inspect", "f.npz"), ("check", "lenet.json",
                                                  "--expect", "f.npz")):
            assert nncc(*verb, code=1).stderr == (
                "nncc: f.npz: the archive is truncated or damaged: the list of "
                "arrays that ends it is missing\n")
    damaged = bytearray(data)
    damaged[300] ^= 1  # the checksum finds it
    (lenet / "f.npz").write_bytes(damaged)
    assert "f.npz: " in nncc(*call, code=1).stderr


def test_damaged_before_work(nncc, lenet):
    """Files that are cut are found before the model is compiled."""
    (lenet / "none.json").write_text("{")
    for name in ("lenet.safetensors", "train.npz"):
        data = (lenet / name).read_bytes()
        (lenet / name).write_bytes(data[:len(data) // 2])
    for call in (("run", "none.json", *W), ("bench", "none.json", *W),
                 ("check", "none.json", "--expect", "train.npz"),
                 ("run", "none.json", "--inputs", "train.npz"),
                 ("compile", "none.json", "--embed-weights", *W),
                 ("train", "none.json", "--data", "train.npz"),
                 ("train", "none.json", "--data", "in.safetensors", *W)):
        assert "truncated" in nncc(*call, code=1).stderr, call
    (lenet / "cut.safetensors").write_bytes(b"\x18\1\0\0\0")
    assert "truncated or no safetensors" in nncc("inspect", "cut.safetensors",
                                                 code=1).stderr


def test_real_checkpoints(nncc, lenet):
    """As the installed PyTorch writes them."""
    torch = pytest.importorskip("torch")
    state = {"a": torch.zeros(3)}
    torch.save(state, lenet / "new.pt")
    torch.save(state, lenet / "old.pt", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(2, 2), lenet / "module.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), lenet / "jit.pt")
    for name in ("new.pt", "old.pt", "module.pt", "jit.pt"):
        said = f"nncc: {name} is a PyTorch checkpoint, not a model: nncc.export"
        for verb in ("inspect", "run", "bench", "check", "compile"):
            assert nncc(verb, name, code=1).stderr.startswith(said)
        assert nncc("run", "lenet.json", *W, "--inputs", name,
                    code=1).stderr == (
            f"nncc: --inputs {name}: it is a PyTorch checkpoint, not a "
            f"safetensors, .npz or .npy file{CONVERT}\n")


def test_control_characters_stay_inside(nncc, lenet):
    """Names from files reach neither terminal nor JSON as they are."""
    text = json.dumps({"a\x1b[31m\x07": {"dtype": "F32", "shape": [1],
                                         "data_offsets": [0, 4]}}).encode()
    (lenet / "f").write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    shown = "a\\x1b[31m\\x07"
    assert shown in nncc("inspect", "f").stdout
    assert shown in nncc("run", "lenet.json", "--weights", "f", code=1).stderr
    assert shown in nncc("run", "lenet.json", *W, "--inputs", "f",
                         code=1).stderr
    (lenet / "f").write_bytes(b'{"format": "\x1b[2J\x9b\xff"}')
    done = subprocess.run([NNCC, "compile", "f"], cwd=lenet,
                          capture_output=True)
    assert done.returncode == 1 and b"\x1b" not in done.stderr
    done.stderr.decode("utf-8")
    assert b"\x1b" not in subprocess.run(
        [NNCC, "\x1b[31mrun"], cwd=lenet, capture_output=True).stderr


def test_streams_that_fail(nncc, lenet):
    """A full disk, a closed stdout, a reader that is gone: a sentence each."""
    def shell(text):
        done = subprocess.run(["bash", "-c", text, "x", NNCC], cwd=lenet,
                              capture_output=True, text=True)
        return done.returncode, done.stderr

    for verb in ("schema", "compile lenet.json --emit=kernels", "help",
                 "inspect lenet.safetensors", "inspect lenet.json --json",
                 "check lenet.json --json", "bench lenet.json --seconds 0.01",
                 "run lenet.json --weights lenet.safetensors --input x=ones"):
        code, text = shell(f"$1 {verb} > /dev/full")
        assert (code, text.splitlines()[-1]) == (
            5, "nncc: cannot write to stdout: No space left on device"), verb
        code, text = shell(f"$1 {verb} >&-")
        assert (code, text.splitlines()[-1]) == (
            5, "nncc: cannot write to stdout: Bad file descriptor"), verb
    code, text = shell("set -o pipefail; $1 schema | true; "
                       "[ ${PIPESTATUS[0]} = 5 ] || [ ${PIPESTATUS[0]} = 0 ]")
    assert "internal" not in text
    # Without any stream, files are still what they should be.
    code, _ = shell("$1 lenet.json -o m.o 2>&- >&- <&-; cmp m.o <("
                    "$1 lenet.json -o n.o 2>/dev/null; cat n.o)")
    assert code == 0
    # Devices are written to, not replaced.
    code, text = shell("$1 run lenet.json --weights lenet.safetensors --input "
                       "x=ones --outputs /dev/null && [ -c /dev/null ]")
    assert code == 0, text
    code, text = shell("$1 run lenet.json --weights lenet.safetensors --input "
                       "x=ones --outputs /dev/full")
    assert (code, text) == (5, "nncc: cannot write /dev/full: No space left on "
                            "device\n")
