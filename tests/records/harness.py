"""Samples as models: many in one object, and what PyTorch makes of each.

A case is one sample of a record on one dtype. A batch writes its cases as one
model file (inputs, modules, nodes and outputs carry the case's number), compiles
it and runs an entry. Where it does not compile it is halved until the cases that
are to blame stand alone with their error.

Samples are small, and a small kernel is one tile: `split` compiles them a second
time, by schedules that share every kernel out.
"""
import copy
import dataclasses
import functools
import json
import math
import os
import subprocess
import tempfile
import zlib

import nncc
import torch
import torch.nn as nn
import torch.nn.functional as F
from nncc.modules import DTYPES, named_tensors
from safetensors.torch import save_file

from .record import RECORDS, Record, Sample, Tensor

SPACES = {"nn": nn, "F": F, "torch": torch, "Tensor": torch.Tensor,
          "torch.special": torch.special}


def drawn(value, generator, dtype):
    """A sample's arguments with tensors in the place of descriptions."""
    if isinstance(value, Tensor):
        return value.draw(generator, dtype)
    if isinstance(value, (list, tuple)):
        return type(value)(drawn(v, generator, dtype) for v in value)
    return value


def mapped(value, change):
    """`value` with change(t) for each tensor t in its lists and tuples."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(v, change) for v in value)
    if isinstance(value, dict):
        return {k: mapped(v, change) for k, v in value.items()}
    return value


def tensors_of(value):
    return [t for _, t in named_tensors(value)]


@dataclasses.dataclass(frozen=True)
class Case:
    record: Record
    number: int
    dtype: torch.dtype = torch.float32

    def __str__(self):
        dtype = "" if self.dtype == torch.float32 else f"-{DTYPES[self.dtype]}"
        return f"{self.record.name}-{self.number}{dtype}"

    @property
    def sample(self):
        return self.record.samples[self.number]

    @functools.cached_property
    def drawn(self):
        """(module or None, args, kwargs), the same at each call."""
        seed = zlib.crc32(f"{self.record.name} {self.number}".encode())
        generator = torch.Generator().manual_seed(seed)
        sample, module = self.sample, None
        args = drawn(sample.args, generator, self.dtype)
        kwargs = {k: drawn(v, generator, self.dtype)
                  for k, v in sample.kwargs.items()}
        if self.record.is_module:
            make = {k: drawn(v, generator, self.dtype)
                    for k, v in sample.make.items()}
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                module = getattr(nn, self.record.name[3:])(**make)
                for buffer in module.buffers():
                    if buffer.is_floating_point():
                        buffer.uniform_(0.5, 2)
            if self.dtype.is_floating_point:
                module = module.to(self.dtype)
        return module, args, kwargs

    def __hash__(self):
        return hash(str(self))

    def call(self, module, args, kwargs, plain=False):
        """What PyTorch gives; of a twin, if `plain`, what the name that it is
        the twin of gives."""
        if self.record.is_module:
            return module(*args, **kwargs)
        space, name = self.record.name.rsplit(".", 1)
        if self.record.is_in_place:  # of a leaf it is refused
            args = (args[0].clone(), *args[1:])
            if plain and hasattr(SPACES[space], name[:-1]):
                name = name[:-1]
        if name == "__getitem__":
            return args[0][kwargs["index"]]
        return getattr(SPACES[space], name)(*args, **kwargs)

    def eager(self, to=None, train=False):
        """Results of a fresh call, flat; `to` converts what is floating."""
        module, args, kwargs = self.prepared(to, train)
        with torch.no_grad():
            return tensors_of(self.call(module, args, kwargs))

    def prepared(self, to=None, train=False):
        """Copies to work on."""
        def change(t):
            t = t.clone()
            return t.to(to) if to and t.is_floating_point() else t
        module, args, kwargs = self.drawn
        module = copy.deepcopy(module)
        if module is not None:
            module = (module.to(to) if to else module).train(train)
        return module, mapped(args, change), mapped(kwargs, change)


def word(value):
    """JSON has no infinities; the format has words for them."""
    plain = not isinstance(value, float) or math.isfinite(value)
    return value if plain else str(value)


class Written:
    """One case as a part of a model: names carry its number in the batch."""

    def __init__(self, case, number):
        self.case, self.prefix = case, f"c{number}"
        self.inputs, self.state = {}, {}
        self.fixed = set()  # inputs that get no gradient
        module, args, kwargs = case.drawn
        node = {"name": None}
        if module is not None:
            node["module"] = self.prefix
            self.module = {"type": case.record.name,
                           **{k: self.attribute(v, getattr(module, k, None))
                              for k, v in case.sample.make.items()}}
            if case.dtype.is_floating_point and \
                    case.dtype != torch.float32 and \
                    set(module.state_dict()) - set(case.sample.make):
                self.module["dtype"] = DTYPES[case.dtype]
            self.state = {f"{self.prefix}.{k}": v
                          for k, v in module.state_dict().items()}
        else:
            node["op"] = case.record.name
        node["inputs"] = [self.argument(i, a) for i, a in enumerate(args)]
        for key, value in kwargs.items():
            is_index = case.record.name == "Tensor.__getitem__"
            node[key] = [self.entry(i) for i in value] if is_index else \
                self.argument(key, value)
        self.node = node
        self.outputs = []

    def argument(self, which, value):
        before = set(self.inputs)
        encoded = self.encode(value)
        if which in self.case.record.fixed:
            self.fixed |= set(self.inputs) - before
        return encoded

    def described(self):
        """The inputs as the model file declares them."""
        return {name: {"shape": list(t.shape), "dtype": DTYPES[t.dtype],
                       **({"grad": False} if name in self.fixed else {})}
                for name, t in self.inputs.items()}

    @staticmethod
    def attribute(value, held):
        if isinstance(value, Tensor):
            return {"shape": list(value.shape), "dtype": DTYPES[held.dtype]}
        return word(value)

    def encode(self, value):
        if isinstance(value, torch.Tensor):
            name = f"{self.prefix}_{len(self.inputs)}"
            self.inputs[name] = value
            return name
        if isinstance(value, (list, tuple)):
            return [self.encode(v) for v in value]
        if isinstance(value, torch.dtype):
            return DTYPES[value]
        return word(value)

    def entry(self, index):
        """An entry of an index."""
        if isinstance(index, slice):
            parts = [index.start, index.stop] + \
                ([index.step] if index.step else [])
            return ":".join("" if p is None else str(p) for p in parts)
        if index is Ellipsis:
            return "..."
        if isinstance(index, torch.Tensor):
            return {"value": self.encode(index)}
        return index

    def name_results(self, result):
        """Gives the node's results names of PyTorch's form."""
        def names(value):
            if isinstance(value, torch.Tensor):
                self.outputs.append(f"{self.prefix}_y{len(self.outputs)}")
                return self.outputs[-1]
            if isinstance(value, (list, tuple)):
                return [names(v) for v in value]
            return None
        self.node["name"] = names(result)


def parts_of(cases):
    """The cases as parts of one model; PyTorch says what form results have."""
    parts = [Written(case, i) for i, case in enumerate(cases)]
    for part in parts:
        module, args, kwargs = part.case.prepared()
        with torch.no_grad():
            part.name_results(part.case.call(module, args, kwargs))
    return parts


def model_of(parts):
    """The model file of some parts, one line for each module and node."""
    model = {"format": "nncc-model/1", "name": "records",
             "inputs": {name: described for part in parts
                        for name, described in part.described().items()}}
    modules = {p.prefix: p.module for p in parts if hasattr(p, "module")}
    nodes = ",\n".join(json.dumps(part.node) for part in parts)
    outputs = json.dumps([o for part in parts for o in part.outputs])
    text = json.dumps(model)[:-1]
    if modules:
        lines = ",\n".join(f'"{name}": {json.dumps(module)}'
                           for name, module in modules.items())
        text += f',\n"modules": {{\n{lines}\n}}'
    return text + f',\n"nodes": [\n{nodes}\n],\n"outputs": {outputs}}}\n'


def write(parts, folder):
    with open(os.path.join(folder, "model.json"), "w") as file:
        file.write(model_of(parts))
    state = {name: tensor.contiguous() for part in parts
             for name, tensor in part.state.items()}
    if state:
        save_file(state, os.path.join(folder, "weights.safetensors"))


def run(cases, entry, **options):
    """What an entry gives for each case: {case: {name: tensor}}, or the text
    with which it was refused. Names are "y0", "grad.0" for the first input,
    "grad.weight" for a parameter, "running_mean" for a buffer."""
    return {case: found if isinstance(found, str) else found[0]
            for case, found in runs(cases, entry, **options).items()}


def runs(cases, entry, cpu="native", threads=(1,), split=False):
    """The same by each number of threads, as a list, of one compiled model;
    with `split` also where kernels are shared out to as many tiles as they can
    have, up to seven."""
    parts = parts_of(cases)
    with tempfile.TemporaryDirectory() as folder:
        write(parts, folder)
        entries = "forward" if entry == "forward" else f"forward,{entry}"
        command = [f"{folder}/model.json", f"-mcpu={cpu}",
                   f"--entries={entries}"]
        try:
            compiled = compile(folder, command)
            models = [load(compiled, folder, count) for count in threads]
            if split:
                with open(f"{folder}/split.json", "w") as file:
                    json.dump(split_schedules(command), file)
                command.append(f"--schedules={folder}/split.json")
                models.append(load(compile(folder, command), folder, 2))
        except RuntimeError as error:
            if len(cases) == 1:
                return {cases[0]: str(error)}
            half = len(cases) // 2
            return {case: found for some in (cases[:half], cases[half:])
                    for case, found in
                    runs(some, entry, cpu, threads, split).items()}
    return results(models, entry, cases, inputs_of(parts, entry))


def inputs_of(parts, entry):
    """The inputs of an entry of a batch, in order."""
    inputs = [t for part in parts for t in part.inputs.values()]
    if entry == "backward":
        inputs += [c for part in parts for c in cotangents(part.case)]
    return inputs


def results(models, entry, cases, inputs):
    """What an entry of each model gives, by case and name."""
    found = {case: [{} for _ in models] for case in cases}
    for i, model in enumerate(models):
        for name, value in model.run(entry, *inputs).items():
            number, key = key_of(name)
            found[cases[number]][i][key] = torch.as_tensor(value).clone()
    return found


def nncc_run(*command):
    done = subprocess.run([nncc.runner.find_nncc(), *command], text=True,
                          capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def compile(folder, command):
    handle, library = tempfile.mkstemp(".so", dir=folder)
    os.close(handle)
    nncc_run("compile", *command, "-o", library)
    return library


def load(library, folder, threads):
    return nncc.runner.CompiledModel(
        library, "records", f"{folder}/weights.safetensors", threads)


def kernels_of(command):
    """What `nncc inspect` says of the kernels of a model."""
    return json.loads(nncc_run("inspect", *command, "--json"))["kernels"]


def kernels(cases):
    """The same of the forward and backward entries of some cases."""
    with tempfile.TemporaryDirectory() as folder:
        write(parts_of(cases), folder)
        return kernels_of([f"{folder}/model.json",
                           "--entries=forward,backward"])


# Those that say into how many parts a kernel's work is split.
SPLITS = {"tiles": 7, "splits": 7, "groups": 7}


def split_schedules(command):
    """A schedule of many tiles for each kernel."""
    return {kernel["key"]: {name: SPLITS[name] for name in kernel["schedule"]
                            if name in SPLITS}
            for kernel in kernels_of(command)}


def key_of(name):
    """"grad.c7_0" as (7, "grad.0"), "c7_y1" as (7, "y1"), "c7.weight" as
    (7, "weight")."""
    grad = "grad." if name.startswith("grad.") else ""
    rest = name[len(grad) + 1:]
    number = rest[:len(rest) - len(rest.lstrip("0123456789"))]
    return int(number), grad + rest[len(number) + 1:]


def cotangents(case):
    """Of the floating results of one call in train mode."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(y.shape, generator=generator).to(y.dtype)
            for y in case.eager(train=True) if y.is_floating_point()]


