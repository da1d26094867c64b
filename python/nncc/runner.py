"""Compiled models on NumPy and PyTorch tensors, by ctypes, without copies."""
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

import numpy as np

from . import abi
from .nested import walk


def _is_torch(x):
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _array(name, x, dtype):
    """A contiguous array over the same memory, if x is contiguous. `name` and
    the model's `dtype` are for errors."""
    expected, where = abi.NAMES[dtype], f"input {name}"
    if _is_torch(x):
        if x.device.type != "cpu" or "strided" not in str(x.layout):
            place = x.device if x.device.type != "cpu" else x.layout
            raise TypeError(f"{where} must be a dense tensor on the CPU, it "
                            f"is on {place}")
        found = str(x.dtype).replace("torch.", "")
        if found != expected:
            raise TypeError(f"{where} must be {expected}, got {found}")
        x = x.detach()
        if dtype == abi.BF16:
            import torch
            return np.asarray(x.view(torch.int16).numpy(),
                              order="C").view(np.uint16)
        x = x.resolve_neg().numpy()
    elif not isinstance(x, (np.ndarray, np.generic)) and \
            not hasattr(x, "__array__"):
        raise TypeError(f"{where} must be an array or a tensor, got "
                        f"{type(x).__name__}")
    array = np.asarray(x, order="C")  # keeps scalars scalars
    if array.dtype != np.dtype(abi.NUMPY[dtype]):
        if dtype == abi.BF16:
            expected = "uint16, the bits of bfloat16"
        raise TypeError(f"{where} must be {expected}, got {array.dtype}")
    return array


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
                 all_reduce=None, ties=None, device="cpu"):
        """`all_reduce(bucket)`, a function of {name: array}, replaces each
        gradient by its mean over all processes, in place. `ties`: names of
        PyTorch's module for a tensor that has another one in the model."""
        self.ties = ties or {}
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
        table = model.weights[:model.weight_count]
        self._dtypes = {w.name.decode(): w.dtype for w in table}
        # The optimizer's, which files may lack.
        self._fresh = {w.name.decode() for w in table if w.fresh}
        self.aliases = {
            alias.name.decode(): model.weights[alias.weight].name.decode()
            for alias in model.aliases[:model.alias_count]}
        trains = any(e != "forward" for e in self._entries)
        self._all_reduce = abi.AllReduce()  # must live as long as the context
        if all_reduce:
            self._all_reduce = abi.AllReduce(
                lambda host, bucket, count: self._reduce(
                    all_reduce, [bucket[i] for i in range(count)]))
        options = abi.Options(threads, None, None, trains, seed,
                              self._all_reduce, None, device == "cuda")
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

    def in_order(self, entry_name, inputs, named):
        """The inputs of a call by name, in the order of the entry's."""
        names, body = (self.signature(entry_name)[0],
                       self._entries[entry_name].bodies[0])
        needed = len(names)
        while needed and body.inputs[needed - 1].initial:
            needed -= 1
        rest = dict(zip(names, inputs))
        for name in named:
            if name not in names:
                raise TypeError(f"there is no input {name!r}, only "
                                f"{', '.join(names) or 'none'}")
            if name in rest:
                raise TypeError(f"input {name} is given twice")
        rest.update(named)
        missing = [n for n in names[:needed] if n not in rest]
        count = len(inputs) + len(named)
        if missing or count > len(names):
            raise TypeError(f"takes {needed} inputs, got {count}; it takes "
                            f"{', '.join(names[:needed]) or 'none'}")
        return {n: rest[n] for n in names if n in rest}

    def _body(self, entry, arrays):
        needed = len(arrays)
        for b in range(entry.body_count):
            body = entry.bodies[b]
            if all(body.inputs[i].shape == a.shape
                   for i, a in enumerate(arrays)):
                return b, body
        known = [[entry.bodies[b].inputs[i].shape for i in range(needed)]
                 for b in range(entry.body_count)]
        text = (f"no compiled size fits inputs of shapes "
                f"{[a.shape for a in arrays]}; compiled: {known}")
        for i, array in enumerate(arrays):
            if all(body[i] != array.shape for body in known):
                name = entry.bodies[0].inputs[i].name.decode()
                text += f": input {name} is of none of them"
                break
        raise ValueError(text)

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

    def reached(self, name):
        """For each gradient that an entry gives, by its name, the outputs of
        the model that it depends on."""
        entry = self._entries[name]
        outputs = entry.bodies[0].outputs[:entry.output_count]
        return {t.name.decode(): set(t.reached.decode().split(","))
                for t in outputs if t.reached}

    def _dtype_of(self, entry, name):
        """NumPy's type of an entry's input."""
        number = self.signature(entry)[0].index(name)
        return np.dtype(abi.NUMPY[
            self._entries[entry].bodies[0].inputs[number].dtype])

    def run(self, entry_name, *inputs, **named):
        """Runs an entry on inputs in their order or by name; gives its outputs
        by name."""
        given = self.in_order(entry_name, inputs, named)
        return self._run(entry_name, given,
                         any(map(_is_torch, given.values())))

    def run_tensors(self, entry_name, inputs):
        """`run`, on all inputs in their order, with tensors as results."""
        given = self.in_order(entry_name, inputs, {})
        return self._run(entry_name, given, True)

    def _run(self, entry_name, given, is_torch):
        """Runs an entry on all its inputs; gives tensors or arrays."""
        entry = self._entries[entry_name]
        arrays = [_array(n, x, entry.bodies[0].inputs[i].dtype)
                  for i, (n, x) in enumerate(given.items())]
        number, body = self._body(entry, arrays)
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

    def __call__(self, *inputs, **named):
        """forward; tuples, lists, dicts and dataclasses among the inputs are
        taken apart, None is left out."""
        inputs = flat(inputs, self.signature("forward")[0])
        outputs = tuple(self.run("forward", *inputs, **named).values())
        return outputs[0] if len(outputs) == 1 else outputs

    def train_step(self, *inputs, lr=None, **named):
        """One step of the compiled optimizer on the model's inputs and its
        training inputs; gives the loss. `lr` replaces the model's."""
        if lr is not None:
            try:
                rate = float(lr)
            except (TypeError, ValueError):
                raise TypeError("lr must be a number, got "
                                f"{type(lr).__name__}") from None
            kind = self._dtype_of("train_step", "lr")
            if not 0 <= rate <= float(np.finfo(kind).max):
                raise ValueError("lr must be at least 0 and fit into f"
                                 f"{8 * kind.itemsize}, got {lr}")
            named["lr"] = kind.type(rate)
        inputs = flat(inputs, self.signature("train_step")[0])
        return float(self.run("train_step", *inputs, **named)["loss"])

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

    def tensors(self):
        """Parameters and buffers by name, as torch tensors over their memory;
        the optimizer's state is not among them."""
        return {name: _tensor(array, self._dtypes[name])
                for name, array in self.state().items()
                if name not in self._fresh}

    def load_state_dict(self, tensors):
        """Replaces weights by those of a state_dict or the like, under any of
        their names: all of the model, and of the optimizer's state what there
        is."""
        present = self.state()
        if not present and self._model.contents.weight_count:
            raise RuntimeError("the weights of a model without an entry that "
                               "trains cannot change: compile it with one, as "
                               "entries=(\"forward\", \"backward\")")
        one = {name: self.aliases.get(name, name) for name in tensors}
        problems = [f"{n} is not part of the model" for n in tensors
                    if one[n] not in present]
        problems += [f"{n} is missing" for n in present
                     if n not in one.values() and n not in self._fresh]
        arrays, given = {}, {}
        for name, path in one.items():
            if path not in present:
                continue
            try:
                array = _array(name, tensors[name], self._dtypes[path])
            except TypeError as error:
                problems.append(str(error).replace("input ", "", 1))
                continue
            if array.shape != present[path].shape:
                problems.append(f"{name} must have shape "
                                f"{list(present[path].shape)}, got "
                                f"{list(array.shape)}")
            elif path in arrays and \
                    array.tobytes() != arrays[path].tobytes():
                problems.append(f"{given[path]} and {name} are one tensor of "
                                "the model, but differ")
            arrays[path], given[path] = array, name
        if problems:
            raise ValueError("the tensors do not fit the model:\n  "
                             + "\n  ".join(sorted(problems)))
        for name, array in arrays.items():
            present[name][...] = array
        self.changed()

    def changed(self):
        """The arrays of `state` were written to."""
        self._library.nncc_context_changed(self._context)

    def seed(self, seed, step=0):
        """Random numbers from here on are those of this seed and step."""
        _whole("seed", seed, 0, 2 ** 64 - 1)
        _whole("step", step, 0, 2 ** 63 - 1)
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


