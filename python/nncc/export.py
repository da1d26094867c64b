"""Live PyTorch modules to nncc-model/1.

The module runs on example inputs while every torch function and every module
call is recorded (trace.py, calls.py), once in eval mode and once in train mode:
what differs is written twice. Eval mode runs a second time on other values, and
must come to the same graph: what does not is something that Python reads or
draws. The tree of modules stays as it is: torch.nn classes are leaves, other
classes become classes of the file, equal ones shared (outline.py, describe.py).
"""
import inspect
import os
import reprlib
import sys
import warnings
from collections.abc import Mapping

import torch
import torch.nn as nn

from .accept import check_accepted
from .again import (Conditions, check_again, check_repeats, check_seeds,
                    check_without_gradients)
from .assemble import Joined
from .describe import Tree
from .graph import Problem, sentences
from .modes import Modes
from .modules import (UnsupportedModel, as_model, class_of, leaves_of,
                      named_tensors, own_attributes)
from .names import Names
from .nested import walk
from .optimizers import describe_training
from .outline import Constants
from .patched import Originals
from .run import Run, check_values, mapped
from .state import Snapshot, left_alone, redrawn
from .values import dtype_of, overlaps
from .verify import verify as verify_files
from .verify import with_gradient
from .write import bytes_of, folder_for, write


def export(module, example_inputs, directory, loss=None, targets=(),
           optimizer=None, *, example_kwargs=None, allow_branches=False,
           verify=True):
    """Writes directory/model.json and directory/weights.safetensors.

    With `loss`, called as loss(*outputs, *targets), and `optimizer`, a
    torch.optim object on the module's parameters, the training section too.

    `example_inputs` are a tensor, a tuple of arguments, or a dict of arguments
    by name; `example_kwargs` are further ones by name. Tensors in tuples,
    lists, dicts and dataclasses become inputs and outputs of their own; other
    arguments are constants of the file. A torch.nn class of its own is the node
    "module" in the file; its state has the names of its state_dict().

    Entries that do not train compute what the module does after eval(), entries
    that train what it does after train(). A part that was put into the other
    mode than the whole before, such as a frozen batch norm, keeps it.

    Raises UnsupportedModel with all problems found, each with the module's path
    and the line; then nothing is written. The value of a tensor that Python
    reads (`if x.sum() > 0:`) is one, unless `allow_branches`: then the
    example's is frozen. The module stays as it was.

    Before they are written, the files are compiled and run beside the module,
    on the example and on other inputs, and for one training step; a difference
    is an error. `verify=False` leaves that out.
    """
    with folder_for(directory) as (path, folder), torch.device("cpu"):
        exporter = _Exporter(module, example_inputs, example_kwargs, loss,
                             targets, optimizer, allow_branches)
        model, weights = exporter.run()
        write(model, weights, path, folder,
              lambda path: check_accepted(path, model, loss is not None),
              exporter.verify if verify else None)
    count = sum(t.numel() for t in weights.values())
    size = sum(t.numel() * t.element_size() for t in weights.values())
    print("; ".join([
        "nncc: wrote "
        f"{os.path.join(os.fsdecode(directory), 'model.json')} and "
        f"weights.safetensors: {count:,} numbers, {bytes_of(size)}",
        *exporter.notes()]), file=sys.stderr)


