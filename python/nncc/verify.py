"""The exporter's last check: the written file, compiled and run beside the
module.

Outputs are compared in eval mode, on the example inputs and on others drawn
like them; where training was exported, one step in train mode with dropout off:
loss, buffers, parameters and the optimizer's state (or, without an optimizer,
gradients). The module itself runs, since a copy of a large one takes as long,
and some have none; a snapshot puts it and all random generators back.

What may differ is rounding. A difference within 1e-5 of the scale (of the
tensor, or of the slice that an element lies in) is let through; of a larger one
PyTorch's own distance from the same run in f64 must be the cause.
"""
import contextlib
import copy
import inspect
import json
import os
import sys
import tempfile
import threading

import numpy as np
import torch

from .dropout import WithoutDropout, without_dropout
from .modules import UnsupportedModel, named_tensors
from .run import elements, mapped, once
from .runner import compile_model
from .state import Snapshot, eagerly, left_alone

# Of the scale, by element type.
_LIMITS = {torch.float64: 1e-7, torch.float32: 1e-5, torch.float16: 4e-3,
           torch.bfloat16: 3e-2}


class VerificationError(UnsupportedModel):
    """The written model does not compute what the module does."""


def verify(directory, module, args, kwargs, loss=None, targets=(),
           optimizer=None, modes=None, snapshot=None):
    """Compares directory/model.json with `module`; raises VerificationError.

    `modes(trains)` puts the module into the mode of an entry as the exporter
    understands it; without it, module.train(trains). `snapshot` is of the
    module as it is."""
    check = _Check(directory, module, args, kwargs, loss, targets, optimizer,
                   modes, snapshot or Snapshot(module))
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


def _redrawn(tensor, generator):
    """Another tensor of this kind: scale, sign and range stay."""
    def at_random(shape):
        return torch.randint(0, max(tensor.numel(), 1), shape,
                             generator=generator)
    if tensor.numel() == 0:
        return tensor.clone()
    flat = tensor.detach().reshape(-1)
    if tensor.dtype == torch.bool:
        return torch.rand(tensor.shape, generator=generator) < 0.5
    if not tensor.is_floating_point():
        order = torch.randperm(flat.numel(), generator=generator)
        return flat[order].reshape(tensor.shape)
    x = flat.double()
    if not torch.isfinite(x).all() or x.unique().numel() in (2, 3):
        # A mask, or the like: its values, elsewhere.
        return flat[at_random((flat.numel(),))].reshape(tensor.shape)
    low, high = x.min(), x.max()
    unit = torch.rand(x.shape, generator=generator, dtype=torch.float64)
    if low == high:
        drawn = low * (0.5 + unit) if low != 0 else 2 * unit - 1
    elif low >= 0 or high <= 0:
        drawn = low + (high - low) * unit
    else:
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        drawn = (x.mean() + x.std() * noise).clamp(low, high)
    return drawn.to(tensor.dtype).reshape(tensor.shape)


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


def _double(value):
    return mapped(value, once(lambda t: t.detach().double()
                              if t.is_floating_point() else t))


# --- Comparing -----------------------------------------------------------------

def _largest(x, dims=None):
    """The largest magnitude, of all or along `dims`; NaN where one is."""
    x = x.detach()
    if dims is None:
        low, high = x.aminmax()
    else:
        low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
    return torch.maximum(high, -low)


def _wide(x):
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _is_finite(x):
    return not x.numel() or bool(torch.isfinite(_largest(x)))


class _Scale:
    """Of each element of a finite tensor: the largest of its slices' maxima
    that is smallest, but no less than a thousandth of the tensor's."""

    def __init__(self, x):
        self.whole = _largest(x)
        self.floor = (self.whole * 1e-3).clamp_min(1e-30)
        ranks = range(x.dim() if x.dim() > 1 else 0)
        self.parts = [_largest(x, [e for e in ranks if e != d]) for d in ranks]

    def __call__(self, rows=slice(None)):
        scale = self.whole
        for d, part in enumerate(self.parts):
            scale = torch.minimum(scale, part[rows] if d == 0 else part)
        return torch.maximum(scale, self.floor)


