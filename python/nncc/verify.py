"""The exporter's last check: the written file, compiled and run beside the
module.

Outputs are compared in eval mode, on the example inputs and on others drawn
like them; then one step in train mode with dropout off: loss, buffers,
parameters and the optimizer's state; without an optimizer gradients, without a
loss those of a sum of the outputs with drawn weights, also of the inputs. The
module itself runs, since a copy of a large one takes as long, and some have
none; a snapshot puts it and all random generators back.

What may differ is rounding (rounding.py).
"""
import contextlib
import copy
import inspect
import json
import os
import sys
import tempfile
import threading

import torch

from .dropout import WithoutDropout, without_dropout
from .modules import UnsupportedModel, named_tensors
from .rounding import (Scale, allowed_beside, beyond, differs, largest_of,
                       like, limit_of, row_scale, rows_of, wide, worst)
from .run import elements, mapped, once
from .runner import compile_model
from .state import Snapshot, eagerly, left_alone, redrawn
from .values import plain_attributes


class VerificationError(UnsupportedModel):
    """The written model does not compute what the module does."""


def verify(directory, module, args, kwargs, loss=None, targets=(),
           optimizer=None, modes=None, snapshot=None, trains=True):
    """Compares directory/model.json with `module`; raises VerificationError.

    `modes(trains)` puts the module into the mode of an entry as the exporter
    understands it; without it, module.train(trains). `snapshot` is of the
    module as it is. `trains`: the file has a train mode."""
    check = _Check(directory, module, args, kwargs, loss, targets, optimizer,
                   modes, snapshot or Snapshot(module))
    check.trains = trains
    with left_alone(loss, module), _Progress() as check.progress:
        try:
            check.run()
        finally:
            check.snapshot.restore()


class _Progress:
    """A line on stderr once there is something to wait for."""

    def __init__(self, after=1.0):
        self.stage, self.shown = "", ""
        self.timer = threading.Timer(after, self._start)
        self.timer.daemon = True

    def __enter__(self):
        self.late = False
        self.timer.start()
        return self

    def __exit__(self, *_):
        self.timer.cancel()

    def _start(self):
        self.late = True
        self._show()

    def _show(self):
        if self.stage != self.shown:
            self.shown = self.stage
            print(f"nncc: checking the exported model: {self.stage}",
                  file=sys.stderr, flush=True)

    def __call__(self, stage):
        self.stage = stage
        if self.late:
            self._show()

    def note(self, text):
        print(f"nncc: {text}", file=sys.stderr, flush=True)


def _jittered(tensor, generator):
    """A tensor close by."""
    if not tensor.is_floating_point():
        return tensor.clone()
    noise = torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
    return tensor.detach() * (1 + 0.05 * noise)


