"""The module in entries that do not train, and in those that do: as its own
eval() and train() leave it.

They may set more than flags: attributes, parameters that are frozen, weights
that are merged. So each trace, and each run beside it, begins with the module
as it was given, and calls them. A file has one state for both: where they leave
other values in it, and that makes a difference, only eval mode is exported.
"""
import torch

from .modules import UnsupportedModel
from .state import Snapshot, same
from .values import plain_attributes


class Modes:
    """`flags`: id of a module -> whether it trains in entries that do not, and
    in those that do; `problem`: why no entry can train, or None. `results()`
    gives what the module computes as it is then."""

    def __init__(self, model, given, results):
        self.model, self.given = model, given
        # Large weights need not be compared then.
        self.sets_flags_alone = all(map(_sets_flags_alone, model.modules()))
        self.has_one_state = False  # that of train mode, also in eval mode
        self.whole = model.training
        self.single = [part for part in model.modules()
                       if part.training != self.whole]
        tree = _tree(model)
        evals, trains = self.enter(False), None
        self._check_tree("eval()", tree)
        flags, values = _flags(model), _values(model, evals)
        self.problem, others = None, flags
        try:
            trains = self.enter(True)
            self._check_tree("train()", tree)
            others = _flags(model)
            parted = _parting(values, _values(model, trains))
        except UnsupportedModel as error:
            self.problem, parted = str(error), None
        self.flags = {part: (flag, others.get(part, flag))
                      for part, flag in flags.items()}
        if parted:
            self._settle(parted, results)

    def _settle(self, parted, results):
        """Some eval() only puts into weights what train mode adds in forward
        (LoRA): then the state of train mode does for both."""
        self.enter(False)
        right = results()
        self.has_one_state = True
        self.prepare(False)
        if not right or not _are_close(results(), right):
            self.has_one_state = False
            self.problem = (
                f"train() and eval() leave other values in {parted}, and a "
                "compiled model has one state for both: compute what differs "
                "in forward")

    def prepare(self, trains):
        """Puts the module into the state that is traced; gives a snapshot."""
        if trains or not self.has_one_state:
            return self.enter(trains)
        self.enter(True)
        for part in self.model.modules():
            part.training = self.flags[id(part)][0]
        return Snapshot(self.model, self.given)

    def enter(self, trains):
        """Puts the module into the mode of an entry, as who uses it does; gives
        a snapshot. Single parts that were in the other mode than the whole stay
        in it."""
        self.given.restore()
        try:
            self.model.train() if trains else self.model.eval()
        except Exception as error:
            raise UnsupportedModel(
                f"{'train' if trains else 'eval'}() of the model fails: "
                f"{type(error).__name__}: {error}") from error
        if trains == self.whole:
            for part in self.single:
                part.training = not self.whole
        return self.given if self.sets_flags_alone else \
            Snapshot(self.model, self.given)

    def _check_tree(self, which, given):
        now = _tree(self.model)
        for path in sorted({*given, *now}):
            if given.get(path) != now.get(path):
                how = "in" if path in given and path in now else \
                    "with" if path in now else "without"
                raise UnsupportedModel(f"{which} makes another model, {how} "
                                       f"{path}: call it before export")


def _parting(evals, trains):
    """The first path where values differ."""
    return next((path for path in evals if path not in trains or
                 not same(evals[path], trains[path])), None)


def _are_close(ours, theirs):
    """But for rounding."""
    return len(ours) == len(theirs) and all(
        x.shape == y.shape and x.dtype == y.dtype and torch.allclose(
            x.double(), y.double(), 1e-4, 1e-5, equal_nan=True)
        for x, y in zip(ours, theirs))


def _tree(model):
    """Modules by path, and which parameters and buffers there are."""
    tree = {path: id(part) for path, part in
            model.named_modules(remove_duplicate=False)}
    for kind in (model.named_parameters, model.named_buffers):
        tree.update((path, kind.__name__)
                    for path, _ in kind(remove_duplicate=False))
    return tree


def _sets_flags_alone(module):
    """Its train() and eval() are torch's."""
    return all(getattr(getattr(module, name), "__func__", None) is
               getattr(torch.nn.Module, name) for name in ("train", "eval"))


def _flags(model):
    return {id(part): part.training for part in model.modules()}


def _values(model, snapshot):
    """State and plain attributes by path."""
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for path, part in model.named_modules():
        named.update((f"{path}.{name}".lstrip("."), tensor)
                     for name, tensor in plain_attributes(part))
    return {path: snapshot.value_of(tensor) for path, tensor in named.items()}
