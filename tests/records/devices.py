"""Cases on a GPU beside the CPU's program of the same object.

The program for x86-64-v2 has a GPU's facts: vectors of 16 bytes, no fused
multiply-add. With the GPU's schedules, which decide the order of sums in
attention, it must give the same bits.
"""
import json
import os
import re
import tempfile

import torch

import nncc

from . import harness

CPU = "-mcpu=x86-64-v2"


def target_of(device):
    """The --target of what --device=DEVICE of pytest asks for."""
    return "cuda:emulator" if device == "emulator" else "cuda:native"


def schedules(command, target, folder):
    """A flag with the numbers that kernels have on the GPU."""
    kernels = harness.nncc_run("compile", *command, f"--target={target}",
                               "--device-only", "--emit=kernels")
    numbers = {key: {name: int(n) for name, n in
                     re.findall(r"(\w+) = (\d+) : i64", schedule)}
               for key, schedule in re.findall(
                   r'nncc\.kernel_key = "(\w+)".*?nncc\.schedule = '
                   r"\{(.*?)\}", kernels)}
    path = os.path.join(folder, "schedules.json")
    with open(path, "w") as file:
        json.dump(numbers, file)
    return [f"--schedules={path}"]


def compile_both(model, entries, device, folder, *flags):
    """One object with a program for the CPU and one for the GPU."""
    target = target_of(device)
    entries = f"--entries={','.join(entries)}"
    return harness.compile(folder, [
        model, CPU, entries, f"--target={target}", "--images=ptx",
        "--name=model",
        *schedules([model, entries], target, folder), *flags])


def load(library, folder, device):
    return nncc.runner.CompiledModel(
        library, "model", f"{folder}/weights.safetensors", device=device)


def pairs(cases, entry, device):
    """What an entry gives for each case on the CPU and on the GPU, or the text
    with which it was refused."""
    parts = harness.parts_of(cases)
    with tempfile.TemporaryDirectory() as folder:
        harness.write(parts, folder)
        entries = ["forward"] if entry == "forward" else ["forward", entry]
        try:
            library = compile_both(f"{folder}/model.json", entries, device,
                                   folder)
            models = [load(library, folder, where) for where in ("cpu", "cuda")]
        except RuntimeError as error:
            if len(cases) == 1:
                return {cases[0]: str(error)}
            half = len(cases) // 2
            return {case: found for some in (cases[:half], cases[half:])
                    for case, found in pairs(some, entry, device).items()}
    inputs = harness.inputs_of(parts, entry)
    return harness.results(models, entry, cases, inputs)


def differences(left, right):
    """Names of results whose bits are not equal; any NaN is like another."""
    assert left.keys() == right.keys()
    return [name for name, value in left.items()
            if not torch.equal(bits(value), bits(right[name]))]


def bits(tensor):
    if not tensor.is_floating_point():
        return tensor
    kinds = {8: torch.int64, 4: torch.int32, 2: torch.int16}
    return tensor.masked_fill(tensor.isnan(), 7).contiguous().view(
        kinds[tensor.element_size()])