def _in_order(argument, names):
    """The values of an argument in the order of its inputs, which `names`
    begin with: a dict has the example's keys, in any order."""
    items = [item for item in walk(argument) if item[1] is not None]
    given = {re.sub("[^0-9A-Za-z]", "_", name): value
             for name, value, _ in items}
    values = [value for _, value, _ in items]
    if not any(is_keyed for *_, is_keyed in items):
        return values
    own = names[:len(values)]
    for key in given:
        start = own[0][:-len(key)] if own and own[0].endswith(key) else None
        if start is not None and {start + k for k in given} == set(own):
            return [given[name[len(start):]] for name in own]
    if isinstance(argument, (tuple, list)):
        return flat(argument, names)  # arguments, as one
    raise TypeError(f"a dict of {', '.join(given)} does not fit the inputs "
                    f"{', '.join(own)}: give them by name")


def flat(inputs, names):
    """Arguments, taken apart, in the order of these inputs."""
    values = []
    for argument in inputs:
        values += _in_order(argument, names[len(values):])
    return values


def _whole(what, value, least, most=None):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or \
            value < least or (most is not None and value > most):
        raise ValueError(f"{what} must be a whole number "
                         + (f"from {least} to {most}" if most else
                            f"of at least {least}") + f", got {value!r}")