class _Exporter:
    def __init__(self, module, inputs, kwargs, loss, targets, optimizer,
                 allow_branches):
        module = getattr(module, "_orig_mod", module)  # of torch.compile
        if not isinstance(module, nn.Module):
            raise TypeError("export takes a torch.nn.Module, got "
                            f"{type(module).__name__}")
        if isinstance(module, torch.jit.ScriptModule):
            raise UnsupportedModel("a torch.jit.ScriptModule: export the "
                                   "module that it was made of")
        self.name = type(module).__name__.lower()
        self.signature = inspect.signature(module.forward)
        # A class of torch.nn alone: its input is x, as users call it.
        self.is_of_torch = type(module).__module__.startswith(
            "torch.nn.modules")
        self.names = Names()
        self.model = as_model(module, self.names)
        self.args, self.kwargs = _arguments(self.signature, inputs, kwargs)
        if loss is None and (optimizer is not None or len(targets)):
            raise TypeError("an optimizer and targets need a loss: "
                            "export(..., loss=)")
        if loss is not None and not callable(loss):
            raise TypeError("loss must be a function or a module, got "
                            f"{type(loss).__name__}")
        self.loss, self.optimizer = loss, optimizer
        self.targets = (targets,) if isinstance(targets, torch.Tensor) else \
            tuple(targets)
        check_values(self.signature.bind(*self.args, **self.kwargs).arguments,
                     "the example input")
        check_values(self.targets, "the target")
        self.allow_branches = allow_branches
        _check_module(self.model)
        if isinstance(loss, nn.Module) and any(
                p.requires_grad for p in loss.parameters()):
            raise UnsupportedModel("the loss has parameters of its own: make "
                                   "it a part of the module")

    # --- Traces ----------------------------------------------------------
    def run(self):
        """The model as JSON and its tensors by name."""
        self.snapshot = Snapshot(self.model)
        with warnings.catch_warnings(), \
                left_alone(self.loss, self.model) as self.kept:
            warnings.simplefilter("ignore")
            try:
                return self._run()
            finally:
                self.snapshot.restore()

    def _run(self):
        self.leaves, self.unfit = leaves_of(self.model.modules(), self.names)
        self.described = {m: own_attributes(m) for m in self.leaves}
        self.originals = Originals({class_of(m) for m in self.leaves})
        self.entered = Modes(self.model, self.snapshot, self._results)
        self.modes = self.entered.flags
        self.snapshot.restore()
        state = dict(self.model.named_parameters(remove_duplicate=False))
        state.update(self.model.named_buffers(remove_duplicate=False))
        self.constants = Constants(state)
        self._enter(False)
        run = self._run_once(False, None, Conditions())
        self._raise(p for p in run.problems if not p.gradient)
        graph = run.outline()
        self._raise(graph.problems)
        self._check_again(run)
        check_without_gradients(self._again, run)
        self.untrained = None
        train = self._train_graph()
        self.left_out = dict(
            item for one in (run, train) if one is not None
            for *item, _ in walk(one.result)
            if not isinstance(item[1], torch.Tensor))
        if not run.outputs:
            raise UnsupportedModel("forward gives no tensor, so a compiled "
                                   "model would compute nothing")
        self._enter(train is not None)  # the run has left other buffers
        return self._assemble(run, graph, train)

    def _enter(self, trains):
        """Puts the module into the mode of an entry; gives what stands in the
        way of training it."""
        self.state = self.entered.prepare(trains)
        problems = _hooks(self.model) if trains else []
        for part in self.model.modules():
            part._backward_hooks.clear()
            part._backward_pre_hooks.clear()
        return problems

    def _results(self):
        """What the module computes of the example, and of other values."""
        found = []
        for draw in (torch.Tensor.clone, redrawn):
            args, kwargs = mapped((self.args, self.kwargs),
                                  lambda t: draw(t.detach()))
            try:
                with Conditions(False).around():
                    result = self.model(*args, **kwargs)
            except Exception:
                continue  # the trace says why, or these values mean something
            found += [t for _, t in named_tensors(result)]
        return found

    def _again(self, first, draw, conditions):
        """In the modes, and with the attributes, that a run before has left;
        with the state that the `first` began with."""
        first.restore_buffers()
        self.state.restore_tensors()
        return self._run_once(first.trains, draw, conditions)

    def _run_once(self, trains, draw, conditions):
        """Runs the module; what fails in it is the caller's to mend."""
        args, kwargs, targets = self.args, self.kwargs, self.targets
        if draw:
            args, kwargs, targets = mapped((args, kwargs, targets), draw)
        run = Run.__new__(Run)
        try:
            run.__init__(self, trains, args, kwargs, targets, conditions)
        except UnsupportedModel:
            raise
        except Exception as error:
            problems = run.tracer.problems if hasattr(run, "tracer") else []
            place = run.tracer.place_of(error.__traceback__) if \
                hasattr(run, "tracer") else None
            problems.append(Problem(
                f"forward fails in {'train' if trains else 'eval'} mode"
                f"{conditions} on the example: {type(error).__name__}: {error}",
                place))
            raise UnsupportedModel(sentences(problems)) from error
        return run

    def _raise(self, problems):
        problems = list(problems)
        if problems:
            raise UnsupportedModel(sentences(problems))

    def _train_graph(self):
        """The trace in train mode. Without a loss a model that cannot be
        trained is exported all the same, and says so."""
        try:
            if self.entered.problem:
                raise UnsupportedModel(self.entered.problem)
            self._raise(self._enter(True))
            run = self._run_once(True, None, Conditions())
            self._raise(run.problems)
            graph = run.outline()
            self._raise(graph.problems)
            self._check_again(run)
            return run
        except UnsupportedModel as error:
            if self.loss is not None:
                raise
            self.untrained = str(error).replace("\n", "; ")
            return None

    def _check_again(self, run):
        given = [id(t) for _, t in named_tensors([self.args, self.kwargs])]
        if len(set(given)) < len(given):
            check_repeats(self._again, run)
        if self.allow_branches:
            check_seeds(self._again, run)
        else:
            check_again(self._again, run, self.model, self.kept)

    def notes(self):
        """What the user may not expect of the files."""
        if self.untrained:
            yield f"for forward only, since in train mode {self.untrained}"
        if self.left_out:
            yield ("left out of the outputs, since they are no tensors: " +
                   ", ".join(f"{name} ({reprlib.repr(value)})"
                             for name, value in self.left_out.items()))
        some = [name for name, p in self.model.named_parameters()
                if p.grad is not None and bool(p.grad.any())]
        if self.optimizer is not None and some:
            yield ("the gradients that parameters have now are left out, as "
                   f"after zero_grad(): {some[0]}" + (
                       f" and {len(some) - 1} others" if some[1:] else ""))

    def verify(self, folder):
        """Runs the files in `folder` beside the module."""
        verify_files(folder, self.model, self.args, self.kwargs, self.loss,
                     self.targets, self.optimizer, self.entered.enter,
                     self.snapshot, self.untrained is None)

    # --- The file --------------------------------------------------------
    def _assemble(self, run, graph, train):
        joined = Joined(run, graph, train)
        self._raise(joined.problems)
        model = {"format": "nncc-model/1", "name": self.name}
        model["inputs"] = {
            name: _tensor(value.tensor, name)
            for name, value in zip(graph.inputs, run.inputs)}
        attributes = {path: run.values.attributes[path] for path in sorted(
            graph.attributes | joined.final.attributes)}
        state, ties = self._state(attributes)
        tree = Tree(self.model, self.leaves, self.names.modules,
                    run.tracer.paths, joined.bodies,
                    list(attributes.values()))
        if tree.classes:
            model["classes"] = tree.classes
        model.update(tree.top)
        constants = self.constants.tensors
        if constants:
            model.setdefault("buffers", {}).update(
                (n, _tensor(t, n)) for n, t in constants.items())
        if ties:
            model["tie"] = ties
        model["nodes"], model["outputs"] = joined.nodes, joined.outputs
        if train is None:
            model["train"] = self.untrained
        elif joined.train is not None:
            model["train"] = joined.train
        section, optimizer_state = ({}, {}) if train is None else \
            self._training(train, joined)
        if section:
            model["training"] = section
        return model, {**state, **constants, **optimizer_state}

    def _training(self, train, joined):
        """The training section, and the optimizer's state by name."""
        section = {}
        if self.loss is not None:
            call, _ = train.loss
            section = {"inputs": {
                name: _tensor(value.tensor, name)
                for name, value in zip(joined.final.targets, call.arguments)},
                **joined.loss()}
        settings, state = describe_training(
            self.model, self.optimizer, self.names.optimizers,
            lambda: with_gradient(
                self.model, self.args, self.kwargs, self.loss, self.targets,
                self.entered.enter, self.snapshot))
        return {**section, **settings}, state

    def _state(self, attributes):
        """Tensors of the weights file, and names of the same tensor."""
        named = [*self.model.named_parameters(remove_duplicate=False),
                 *self.model.named_buffers(remove_duplicate=False),
                 *((path, t) for path, (_, _, t) in attributes.items())]
        first, state, ties = {}, {}, {}
        for name, tensor in named:
            source = first.setdefault(id(tensor), name)
            if source != name:
                ties[name] = source
            else:
                state[name] = self.state.value_of(tensor).cpu()
        return state, ties


