"""Every record on a GPU: the bits of the CPU's program in the same object.

    pytest tests/parity --device emulator      here, the default
    pytest tests/parity --device cuda          on a machine with a GPU
"""
import functools
import os
import sys

import nncc
import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

from records import devices, harness, networks  # noqa: E402

CASES = harness.all_cases()
TRAINED = [c for c in CASES if c.record.differentiable]


@functools.lru_cache(None)
def pairs(group, entry, device):
    return devices.pairs(group, entry, device)


def groups(cases):
    """A batch is a test: its number names the worker's work."""
    return [pytest.param(group, id=f"{group[0]}..{group[-1]}")
            for group in dict.fromkeys(harness.batches(cases).values())]


def compare(group, entry, device):
    wrong = []
    for case, found in pairs(group, entry, device).items():
        if isinstance(found, str):
            wrong.append(f"{case}: {found}")
        else:
            wrong += [f"{case}: {name}" for name in devices.differences(*found)]
    assert wrong == []


@pytest.mark.parametrize("group", groups(CASES))
def test_forward(group, device):
    compare(group, "forward", device)


@pytest.mark.parametrize("group", groups(TRAINED))
def test_backward(group, device):
    compare(group, "backward", device)


@pytest.mark.parametrize("name", networks.NAMES)
def test_network(name, device, tmp_path):
    """Its outputs, then two training steps: losses and all state."""
    made = networks.network(name)
    nncc.export(made.module.train(), made.inputs, tmp_path, loss=made.loss,
                targets=made.targets, optimizer=made.optimizer())
    library = devices.compile_both(str(tmp_path / "model.json"),
                                   ("forward", "train_step"), device,
                                   str(tmp_path))
    results = []
    for where in ("cpu", "cuda"):
        model = devices.load(library, str(tmp_path), where)
        found = model.run("forward", *made.inputs)
        for step in range(2):
            loss = model.run("train_step", *made.inputs, *made.targets)
            found[f"loss {step}"] = loss["loss"]
        model.save(str(tmp_path / "state.safetensors"))
        found.update(load_file(tmp_path / "state.safetensors"))
        results.append({k: torch.as_tensor(v).clone()
                        for k, v in found.items()})
    assert devices.differences(*results) == []