def compile(directory, threads=1, cpu="native", dims=None,
            entries=("forward",), seed=0, all_reduce=None):
    """Compiles directory/model.json and loads directory/weights.safetensors.

    `dims` gives sizes of symbolic dims: {"N": [1, 8]}; `entries` are the entry
    points to compile: "forward", "backward", "loss_and_grad", "train_step",
    "train_forward"; `seed` keys dropout; for `all_reduce` see CompiledModel.
    """
    directory = os.fspath(directory)
    model = os.path.join(directory, "model.json")
    if os.path.isfile(directory):
        raise NotADirectoryError(f"{directory} is a file: give compile the "
                                 "folder that nncc.export wrote")
    if not os.path.isfile(model):
        raise FileNotFoundError(
            f"{directory} has no model.json" if os.path.isdir(directory) else
            f"there is no folder {directory}")
    return compile_model(model,
                         os.path.join(directory, "weights.safetensors"),
                         threads, cpu, dims, entries, seed, all_reduce)


def _read(path):
    """The name of a model in its symbols, as support/Identifier.h makes it, and
    its ties; what is wrong with the file is the compiler's to say."""
    try:
        with open(path) as file:
            model = json.load(file)
        name, ties = model.get("name", "model"), model.get("tie", {})
    except (ValueError, AttributeError):
        return "model", {}
    name = re.sub("[^0-9A-Za-z_]", "_", name) if isinstance(name, str) else ""
    return "_" + name if name[:1].isdigit() else name or "model", ties


def compile_model(model, weights, threads=1, cpu="native", dims=None,
                  entries=("forward",), seed=0, all_reduce=None, level=None):
    """`compile`, of two files; the weights' may be missing. `level` is that of
    -O."""
    if isinstance(entries, str):
        entries = (entries,)
    _whole("threads", threads, 1)
    _whole("seed", seed, 0, 2 ** 64 - 1)
    for dim, sizes in (dims or {}).items():
        for size in sizes if isinstance(sizes, (list, tuple)) else [sizes]:
            _whole(f"a size of dim {dim}", size, 0)
    if all_reduce is not None and not callable(all_reduce):
        raise TypeError("all_reduce must be a function, got "
                        f"{type(all_reduce).__name__}")
    name, ties = _read(model)
    folder = tempfile.mkdtemp(prefix="nncc")
    try:
        library = os.path.join(folder, "model.so")
        command = [find_nncc(), "compile", model, "-o", library,
                   f"-mcpu={cpu}", "--entries=" + ",".join(entries)]
        if level is not None:
            command.append(f"-O{level}")
        for dim, sizes in (dims or {}).items():
            sizes = sizes if isinstance(sizes, (list, tuple)) else [sizes]
            command.append(f"--dim={dim}=" + ",".join(map(str, sizes)))
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return CompiledModel(library, name, weights, threads, seed, all_reduce,
                             ties)
    finally:
        shutil.rmtree(folder)
