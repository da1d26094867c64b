"""Compiled models on NumPy and PyTorch tensors, by ctypes, without copies but
between the host and a GPU."""
import ctypes
import json
import math
import os
import re
import shutil
import subprocess
import tempfile
import traceback

import numpy as np

from . import abi, device as devices
from .nested import walk


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

    `device` is "cpu" or the GPU where it runs, "cuda:0". There arrays and
    tensors of the CPU are copied in and out. CUDA tensors of PyTorch are taken
    by pointer, on its current stream, as are CuPy's and Numba's arrays, on the
    stream that they name; results are made there, and no call waits for them
    (`synchronize` does). Indices that lie there are not checked.
    """

    def __init__(self, library, name, weights, threads=1, seed=0,
                 all_reduce=None, ties=None, device="cpu"):
        """`all_reduce(bucket)`, a function of {name: array}, replaces each
        gradient by its mean over all processes, in place; of CUDA tensors it
        gets such. `ties`: names of PyTorch's module for a tensor that has
        another one in the model. `device`: see compile."""
        kind, number = devices.parse(device)
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
        self._trains = trains
        self._all_reduce = abi.AllReduce()  # must live as long as the context
        if all_reduce:
            self._all_reduce = abi.AllReduce(
                lambda host, bucket, count: self._reduce(
                    all_reduce, [bucket[i] for i in range(count)]))
        options = abi.Options(threads, None, None, trains, seed,
                              self._all_reduce, None, kind, number)
        self._check(self._library.nncc_context_create(
            self._model, self._weights, ctypes.byref(options),
            ctypes.byref(self._context)))
        if trains:  # the context has a copy of its own
            self._library.nncc_weights_free(self._weights)
            self._weights = ctypes.c_void_p()
        is_gpu = self._library.nncc_context_device(self._context)
        self._gpu = number if is_gpu else None
        self.device = f"cuda:{number}" if is_gpu else "cpu"
        self._mirror = devices.Mirror()
        self._place = None

    def _check(self, status):
        if status:
            raise RuntimeError(self._library.nncc_last_error().decode())

    def _reduce(self, function, bucket):
        try:
            function({g.name.decode(): self._place.share(
                g.data, g.count, g.dtype) for g in bucket})
            return 0
        except Exception:  # must not cross the C code
            traceback.print_exc()
            return 1

    def _at(self, place):
        """Pointers are of that place from here on."""
        self._place = place
        for stream in place.streams if self._gpu is not None else ():
            self._check(self._library.nncc_context_set_pointers(
                self._context, place.is_gpu, stream))
        return place

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
                f"{[tuple(a.shape) for a in arrays]}; compiled: {known}")
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
                         devices.place_of(self._gpu, given.values()))

    def run_tensors(self, entry_name, inputs, is_there=False):
        """`run`, on all inputs in their order, with tensors as results; all of
        them are PyTorch's and on the GPU if `is_there`."""
        given = self.in_order(entry_name, inputs, {})
        place = devices.Gpu(self._gpu, inputs, True) if is_there else \
            devices.place_of(self._gpu, inputs, True)
        return self._run(entry_name, given, place)

    def _run(self, entry_name, given, place):
        """Runs an entry on all its inputs; gives tensors or arrays."""
        entry = self._entries[entry_name]
        arrays = [place.take(n, x, entry.bodies[0].inputs[i].dtype)
                  for i, (n, x) in enumerate(given.items())]
        number, body = self._body(entry, arrays)
        results = [body.outputs[i] for i in range(entry.output_count)]
        outputs = [place.empty(t.shape, t.dtype) for t in results]
        self._mirror.each(self._write)
        self._at(place)
        self._check(self._library.nncc_run_body(
            self._context, entry.name, number,
            (ctypes.c_void_p * max(entry.input_count, 1))(
                *map(place.address, arrays)),
            (ctypes.c_void_p * max(len(outputs), 1))(
                *map(place.address, outputs))))
        if entry.trains:
            self._mirror.each(self._read)
        return {t.name.decode(): place.result(o, t.dtype)
                for t, o in zip(results, outputs)}

    def __call__(self, *inputs, **named):
        """forward; tuples, lists, dicts and dataclasses among the inputs are
        taken apart, None is left out."""
        inputs = flat(inputs, self.signature("forward")[0])
        outputs = tuple(self.run("forward", *inputs, **named).values())
        return outputs[0] if len(outputs) == 1 else outputs

    def train_step(self, *inputs, lr=None, **named):
        """One step of the compiled optimizer on the model's inputs and its
        training inputs; gives the loss, a number, or of inputs on a GPU what
        lies there and is not waited for. `lr` replaces the model's."""
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
        loss = self.run("train_step", *inputs, **named)["loss"]
        return loss if devices.is_there(loss) else float(loss)

    def synchronize(self):
        """Waits until all calls have ended; raises the first error of one."""
        self._check(self._library.nncc_context_synchronize(self._context))

    def _move(self, function, name, x):
        """Between a weight that the context trains and memory anywhere."""
        dtype = self._dtypes[name]
        place = self._at(devices.place_of(self._gpu, [x]))
        x = place.take(name, x, dtype)
        size = math.prod(x.shape) * np.dtype(abi.NUMPY[dtype]).itemsize
        return function(self._context, name.encode(), place.address(x), size)

    def _write(self, name, x):
        self._check(self._move(self._library.nncc_context_write, name, x))

    def _read(self, name, x):
        self._check(self._move(self._library.nncc_context_read, name, x))

    def state(self):
        """The present weights by name: on the CPU as arrays over their memory
        (tell `changed` after writing to them), of a GPU as copies."""
        model, result = self._model.contents, {}
        self._mirror.each(self._write)
        for tensor in model.weights[:model.weight_count]:
            array = self._copy(tensor) if self._gpu is not None else \
                self._memory(tensor)
            if array is not None:
                result[tensor.name.decode()] = array
        return result

    def _memory(self, tensor):
        address = self._library.nncc_context_tensor(self._context, tensor.name)
        if not address:
            return None
        raw = (ctypes.c_char * tensor.bytes).from_address(address)
        raw.owner = self  # the memory is the context's
        return np.frombuffer(raw, abi.NUMPY[tensor.dtype]).reshape(
            tensor.shape)

    def _copy(self, tensor):
        array = np.empty(tensor.shape, abi.NUMPY[tensor.dtype])
        status = self._trains and self._move(
            self._library.nncc_context_read, tensor.name.decode(), array)
        if not self._trains or status == abi.ERROR_WEIGHTS:
            return None  # embedded, and nothing reads it
        self._check(status)
        return array

    def tensors(self):
        """Parameters and buffers by name, as torch tensors over their memory;
        the optimizer's state is not among them. Of a GPU they are copies, there
        if PyTorch has CUDA, that follow the model's as long as somebody holds
        them, and it follows them."""
        arrays = {name: array for name, array in self.state().items()
                  if name not in self._fresh}
        if self._gpu is not None:
            return self._mirror.tensors(arrays, self._dtypes, self._gpu)
        return {name: devices.as_tensor(array, self._dtypes[name])
                for name, array in arrays.items()}

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
                value = tensors[name]
                if devices.is_torch(value) and devices.is_there(value):
                    value = value.cpu()
                array = devices.as_array(name, value, self._dtypes[path])
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
            if self._gpu is None:
                present[name][...] = array
            else:
                self._write(name, array)
        self.changed()
        self._mirror.each(self._read)

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
        self._mirror.each(self._write)
        self._check(self._library.nncc_weights_save(
            self._library.nncc_context_weights(self._context),
            os.fsencode(path)))

    def module(self):
        """A torch.nn.Module on this model: its parameters are the compiled
        model's memory (of a GPU, what `tensors` gives), forward and backward
        run compiled code. Needs the entries "forward", "train_forward" and
        "backward"."""
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
            entries=("forward",), seed=0, all_reduce=None, device="cpu"):
    """Compiles directory/model.json and loads directory/weights.safetensors.

    `dims` gives sizes of symbolic dims: {"N": [1, 8]}; `entries` are the entry
    points to compile: "forward", "backward", "loss_and_grad", "train_step",
    "train_forward"; `seed` keys dropout; for `all_reduce` see CompiledModel.
    `device` is "cpu", "cuda", "cuda:1" (the second GPU), or "auto": a GPU if
    there is one that fits, else the CPU.
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
                         threads, cpu, dims, entries, seed, all_reduce,
                         device=device)


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


# What to ask of the compiler for an nncc_device, in this order.
_HERE = "--target=cuda:native"
_TARGETS = [[[]], [[_HERE, "--device-only"]], [[_HERE], []]]


def compile_model(model, weights, threads=1, cpu="native", dims=None,
                  entries=("forward",), seed=0, all_reduce=None, level=None,
                  device="cpu"):
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
    targets = _TARGETS[devices.parse(device)[0]]
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
        for target in targets:
            done = subprocess.run(command + target, capture_output=True,
                                  text=True)
            if done.returncode != 4:  # nothing here that fits
                break
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return CompiledModel(library, name, weights, threads, seed, all_reduce,
                             ties, device)
    finally:
        shutil.rmtree(folder)