def _arguments(signature, inputs, kwargs):
    """Positional arguments and those by name, as forward takes them."""
    kwargs = dict(kwargs or {})
    if isinstance(inputs, Mapping):
        names = [n for n, p in signature.parameters.items()
                 if p.kind is not inspect.Parameter.VAR_KEYWORD]
        takes_all = len(names) < len(signature.parameters)
        if not takes_all and not set(inputs) <= set(names) and \
                len(names) == 1:
            args = (inputs,)  # forward(batch)
        else:
            args, kwargs = (), {**inputs, **kwargs}
    elif isinstance(inputs, (tuple, list)):
        args = tuple(inputs)
    else:
        args = (inputs,)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"the example inputs do not fit forward{signature}: "
                        f"{error}") from None
    return args, kwargs


def _check_module(model):
    """What no trace can be made of."""
    for path, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if isinstance(tensor, (nn.UninitializedParameter,
                               nn.parameter.UninitializedBuffer)):
            raise UnsupportedModel(f"{path} is not initialized yet: call the "
                                   "module once before")
        dtype_of(tensor, path)
    everywhere = nn.modules.module
    if everywhere._global_backward_hooks or \
            everywhere._global_backward_pre_hooks:
        raise UnsupportedModel("a backward hook on all modules, which a "
                               "compiled step leaves out: remove it")


def _hooks(model):
    """What changes gradients or parameters in secret, in entries that
    train."""
    problems = []
    for path, part in model.named_modules():
        for hook in [*part._backward_hooks.values(),
                     *part._backward_pre_hooks.values()]:
            problems.append(Problem(
                f"the backward hook {getattr(hook, '__name__', hook)} of "
                f"{path or 'the model'}, which a compiled step leaves out: "
                "remove it"))
    for path, other in overlaps(model):
        problems.append(Problem(
            f"{path} shares memory with {other}, so that training changes "
            "both, which a compiled step does not: compute one of them in "
            "forward"))
    for path, parameter in model.named_parameters():
        if parameter._backward_hooks or getattr(
                parameter, "_post_accumulate_grad_hooks", None):
            problems.append(Problem(
                f"the hook on the gradient of {path}, which a compiled step "
                "leaves out: remove it"))
    return problems


def _tensor(tensor, what):
    return {"shape": list(tensor.shape), "dtype": dtype_of(tensor, what)}
