"""Whether two runs of one module compute the same, and where they part.

Each value of a run gets a number that says how it comes from inputs and state;
equal computations have equal numbers. A tensor that the first run made and the
module kept (a table of cosines that is filled in the first call) is, in a later
run, what the first one made, unless it depends on inputs, parameters or random
numbers: then it is a memory, and no later run is like the first.
"""
import hashlib
import itertools

import torch

from .graph import Call, Mode, Node, Value, values_in


class Computed:
    """What a run computes. `first` is the run before it, if there is one;
    with `stops`, where gradients end makes a difference. `same` says of each
    input the number of the first that is the same tensor."""

    def __init__(self, run, first=None, stops=True, same=None):
        self.numbers = first.numbers if first else {}
        self.first, self.run, self.stops = first, run, stops
        self._of = {}  # value -> number
        self._read = {}  # number -> those that it reads
        self._steps, self._turns = [], itertools.count()
        effects = []
        for i, value in enumerate(run.inputs):
            self._of[value] = self._number("input", same[i] if same else i)
        self._visit(run.root, effects)
        loss = None
        if run.loss:
            call, value = run.loss
            for i, target in enumerate(call.arguments):
                self._of[target] = self._number("target", i)
            self._visit(call, effects)
            loss = self._token(value)
        self.result = [effects, [self._token(v) for _, v in run.outputs],
                       {n: self._token(v) for n, v in run.updates.items()},
                       loss]

    def __eq__(self, other):
        return self.result == other.result

    def parting(self, other):
        """The first step that differs: what it is, and its place."""
        for ours, theirs in itertools.zip_longest(self._needed(),
                                                  other._needed()):
            if ours is None or theirs is None or ours[0] != theirs[0]:
                _, what, place = ours or theirs
                return f"{what} is called", place
        ours, theirs = self.result[2], other.result[2]
        for path in sorted({**ours, **theirs}):
            if ours.get(path) != theirs.get(path):
                return f"the buffer {path} is changed", None
        return "forward is called", None

    def _needed(self):
        """The steps that the results depend on, in order."""
        effects, outputs, updates, loss = self.result
        open_, seen = [*effects, *outputs, *updates.values(), loss], set()
        while open_:
            number = open_.pop()
            if number not in seen:
                seen.add(number)
                open_ += self._read.get(number, [])
        return [step for step in self._steps if step[0] in seen]

    # --- Numbers ---------------------------------------------------------
    def _number(self, *key):
        return self.numbers.setdefault(key, len(self.numbers))

    def _visit(self, call, effects):
        for item in call.items:
            if isinstance(item, Call):
                self._visit(item, effects)
            else:
                self._node(item, effects)

    def _node(self, item, effects):
        read = [self._token(v) for v in
                values_in([item.inputs, item.arguments])]
        passes = item.op == "pass" or (item.op == "Tensor.detach" and
                                       not self.stops)
        if passes:
            for value in values_in([item.results]):
                self._of[value] = read[0]
            return
        what = item.op or item.module[1][0]
        # Two draws are not one, nor are two calls that change a buffer.
        turn = next(self._turns) if item.module or item.is_random else None
        number = self._number(what, turn, self._words(item.inputs),
                              self._words(item.arguments))
        self._read[number] = read
        self._steps.append((number, what, item.place))
        if item.has_effect:
            effects.append(number)
        for i, value in enumerate(values_in([item.results])):
            self._of[value] = one = self._number("result", number, i)
            self._read[one] = [number]

    def _words(self, item):
        if isinstance(item, Value):
            return ("value", self._token(item))
        if isinstance(item, Mode):
            return ("mode", item.trains)
        if isinstance(item, (list, tuple)):
            return tuple(self._words(i) for i in item)
        if isinstance(item, dict):
            return tuple((k, self._words(v)) for k, v in item.items())
        return repr(item)

    def _token(self, value):
        if value not in self._of:
            self._of[value] = self._source(value)
        return self._of[value]

    def _source(self, value):
        """Of state and constants."""
        left = self.first and self.first.run.values
        kept = left and left.known(value.tensor)
        is_new = kept and isinstance(kept.source, Node) and \
            id(value.tensor) not in left.states and \
            not self.first.run.updates.keys() & set(value.paths)
        if is_new:
            return self.first._token(kept) if kept.buffers is not None else \
                self._number("memory", kept.number)
        if value.source == "state" and value.varies:
            return self._number("state", value.paths[0])
        tensor = value.tensor if value.data is None else value.data
        tensor = tensor.detach().cpu().contiguous()
        raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() \
            if tensor.numel() else b""
        return self._number("constant", str(tensor.dtype), tuple(tensor.shape),
                            hashlib.sha256(raw).digest())
