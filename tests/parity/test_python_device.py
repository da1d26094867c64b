"""Compiled models on a GPU, which is the emulator here: the CPU's bits, from
NumPy arrays and tensors by copies, from what lies there by pointer."""
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file

import emulated
import nncc
from exported import Wrap
from nncc.runner import find_nncc

ENTRIES = ("forward", "train_forward", "backward", "train_step")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(4, 8), nn.BatchNorm1d(8)
        self.drop, self.last = nn.Dropout(0.3), nn.Linear(8, 3)

    def forward(self, x, scale):
        return self.last(self.drop(self.norm(self.fc(x)))) * scale


torch.manual_seed(0)
X, SCALE, TARGET = torch.randn(6, 4), torch.rand(6, 1), torch.arange(6) % 3
INPUTS = X, SCALE, TARGET


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    monkeypatch.setenv("NNCC_CUDA_DRIVER", emulated.PATH)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    net, path = Net(), tmp_path_factory.mktemp("model")
    nncc.export(net, (X, SCALE), path, loss=F.cross_entropy,
                targets=(TARGET,), verify=False,
                optimizer=torch.optim.AdamW(net.parameters(), lr=0.1))
    return path


def compiled(folder, device="cuda", **options):
    """On a device, by code of equal lanes."""
    return nncc.compile(folder, **{"cpu": "x86-64-v2", "entries": ENTRIES,
                                   "device": device, **options})


@pytest.fixture(scope="module")
def libraries(folder):
    """For the CPU, and for the GPU that is here."""
    paths = [folder / f"{device}.so" for device in ("cpu", "cuda")]
    for path, target in zip(paths, ([], ["--target=cuda:emulator",
                                         "--device-only"])):
        subprocess.run([find_nncc(), "compile", folder / "model.json", "-o",
                        path, "-mcpu=x86-64-v2", "--entries=" + ",".join(
                            ENTRIES), *target], check=True)
    return paths


@pytest.fixture
def both(libraries, folder):
    return [nncc.CompiledModel(path, "net", folder / "weights.safetensors",
                               device=path.stem) for path in libraries]


def equal(ours, theirs):
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        assert np.array_equal(value, theirs[name]), name


def test_where(folder, monkeypatch):
    for device, where in (("cpu", "cpu"), ("cuda", "cuda:0"),
                          ("cuda:0", "cuda:0"), ("auto", "cuda:0"),
                          (torch.device("cuda", 0), "cuda:0")):
        model = compiled(folder, device, entries="forward")
        assert model.device == where
        assert isinstance(model(X.numpy(), SCALE.numpy()), np.ndarray)
    monkeypatch.setenv("NNCC_CUDA_DRIVER", "/nosuch/libcuda.so")
    model = compiled(folder, "auto", entries="forward")
    assert model.device == "cpu"
    model(X, SCALE)


@pytest.mark.parametrize("device,driver,text", [
    ("cuda:3", emulated.PATH, "there is no GPU number 3, there is 1"),
    ("cuda", "/nosuch/libcuda.so", "nncc: no CUDA driver: /nosuch/libcuda.so: "
     "cannot open shared object file: No such file or directory")])
def test_no_such_device(folder, monkeypatch, device, driver, text):
    monkeypatch.setenv("NNCC_CUDA_DRIVER", driver)
    with pytest.raises(RuntimeError) as error:
        compiled(folder, device, entries="forward")
    assert str(error.value) == text


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cpu:0", None])
def test_no_device(folder, device):
    with pytest.raises(ValueError) as error:
        compiled(folder, device)
    assert str(error.value) == ("device must be cpu, cuda, cuda:NUMBER or auto,"
                                f" got {device!r}")


def test_forward(both):
    on_cpu, ours = both
    right = on_cpu(X, SCALE)
    assert torch.equal(ours(X, SCALE), right)
    assert np.array_equal(ours(X.numpy(), SCALE.numpy()), right)
    assert torch.equal(ours(X.t().contiguous().t(), scale=SCALE), right)


