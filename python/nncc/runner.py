"""Compiled models on NumPy and PyTorch tensors, by ctypes, without copies."""
import ctypes
import json
import os
import shutil
import subprocess
import tempfile
import traceback

import numpy as np

from . import abi


def _array(x):
    """A contiguous array over the same memory, if x is contiguous."""
    if hasattr(x, "detach"):
        x = x.detach()
        if str(x.dtype) == "torch.bfloat16":
            import torch
            return np.asarray(x.view(torch.int16).numpy(),
                              order="C").view(np.uint16)
        x = x.numpy()
    return np.asarray(x, order="C")  # keeps scalars scalars


def _tensor(array, dtype):
    import torch
    if dtype == abi.BF16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def find_nncc():
    """The compiler: $NNCC, the build tree beside this file, or PATH."""
    here = os.path.dirname(os.path.abspath(__file__))
    local = os.path.join(here, "..", "..", "build", "bin", "nncc")
    for path in (os.environ.get("NNCC"), local, shutil.which("nncc")):
        if path and os.path.exists(path):
            return path
    raise FileNotFoundError("nncc is not built: run scripts/test.sh, or set "
                            "NNCC to its path")


class CompiledModel:
    """A callable over NumPy arrays or PyTorch tensors.

    Returns arrays or tensors like its inputs; a tuple if the model has several
    outputs. Not thread-safe: one object per thread. With a `train_step` or
    `backward` entry it owns its weights and can change them.
    """

    def __init__(self, library, name, weights, threads=1, seed=0,
                 all_reduce=None):
        """`all_reduce(bucket)`, a function of {name: array}, replaces each
        gradient by its mean over all processes, in place."""
        self._library = abi.load(library)
        get = getattr(self._library, f"{name}_model")
        get.restype = ctypes.POINTER(abi.Model)
        self._model = get()
        self._weights = ctypes.c_void_p()
        self._context = ctypes.c_void_p()
        model = self._model.contents
        self._entries = {model.entries[i].name.decode(): model.entries[i]
                         for i in range(model.entry_count)}
        if weights and os.path.exists(weights):
            self._check(self._library.nncc_weights_load(
                self._model, os.fsencode(weights),
                ctypes.byref(self._weights)))
        trains = any(e != "forward" for e in self._entries)
        self._all_reduce = abi.AllReduce()  # must live as long as the context
        if all_reduce:
            self._all_reduce = abi.AllReduce(
                lambda host, bucket, count: self._reduce(
                    all_reduce, [bucket[i] for i in range(count)]))
        options = abi.Options(threads, None, None, trains, seed,
                              self._all_reduce, None)
        self._check(self._library.nncc_context_create(
            self._model, self._weights, ctypes.byref(options),
            ctypes.byref(self._context)))
        if trains:  # the context has a copy of its own
            self._library.nncc_weights_free(self._weights)
            self._weights = ctypes.c_void_p()

    def _check(self, status):
        if status:
            raise RuntimeError(self._library.nncc_last_error().decode())

    @staticmethod
    def _reduce(function, bucket):
        def view(gradient):
            dtype = np.dtype(abi.NUMPY[gradient.dtype])
            raw = (ctypes.c_char * (gradient.count * dtype.itemsize))
            return np.frombuffer(raw.from_address(gradient.data), dtype)
        try:
            function({g.name.decode(): view(g) for g in bucket})
            return 0
        except Exception:  # must not cross the C code
            traceback.print_exc()
            return 1

    def _body(self, entry, arrays):
        needed = entry.input_count
        while needed and entry.bodies[0].inputs[needed - 1].initial:
            needed -= 1
        if not needed <= len(arrays) <= entry.input_count:
            raise TypeError(f"takes {needed} inputs, got {len(arrays)}")
        for b in range(entry.body_count):
            body = entry.bodies[b]
            if all(body.inputs[i].shape == a.shape
                   for i, a in enumerate(arrays)):
                return b, body
        known = [[entry.bodies[b].inputs[i].shape for i in range(needed)]
                 for b in range(entry.body_count)]
        raise ValueError(f"no compiled size fits inputs of shapes "
                         f"{[a.shape for a in arrays]}; compiled: {known}")

    def signature(self, name):
        """The names of an entry's inputs and outputs."""
        if name not in self._entries:
            raise ValueError(f"no entry {name!r} was compiled, only "
                             f"{', '.join(self._entries)}")
        entry = self._entries[name]
        body = entry.bodies[0]
        return ([body.inputs[i].name.decode()
                 for i in range(entry.input_count)],
                [body.outputs[i].name.decode()
                 for i in range(entry.output_count)])

    def run(self, name, *inputs):
        """Runs an entry; gives its outputs by name."""
        self.signature(name)  # must be there
        entry = self._entries[name]
        is_torch = any(type(x).__module__.startswith("torch") for x in inputs)
        arrays = [_array(x) for x in inputs]
        number, body = self._body(entry, arrays)
        for i, array in enumerate(arrays):
            expected = np.dtype(abi.NUMPY[body.inputs[i].dtype])
            if array.dtype != expected:
                raise TypeError(f"input {body.inputs[i].name.decode()} must "
                                f"be {expected}, got {array.dtype}")
        results = [body.outputs[i] for i in range(entry.output_count)]
        outputs = [np.empty(t.shape, abi.NUMPY[t.dtype]) for t in results]
        self._check(self._library.nncc_run_body(
            self._context, entry.name, number,
            (ctypes.c_void_p * max(entry.input_count, 1))(
                *[a.ctypes.data for a in arrays]),
            (ctypes.c_void_p * max(len(outputs), 1))(
                *[o.ctypes.data for o in outputs])))
        if is_torch:
            outputs = [_tensor(o, t.dtype) for o, t in zip(outputs, results)]
        return {t.name.decode(): o for t, o in zip(results, outputs)}

    def __call__(self, *inputs):
        """forward; tuples among the inputs are taken apart."""
        outputs = tuple(self.run("forward", *_flat(inputs)).values())
        return outputs[0] if len(outputs) == 1 else outputs

    def train_step(self, *inputs, lr=None):
        """One step of the compiled optimizer on the model's inputs and its
        training inputs; gives the loss. `lr` replaces the model's."""
        rate = () if lr is None else (np.float32(lr),)
        return float(self.run("train_step", *inputs, *rate)["loss"])

    def state(self):
        """The present weights by name, as arrays over their memory; tell
        `changed` after writing to them."""
        model, result = self._model.contents, {}
        for i in range(model.weight_count):
            tensor = model.weights[i]
            address = self._library.nncc_context_tensor(self._context,
                                                        tensor.name)
            if address:
                raw = (ctypes.c_char * tensor.bytes).from_address(address)
                raw.owner = self  # the memory is the context's
                result[tensor.name.decode()] = np.frombuffer(
                    raw, abi.NUMPY[tensor.dtype]).reshape(tensor.shape)
        return result

    def changed(self):
        """The arrays of `state` were written to."""
        self._library.nncc_context_changed(self._context)

    def seed(self, seed, step=0):
        """Random numbers from here on are those of this seed and step."""
        self._check(self._library.nncc_context_seed(self._context, seed, step))

    def save(self, path):
        """Writes the present weights, with the optimizer's state."""
        self._check(self._library.nncc_weights_save(
            self._library.nncc_context_weights(self._context),
            os.fsencode(path)))

    def module(self):
        """A torch.nn.Module on this model: its parameters are the compiled
        model's memory, forward and backward run compiled code. Needs the
        entries "forward", "train_forward" and "backward"."""
        from .autograd import CompiledModule
        return CompiledModule(self)

    def __del__(self):
        if getattr(self, "_context", None):
            self._library.nncc_context_free(self._context)
        if getattr(self, "_weights", None):
            self._library.nncc_weights_free(self._weights)