def autograd(case, to=None):
    """PyTorch's results, gradients and the buffers that the call changed, by
    the names of `run`."""
    module, args, kwargs = case.prepared(to, train=True)
    before = {n: b.clone() for n, b in module.named_buffers()} \
        if module is not None else {}
    leaves = []

    def leaf(which, value):
        fixed = which in case.record.fixed

        def note(t):
            if t.is_floating_point() and not fixed:
                t.requires_grad_()
            leaves.append(t)
            return t
        return mapped(value, note)
    args = tuple(leaf(i, a) for i, a in enumerate(args))
    kwargs = {k: leaf(k, a) for k, a in kwargs.items()}
    # PyTorch has no derivative of some twins (asinh_).
    outputs = tensors_of(case.call(module, args, kwargs, plain=True))
    reached = [(y, c.to(y.dtype)) for y, c in zip(
        [y for y in outputs if y.is_floating_point()], cotangents(case))
        if y.requires_grad]
    if reached:
        torch.autograd.backward(*zip(*reached))
    found = {f"y{i}": y.detach() for i, y in enumerate(outputs)}
    found.update((f"grad.{i}", zeros(x)) for i, x in enumerate(leaves)
                 if x.requires_grad)
    if module is not None:
        found.update((f"grad.{n}", zeros(p))
                     for n, p in module.named_parameters())
        found.update((n, b) for n, b in module.named_buffers()
                     if not torch.equal(b, before[n]))
    return found