def test_training(both, tmp_path):
    """A step's loss, rates, random numbers, state, files."""
    for step in range(4):
        lr = None if step < 2 else 0.01
        losses = [m.train_step(*INPUTS, lr=lr) for m in both]
        assert isinstance(losses[1], float) and losses[0] == losses[1]
    on_cpu, ours = both
    equal(ours.state(), on_cpu.state())
    assert torch.equal(ours(X, SCALE), on_cpu(X, SCALE))
    ours.save(tmp_path / "w.safetensors")
    equal(load_file(tmp_path / "w.safetensors"),
          {n: torch.from_numpy(a) for n, a in on_cpu.state().items()})


def test_state_is_a_copy(both):
    ours = both[1]
    before = ours(X, SCALE)
    ours.state()["last.bias"][...] = 7
    ours.changed()
    assert torch.equal(ours(X, SCALE), before)


def test_load_state_dict(both):
    on_cpu, ours = both
    on_cpu.train_step(*INPUTS)
    on_cpu.train_step(*INPUTS)
    ours.load_state_dict(on_cpu.state())
    equal(ours.state(), on_cpu.state())
    assert torch.equal(ours(X, SCALE), on_cpu(X, SCALE))
    # Its count of steps too, which picks random numbers.
    assert ours.train_step(*INPUTS) == on_cpu.train_step(*INPUTS)
    with pytest.raises(ValueError, match="extra is not part of the model"):
        ours.load_state_dict({**on_cpu.state(), "extra": X})


def test_seed(both):
    results = []
    for model in both:
        model.seed(5, 3)
        results.append(model.run_tensors("train_forward", [X, SCALE]))
    equal(*results)
    both[1].seed(6, 3)
    other = both[1].run_tensors("train_forward", [X, SCALE])
    assert not all(torch.equal(other[n], t) for n, t in results[0].items())