def _flat(inputs):
    for value in inputs:
        if isinstance(value, tuple):
            yield from _flat(value)
        else:
            yield value


def compile(directory, threads=1, cpu="native", dims=None,
            entries=("forward",), seed=0, all_reduce=None):
    """Compiles directory/model.json and loads directory/weights.safetensors.

    `dims` gives sizes of symbolic dims: {"N": [1, 8]}; `entries` are the entry
    points to compile: "forward", "backward", "loss_and_grad", "train_step",
    "train_forward"; `seed` keys dropout; for `all_reduce` see CompiledModel.
    """
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"{directory} is not a folder that "
                                "nncc.export wrote")
    return compile_model(os.path.join(directory, "model.json"),
                         os.path.join(directory, "weights.safetensors"),
                         threads, cpu, dims, entries, seed, all_reduce)


def compile_model(model, weights, threads=1, cpu="native", dims=None,
                  entries=("forward",), seed=0, all_reduce=None):
    """`compile`, of two files; the weights' may be missing."""
    if isinstance(entries, str):
        entries = (entries,)
    with open(model) as file:
        name = json.load(file).get("name", "model")
    folder = tempfile.mkdtemp(prefix="nncc")
    try:
        library = os.path.join(folder, "model.so")
        command = [find_nncc(), "compile", model, "-o", library,
                   f"-mcpu={cpu}", "--entries=" + ",".join(entries)]
        for dim, sizes in (dims or {}).items():
            command.append(f"--dim={dim}=" + ",".join(map(str, sizes)))
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return CompiledModel(library, name, weights, threads, seed, all_reduce)
    finally:
        shutil.rmtree(folder)