def _parts(x):
    """Rows at a time, so that what is computed of them stays in the cache."""
    count = max(1, (1 << 18) // max(1, x[0].numel()))
    return [slice(i, i + count) for i in range(0, x.shape[0], count)]


def _worst(x, right, scale):
    """The largest distance, by the scale of where it is."""
    if not x.numel():
        return 0.0
    if x.dim() == 0:
        return float((x - right).abs() / scale())
    return max(float(((x[r] - right[r]).abs() / scale(r)).max())
               for r in _parts(x))


def _allowed(error):
    """How far from f64 we may be where PyTorch is this far: a little more, but
    where nothing of it is right, both are noise (what cancels exactly)."""
    return error * (4 if error < 0.05 else 100)


def _differs(ours, theirs, exact, limit):
    """How two tensors differ, if it is by more than rounding. `exact()` gives
    PyTorch's in f64, or None."""
    if ours.shape != theirs.shape:
        return f"is {list(ours.shape)}, PyTorch's {list(theirs.shape)}"
    if ours.dtype != theirs.dtype:
        return f"is {ours.dtype}, PyTorch's {theirs.dtype}"
    if torch.equal(ours, theirs):
        return None
    if not theirs.is_floating_point():
        right, off = exact(), int((ours != theirs).sum())
        allowed = 0 if right is None else 4 * int((theirs != right).sum())
        return None if off <= allowed else \
            f"differs in {off} of {ours.numel()} elements"
    x, y = _wide(ours), _wide(theirs)
    finite = slice(None)
    if not (_is_finite(x) and _is_finite(y)):
        finite = x.isfinite() & y.isfinite()
        if not (finite | (x == y) | (x.isnan() & y.isnan())).all():
            return "is not finite where PyTorch's is, or the other way round"
        x, y = (torch.where(finite, v, 0) for v in (x, y))
    scale = _Scale(y)
    if _worst(x, y, scale) <= limit:
        return None
    right = exact()
    if right is not None:
        right = right.double()
        if isinstance(finite, torch.Tensor):
            right = torch.where(finite & right.isfinite(), right, y.double())
        if _worst(x, right, scale) <= max(
                limit, _allowed(_worst(y, right, scale))):
            return None
    return (f"differs by up to {float((x - y).abs().max()):.3g} where "
            f"PyTorch's values reach {float(y.abs().max()):.3g}")


def _limit(tensors):
    return max([_LIMITS[t.dtype] for t in tensors if t.dtype in _LIMITS],
               default=1e-5)


def with_gradient(module, args, kwargs, loss, targets, modes, snapshot):
    """Names of the parameters that a training step gives a gradient."""
    found = _Check(None, module, args, kwargs, loss, targets, None, modes,
                   snapshot).step()
    return {n for n, _ in module.named_parameters() if "grad." + n in found}


class _Refusal(Exception):
    """The module, or the loss, fails; not what is around it."""


class _Check:
    def __init__(self, directory, module, args, kwargs, loss, targets,
                 optimizer, modes, snapshot):
        self.directory, self.module = directory, module
        self.args, self.kwargs = args, kwargs
        self.loss, self.targets, self.optimizer = loss, targets, optimizer
        self.modes = modes or module.train
        self.snapshot = snapshot
        self.limit = _limit([*module.parameters(), *module.buffers()])

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
            if self.loss is not None and training:
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
        if len(entries) > 1:
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
            module, loss = copy.deepcopy((module, loss))
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
        for draw in (_redrawn, _jittered):
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
            how = _differs(_like(x, y), y, lambda: exact(i),
                           max(self.limit, _limit([y])))
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
            return None if made[0] is None else made[0][key]
        return item

    # --- Train mode ------------------------------------------------------
    def step(self, double=False):
        """Forward and backward: the loss, gradients and new buffers by
        name. The module is as before then."""
        given = self.args, self.kwargs, self.targets
        with self.called(True, double) as (module, loss), \
                torch.enable_grad():
            args, kwargs, targets = mapped(
                _double(given) if double else given, once(_usable))
            for p in module.parameters():
                p.grad = None
            value = loss(*elements(module(*args, **kwargs)), *targets)
            value.backward()
        found = {"loss": value.detach().reshape(()), **{
            n: b.detach().clone() for n, b in
            module.named_buffers(remove_duplicate=False)}}
        found.update((f"grad.{n}", p.grad)
                     for n, p in module.named_parameters()
                     if p.grad is not None)
        self.snapshot.restore()
        return found

    def exact_step(self):
        found = self.step(double=True)
        self.modes(True)
        return found

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
        self.exact = self.later(self.exact_step)
        self.modes(True)  # parameters as a step finds them
        if self.optimizer is None:
            ours = self.compiled.run("loss_and_grad", *inputs)
            for name, p in self.module.named_parameters():
                key = "grad." + name
                if key in ours:
                    self.compare(f"the gradient of {name}", ours[key],
                                 found.get(key, torch.zeros_like(p)), key)
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
        how = _differs(_like(ours, theirs), theirs, lambda: self.exact(key),
                       max(self.limit, _limit([theirs])))
        if how:
            self.fail(what, how)

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
                far = _beyond(_like(ours[key], right), right, old,
                              max(self.limit, _limit([right])))
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
        return max(self.limit, _limit([gradient]))

    def measured_rounding(self, name, gradient):
        least, right = self.rounding(name, gradient), self.exact("grad." + name)
        if right is None:
            return least
        wide = gradient.double()
        return max(least, _allowed(_worst(wide, right, _Scale(wide))))

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
        rows = _wide(gradient).reshape(_rows(gradient))
        off = noise(name, gradient) * _row_scale(_largest(rows, 1))
        off = pick(off.expand(rows.shape).reshape(gradient.shape))
        distances = []
        for sign in (-1, 1):
            result = self.stepped(
                name, p, _wide(pick(gradient)) + sign * off, group,
                pick)[key]
            result = result if one_by_one else result.reshape(-1)[index]
            distances.append((_wide(result) - _wide(right)).abs())
        return torch.maximum(*distances)


def _tensors(state, name):
    """What torch keeps for a parameter, by its names in the model."""
    return {f"optimizer.{kind}.{name}": value.detach()
            for kind, value in state.items()
            if isinstance(value, torch.Tensor) and kind != "step"}


def _like(ours, theirs):
    """An array of the compiled model as a tensor; NumPy has no bf16."""
    if not isinstance(ours, torch.Tensor):
        ours = torch.from_numpy(np.asarray(ours, order="C"))
        if theirs.dtype == torch.bfloat16:
            ours = ours.view(torch.bfloat16)
    return ours


def _rows(x):
    return (x.shape[0] if x.dim() > 1 else 1, -1)


def _row_scale(largest):
    return torch.maximum(largest, largest.max() * 1e-3)


def _beyond(x, right, old, limit):
    """Where two results of a step that began at `old` (null: at 0) differ by
    more than the rounding of the value and of the step: numbers of elements,
    differences, and what would have been allowed. Row by row, in few passes
    over large tensors."""
    if not right.numel():
        return None
    rows = _rows(right)
    x, right = (_wide(v).reshape(rows) for v in (x, right))
    old = None if old is None else _wide(old).reshape(rows)
    off = x - right
    largest, value = _largest(off, 1), _largest(right, 1)
    step = value if old is None else _largest(right - old, 1)
    if not (largest.isfinite().all() and value.isfinite().all()):
        finite = right.isfinite()
        if not torch.equal(x.isfinite(), finite):
            infinite = torch.tensor([float("inf")])
            return torch.tensor([0]), infinite, infinite * 0
        return _beyond(*(v if v is None else torch.where(finite, v, 0)
                         for v in (x, right, old)), limit)
    allowed = limit * _row_scale(step) + limit / 20 * value
    numbers = (largest > allowed).reshape(-1).nonzero().reshape(-1)
    if not len(numbers):
        return None
    off, allowed = off[numbers].abs(), allowed[numbers]
    row, column = (off > allowed).nonzero(as_tuple=True)
    return (numbers[row] * right.shape[1] + column, off[row, column],
            allowed[row, 0])