def test_all_reduce(folder):
    seen = []

    def halve(bucket):
        seen.append({name: array.copy() for name, array in bucket.items()})
        for array in bucket.values():
            array /= 2
    models = [compiled(folder, d, all_reduce=halve) for d in ("cpu", "cuda")]
    for model in models:
        model.train_step(*INPUTS)
    assert len(seen) % 2 == 0
    for one, other in zip(seen, seen[len(seen) // 2:]):
        equal(one, other)
    equal(models[1].state(), models[0].state())


def train(module, inputs, steps=3):
    adam = torch.optim.AdamW(module.parameters(), lr=0.05)
    losses = []
    for _ in range(steps):
        adam.zero_grad()
        y = module(*inputs[:2])
        loss = F.cross_entropy(y, inputs[2])
        loss.backward()
        adam.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def test_module(both, tmp_path):
    """A loop of PyTorch's on tensors of the CPU; the model knows at once what
    the optimizer did, and the module what the model did."""
    modules = [m.module().train() for m in both]
    losses = [train(m, INPUTS) for m in modules]
    assert torch.equal(*losses)
    on_cpu, ours = both
    equal(ours.state(), on_cpu.state())
    ours.save(tmp_path / "w.safetensors")
    assert torch.equal(load_file(tmp_path / "w.safetensors")["fc.weight"],
                       modules[1].named()["fc.weight"])
    for model in both:
        model.train_step(*INPUTS)
    equal(modules[1].state_dict(), modules[0].state_dict())
    for model in both:
        model.load_state_dict({n: t * 2 for n, t in model.tensors().items()})
    equal(modules[1].state_dict(), modules[0].state_dict())
    another = [m.module().train() for m in both]
    assert torch.equal(*(train(m, INPUTS) for m in another))
    equal(modules[1].state_dict(), modules[0].state_dict())
    assert torch.equal(*(m.eval()(X, SCALE).detach() for m in modules))


def test_parameters_that_are_replaced(both):
    for model in both:
        module = model.module().train()
        module.load_state_dict({n: t * 2 for n, t in
                                module.state_dict().items()}, assign=True)
        module(X, SCALE)
    equal(both[1].state(), both[0].state())


def test_types(tmp_path):
    """bool and bf16, the latter of NumPy as bits."""
    net = Wrap(lambda m, x, mask: (m.fc(x) * mask, x > 0),
               fc=nn.Linear(4, 4).bfloat16())
    x, mask = X.bfloat16(), X > 0
    nncc.export(net, (x, mask), tmp_path, verify=False)
    on_cpu, ours = (compiled(tmp_path, d, entries=ENTRIES[:3])
                    for d in ("cpu", "cuda"))
    for right, y in zip(on_cpu(x, mask), ours(x, mask)):
        assert right.dtype == y.dtype and torch.equal(right, y)
    bits = x.view(torch.int16).numpy().view(np.uint16)
    for right, y in zip(on_cpu(bits, mask.numpy()), ours(bits, mask.numpy())):
        assert right.dtype == y.dtype and np.array_equal(right, y)
    equal(ours.state(), on_cpu.state())
    for model in (on_cpu, ours):
        module = model.module().train()
        with torch.no_grad():
            module.named()["fc.weight"].mul_(3)
        module(x, mask)[0].float().sum().backward()
    equal(ours.state(), on_cpu.state())


def test_bad_indices(tmp_path):
    net = nn.Embedding(5, 4)
    nncc.export(net, (TARGET,), tmp_path, verify=False)
    with pytest.raises(RuntimeError) as error:
        compiled(tmp_path, entries="forward")(TARGET + 4)
    assert str(error.value) == "input x: element 1 is 5, outside [0, 5)"


#
# Memory of the GPU
#


@pytest.fixture
def driver(monkeypatch):
    driver = emulated.Driver()
    driver.use(0)
    monkeypatch.setattr(emulated.ndarray, "driver", driver)
    monkeypatch.setitem(sys.modules, "cupy", emulated.cupy())
    return driver


@pytest.fixture
def put(driver):
    return lambda *tensors: [emulated.asarray(t.numpy()) for t in tensors]


def test_pointers(both, put):
    on_cpu, ours = both
    y = ours(*put(X, SCALE))
    assert type(y) is emulated.ndarray
    assert np.array_equal(y.get(), on_cpu(X, SCALE))
    # By turns with the host's.
    for step in range(4):
        right = on_cpu.train_step(*INPUTS, lr=0.1 / (step + 1))
        given = put(*INPUTS) if step % 2 else INPUTS
        loss = ours.train_step(*given, lr=0.1 / (step + 1))
        assert right == (loss.get() if step % 2 else loss)
        equal(ours.state(), on_cpu.state())
        y = ours(*put(X, SCALE)).get()
        assert np.array_equal(y, ours(X, SCALE))
    ours.synchronize()


def test_pointers_on_a_stream(both, put, driver, monkeypatch):
    """Runs go to the arrays' stream, and wait for others."""
    on_cpu, ours = both
    for number in range(6):
        monkeypatch.setattr(emulated.ndarray, "stream",
                            driver.stream() if number % 3 else None)
        x, scale = put(X + number, SCALE)
        if number == 4:  # a busy one and another
            for k in range(31):
                value = (X + (number + 30 - k)).numpy()
                driver.copy_in(x.address, value, x.made_on)
            monkeypatch.setattr(emulated.ndarray, "stream", driver.stream())
            scale, = put(SCALE)
        y = ours(x, scale)
        right = on_cpu(X + number, SCALE)
        assert np.array_equal(y.get(), right), number
        assert on_cpu.train_step(X + number, SCALE, TARGET) == \
            ours.train_step(*put(X + number, SCALE, TARGET)).get()
    equal(ours.state(), on_cpu.state())


def test_pointers_to_other_layouts(both, put):
    on_cpu, ours = both
    right = on_cpu(X, SCALE)
    x, scale = put(X.t().contiguous(), SCALE)
    turned = emulated.ndarray((6, 4), "f4", x.address, (4, 24))
    assert np.array_equal(ours(turned, scale).get(), right)
    spread, = put(torch.cat([torch.zeros(1), X.flatten()]))
    moved = emulated.ndarray((6, 4), "f4", spread.address + 4)
    assert np.array_equal(ours(moved, scale).get(), right)
    straight = emulated.ndarray((6, 4), "f4", put(X)[0].address, (16, 4))
    assert np.array_equal(ours(straight, scale).get(), right)


def test_pointers_in_all_reduce(folder, put):
    def halve(bucket):
        for array in bucket.values():
            if isinstance(array, np.ndarray):
                array /= 2
            else:
                array.driver.copy_in(array.address, array.get() / 2)
    on_cpu, ours = (compiled(folder, d, all_reduce=halve)
                    for d in ("cpu", "cuda"))
    on_cpu.train_step(*INPUTS)
    on_cpu.train_step(*INPUTS)
    ours.train_step(*put(*INPUTS))
    ours.train_step(*INPUTS)
    equal(ours.state(), on_cpu.state())


class Array:
    def __init__(self, array):
        self.__cuda_array_interface__ = array.__cuda_array_interface__
        self.shape = array.shape


@pytest.mark.parametrize("change,error,text", [
    (lambda x, s: (x, SCALE), TypeError, "input scale must be on cuda:0 like "
     "the other tensors, it is on cpu"),
    (lambda x, s: (x, SCALE.numpy()), TypeError, "input scale must be on cuda:0"
     " like the other tensors, it is on the CPU"),
    (lambda x, s: (x, "much"), TypeError,
     "input scale must be an array or a tensor, got str"),
    (lambda x, s: (x, emulated.ndarray((6, 1), "f8")), TypeError,
     "input scale must be float32, got float64"),
    (lambda x, s: (x, emulated.ndarray((2, 1), "f4")), ValueError,
     "no compiled size fits inputs of shapes [(6, 4), (2, 1)]; compiled: "
     "[[(6, 4), (6, 1)]]: input scale is of none of them"),
    (lambda x, s: (Array(x), Array(s)), TypeError, "arrays on a GPU may be "
     "PyTorch's, CuPy's or Numba's, got Array"),
    (lambda x, s: (x, emulated.ndarray(
        (6, 1), "f4", np.zeros(64, "f4").ctypes.data // 16 * 16)), RuntimeError,
     "input scale lies in host memory, but options.device_pointers promised "
     "that of a GPU")])
def test_bad_pointers(both, put, change, error, text):
    with pytest.raises(error) as raised:
        both[1](*change(*put(X, SCALE)))
    assert str(raised.value) == text


def test_masked_array(both, put):
    class Masked(emulated.ndarray):
        __module__ = "cupy"

        @property
        def __cuda_array_interface__(self):
            return {**super().__cuda_array_interface__, "mask": self}
    x, scale = put(X, SCALE)
    with pytest.raises(TypeError, match="^input x must be without a mask$"):
        both[1](Masked(x.shape, x.dtype, x.address), scale)


def test_pointers_for_the_cpu(both, put):
    with pytest.raises(TypeError) as error:
        both[0](*put(X, SCALE))
    assert str(error.value) == "input x must be on the CPU, it is on a GPU"


def test_set_pointers(both):
    """What the C API says to hosts that ask for what cannot be."""
    library = both[0]._library
    for context, text in ((both[0]._context, "device pointers are for a GPU, "
                           "the context runs on a CPU"),
                          (None, "the context is null")):
        assert library.nncc_context_set_pointers(context, 1, None) == 1
        assert library.nncc_last_error().decode() == text
    assert library.nncc_context_set_pointers(both[0]._context, 0, None) == 0


def test_numba(both, put, monkeypatch):
    class DeviceNDArray(emulated.ndarray):
        __module__ = "numba.cuda.cudadrv.devicearray"
    numba = emulated.types.ModuleType("numba")
    numba.cuda = emulated.types.SimpleNamespace(
        device_array=DeviceNDArray, to_device=emulated.asarray,
        as_cuda_array=emulated.asarray)
    monkeypatch.setitem(sys.modules, "numba", numba)
    x, scale = (DeviceNDArray(a.shape, a.dtype, a.address)
                for a in put(X, SCALE))
    y = both[1](x, scale)
    assert type(y) is DeviceNDArray
    assert np.array_equal(y.get(), both[0](X, SCALE))
    x = DeviceNDArray(x.shape, x.dtype, x.address, (4, 24))
    with pytest.raises(TypeError) as error:
        both[1](x, scale)
    assert str(error.value) == ("arrays of Numba must be contiguous, and "
                                "aligned to 16 bytes")


def needs(word):
    """A test that another one runs, since the emulator reads its words once a
    process."""
    return pytest.mark.skipif(
        word not in os.environ.get("NNCC_EMULATOR", "").split(","),
        reason=f"test_other_emulators runs it with NNCC_EMULATOR={word}")


@needs("devices=2")
def test_pointers_on_the_second(both, libraries, folder, driver, put):
    ours = nncc.CompiledModel(libraries[1], "net", device="cuda:1",
                              weights=folder / "weights.safetensors")
    assert ours.device == "cuda:1"
    assert torch.equal(ours(X, SCALE), both[0](X, SCALE))
    given = put(X, SCALE)
    with pytest.raises(RuntimeError) as error:
        ours(*given)
    assert str(error.value) == ("input x lies on GPU 0, the context runs on "
                                "GPU 1")
    driver.use(1)
    assert np.array_equal(ours(*put(X, SCALE)).get(), both[0](X, SCALE))


@needs("fault=*")
def test_fault(both, put):
    """What fails later is told when somebody waits."""
    ours = both[1]
    with pytest.raises(RuntimeError) as error:
        ours(*put(X, SCALE))
        ours.synchronize()
    assert str(error.value).startswith("forward failed on GPU 0: "
                                       "CUDA_ERROR_ILLEGAL_ADDRESS (700), ")


@pytest.mark.parametrize("words,tests", [
    ("late,checked", "(pointers or training or module) and not there"),
    ("late,seed=3,backwards,checked,devices=2",
     "(pointers or training or module) and not there"),
    ("late,fault=*", "test_fault")], ids=["late", "seed", "broken"])
def test_other_emulators(words, tests):
    """Streams that run late, and memory that the host cannot touch."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         __file__, "-k", tests], capture_output=True, text=True, timeout=300,
        env={**os.environ, "NNCC_EMULATOR": words})
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


#
# PyTorch with CUDA, of which there is none here
#


@pytest.fixture
def there(driver, monkeypatch):
    return emulated.cuda_torch(monkeypatch, driver)


def test_tensors_there(both, there):
    on_cpu, ours = both
    x, scale, target = map(there, INPUTS)
    y = ours(x, scale)
    assert y.device == torch.device("cuda", 0)
    assert torch.equal(y.cpu(), on_cpu(X, SCALE))
    turned = there(X.t().contiguous()).t()
    assert torch.equal(ours(turned, scale).cpu(), on_cpu(X, SCALE))
    assert ours.train_step(x, scale, target, lr=0.2).cpu() == \
        on_cpu.train_step(*INPUTS, lr=0.2)
    state = {n: there(torch.from_numpy(a)) for n, a in ours.state().items()}
    assert all(t.device.type == "cuda" for t in ours.tensors().values())
    ours.load_state_dict(state)
    equal(ours.state(), on_cpu.state())


def test_all_reduce_there(folder, there):
    def halve(bucket):
        for x in bucket.values():
            assert isinstance(x, np.ndarray) or x.device.type == "cuda"
            x /= 2
    on_cpu, ours = (compiled(folder, d, all_reduce=halve)
                    for d in ("cpu", "cuda"))
    on_cpu.train_step(*INPUTS)
    ours.train_step(*map(there, INPUTS))
    equal(ours.state(), on_cpu.state())


@pytest.mark.parametrize("change,text", [
    (lambda x, s: (x, SCALE), "input scale must be on cuda:0 like the other "
     "tensors, it is on cpu"),
    (lambda x, s: (x.double(), s), "input x must be float32, got float64"),
    (lambda x, s: (x, elsewhere(s)), "input scale must be on cuda:0, where the "
     "model runs, it is on cuda:1")])
def test_bad_tensors_there(both, there, change, text):
    with pytest.raises(TypeError) as error:
        both[1](*change(there(X), there(SCALE)))
    assert str(error.value) == text


def elsewhere(tensor):
    tensor.number = 1
    return tensor


def test_module_there(both, there, tmp_path):
    """Parameters lie there, and all that forward and backward are given and
    give."""
    grads = []
    for model, given in zip(both, (INPUTS, [*map(there, INPUTS)])):
        module = model.module().train()
        sgd = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9,
                              foreach=False)
        for _ in range(3):
            sgd.zero_grad()
            y = module(*given[:2])
            seed = torch.empty(y.shape, device=y.device)
            y.backward(seed.copy_(y.detach()))
            sgd.step()
        grads.append([p.grad for p in module.parameters()])
    module(*given[:2]).detach()
    for p in module.parameters():
        assert p.device == torch.device("cuda", 0)
    for one, other in zip(*grads):
        assert torch.equal(one, other.cpu())
    with torch.no_grad():
        both[0].module().train()(X, SCALE)
    equal(both[1].state(), both[0].state())
    with pytest.raises(TypeError) as error:
        module(X, SCALE)
    assert str(error.value) == ("input x must be on cuda:0 like the other "
                                "tensors, it is on cpu")
