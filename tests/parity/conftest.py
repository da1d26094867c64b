"""What the live comparisons with PyTorch share."""
import os
import sys

import pytest
import torch

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "python"))
sys.path.insert(0, os.path.join(ROOT, "bench"))

torch.set_num_threads(2)



def pytest_addoption(parser):
    parser.addoption("--device", choices=("emulator", "cuda"), help="run only "
                     "the tests of GPUs: in the emulator, or on one")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--device"):
        items[:] = [i for i in items if "device" in i.fixturenames]


@pytest.fixture(scope="session")
def device(request):
    """What tests of GPUs run on; without --device the emulator."""
    chosen = request.config.getoption("--device") or "emulator"
    if chosen == "emulator":
        os.environ["NNCC_CUDA_DRIVER"] = os.path.join(
            ROOT, "build", "lib", "libnncc_emulator.so")
    return chosen


@pytest.fixture(autouse=True)
def compare_once(request, monkeypatch):
    """These tests compare by themselves: what export verifies is checked in
    its own tests, elsewhere it would compile everything twice."""
    import nncc
    if request.path.name.startswith(("test_export", "test_verify")):
        return
    export = nncc.export
    monkeypatch.setattr(nncc, "export", lambda *args, **kwargs: export(
        *args, **{"verify": False, **kwargs}))


def as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


def worst_errors(module, inputs, outputs):
    """Largest errors against f64, relative to each output's scale: pairs of
    (ours, PyTorch's)."""
    import copy
    with torch.no_grad():
        eager = as_tuple(module(*inputs))
        exact = as_tuple(copy.deepcopy(module).double()(
            *[x.double() if x.is_floating_point() else x for x in inputs]))
    pairs = []
    for ours, theirs, right in zip(as_tuple(outputs), eager, exact):
        assert ours.shape == right.shape
        scale = right.abs().max().clamp_min(1e-30)
        pairs.append((float((ours.double() - right).abs().max() / scale),
                      float((theirs.double() - right).abs().max() / scale)))
    return pairs


def check(module, inputs, outputs):
    """Error against f64 at most twice PyTorch's own, or 1e-5 of the scale."""
    for ours, theirs in worst_errors(module, inputs, outputs):
        assert ours <= max(2 * theirs, 1e-5), (ours, theirs)


@pytest.fixture
def parity(tmp_path):
    """Exports, compiles and compares one module for some CPUs and threads."""
    import nncc

    def run(module, inputs, cpus=("native",), threads=(1,)):
        module.eval()
        nncc.export(module, inputs, tmp_path, verify=False)
        for cpu in cpus:
            results = []
            for count in threads:
                compiled = nncc.compile(tmp_path, threads=count, cpu=cpu)
                results.append(as_tuple(compiled(*inputs)))
                check(module, inputs, results[-1])
            for other in results[1:]:
                for x, y in zip(results[0], other):
                    assert torch.equal(x, y), "bits depend on threads"
    return run
