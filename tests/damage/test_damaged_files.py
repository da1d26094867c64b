"""Damaged files of weights, arrays and checkpoints end in a sentence: exit 0, 1,
3, 4, 5 or 6, within 20 s and 4 GB; never a signal, "internal" or a hang.

    python tests/damage/test_damaged_files.py 10000 [FIRST SEED]    by hand
"""
import os
import random
import resource
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in (HERE, os.path.join(HERE, "..", "cli")):
    sys.path.insert(0, folder)

from files import damage
from lenet_model import MODEL, NNCC, weights

W = ("--weights", "lenet.safetensors")
X = ("--input", "x=1")
D = ("--data", "train.npz")
# What is damaged, and the calls that read it as f.
CALLS = [
    ("lenet.safetensors", ("run", "lenet.so", "--weights", "f", *X)),
    ("lenet.safetensors", ("bench", "lenet.so", "--weights", "f", "--seconds",
                           "0.001")),
    ("lenet.safetensors", ("inspect", "f")),
    ("lenet.safetensors", ("inspect", "f", "--json")),
    ("lenet.safetensors", ("train", "lenet.so", *D, "--weights", "f")),
    ("c.safetensors", ("train", "lenet.so", *D, "--weights", "f")),
    ("c.safetensors", ("run", "lenet.so", "--weights", "f", *X)),
    ("c.safetensors", ("train", "lenet.so", *D, "--resume", "--checkpoint",
                       "f", "--epochs", "2")),
    ("c.safetensors", ("train", "lenet.so", *D, "--resume", "--checkpoint",
                       "f", "--epochs", "2")),
    ("x.safetensors", ("run", "lenet.so", *W, "--inputs", "f")),
    ("x.npz", ("run", "lenet.so", *W, "--inputs", "f")),
    ("x.npy", ("run", "lenet.so", *W, "--input", "x=@f")),
    ("x.npz", ("inspect", "f")),
    ("x.npy", ("inspect", "f")),
    ("y.safetensors", ("check", "lenet.so", *W, *X, "--expect", "f")),
    ("train.npz", ("train", "lenet.so", *W, "--data", "f")),
    ("lenet.so", ("run", "f", *W, *X)),
]
# They compile: less often.
SLOW = [
    ("lenet.safetensors", ("check", "lenet.json", "--weights", "f")),
    ("lenet.safetensors", ("compile", "lenet.json", "--embed-weights",
                           "--weights", "f", "-o", "own.so")),
]


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def call(folder, arguments):
    """(exit code or "hangs", what was said)."""
    try:
        done = subprocess.run([NNCC, *arguments], cwd=folder, timeout=20,
                              capture_output=True, preexec_fn=limit)
    except subprocess.TimeoutExpired:
        return "hangs", ""
    return done.returncode, (done.stdout + done.stderr).decode(
        errors="replace")


def prepare(folder):
    random = np.random.default_rng(0)
    with open(os.path.join(folder, "lenet.json"), "w") as file:
        file.write(MODEL)
    x = random.standard_normal((1, 1, 12, 12)).astype(np.float32)
    at = lambda name: os.path.join(folder, name)
    save_file(weights(), at("lenet.safetensors"))
    save_file({"x": x}, at("x.safetensors"))
    np.savez(at("x.npz"), x=x)
    np.save(at("x.npy"), x)
    np.savez(at("train.npz"), t=np.arange(6) % 3,
             x=random.standard_normal((6, 1, 12, 12)).astype(np.float32))
    for arguments in (
            ("lenet.json", "-o", "lenet.so", "--entries",
             "forward,train_step"),
            ("run", "lenet.so", *W, *X, "--outputs", "y.safetensors"),
            ("train", "lenet.so", *W, *D, "--checkpoint", "c.safetensors")):
        code, said = call(folder, arguments)
        assert code == 0, said


def fault(code, said):
    if code not in (0, 1, 3, 4, 5, 6):
        return f"exit {code}"
    if "internal" in said or "\x1b" in said:
        return "internal, or a control character"
    return None if said.strip() and (
        code == 0 or len(said) < 20000) else "no sentence"


def tries(folder, seeds):
    """(seed, fault, kinds of damage, call, what was said) of those that end
    badly."""
    for seed in seeds:
        r = random.Random(seed)
        name, arguments = r.choice(r.choice([CALLS] * 9 + [SLOW]))
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        if name == "lenet.so":  # its code is not asked to survive anything
            kinds, data = ["cut"], data[:r.randrange(len(data) // 2)]
        else:
            kinds, data = damage(seed, data)
        with open(os.path.join(folder, "f"), "wb") as file:
            file.write(data)
        code, said = call(folder, arguments)
        if problem := fault(code, said):
            yield seed, problem, kinds, arguments, said


def test_damaged_files(tmp_path):
    prepare(tmp_path)
    assert list(tries(tmp_path, range(400))) == []


if __name__ == "__main__":
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        count = 0
        for seed, problem, kinds, arguments, said in tries(
                folder, range(first, first + int(sys.argv[1]))):
            count += 1
            print(f"--- seed {seed}: {problem}, {kinds}, {arguments}\n{said}",
                  flush=True)
    print(f"{count} faults")
