"""Compiled models on NumPy and PyTorch tensors, by ctypes, without copies."""
import ctypes
import json
import os
import shutil
import subprocess
import tempfile

import numpy as np

# By nncc_dtype. NumPy has no bf16: its bits stand for it.
_NUMPY = [np.float32, np.float64, np.float16, np.uint16, np.int64, np.int32,
          np.int16, np.int8, np.uint8, np.bool_]
_BF16 = 3


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
    if dtype == _BF16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


class _Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_uint64),
                ("rank", ctypes.c_uint64),
                ("dims", ctypes.POINTER(ctypes.c_int64)),
                ("bytes", ctypes.c_uint64)]


class _Body(ctypes.Structure):
    _fields_ = [("inputs", ctypes.POINTER(_Tensor)),
                ("outputs", ctypes.POINTER(_Tensor)),
                ("steps", ctypes.c_void_p), ("step_count", ctypes.c_uint64),
                ("arena_bytes", ctypes.c_uint64),
                ("limits", ctypes.c_void_p), ("limit_count", ctypes.c_uint64)]


class _Entry(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("input_count", ctypes.c_uint64),
                ("output_count", ctypes.c_uint64),
                ("bodies", ctypes.POINTER(_Body)),
                ("body_count", ctypes.c_uint64)]


class _Model(ctypes.Structure):
    _fields_ = [("abi_version", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32),
                ("compiler", ctypes.c_char_p), ("name", ctypes.c_char_p),
                ("cpu", ctypes.c_char_p), ("cpu_features", ctypes.c_uint64),
                ("entries", ctypes.POINTER(_Entry)),
                ("entry_count", ctypes.c_uint64)]


class _Options(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_uint32), ("parallel_for",
                                               ctypes.c_void_p),
                ("host", ctypes.c_void_p)]


def _shape(tensor):
    return tuple(tensor.dims[i] for i in range(tensor.rank))


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
    outputs. Not thread-safe: one object per thread.
    """

    def __init__(self, library, name, weights, threads=1):
        self._library = ctypes.CDLL(library)
        self._library.nncc_last_error.restype = ctypes.c_char_p
        get = getattr(self._library, f"{name}_model")
        get.restype = ctypes.POINTER(_Model)
        self._model = get()
        self._weights = ctypes.c_void_p()
        self._context = ctypes.c_void_p()
        if weights and os.path.exists(weights):
            self._check(self._library.nncc_weights_load(
                self._model, os.fsencode(weights),
                ctypes.byref(self._weights)))
        options = _Options(threads, None, None)
        self._check(self._library.nncc_context_create(
            self._model, self._weights, ctypes.byref(options),
            ctypes.byref(self._context)))
        model = self._model.contents
        self._entries = {model.entries[i].name.decode(): model.entries[i]
                         for i in range(model.entry_count)}

    def _check(self, status):
        if status:
            raise RuntimeError(self._library.nncc_last_error().decode())

    def _body(self, entry, arrays):
        if len(arrays) != entry.input_count:
            raise TypeError(f"takes {entry.input_count} inputs, got "
                            f"{len(arrays)}")
        for b in range(entry.body_count):
            body = entry.bodies[b]
            if all(_shape(body.inputs[i]) == a.shape
                   for i, a in enumerate(arrays)):
                return b, body
        known = [[_shape(entry.bodies[b].inputs[i])
                  for i in range(entry.input_count)]
                 for b in range(entry.body_count)]
        raise ValueError(f"no compiled size fits inputs of shapes "
                         f"{[a.shape for a in arrays]}; compiled: {known}")

    def run(self, name, *inputs):
        """Runs an entry; gives its outputs by name."""
        if name not in self._entries:
            raise ValueError(f"no entry {name!r} was compiled, only "
                             f"{', '.join(self._entries)}")
        entry = self._entries[name]
        is_torch = any(type(x).__module__.startswith("torch") for x in inputs)
        arrays = [_array(x) for x in inputs]
        number, body = self._body(entry, arrays)
        for i, array in enumerate(arrays):
            expected = np.dtype(_NUMPY[body.inputs[i].dtype])
            if array.dtype != expected:
                raise TypeError(f"input {body.inputs[i].name.decode()} must "
                                f"be {expected}, got {array.dtype}")
        results = [body.outputs[i] for i in range(entry.output_count)]
        outputs = [np.empty(_shape(t), _NUMPY[t.dtype]) for t in results]
        self._check(self._library.nncc_run_body(
            self._context, entry.name, number,
            (ctypes.c_void_p * max(len(arrays), 1))(
                *[a.ctypes.data for a in arrays]),
            (ctypes.c_void_p * max(len(outputs), 1))(
                *[o.ctypes.data for o in outputs])))
        if is_torch:
            outputs = [_tensor(o, t.dtype) for o, t in zip(outputs, results)]
        return {t.name.decode(): o for t, o in zip(results, outputs)}

    def __call__(self, *inputs):
        outputs = tuple(self.run("forward", *inputs).values())
        return outputs[0] if len(outputs) == 1 else outputs

    def __del__(self):
        if getattr(self, "_context", None):
            self._library.nncc_context_free(self._context)
        if getattr(self, "_weights", None):
            self._library.nncc_weights_free(self._weights)


def compile(directory, threads=1, cpu="native", dims=None,
            entries=("forward",)):
    """Compiles directory/model.json and loads directory/weights.safetensors.

    `dims` gives sizes of symbolic dims: {"N": [1, 8]}; `entries` are the entry
    points to compile: "forward", "backward", "loss_and_grad".
    """
    model = os.path.join(directory, "model.json")
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
        return CompiledModel(library, name,
                             os.path.join(directory, "weights.safetensors"),
                             threads)
    finally:
        shutil.rmtree(folder)
