"""Cases for a GPU: models, their inputs, and what the CPU makes of them.

The CPU's program for x86-64-v2 has a GPU's facts (vectors of 16 bytes, no fused
multiply-add); with the GPU's schedules it gives the same bits.
"""
import dataclasses
import os
import subprocess
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "..", "python"),
                os.path.join(HERE, "..")]

import nncc  # noqa: E402
from records import devices, harness, networks  # noqa: E402

# Weights above are computed from a seed, results above are sampled.
MOST_WEIGHTS, MOST_RESULTS, SAMPLES = 1 << 12, 1 << 14, 1 << 10


@dataclasses.dataclass(frozen=True)
class Model:
    """One to compile: a batch of records with one entry, or a network."""
    name: str
    entries: tuple
    batch: tuple = ()

    def title(self):
        return f"{self.name} ({self.batch[0]}..{self.batch[-1]})" \
            if self.batch else self.name

    def cases(self):
        """(name, entry): a name is that of its numbers, too."""
        return [(self.name if self.batch else f"{self.name}.{entry}", entry)
                for entry in self.entries]


def models():
    cases = harness.all_cases()
    trained = [c for c in cases if c.record.differentiable]
    return [Model(f"{entry[0]}{i:02}", (entry,), batch)
            for entry, some in (("forward", cases), ("backward", trained))
            for i, batch in enumerate(
                dict.fromkeys(harness.batches(some).values()))] + \
        [Model(name, ("forward", "train_step")) for name in networks.NAMES]


def mixed(x):
    """splitmix64, as numbers.c has it."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9e3779b97f4a7c15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
        return x ^ (x >> np.uint64(31))


def filled(seed, scale, shape):
    numbers = mixed((np.uint64(seed) << np.uint64(32)) +
                    np.arange(np.prod(shape), dtype=np.uint64))
    part = (numbers >> np.uint64(40)).astype(np.float32)
    part = part * np.float32(2.0 ** -24) - np.float32(0.5)
    return torch.from_numpy(part * np.float32(scale)).reshape(shape)


def digest(tensor):
    """The sum over the bits of all elements; any NaN is like another."""
    if tensor.is_floating_point():
        size = tensor.element_size()
        bits = tensor.view({8: torch.int64, 4: torch.int32,
                            2: torch.int16}[size]).numpy().ravel()
        bits = bits.view(f"u{size}").astype(np.uint64)
        infinity = {torch.float64: 0x7ff << 52, torch.float32: 0xff << 23,
                    torch.float16: 0x1f << 10,
                    torch.bfloat16: 0xff << 7}[tensor.dtype]
        bits[tensor.isnan().numpy().ravel()] = infinity + 1
    else:
        array = tensor.numpy().ravel()
        bits = array.view(f"u{array.itemsize}").astype(np.uint64)
    place = mixed(np.arange(len(bits), dtype=np.uint64))
    return int(mixed(bits ^ place).sum(dtype=np.uint64))


class Numbers:
    """Tensors under CASE.WHAT.NAME, and text about some of them."""

    def __init__(self):
        self.tensors, self.metadata, self.seed = {}, {}, 0

    def add(self, key, tensor):
        self.tensors[key] = torch.as_tensor(tensor).detach().clone() \
            .contiguous()

    def add_weights(self, model, path):
        """The weights of a file, where those of many elements are replaced,
        in the file as well."""
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        for name, tensor in tensors.items():
            key = f"{model}.w.{name}"
            if tensor.numel() <= MOST_WEIGHTS or \
                    tensor.dtype != torch.float32:
                self.add(key, tensor)
                continue
            self.seed += 1
            scale = float(np.float32(f"{tensor.std() * 12 ** 0.5:.6g}"))
            tensors[name] = filled(self.seed, scale, tensor.shape)
            self.metadata[f"fill.{key}"] = f"{self.seed} {scale:.9g}"
        save_file(tensors, path, metadata)

    def add_result(self, key, value):
        tensor = torch.as_tensor(value).detach().contiguous()
        count = tensor.numel()
        if count <= MOST_RESULTS:
            return self.add(key, tensor)
        stride = -(-count // SAMPLES)
        self.metadata[f"digest.{key}"] = f"{stride} {digest(tensor)}"
        self.add(key, tensor.reshape(-1)[::stride])


def nncc_run(*command):
    done = subprocess.run([nncc.runner.find_nncc(), *command], text=True,
                          capture_output=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no output"]
        raise RuntimeError(f"{lines[0]} (code {done.returncode})")
    return done.stdout


def write(model, folder):
    """Model and weights into the folder; gives the inputs by entry."""
    if not model.batch:
        return networks.export(model.name, folder)
    parts = harness.parts_of(model.batch)
    harness.write(parts, folder)
    entry, = model.entries
    return {entry: harness.inputs_of(parts, entry)}


def make(model, folder, targets):
    """Objects NAME.TARGET.o of the model for each of the targets, flags by
    name; gives its numbers."""
    os.makedirs(folder, exist_ok=True)
    inputs = write(model, folder)
    path, weights = f"{folder}/model.json", f"{folder}/weights.safetensors"
    numbers = Numbers()
    if os.path.exists(weights):
        numbers.add_weights(model.name, weights)
    flags = [path, f"--entries={','.join(model.entries)}",
             f"--name={model.name}"]
    for name, target in targets.items():
        nncc_run("compile", *flags, *target, "--device-only", "-j1", "-o",
                 f"{folder}/{name}.o")
    target = next(iter(targets.values()))[0].split("=")[1]
    numbers_of_gpu = devices.schedules(flags, target, folder)
    library = f"{folder}/cpu.so"
    nncc_run("compile", *flags, devices.CPU, "-j1", *numbers_of_gpu, "-o",
             library)
    for case, entry in model.cases():
        run(numbers, model.name, case, entry, inputs[entry], library, weights)
    return numbers


def run(numbers, model, case, entry, inputs, library, weights):
    """Adds what the CPU makes of the inputs."""
    program = nncc.runner.CompiledModel(library, model, weights)
    for name, value in zip(program.signature(entry)[0], inputs):
        numbers.add(f"{case}.i.{name}", value)
    for name, value in program.run_tensors(entry, inputs).items():
        numbers.add_result(f"{case}.o.{name}", value)
    if entry == "train_step":
        for name, value in program.state().items():
            numbers.add_result(f"{case}.s.{name}", value)