def zeros(x):
    """The gradient of x; zeros where nothing reached it."""
    return torch.zeros_like(x) if x.grad is None else x.grad


def attempt(case):
    """PyTorch's results, or what it raises."""
    try:
        return case.eager()
    except Exception as error:  # whatever PyTorch raises
        return error


def refused(cases):
    """For each case: whether the compiler has an error on the line of its node
    or module, in a model without outputs."""
    parts = [Written(case, i) for i, case in enumerate(cases)]
    for part in parts:
        part.node["name"] = None
    text = model_of(parts)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.json")
        with open(path, "w") as file:
            file.write(text)
        done = subprocess.run(
            [nncc.runner.find_nncc(), "compile", path, "--emit=graph", "-o",
             os.devnull], capture_output=True, text=True, errors="replace")
    places = [line.split(":")[:2] for line in done.stderr.splitlines()
              if line.startswith(path + ":")]
    lines = {int(number) for _, number in places if number.isdigit()}
    first = text.split('"nodes": [\n')[0].count("\n") + 2
    own = {part.prefix: {first + i} for i, part in enumerate(parts)}
    for number, line in enumerate(text.splitlines()[:first], 1):
        if line.startswith('"c'):
            own[line[1:].split('"')[0]].add(number)
    return done, {part.case: bool(own[part.prefix] & lines) for part in parts}


def all_cases(dtype=torch.float32):
    return [Case(record, i, dtype) for record in RECORDS.values()
            for i in range(len(record.samples))]


def batches(cases, size=40):
    """Each case's batch, as a tuple: what is compiled together."""
    groups = {}
    for start in range(0, len(cases), size):
        group = tuple(cases[start:start + size])
        groups.update((case, group) for case in group)
    return groups


__all__ = ["Case", "Sample", "all_cases", "attempt", "autograd", "batches",
           "kernels", "refused", "run", "runs"]