def _usable(tensor):
    """With a gradient of its own, in containers of its own: what forward puts
    into those is not for the next run."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def _with_gradient(tensor):
    """An input whose gradient is asked for; a tensor that is given twice has
    two."""
    own = _usable(tensor)
    return own.requires_grad_() if own.is_floating_point() else own


def _moved(value, seed=0):
    """By a few roundings: what PyTorch makes of that is as right."""
    generator = torch.Generator().manual_seed(22 + seed)

    def move(tensor):
        if not tensor.is_floating_point():
            return tensor
        noise = torch.randn(tensor.shape, generator=generator,
                            dtype=torch.float64)
        off = 1 + 4 * torch.finfo(tensor.dtype).eps * noise
        return (tensor.detach() * off).to(tensor.dtype)
    return mapped(value, once(move))


def _double(value):
    """In f64; what is so already, moved."""
    return mapped(value, once(lambda t: _moved(t) if t.dtype == torch.float64
                              else t.detach().double()
                              if t.is_floating_point() else t))


def with_gradient(module, args, kwargs, loss, targets, modes, snapshot):
    """Names of the parameters that a training step gives a gradient."""
    found = _Check(None, module, args, kwargs, loss, targets, None, modes,
                   snapshot).step()
    return {n for n, _ in module.named_parameters() if "grad." + n in found}


class _Refusal(Exception):
    """The module, or the loss, fails; not what is around it."""


class _Weights:
    """Stands for a loss: the sum of all outputs, each element with a weight of
    its own."""

    def __init__(self):
        self.drawn = None

    def __call__(self, *outputs):
        tensors = [t for _, t in named_tensors(list(outputs))]
        if self.drawn is None:
            generator = torch.Generator().manual_seed(21)
            self.drawn = [torch.randn(t.shape, generator=generator).to(t.dtype)
                          if t.is_floating_point() else None for t in tensors]
        value = torch.zeros((), requires_grad=True).clone()
        for t, weight in zip(tensors, self.drawn):
            if t.requires_grad:
                value = value + (t * weight.to(t.dtype)).sum()
        return value

    def of_floats(self):
        return [w for w in self.drawn if w is not None]


class _Check:
    def __init__(self, directory, module, args, kwargs, loss, targets,
                 optimizer, modes, snapshot):
        self.directory, self.module = directory, module
        self.args, self.kwargs = args, kwargs
        self.loss, self.targets, self.optimizer = loss, targets, optimizer
        self.modes = modes or module.train
        self.snapshot = snapshot
        self.inputs_have_gradients = False
        self.limit = limit_of([*module.parameters(), *module.buffers()])

    def run(self):
        self.progress("compiling")
        with tempfile.TemporaryDirectory(prefix="nncc") as folder:
            with open(os.path.join(self.directory, "model.json")) as file:
                model = json.load(file)
            path = os.path.join(folder, "model.json")
            with open(path, "w") as file:
                json.dump(without_dropout(model), file)
            entries = ["forward"]
            training = model.get("training", {})
            if self.loss is None:
                entries += ["train_forward", "backward"] * self.can_train()
            elif training:
                entries.append("train_step" if "optimizer" in training
                               else "loss_and_grad")
            try:
                self.compiled = compile_model(
                    path, os.path.join(self.directory, "weights.safetensors"),
                    entries=entries, threads=os.cpu_count() or 1, level=0)
            except RuntimeError as error:
                said = str(error).replace(path, "model.json")
                raise VerificationError(
                    f"nncc does not take the exported model: {said}") from None
        self.names = self.compiled.signature("forward")[1]
        self.progress("running it beside PyTorch")
        self.forward()
        if len(entries) == 1:
            return
        if self.loss is None:
            self.progress("train mode and gradients beside PyTorch's")
            self.backward()
        else:
            self.progress("one training step beside PyTorch's")
            self.train()

    def fail(self, what, how):
        raise VerificationError(
            "the exported model does not compute what the module does: "
            f"{what} {how} (verify=False leaves out this check)")

    @contextlib.contextmanager
    def called(self, trains, double=False):
        """The module and the loss, or copies in f64, ready to be called; tells
        `draws` whether random numbers were."""
        self.modes(trains)
        module, loss = self.module, self.loss
        if double:
            module, loss = copy.deepcopy((module, loss), {
                id(t): t.detach().clone() for part in module.modules()
                for _, t in plain_attributes(part) if not t.is_leaf})
            module = module.double()
            if isinstance(loss, torch.nn.Module):
                loss = loss.double()
        before = torch.get_rng_state()
        self.draws = False
        with WithoutDropout(), eagerly(), torch.inference_mode(False):
            try:
                yield module, loss
            except Exception as error:
                raise _Refusal(f"{type(error).__name__}: {error}") from error
        self.draws = not torch.equal(before, torch.get_rng_state())

    def flat(self, args, kwargs):
        bound = inspect.signature(self.module.forward).bind(*args, **kwargs)
        return [t for _, t in named_tensors(bound.arguments)]

    # --- Eval mode -------------------------------------------------------
    def forward(self):
        try:
            example = self.evaluate(self.args, self.kwargs)
        except _Refusal as error:
            self.fail("forward", f"on the example inputs fails in PyTorch: "
                      f"{error}")
        self.compare_outputs(self.args, self.kwargs, example,
                             "the example inputs")
        for draw in (redrawn, _jittered):
            generator = torch.Generator().manual_seed(20)
            args, kwargs = mapped((self.args, self.kwargs),
                                  once(lambda t: draw(t, generator)))
            try:
                result = self.evaluate(args, kwargs)
            except _Refusal:
                continue  # these values mean something
            self.compare_outputs(args, kwargs, result,
                                 "inputs drawn like them")
            return
        self.progress.note("the module refuses other inputs than the example; "
                           "the model was checked on that alone")

    def evaluate(self, args, kwargs, double=False):
        with self.called(False, double) as (module, _), torch.no_grad():
            args, kwargs = mapped((args, kwargs), once(_usable))
            return module(*args, **kwargs)

    def compare_outputs(self, args, kwargs, result, on):
        if self.draws:
            self.progress.note("eval mode draws random numbers; its outputs "
                               "were not checked")
            return
        theirs = [t for _, t in named_tensors(elements(result))]
        try:
            ours = list(self.compiled.run(
                "forward", *self.flat(args, kwargs)).values())
        except (ValueError, TypeError, RuntimeError) as error:
            self.fail("forward", f"on {on} fails: {error}")
        exact = self.later(lambda: [t for _, t in named_tensors(elements(
            self.evaluate(*_double((args, kwargs)), double=True)))])
        for i, (x, y) in enumerate(zip(ours, theirs)):
            how = differs(like(x, y), y, lambda: exact(i),
                           max(self.limit, limit_of([y])))
            if how:
                self.fail(f"output \"{self.names[i]}\" on {on}", how)

    @staticmethod
    def later(function):
        """A list that is made when it is first asked for; without one, what
        PyTorch cannot do in f64 has no exact value."""
        made = []

        def item(key):
            if not made:
                try:
                    made.append(function())
                except Exception:
                    made.append(None)
            try:
                return None if made[0] is None else made[0][key]
            except KeyError:
                return None  # a gradient that PyTorch does not give
        return item

    # --- Train mode ------------------------------------------------------
    def step(self, double=False, moved=None):
        """Forward and backward: the loss, gradients and new buffers by
        name. The module is as before then."""
        given = self.args, self.kwargs, self.targets
        with self.called(True, double) as (module, loss), \
                torch.enable_grad():
            given = _double(given) if double else given if moved is None \
                else _moved(given, moved)
            usable = _with_gradient if self.inputs_have_gradients else \
                once(_usable)
            args, kwargs, targets = mapped(given, usable)
            inputs = self.flat(args, kwargs)
            for p in module.parameters():
                p.grad = None
            outputs = elements(module(*args, **kwargs))
            value = loss(*outputs, *targets)
            value.backward()
        found = {"loss": value.detach().reshape(()), **{
            n: b.detach().clone() for n, b in
            module.named_buffers(remove_duplicate=False)}}
        found.update((("output", i), t.detach()) for i, (_, t) in
                     enumerate(named_tensors(outputs)))
        found.update((("input", i), t.grad) for i, t in enumerate(inputs)
                     if t.grad is not None)
        found.update((f"grad.{n}", p.grad)
                     for n, p in module.named_parameters()
                     if p.grad is not None)
        self.snapshot.restore()
        return found

    def can_train(self):
        """Whether there is something that has a gradient."""
        return self.trains and any(
            t.requires_grad if isinstance(t, torch.nn.Parameter) else
            t.is_floating_point() for t in (
                *self.module.parameters(), *self.flat(self.args, self.kwargs)))

    def backward(self):
        """Train mode without a loss."""
        weights = _Weights()
        try:
            self.inputs_have_gradients = True
            found = self.step_of(weights)
        except _Refusal:
            self.inputs_have_gradients = False
            try:
                found = self.step_of(weights)
            except _Refusal as error:
                self.fail("train mode", f"fails in PyTorch: {error}")
            self.progress.note("train mode takes no inputs that require a "
                               "gradient; the gradients of inputs were not "
                               "checked")
        if self.draws:
            self.progress.note("train mode draws random numbers; it was not "
                               "checked")
            return
        self.measure(weights)
        inputs = self.flat(self.args, self.kwargs)
        ours = self.compiled.run("train_forward", *inputs)
        buffers = dict(self.module.named_buffers(remove_duplicate=False))
        outputs = [name for name in ours if name not in buffers]
        for i, name in enumerate(outputs):
            self.compare(f"output \"{name}\" in train mode", ours[name],
                         found["output", i], ("output", i))
        for name in buffers.keys() & ours.keys():
            self.compare(f"after a call in train mode {name}", ours[name],
                         found[name], name)
        ours = self.compiled.run("backward", *inputs, *weights.of_floats())
        self.compare_gradients(ours, found)
        if self.inputs_have_gradients:
            self.compare_gradients_of_inputs(inputs, ours, found)

    def measure(self, loss):
        """What rounding makes of a step of this loss is found out once it is
        asked for: the step in f64, or where a part has no such form on other
        values, and steps on values that are a few roundings away."""
        self.exact = self.later(lambda: self.exact_step(loss))
        self.others = [self.later(lambda i=i: self.other_step(loss, moved=i))
                       for i in range(4)]

    def exact_step(self, loss):
        try:
            return self.other_step(loss, double=True)
        except _Refusal:
            return self.other_step(loss, moved=4)

    def other_step(self, loss, **how):
        found = self.step_of(loss, **how)
        self.modes(True)
        return found

    def step_of(self, loss, **how):
        given, self.loss = self.loss, loss
        try:
            return self.step(**how)
        finally:
            self.loss = given

    def train(self):
        try:
            found = self.step()
        except _Refusal as error:
            self.fail("a training step", f"fails in PyTorch: {error}")
        if self.draws:
            self.progress.note("train mode draws random numbers; the training "
                               "step was not checked")
            return
        inputs = [*self.flat(self.args, self.kwargs),
                  *(t for _, t in named_tensors(list(self.targets)))]
        self.measure(self.loss)
        self.modes(True)  # parameters as a step finds them
        if self.optimizer is None:
            ours = self.compiled.run("loss_and_grad", *inputs)
            self.compare_gradients(ours, found)
        else:
            ours = {"loss": torch.tensor(self.compiled.train_step(*inputs),
                                         dtype=found["loss"].dtype)}
            ours.update(self.compiled.state())
        self.compare("the loss", ours["loss"], found["loss"], "loss")
        for name, _ in self.module.named_buffers(remove_duplicate=False):
            if name in ours:
                self.compare(f"after a training step {name}", ours[name],
                             found[name], name)
        if self.optimizer is not None:
            self.compare_step(found, ours)

    def compare(self, what, ours, theirs, key):
        theirs = theirs.detach()
        how = differs(like(ours, theirs), theirs, lambda: self.exact(key),
                      max(self.limit, limit_of([theirs])),
                      lambda: (found for other in self.others
                               if (found := other(key)) is not None))
        if how:
            self.fail(what, how)

    def compare_gradients(self, ours, found):
        for name, p in self.module.named_parameters():
            key = "grad." + name
            if key in ours:
                self.compare(f"the gradient of {name}", ours[key],
                             found.get(key, torch.zeros_like(p)), key)
            elif key in found:
                self.fail(f"the gradient of {name}", "is missing")

    def compare_gradients_of_inputs(self, inputs, ours, found):
        names = self.compiled.signature("backward")[0]
        for i, (name, tensor) in enumerate(zip(names, inputs)):
            if "grad." + name in ours:
                key = "input", i
                self.compare(f"the gradient of input {name}",
                             ours["grad." + name],
                             found.get(key, torch.zeros_like(tensor)), key)
            elif ("input", i) in found:
                self.fail(f"the gradient of input {name}", "is missing")

    def compare_step(self, found, ours):
        """Parameters and the optimizer's state. What an optimizer makes of
        gradients moves with their rounding: where it is not equal at once, it
        may differ as PyTorch's does for gradients a little larger or
        smaller."""
        groups = {id(p): g for g in self.optimizer.param_groups
                  for p in g["params"]}
        for name, p in self.module.named_parameters():
            gradient = found.get("grad." + name)
            group = groups.get(id(p)) if gradient is not None else None
            results = {name: p.detach(), **_tensors(
                self.optimizer.state.get(p, {}), name)}
            if group is not None:
                results = self.stepped(name, p, gradient, group)
            for key, right in results.items():
                if key not in ours:
                    if gradient is not None:
                        self.fail(f"after a training step {key}", "is missing")
                    continue
                old = p.detach() if key == name else None
                far = beyond(like(ours[key], right), right, old,
                              max(self.limit, limit_of([right])))
                for noise in (self.rounding, self.measured_rounding):
                    if not far or group is None:
                        break
                    spread = self.spread(name, key, p, gradient, group,
                                         noise, results, far[0])
                    if bool((far[1] <= far[2] + 2 * spread).all()):
                        far = None
                if far:
                    self.fail(f"after a training step {key}", "differs by up "
                              f"to {float(far[1].max()):.3g} from PyTorch's")

    def stepped(self, name, p, gradient, group, pick=lambda t: t):
        """The optimizer's step on one parameter, of which it has the state:
        value and state by name. Parameters are stepped one by one, so that
        memory is that of one; `pick` takes elements of all of them."""
        q = pick(p.detach()).clone().requires_grad_()
        q.grad = gradient.to(q.dtype)
        one = type(self.optimizer)([{**group, "params": [q]}])
        state = self.optimizer.state.get(p, {})
        if state:
            one.state[q] = {k: copy.deepcopy(pick(v))
                            for k, v in state.items()}
        one.step()
        return {name: q.detach(), **_tensors(one.state[q], name)}

    def rounding(self, name, gradient):
        return max(self.limit, limit_of([gradient]))

    def measured_rounding(self, name, gradient):
        least, right = self.rounding(name, gradient), self.exact("grad." + name)
        if right is None:
            return least
        double = gradient.double()
        return max(least, allowed_beside(worst(double, right, Scale(double))))

    def spread(self, name, key, p, gradient, group, noise, results, index):
        """How far elements of the result of a step are from `results` for
        gradients that are off by `noise` of their row's scale either way. Most
        optimizers take elements one by one, so just those are stepped."""
        one_by_one = all(v.shape == p.shape for v in results.values())
        right = results[key].reshape(-1)[index]

        def pick(tensor):
            chosen = one_by_one and isinstance(tensor, torch.Tensor) and \
                tensor.shape == p.shape
            return tensor.reshape(-1)[index] if chosen else tensor
        rows = wide(gradient).reshape(rows_of(gradient))
        off = noise(name, gradient) * row_scale(largest_of(rows, 1))
        off = pick(off.expand(rows.shape).reshape(gradient.shape))
        distances = []
        for sign in (-1, 1):
            result = self.stepped(
                name, p, wide(pick(gradient)) + sign * off, group,
                pick)[key]
            result = result if one_by_one else result.reshape(-1)[index]
            distances.append((wide(result) - wide(right)).abs())
        return torch.maximum(*distances)


def _tensors(state, name):
    """What torch keeps for a parameter, by its names in the model."""
    return {f"optimizer.{kind}.{name}": value.detach()
            for kind, value in state.items()
            if isinstance(value, torch.Tensor) and kind != "step"}
