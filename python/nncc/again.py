"""Runs a module again, in other conditions: what it computes in another way
then would be frozen in the model. That finds what no hook sees: random numbers
of other libraries, counters, memories, what Python knows of gradients.
"""
import contextlib
import sys

import torch

from .compare import Computed
from .graph import Problem, sentences
from .kept import Kept, is_of_library
from .modules import UnsupportedModel
from .run import once
from .state import eagerly, redrawn


_REPEATED = (
    "when forward runs again on other values: what Python computes, draws or "
    "keeps between calls would be frozen in the model")


class Conditions:
    """What users do around a module: `gradients` are on or off; the module
    believes to be in `inference` mode; inputs are `results` of something that
    has a gradient, changed in place before; one tensor that is given twice is
    one (`repeats`), else two. `follow` looks where something changes."""

    def __init__(self, gradients=True, inference=False, results=False,
                 repeats=False, follow=None):
        self.gradients, self.inference = gradients, inference
        self.results = results
        self.follow = follow or (lambda tracer: contextlib.nullcontext())
        # An input of its own, whatever the example has.
        self.own = once(self._make_own) if repeats else self._make_own

    def __str__(self):
        return "" if self.gradients else " without gradients"

    @contextlib.contextmanager
    def around(self, tracer=None):
        asked = torch.is_inference_mode_enabled
        with eagerly(), torch.inference_mode(False), \
                torch.set_grad_enabled(self.gradients), self.follow(tracer):
            torch.is_inference_mode_enabled = lambda: self.inference
            try:
                yield
            finally:
                torch.is_inference_mode_enabled = asked

    def _make_own(self, tensor):
        own = tensor.detach().clone().cpu()
        if self.results:
            with torch.enable_grad():
                if own.is_floating_point():
                    own = own.requires_grad_().clone()
            with torch.no_grad():
                own.copy_(own)
        return own


class Follow:
    """Looks at `read()` at each line of a user's code: `place` is where it
    changes first, or None."""

    def __init__(self, read):
        self.read, self.place = read, None

    @contextlib.contextmanager
    def __call__(self, tracer):
        first, before = self.read(), sys.gettrace()
        places = {}  # of running code: where it was

        def look(frame, event, argument):
            if self.place or is_of_library(frame.f_globals.get("__name__")):
                return None
            place = places.setdefault(frame, tracer.place())
            if self.read() != first:
                self.place = place
            places[frame] = tracer.place()
            return look
        sys.settrace(look)
        try:
            yield
        finally:
            sys.settrace(before)


def check_again(trace, run, model, of_loss):
    """Raises UnsupportedModel if other runs than `run`, which `trace(run, draw,
    conditions)` makes, compute something else. `of_loss` is what the loss
    keeps."""
    first, kept = Computed(run), Kept([("", model)])
    before, of_loss_before = kept.numbers(), of_loss.numbers()
    for draw, results in ((redrawn, True), (redrawn, False), (None, True),
                          (None, False)):
        try:
            other = trace(run, draw, Conditions(results=results))
        except UnsupportedModel:
            continue  # these values mean something, or it takes leaves only
        if bool(other.loss) == bool(run.loss):
            break  # else drawn values mean something to the loss: probabilities
    else:
        raise UnsupportedModel("forward fails when it is called again")
    _check_seeds(run, other)
    if Computed(other, first) != first:
        plain = [trace(run, draw, Conditions()) for _ in range(2)] \
            if results else [other]  # two: it may go to and fro
        for one in plain:
            _check(first, one, _REPEATED)
        _check(first, other, "for inputs that require a gradient: decide by "
               "self.training, not by requires_grad, is_leaf, grad_fn or "
               "_version")
    changed = next(_changed(kept, before), None)
    if changed is not None:
        what = "attribute" if hasattr(model, changed.split(".")[0]) else \
            "variable"
        _refuse(trace, run, kept, changed, (
            f"forward draws numbers from {changed}, which would be frozen in "
            "the model: draw them with torch") if changed in kept.generators
            else f"the {what} {changed} is changed by each call of forward: a "
            "compiled model would keep the example's, so make it a buffer, or "
            "leave it out")
    for changed in _changed(of_loss, of_loss_before):
        if not of_loss.is_only_counted(changed):
            _refuse(trace, run, of_loss, changed, (
                f"the loss changes its {changed}: a compiled step keeps no "
                "state of a loss, so make it a part of the module"))


def _changed(kept, before):
    """Numbers that each call leaves others behind than it has found: some
    later call may depend on them."""
    after = kept.numbers()
    return (name for name in before if after[name] != before[name])


def _refuse(trace, run, kept, name, text):
    """Runs once more to see where the number is changed."""
    follow = Follow(lambda: kept.around(name))
    try:
        trace(run, None, Conditions(follow=follow))
    except UnsupportedModel:
        pass  # that it fails then is not what it is refused for
    raise UnsupportedModel(sentences([Problem(text, follow.place)]))


def check_repeats(trace, run):
    """Raises UnsupportedModel if one tensor that the example has twice does
    something else than two that are equal, as a compiled model has them."""
    try:
        other = trace(run, None, Conditions(repeats=True))
    except UnsupportedModel:
        return  # as the example itself
    places = {}
    same = [places.setdefault(id(value.tensor), i)
            for i, value in enumerate(other.inputs)]
    first = Computed(run, same=same)
    second = Computed(other, first, same=same)
    if second == first or _gives_the_same(run, other):
        return
    what, place = first.parting(second)
    twice = [value.hint for i, value in enumerate(run.inputs)
             if same.count(same[i]) > 1]
    raise UnsupportedModel(sentences([Problem(
        f"{what} in another way where one tensor is given as "
        f"{' and '.join(twice)}: a compiled model takes them for {len(twice)}, "
        "so give clones as examples, or export a module that takes it once",
        place)]))


def _gives_the_same(run, other):
    """But for rounding: a product for all in the place of one for each."""
    pairs = list(zip(run.outputs, other.outputs))
    return len(run.outputs) == len(other.outputs) and all(
        a.tensor.shape == b.tensor.shape and torch.allclose(
            a.tensor.double(), b.tensor.double(), 1e-4, 1e-5, equal_nan=True)
        for (_, a), (_, b) in pairs)


def check_seeds(trace, run):
    """Raises UnsupportedModel if each run draws the same random numbers."""
    try:
        other = trace(run, None, Conditions())
    except UnsupportedModel:
        return  # it goes another way
    _check_seeds(run, other)


def _check_seeds(run, other):
    known = {state for state, *_ in run.tracer.drawn}
    for state, what, place in other.tracer.drawn:
        if state in known:
            raise UnsupportedModel(sentences([Problem(
                f"{what} draws the same numbers in each call, and a compiled "
                "model would draw others: leave out what seeds the generator",
                place)]))


def check_without_gradients(trace, run):
    """Eval mode is used with and without torch.no_grad, and a compiled model
    has one form."""
    first = Computed(run, stops=False)
    other = trace(run, None, Conditions(False, inference=True))
    if Computed(other, first, stops=False) == first:
        return
    _check(first, trace(run, None, Conditions(False)),
           "in eval mode under torch.no_grad: decide by self.training, not by "
           "whether there are gradients", stops=False)
    _check(first, other, "in eval mode under torch.inference_mode: leave out "
           "what asks for it", stops=False)


def _check(first, run, when, stops=True):
    other = Computed(run, first, stops)
    if other != first:
        what, place = first.parting(other)
        raise UnsupportedModel(sentences([Problem(
            f"{what} in another way {when}", place)]))
